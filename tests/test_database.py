"""DATABASE_URL and READING_DATABASE_URL to DATABASES, and the command for the embedded server."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import ConnectionHandler, connections

from config.database import ReadingRouter, databases
from config.embedded.server import EmbeddedServer, server_of
from kb.management.commands import database

PROJECT = Path(__file__).resolve().parent.parent
ROLE = "-c role=kb_reading -c default_transaction_read_only=on"


def _databases(
    url: str | None = None, reading: str | None = None, pool: int = 0
) -> dict[str, dict[str, Any]]:
    return databases(url, reading, Path("/data"), pool)


# --- Addresses ---


def test_an_address_lands_in_djangos_names_and_its_options_are_kept():
    found = _databases("postgres://ann:p%40ss@db.example.com:6432/notes?sslmode=require")

    assert found["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "notes",
        "USER": "ann",
        "PASSWORD": "p@ss",
        "HOST": "db.example.com",
        "PORT": "6432",
        "OPTIONS": {"application_name": "kb", "connect_timeout": "10", "sslmode": "require"},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }


def test_a_socket_folder_stands_in_the_host_option():
    assert _databases("postgresql://kb@/kb?host=/run/postgresql")["default"]["HOST"] == "/run/postgresql"


def test_reading_takes_on_its_role_on_the_same_server_unless_told_otherwise():
    found = _databases("postgres://ann@host/notes?options=-c%20statement_timeout%3D5s")

    assert found["reading"] == {
        **found["default"],
        "OPTIONS": {
            **found["default"]["OPTIONS"],
            "options": f"-c statement_timeout=5s {ROLE}",
            "server_side_binding": True,
            "prepare_threshold": 1,
        },
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
    }


def test_a_reading_address_is_used_as_it_is():
    found = _databases("postgres://ann@host/notes", "postgres://reader:word@replica/notes")["reading"]

    assert (found["USER"], found["PASSWORD"], found["HOST"]) == ("reader", "word", "replica")
    assert "options" not in found["OPTIONS"]


def test_without_an_address_both_are_the_embedded_server_under_roles_of_their_own():
    found = _databases()

    assert {alias: (parts["ENGINE"], parts["USER"], parts["NAME"]) for alias, parts in found.items()} == {
        "default": ("config.embedded", "kb", "kb"),
        "reading": ("config.embedded", "kb_reading", "kb"),
    }
    assert found["default"]["OPTIONS"]["data_dir"] == "/data"


@pytest.mark.parametrize("url", [None, "postgres://ann@host/notes"])
def test_a_pool_holds_as_many_connections_as_asked_for(url: str | None):
    found = _databases(url, pool=7)

    assert found["default"]["OPTIONS"]["pool"] == {"min_size": 1, "max_size": 7, "timeout": 10}
    assert "pool" not in found["reading"]["OPTIONS"]


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann:secretword@host/notes",
        "ann:secretword@host/notes",
        "postgres://ann:secretword%zz@host/notes",
        "postgres://ann:secretword@host/notes?no_such_option=1",
        "postgres://ann:secretword@host:70000/notes",
        "postgres://ann:secretword@host:port/notes",
        "postgres://ann:secretword@host",
        "postgres://ann:secretword@host/",
    ],
)
@pytest.mark.parametrize("variable", ["DATABASE_URL", "READING_DATABASE_URL"])
def test_a_wrong_address_is_refused_by_the_variables_name_and_without_its_password(url: str, variable: str):
    good = "postgres://ann@host/notes"

    with pytest.raises(ImproperlyConfigured, match=f"^{variable} ") as refusal:
        _databases(*((url, None) if variable == "DATABASE_URL" else (good, url)))

    assert "secretword" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


# --- Routing ---


def test_nothing_is_written_or_migrated_through_the_reading_alias():
    router = ReadingRouter()
    read_there = Group()
    read_there._state.db = "reading"

    assert router.db_for_write(Group, instance=read_there) == "default"
    assert router.allow_migrate("reading", "kb") is False
    assert router.allow_migrate("default", "kb") is None
    assert router.allow_relation(read_there, Group()) is None
    assert router.allow_relation(read_there, read_there) is True


@pytest.mark.skipif(bool(os.environ.get("READING_DATABASE_URL")), reason="reading may be elsewhere")
@pytest.mark.django_db(databases=["default", "reading"])
def test_tests_share_one_database_between_two_connections():
    found = []
    for alias in ("default", "reading"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_database(), pg_backend_pid()")
            found.append(cursor.fetchone())

    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


# --- manage.py database ---


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """An embedded server in a folder that root's system account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="kb-test-"))
    folder.chmod(0o755)
    server = server_of(folder)
    yield server
    server.leave()
    server.stop(force=True)
    shutil.rmtree(folder)


def _database(monkeypatch: pytest.MonkeyPatch, url: str | None, data_dir: Path, *arguments: str) -> str:
    """Run `manage.py database` against other settings; return what it prints."""
    parts = databases(url, None, data_dir, 0)
    monkeypatch.setattr(database, "connection", ConnectionHandler(parts)["default"])
    out = io.StringIO()
    try:
        call_command("database", *arguments, stdout=out)
    except SystemExit as end:
        out.write(f"exit {end.code}")
    finally:
        database.connection.close()
    return out.getvalue()


def test_the_embedded_server_is_started_described_and_stopped(
    monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer
):
    data_dir = server.data.parents[1]
    told = [_database(monkeypatch, None, data_dir, act) for act in ("status", "start", "status")]
    folder = server.socket_folder
    server.leave()
    told += [_database(monkeypatch, None, data_dir, act) for act in ("stop", "stop", "status")]

    assert [text.splitlines()[0] for text in told] == [
        "state:   stopped",
        f"The embedded database runs until `manage.py database stop`; its socket is in {folder}.",
        "state:   running",
        "The embedded database is stopped. The next command or page that needs it starts it again.",
        "The embedded database was not running.",
        "state:   stopped",
    ]
    assert [line.split(":")[0] for line in told[2].splitlines()] == [
        "state",
        "version",
        "data",
        "size",
        "socket",
        "log",
    ]
    assert "PostgreSQL 18" in told[2]
    assert told[-1].endswith("exit 3")


def test_a_server_of_the_operators_own_is_described_but_not_started(
    monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer, django_db_blocker: Any
):
    url = f"postgres://kb@/kb?host={server.ensure()}"
    with django_db_blocker.unblock():
        status = _database(monkeypatch, url, Path("/nowhere"), "status")
        for act in ("start", "stop"):
            with pytest.raises(CommandError, match="neither starts nor stops"):
                _database(monkeypatch, url, Path("/nowhere"), act)
        with pytest.raises(CommandError, match="does not answer") as refusal:
            _database(monkeypatch, "postgres://ann:secretword@/kb?host=/nowhere", Path("/nowhere"), "status")

    assert "it answers (PostgreSQL 18" in status
    assert "secretword" not in str(refusal.value)


def test_migrating_as_a_user_who_may_not_create_roles_succeeds_and_says_what_is_left(server: EmbeddedServer):
    """As on a managed PostgreSQL: the embedded server's owner, who may neither create nor take on roles."""
    url = f"postgres://kb@/kb?host={server.ensure()}"

    migrated, sql, watched = _manage(
        url, ["migrate"], ["reading_role", "--print-sql"], ["check", "--database", "reading"]
    )

    missing = 'GRANT kb_reading TO "kb" WITH INHERIT FALSE, SET TRUE;'
    assert missing in migrated
    assert sql == f"{missing}\n"
    assert "kb.W101" in watched


# One process for several commands: most of the time that each takes is that of its start.
COMMANDS = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from django.core.management import execute_from_command_line
said = []
for arguments in json.loads(sys.argv[1]):
    with redirect_stdout(StringIO()) as out, redirect_stderr(out):
        execute_from_command_line(["manage.py", *arguments])
    said.append(out.getvalue())
print(json.dumps(said))
"""


def _manage(url: str, *commands: list[str]) -> list[str]:
    """What each of these commands says in a process of its own that was given this DATABASE_URL."""
    taken_over = {name: value for name, value in os.environ.items() if name != "READING_DATABASE_URL"}
    environment = {
        **taken_over,
        "DATABASE_URL": url,
        "SECRET_KEY": "k" * 50,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: list[str] = json.loads(done.stdout)
    return said
