"""Turn a data folder into the system account that PostgreSQL runs under.

PostgreSQL refuses to run as root. Root therefore drops to the owner of an existing data folder, else to the
system account `kb-postgres` (made when missing), else to `nobody`. Everybody else runs it as themselves.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "kb-postgres"


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as this account, in a folder that everybody may enter, with a bare environment."""
        if self.is_other:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.run(  # noqa: S603  (our own programs, no shell)
            command,
            cwd="/",
            env=environment,
            umask=0o077,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            **options,
        )

    def can_enter(self, folder: Path) -> bool:
        """Ask the system whether the account gets into a folder, so that ACLs and mount options count too."""
        return self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)]).returncode == 0

    def own(self, path: Path) -> None:
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def of_uid(uid: int) -> Account:
    """Name the account of a uid; PostgreSQL wants a name, which containers with a made-up uid lack."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise LookupError(
            f"the system knows no name for user id {uid}, and PostgreSQL refuses to run without one: "
            "add the user to /etc/passwd, or set DATABASE_URL to a server of your own"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def for_data(folder: Path) -> Account:
    """Choose the account for a data folder; make the system account when root needs it the first time."""
    if os.geteuid() != 0:
        return of_uid(os.geteuid())
    owner = folder.stat().st_uid if folder.exists() else 0
    return of_uid(owner) if owner else _system_account()


def _system_account() -> Account:
    for name in (NAME, NAME, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            _add_system_account()
        else:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise LookupError(
        f"PostgreSQL refuses to run as root, and neither {NAME} could be added nor is there a user nobody: "
        "run kb as an ordinary user, or set DATABASE_URL to a server of your own"
    )


def _add_system_account() -> None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        shell = ["--shell", "/usr/sbin/nologin", NAME]
        # Its failure shows in the next look-up: another process may have been first, or the system is read-
        # only.
        subprocess.run([useradd, *options, *shell], capture_output=True, cwd="/", check=False)  # noqa: S603  (fixed words)
