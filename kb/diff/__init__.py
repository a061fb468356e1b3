"""Turn two Documents into what changed between them, as data: applied to the first it gives the second.

The data is grouped into the parts that reviewers look at: Text, Metadata, Entities, Checklist, Images, Flags,
Scores. `to_json` and `from_json` carry it over the staff API; kb.admin.diffs is the one renderer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import TypeAdapter

from kb.diff import items, lines
from kb.diff.items import Item, Manner
from kb.diff.lines import Block, Word
from kb.diff.printing import LABELS, item_words, printed, value_label, value_words
from kb.document import Document

__all__ = [
    "LABELS",
    "PARTS",
    "Block",
    "Diff",
    "Item",
    "ListChange",
    "PartDiff",
    "TextChange",
    "ValueChange",
    "Word",
    "apply",
    "diff",
    "from_json",
    "item_words",
    "printed",
    "to_json",
]

PARTS: dict[str, tuple[str, ...]] = {
    "Text": ("title", "body", "body_format"),
    "Metadata": (
        *("topic", "summary", "outline", "brief", "stack", "tools", "code_language", "difficulty"),
        *("reading_time", "owner", "expected_result", "rollback_note", "notes", "payload"),
    ),
    "Entities": ("entities",),
    "Checklist": ("checklists",),
    "Images": ("images",),
    "Flags": ("flags",),
    "Scores": ("scores",),
}
_LONG = {"body", "summary", "brief", "expected_result", "rollback_note"}
# Their order says nothing.
_SETS = {"stack", "tools", "entities"}
_LINES = Manner(text=str)
_MANNERS = {
    "outline": Manner(
        text=partial(item_words, "outline"),
        same=lambda one, other: bool(one["label"]) and one["label"] == other["label"],
    ),
    "entities": Manner(text=lambda entity: entity["name"], fate="renamed"),
    "checklists": Manner(
        text=lambda checklist: checklist["title"],
        same=lambda one, other: bool(one["title"]) and one["title"] == other["title"],
        inner=lambda checklist: checklist["items"],
    ),
    "images": Manner(text=partial(item_words, "images"), same=lambda one, other: one["url"] == other["url"]),
}
_NAMED = {"scores", "flags", "payload"}


@dataclass(frozen=True, slots=True)
class TextChange:
    """A long text, in blocks of lines. `coarse`: too long to be compared in detail."""

    path: tuple[str, ...]
    label: str
    blocks: tuple[Block, ...]
    coarse: bool
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class ListChange:
    """A list, with all its items. `ordered`: their order says something."""

    path: tuple[str, ...]
    label: str
    items: tuple[Item, ...]
    ordered: bool
    kind: Literal["list"] = "list"


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value; `had` and `has` say whether there was and is one. `delta` is that of numbers."""

    path: tuple[str, ...]
    label: str
    before: Any
    after: Any
    had: bool
    has: bool
    before_words: str  # for people; "" where there is nothing
    after_words: str
    words: tuple[Word, ...] = ()
    delta: int | float | None = None
    kind: Literal["value"] = "value"


Change = TextChange | ListChange | ValueChange


@dataclass(frozen=True, slots=True)
class PartDiff:
    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed. It is true if anything did, and false only between equal fingerprints."""

    before: str | None  # fingerprints; None: from nothing
    after: str
    parts: tuple[PartDiff, ...]

    def __bool__(self) -> bool:
        return any(part.changes for part in self.parts)


_ADAPTER = TypeAdapter(Diff)


def diff(before: Document | None, after: Document) -> Diff:
    """Say what changed from `before` (None: there was nothing) to `after`."""
    old, new = (before or _nothing()).plain(), after.plain()
    return Diff(
        before=before.fingerprint if before else None,
        after=after.fingerprint,
        parts=tuple(
            PartDiff(name, tuple(change for field in fields for change in _field(field, old, new)))
            for name, fields in PARTS.items()
        ),
    )


def apply(changes: Diff, before: Document | None) -> Document:
    """The second Document, from the first. Raises ValueError if the diff begins with another one."""
    if changes.before != (before.fingerprint if before else None):
        raise ValueError(f"this diff begins with {changes.before}, not with that Document")
    plain = (before or _nothing()).plain()
    for part in changes.parts:
        for change in part.changes:
            _set(plain, change)
    return Document.read(plain)


def to_json(changes: Diff) -> dict[str, Any]:
    """The diff as JSON types."""
    return dict(_ADAPTER.dump_python(changes, mode="json"))


def from_json(data: Any) -> Diff:
    """Read back what `to_json` gave. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_python(data)


def _nothing() -> Document:
    return Document.model_construct(title="")


def _set(plain: dict[str, Any], change: Change) -> None:
    *way, name = change.path
    for step in way:
        plain = plain[step]
    match change:
        case TextChange():
            plain[name] = lines.apply(change.blocks, plain[name])
        case ListChange():
            plain[name] = items.apply(change.items, plain[name])
        case ValueChange(has=False):
            plain.pop(name, None)
        case ValueChange():
            plain[name] = change.after


# --- Fields ---


def _field(field: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    before, after = old[field], new[field]
    if field in _NAMED:
        yield from _named((field,), before, after)
    elif items.key(before) == items.key(after):
        return
    elif field in _LONG:
        blocks, coarse = lines.compare(before, after)
        yield TextChange((field,), LABELS[field], blocks, coarse)
    elif isinstance(after, list):
        found = items.compare(before, after, _MANNERS.get(field, _LINES))
        yield ListChange((field,), LABELS[field], found, field not in _SETS)
    else:
        yield _value((field,), LABELS[field], before, after)


def _named(path: tuple[str, ...], old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """Key by key, as deep as both sides have keys."""
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _named((*path, key), before, after)
        elif (key in old, items.key(before)) != (key in new, items.key(after)):
            yield _value((*path, key), "", before, after, had=key in old, has=key in new)


def _value(
    path: tuple[str, ...], label: str, before: Any, after: Any, *, had: bool = True, has: bool = True
) -> ValueChange:
    before_words, after_words = (value_words(path, value) for value in (before, after))
    words: tuple[Word, ...] = ()
    if isinstance(before, str) and isinstance(after, str) and before and after:
        words = lines.compare_words(before_words, after_words)
    numbers = [value for value in (before, after) if isinstance(value, int) and not isinstance(value, bool)]
    return ValueChange(
        path=path,
        label=label or value_label(path),
        before=before,
        after=after,
        had=had,
        has=has,
        before_words=before_words if had else "",
        after_words=after_words if has else "",
        words=words,
        delta=numbers[1] - numbers[0] if len(numbers) == 2 else None,
    )
