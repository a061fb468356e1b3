"""DATABASE_URL and READING_DATABASE_URL to Django's DATABASES, and the command that runs the embedded server."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections

from config.database import ReadingRouter, databases

PROJECT = Path(__file__).resolve().parent.parent
ROLE = "-c role=kb_reading -c default_transaction_read_only=on"


def _databases(url: str | None = None, reading: str | None = None, pool: int = 0) -> dict[str, dict[str, Any]]:
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
        "OPTIONS": {**found["default"]["OPTIONS"], "options": f"-c statement_timeout=5s {ROLE}"},
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
    pools = [parts["OPTIONS"]["pool"] for parts in _databases(url, pool=7).values()]

    assert pools == [{"min_size": 1, "max_size": 7, "timeout": 10}] * 2


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


@pytest.fixture
def manage() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run manage.py with an embedded database of its own, in a folder that root's system account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="kb-test-"))
    folder.chmod(0o755)
    taken_over = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    environment = {**taken_over, "KB_DATA_DIR": str(folder), "SECRET_KEY": "k" * 50}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROJECT / "manage.py"), *arguments]
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

    yield run
    run("database", "stop", "--force")
    shutil.rmtree(folder)


def test_the_embedded_server_is_started_described_and_stopped(manage: Callable[..., Any]):
    before = manage("database", "status")
    started = manage("database", "start")
    during = manage("database", "status")
    stopped = manage("database", "stop")
    again = manage("database", "stop")

    assert (before.returncode, before.stdout.splitlines()[0]) == (3, "state:   stopped")
    assert started.returncode == 0, started.stderr
    assert "manage.py database stop" in started.stdout
    assert during.returncode == 0
    assert [line.split(":")[0] for line in during.stdout.splitlines()] == [
        "state",
        "version",
        "data",
        "size",
        "socket",
        "log",
    ]
    assert "running" in during.stdout
    assert "PostgreSQL 18" in during.stdout
    assert stopped.stdout == "The embedded database is stopped.\n"
    assert (again.returncode, again.stdout) == (0, "The embedded database was not running.\n")


@pytest.mark.skipif(not os.environ.get("DATABASE_URL"), reason="about a server that DATABASE_URL names")
@pytest.mark.django_db
def test_a_server_of_the_operators_own_is_described_but_not_started(capsys: pytest.CaptureFixture[str]):
    call_command("database", "status")

    assert "it answers (PostgreSQL" in capsys.readouterr().out
    for act in ("start", "stop"):
        with pytest.raises(CommandError, match="neither starts nor stops"):
            call_command("database", act)
