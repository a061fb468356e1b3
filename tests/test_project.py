"""The project itself: its top level, its lock files, and no word that ties it to one machine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
LOCKS = ("requirements.txt", "requirements-semantic.txt", "requirements-dev.txt")
TOP_LEVEL = {"manage.py", "pyproject.toml", "README.md", "kb", "config", "templates", "tests", *LOCKS}
# In pieces, so that this file does not name them either.
REGISTRIES = tuple(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org")))


def tracked() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return [name for name in output.split("\0") if name and (PROJECT / name).is_file()]


def plain(name: str) -> str:
    """A distribution's name in the one spelling of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked() -> dict[str, list[str]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    running, testing = project["project"]["dependencies"], project["dependency-groups"]["dev"]
    extra = project["project"]["optional-dependencies"]["semantic"]
    return {
        "requirements.txt": running,
        "requirements-semantic.txt": [*running, *extra],
        "requirements-dev.txt": [*running, *testing],
    }


def locked(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Each distribution of a lock file: its version, and who asked for it."""
    found: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", (PROJECT / lock).read_text(encoding="utf-8")):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", block):
            found[plain(match[1])] = (match[2], re.findall(r"#\s+(?:via )?(\S.*)", block))
    return found


def test_the_top_level_holds_what_the_design_names() -> None:
    top = {name.split("/")[0] for name in tracked()}

    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_meets_every_requirement_and_holds_nothing_else(lock: str) -> None:
    found = locked(lock)
    for requirement in asked()[lock]:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?([^;]*)", requirement)
        assert match
        assert plain(match[1]) in found, f"{requirement} is not in {lock}: compile it again"
        version = found[plain(match[1])][0]
        assert meets(version, match[2]), (
            f"{lock} has {match[1]} {version}, pyproject.toml asks for {requirement}"
        )

    direct = {name for name, (_, reasons) in found.items() if any("pyproject.toml" in why for why in reasons)}
    assert direct == {plain(re.split(r"[\[<>= ]", requirement)[0]) for requirement in asked()[lock]}


def meets(version: str, specifier: str) -> bool:
    """Whether a plain version is within bounds such as ">=5.2.8,<6", the only kind in pyproject.toml."""
    compare = {">=": lambda a, b: a >= b, "<": lambda a, b: a < b}
    return all(
        compare[sign](numbers(version), numbers(bound))
        for sign, bound in re.findall(r"(>=|<)([0-9.]+)", specifier)
    )


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize(
    ("version", "specifier", "expected"),
    [
        ("5.2.8", ">=5.2.8,<6", True),
        ("6.0", ">=5.2.8,<6", False),
        ("5.10", ">=5.9", True),
        ("5.1", ">=5.2", False),
    ],
)
def test_bounds_compare_as_numbers(version: str, specifier: str, expected: bool) -> None:
    assert meets(version, specifier) is expected


def test_all_lock_files_name_the_same_versions() -> None:
    running, semantic, testing = ({name: it[0] for name, it in locked(lock).items()} for lock in LOCKS)

    assert {name: semantic.get(name) for name in running} == running
    assert {name: testing.get(name) for name in semantic} == semantic


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_has_hashes_and_names_no_host(lock: str) -> None:
    text = (PROJECT / lock).read_text(encoding="utf-8")

    assert text.count("--hash=sha256:") >= len(locked(lock))
    assert "://" not in text
    assert not re.search(
        r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", text, re.MULTILINE
    )


def test_no_file_names_a_registry_host() -> None:
    names = [
        name
        for name in tracked()
        if any(host in (PROJECT / name).read_text(encoding="utf-8", errors="ignore") for host in REGISTRIES)
    ]

    assert names == []


def test_no_file_is_bound_to_one_machine() -> None:
    # Folders of home or work are somebody's own.
    own = re.compile(r"(?<![\w.{}])/(?:work|home|Users)/[a-z]")
    kinds = {".py", ".md", ".toml", ".js", ".css", ".html", ".txt", ".json"}

    names = [name for name in tracked() if Path(name).suffix in kinds and name != "tests/test_project.py"]

    assert [
        name for name in names if own.search((PROJECT / name).read_text(encoding="utf-8", errors="ignore"))
    ] == []
