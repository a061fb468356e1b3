"""Rooms: who may import whom inside kb. Lint bans the common cases; this looks at every import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

LEAVES = (
    "kb.access_token",
    "kb.article",
    "kb.choices",
    "kb.diff",
    "kb.document",
    "kb.errors",
    "kb.likeness",
    "kb.meaning",
    "kb.merge",
    "kb.outgoing",
    "kb.reading_time",
    "kb.render",
    "kb.sources",
    "kb.words",
)
# Each stage calls later ones alone.
STAGES = (
    *("demonstrating", "maintaining", "delivering", "subscribing", "importing", "drafting"),
    *("reporting", "revising", "commenting", "flagging", "verifying", "reviewing", "criteria"),
    *("scheduling", "synonyms", "embedding", "publishing", "tagging", "indexing", "telling"),
    *("queueing", "digesting", "filtering", "noticing", "issuing", "metering", "permitting"),
)
DOORS = {
    "kb.admin": (*LEAVES, "kb.admin", "kb.flow", "kb.models", "kb.reading"),
    "kb.management": (*LEAVES, "kb.management", "kb.flow", "kb.models", "kb.reading_role"),
    "kb.reading": (*LEAVES, "kb.reading", "kb.models.publication"),
    # Which token is valid is no content, nor is how often somebody asks.
    "kb.api": (
        *(*LEAVES, "kb.api", "kb.reading", "kb.models.publication"),
        *("kb.models.access", "kb.flow.metering"),
    ),
    # Where readers' words come in, by the one flow function that is made for them.
    "kb.site": (*LEAVES, "kb.site", "kb.reading", "kb.models.publication", "kb.flow.reporting"),
}
# They start the project or look at the whole of it, and nothing in a room imports them.
WIRING = ("kb", "kb.apps", "kb.checks", "kb.reading_role")
READERS = ("kb.api", "kb.reading", "kb.site")


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def allowed(module: str) -> tuple[str, ...]:
    """The rooms whose modules this one may import."""
    if within(module, LEAVES):
        return LEAVES
    if within(module, ("kb.models", "kb.migrations")):
        return (*LEAVES, "kb.models", "kb.migrations")
    if within(module, ("kb.flow",)):
        stage = module.removeprefix("kb.flow").lstrip(".").split(".")[0]
        later = STAGES[STAGES.index(stage) + 1 :] if stage in STAGES else ()
        return (*LEAVES, "kb.models", *(f"kb.flow.{name}" for name in (stage, *later) if name))
    for door, rooms in DOORS.items():
        if within(module, (door,)):
            return rooms
    raise AssertionError(f"{module} is in no room: give it one in the table of this test")


def imported(module: str, source: str) -> Iterator[str]:
    """Each thing of kb that this source imports, at its top or inside a function, with its full name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=origin, names=names, level=0):
                found = [f"{origin}.{alias.name}" for alias in names]
            case ast.ImportFrom():
                found = [f"kb.{module} imports by a relative name"]
            case ast.Call(func=ast.Attribute(attr="get_model") | ast.Name(id="import_module")):
                found = ["kb by a name at run time"] if within(module, READERS) else []
            case _:
                continue
        yield from (name for name in found if name.split(".")[0].split(" ")[0] == "kb")


def trespasses(module: str, source: str) -> list[str]:
    if module in WIRING:
        return []
    rooms = allowed(module)
    return [f"{module} imports {name}" for name in imported(module, source) if not within(name, rooms)]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((PROJECT / "kb").rglob("*.py")):
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def test_every_module_imports_only_what_its_room_may() -> None:
    found = {name: trespasses(name, path.read_text(encoding="utf-8")) for name, path in modules()}

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kb.api.posts", "from kb.flow import publishing"),
        ("kb.api.posts", "from kb.models import Post"),
        ("kb.api.posts", "from kb.flow import reporting"),
        ("kb.site.views", "from kb.flow import reviewing"),
        ("kb.api.posts", "from kb.models import publication, post"),
        ("kb.site.views", "import kb.models.revision"),
        ("kb.site.views", "def page():\n    from kb.models.flag import Flag"),
        ("kb.site.views", "apps.get_model('kb', 'Post')"),
        ("kb.site.views", "from kb.api import problems"),
        ("kb.models.post", "from kb.flow import revising"),
        ("kb.document", "from kb.models import Post"),
        ("kb.sources.jsonl", "import kb.flow.importing"),
        ("kb.flow.publishing", "from kb.flow import reviewing"),
        ("kb.flow.flagging", "from kb.flow.revising import freeze"),
        ("kb.flow.importing", "from kb.admin import posts"),
        ("kb.flow.importing", "from . import revising"),
        ("kb.admin.posts", "from kb.api import problems"),
    ],
)
def test_a_trespass_is_found(module: str, source: str) -> None:
    assert len(trespasses(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kb.api.posts", "from kb.models.publication import Publication"),
        ("kb.api.posts", "from kb.models import publication"),
        ("kb.site.views", "from kb.flow import reporting"),
        ("kb.flow.importing", "from kb.flow import flagging, revising"),
        ("kb.flow.reviewing", "from kb.flow import publishing"),
        ("kb.admin.posts", "from kb.flow import reviewing"),
        ("kb.models.post", "from kb.document import Document"),
    ],
)
def test_a_neighbour_is_welcome(module: str, source: str) -> None:
    assert trespasses(module, source) == []


def test_a_module_without_a_room_is_found() -> None:
    with pytest.raises(AssertionError, match=r"^kb\.utils is in no room"):
        trespasses("kb.utils", "")
