"""The embedded PostgreSQL, with real servers: started, shared, killed, damaged and stopped."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.embedded import account as accounts
from config.embedded import binaries as programs
from config.embedded import server as supervision
from config.embedded.base import DatabaseWrapper
from config.embedded.server import EmbeddedDatabaseError, EmbeddedServer

PROJECT = Path(__file__).resolve().parent.parent
IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root runs PostgreSQL as somebody else")

USE = """
import sys
from config.embedded.server import EmbeddedServer
from pathlib import Path
server = EmbeddedServer(Path(sys.argv[1]))
server.ensure()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """A data folder that the system account can enter, unlike pytest's own folders."""
    with _open_folder() as folder:
        yield folder
        server = EmbeddedServer(folder)
        server.stop(force=True)


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir)
    yield server
    server.leave()
    server.stop(force=True)


@contextlib.contextmanager
def _open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kb-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _connect(server: EmbeddedServer, user: str = "kb", dbname: str = "kb") -> psycopg.Connection[Any]:
    return psycopg.connect(host=str(server.ensure()), user=user, dbname=dbname, autocommit=True)


def _ask(server: EmbeddedServer, query: str, user: str = "kb") -> Any:
    with _connect(server, user) as connection:
        return connection.execute(query).fetchone()[0]


def _postmaster(server: EmbeddedServer) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


@contextlib.contextmanager
def _other_process(data_dir: Path, code: str = USE, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the server until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(data_dir)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- What it promises ---


def test_the_server_keeps_what_it_was_told_and_listens_to_no_network(server: EmbeddedServer):
    names = ["fsync", "full_page_writes", "data_checksums", "listen_addresses", "unix_socket_permissions"]

    found = {name: _ask(server, f"SELECT current_setting('{name}')") for name in names}

    assert found == {
        "fsync": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
    }


def test_text_is_utf_8_with_the_builtin_locale(server: EmbeddedServer):
    with _connect(server) as connection:
        row = connection.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale, upper('größe é') "
            "FROM pg_database WHERE datname = 'kb'"
        ).fetchone()

    assert row == ("UTF8", "b", "C.UTF-8", "GRÖßE É")


def test_every_database_of_it_has_pgvector(server: EmbeddedServer):
    installed = "SELECT count(*) = 1 FROM pg_extension WHERE extname = 'vector'"

    with _connect(server) as connection:
        # From the template, as a test database is.
        connection.autocommit = True
        connection.execute("CREATE DATABASE copy")

    assert _ask(server, installed)
    with psycopg.connect(host=str(server.ensure()), user="kb", dbname="copy") as copy:
        assert copy.execute(installed).fetchone() == (True,)


def test_a_word_in_typographic_quotes_is_found_without_them(server: EmbeddedServer):
    assert _ask(server, "SELECT to_tsvector('simple', '“Größe”') @@ to_tsquery('simple', 'größe')")


def test_the_socket_folder_is_private_and_outside_the_data_folder(server: EmbeddedServer):
    folder = server.ensure()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert server.home not in folder.parents
    assert len(str(folder / ".s.PGSQL.5432")) < 100


def test_no_other_user_reads_the_data_or_the_log(server: EmbeddedServer):
    server.ensure()

    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.log.stat().st_mode) == 0o600


@as_root
def test_another_system_user_cannot_connect(server: EmbeddedServer):
    folder = server.ensure()
    stranger = accounts.of_uid(65534)
    psql = programs.reachable(programs.find(server.data), stranger, server.home).program("psql")
    command = [psql, "-h", str(folder), "-U", "kb", "-c", "SELECT 1", "kb"]

    answers = []
    try:
        for mode in (0o700, 0o755):
            folder.chmod(mode)
            answers.append(stranger.run(command, capture_output=True))
    finally:
        folder.chmod(0o700)

    assert all("Permission denied" in answer.stderr for answer in answers), answers


def test_the_owner_of_the_tables_is_no_superuser_and_the_reader_owns_nothing(server: EmbeddedServer):
    query = """
        SELECT json_object_agg(rolname, ARRAY[rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,
        rolreplication]) FROM pg_roles WHERE rolname IN ('kb', 'kb_reading')
    """

    assert _ask(server, query) == {
        "kb": [False, False, True, False, False],
        "kb_reading": [False, False, False, False, False],
    }


def test_the_reader_cannot_write_or_become_the_owner(server: EmbeddedServer):
    _ask(server, "SELECT 1")
    for statement in ("CREATE TABLE planted (id int)", "SET ROLE kb", "SET ROLE postgres"):
        with _connect(server, "kb_reading") as connection, pytest.raises(psycopg.Error):
            connection.execute(statement)


# --- Coming and going ---


def test_the_last_user_stops_the_server_and_leaves_nothing(server: EmbeddedServer, data_dir: Path):
    with _other_process(data_dir):
        with _other_process(data_dir):
            folder = server.running_socket_folder()
        assert server.is_alive()
    assert not server.is_alive()
    assert not folder.exists()


def test_processes_that_start_at_once_share_one_server(server: EmbeddedServer, data_dir: Path):
    with contextlib.ExitStack() as stack:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", USE, str(data_dir)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in processes:
            stack.enter_context(process)
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
        for process in processes:
            process.stdin.close()

    assert [process.returncode for process in processes] == [0] * 4
    assert not server.is_alive()


def test_a_killed_app_leaves_the_server_to_the_next_one(server: EmbeddedServer, data_dir: Path):
    with _other_process(data_dir) as process:
        postmaster = _postmaster(server)
        process.kill()
        process.wait()

    assert _ask(server, "SELECT 1") == 1
    assert _postmaster(server) == postmaster
    server.leave()
    assert not server.is_alive()


def test_a_killed_server_recovers_with_its_data_at_the_next_use(
    server: EmbeddedServer, data_dir: Path, django_db_blocker: Any
):
    alias = DatabaseWrapper(_django_settings(data_dir), "default")
    with django_db_blocker.unblock():
        with alias.cursor() as cursor:
            cursor.execute("CREATE TABLE survivor AS SELECT 42 AS answer")
        alias.close()
        os.kill(_postmaster(server), signal.SIGKILL)

        with alias.cursor() as cursor:
            cursor.execute("SELECT answer FROM survivor")
            found = cursor.fetchone()
            cursor.execute("DROP TABLE survivor")
        alias.close()
        alias.embedded_server.leave()

    assert found == (42,)


def test_a_server_that_is_to_stay_outlives_its_users(server: EmbeddedServer):
    server.ensure()
    server.keep()
    server.leave()
    was_alive = server.is_alive()

    assert server.stop()

    assert (was_alive, server.is_alive()) == (True, False)


def test_a_request_to_stay_ends_with_the_run_it_was_made_for(server: EmbeddedServer):
    server.ensure()
    server.keep()
    os.kill(_postmaster(server), signal.SIGKILL)
    server.attach()

    server.leave()

    assert not server.is_alive()


def test_stopping_spares_a_server_that_others_use(server: EmbeddedServer, data_dir: Path):
    with _other_process(data_dir):
        assert not server.stop()
        assert server.is_alive()


def test_a_forked_child_does_not_stop_the_server_of_its_parent(server: EmbeddedServer, data_dir: Path):
    code = USE.replace("sys.stdin.read()", "import os\nif os.fork():\n  os.wait()\n  sys.stdin.read()")
    with _other_process(data_dir, code):
        time.sleep(0.3)
        assert server.is_alive()
    assert not server.is_alive()


def test_a_worker_process_that_was_the_last_user_stops_the_server(server: EmbeddedServer, data_dir: Path):
    worker = multiprocessing.get_context("fork").Process(target=EmbeddedServer(data_dir).ensure)
    worker.start()
    worker.join(timeout=30)

    assert worker.exitcode == 0
    assert not server.is_alive()


def test_it_starts_from_a_folder_that_is_gone(server: EmbeddedServer, data_dir: Path):
    # Imported before: Python 3.13.0 itself fails to import in a folder that is gone.
    code = "import os, tempfile\nimport config.embedded.server\n"
    code += "folder = tempfile.mkdtemp()\nos.chdir(folder)\nos.rmdir(folder)\n"

    with _other_process(data_dir, code + USE):
        assert server.is_alive()


# --- Accidents ---


def test_a_stale_process_id_that_belongs_to_somebody_else_now_does_not_hinder(server: EmbeddedServer):
    server.ensure()
    old = (server.data / "postmaster.pid").read_text().splitlines()
    os.kill(int(old[0]), signal.SIGKILL)
    _wait_until(lambda: not server.is_alive())
    with subprocess.Popen(["/bin/sleep", "60"], **_as_owner(server)) as innocent:
        _write_pid_file(server, "\n".join([str(innocent.pid), *old[1:]]) + "\n")

        assert _ask(server, "SELECT 1") == 1

        assert innocent.poll() is None
        innocent.kill()


@pytest.mark.parametrize("content", ["", "no number\n"])
def test_a_torn_pid_file_does_not_hinder(server: EmbeddedServer, content: str):
    server.ensure()
    server.leave()
    _write_pid_file(server, content)

    assert _ask(server, "SELECT 1") == 1


def test_an_interrupted_creation_is_repeated():
    with _open_folder() as folder:
        server = EmbeddedServer(folder)
        (server.home / "data.new" / "base").mkdir(parents=True)

        assert _ask(server, "SELECT 1") == 1

        server.leave()
        assert not (server.home / "data.new").exists()


def test_a_server_whose_socket_was_cleaned_away_is_started_again(server: EmbeddedServer):
    shutil.rmtree(server.ensure())

    server.attach()

    assert _ask(server, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["postgresql.log", "start.lock", "users.lock", "server.lock"])
@pytest.mark.parametrize("kind", ["symbolic", "dangling", "hard"])
def test_a_link_in_the_folder_leads_nobody_to_another_file(name: str, kind: str):
    with _open_folder() as folder:
        other, home = folder / "another", folder / "postgresql"
        home.mkdir()
        if kind != "dangling":
            other.write_text("theirs")
        (home / name).hardlink_to(other) if kind == "hard" else (home / name).symlink_to(other)
        server = EmbeddedServer(folder)

        with pytest.raises(EmbeddedDatabaseError, match=f"cannot use .*{name}, which is"):
            server.ensure()

        assert other.exists() is (kind != "dangling")
        assert kind == "dangling" or other.read_text() == "theirs"


def test_a_taken_name_of_the_socket_folder_does_not_hinder(server: EmbeddedServer):
    usual = server.ensure()
    server.leave()
    usual.symlink_to("/")
    try:
        folder = server.ensure()
    finally:
        usual.unlink()

    assert folder != usual
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert _ask(server, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("PG_VERSION", "9\n", "made by PostgreSQL 9, but the installed wheel holds 18, 16"),
        ("PG_VERSION", None, "is no PostgreSQL data folder"),
        ("global/pg_control", None, "restore a backup"),
        ("postgresql.conf", "no_such_setting = 1\n", "no_such_setting"),
    ],
)
def test_a_damaged_data_folder_is_explained(
    server: EmbeddedServer, name: str, content: str | None, expected: str
):
    server.ensure()
    server.leave()
    path, aside = server.data / name, server.data / "aside"
    path.rename(aside)
    if content is not None:
        path.write_text(content)
        shutil.chown(path, server.data.stat().st_uid)
    try:
        with pytest.raises(EmbeddedDatabaseError, match=expected):
            server.ensure()
    finally:
        aside.rename(path)
    server.leave()


def test_a_data_folder_that_others_could_read_is_explained(server: EmbeddedServer):
    folder = server.ensure()
    server.leave()
    server.data.chmod(0o755)
    try:
        with pytest.raises(EmbeddedDatabaseError, match="Set the data folder's mode back to 0700"):
            server.ensure()
    finally:
        server.data.chmod(0o700)
    assert not folder.exists()


# --- Root ---


@as_root
def test_root_runs_the_server_as_somebody_else(server: EmbeddedServer):
    server.ensure()

    assert server.data.stat().st_uid != 0
    assert Path(f"/proc/{_postmaster(server)}").stat().st_uid == server.data.stat().st_uid


@as_root
def test_root_takes_data_and_programs_out_of_a_closed_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with _open_folder() as closed, _open_folder() as elsewhere:
        closed.chmod(0o700)
        monkeypatch.setattr(supervision, "SYSTEM_FOLDER", elsewhere)
        monkeypatch.setattr("config.embedded.account.Account.can_enter", _cannot_run_the_wheel)
        server = EmbeddedServer(closed / ".kb")

        assert _ask(server, "SELECT 1") == 1

        postmaster = Path(f"/proc/{_postmaster(server)}/exe").readlink()
        server.leave()
        assert elsewhere in server.data.parents
        assert elsewhere in postmaster.parents
        assert {path.stat().st_uid for path in postmaster.parents[1].rglob("*")} == {0}
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert str(server.data) in capsys.readouterr().err
        assert EmbeddedServer(closed / ".kb").home == server.home


def _cannot_run_the_wheel(account: Any, path: Path) -> bool:
    """Stand in for a virtual environment below /root; other folders are asked as ever."""
    if path.name == "postgres":
        return False
    return account.run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]).returncode == 0


def _as_owner(server: EmbeddedServer) -> dict[str, Any]:
    info = server.data.stat()
    return {"user": info.st_uid, "group": info.st_gid, "extra_groups": []} if IS_ROOT else {}


def _write_pid_file(server: EmbeddedServer, content: str) -> None:
    path = server.data / "postmaster.pid"
    path.write_text(content)
    if IS_ROOT:
        shutil.chown(path, server.data.stat().st_uid)


def _django_settings(data_dir: Path) -> dict[str, Any]:
    return {
        "ENGINE": "config.embedded",
        "NAME": "kb",
        "USER": "kb",
        "PASSWORD": "",
        "HOST": "",
        "PORT": "",
        "OPTIONS": {"data_dir": str(data_dir)},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "AUTOCOMMIT": True,
        "ATOMIC_REQUESTS": False,
        "TIME_ZONE": None,
        "TEST": {"NAME": None},
    }
