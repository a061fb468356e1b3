"""Turn two Documents into the list of what changed, field by field, in the words that people see."""

import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kb.document import Document

LABELS = {
    "title": "Title",
    "body": "Text",
    "body_format": "Format of the text",
    "topic": "Topic",
    "summary": "Summary",
    "outline": "AI outline",
    "brief": "AI brief",
    "stack": "Stack",
    "tools": "Tools",
    "code_language": "Code language",
    "difficulty": "Difficulty",
    "reading_time": "Reading time (minutes)",
    "scores": "Scores",
    "checklists": "Checklists",
    "entities": "Entities",
    "images": "Images",
    "payload": "Payload",
    "notes": "Notes",
    "flags": "Source flags",
    "owner": "Owner",
    "expected_result": "Expected result",
    "rollback_note": "Rollback note",
}
# Beyond this, comparing could take long on hostile text: all old lines then read as gone, all new as added.
MAX_LINES = 5_000


@dataclass(frozen=True, slots=True)
class Line:
    mark: Literal[" ", "+", "-"]
    text: str


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs. `lines` has all lines of both sides, kept ones with a space as mark."""

    field: str
    label: str
    kind: Literal["text", "list", "value"]
    before: str
    after: str
    lines: tuple[Line, ...]


def diff(before: Document | None, after: Document) -> list[FieldChange]:
    """Say what changed from `before` (None: there was nothing) to `after`; [] when nothing did."""
    old = before.plain() if before else {}
    new = after.plain()
    changes = [
        _change(field, old.get(field), new[field])
        for field in LABELS
        if _exactly(old.get(field)) != _exactly(new[field])
    ]
    return [change for change in changes if before or change.lines]


def _exactly(value: Any) -> str:
    # Python takes True, 1 and 1.0 for equal; a fingerprint does not.
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)


def _change(field: str, old: Any, new: Any) -> FieldChange:
    before, after = printed(field, old), printed(field, new)
    if before == after and old is not None:
        # What reads alike may still differ, such as 7 and "7": no change may look like none.
        before, after = (_exactly(value).split("\n") for value in (old, new))
    kind: Literal["text", "list", "value"] = "value"
    if isinstance(new, (list, dict)):
        kind = "list"
    elif field in {"body", "summary", "brief", "expected_result", "rollback_note"}:
        kind = "text"
    return FieldChange(
        field=field,
        label=LABELS[field],
        kind=kind,
        before="\n".join(before),
        after="\n".join(after),
        lines=tuple(_lines(before, after)),
    )


def printed(field: str, value: Any) -> list[str]:
    """A field's value as lines for people; [] when it is empty."""
    if value in (None, "", [], {}):
        return []
    if field in _PRINTERS:
        return [line for part in value for line in _PRINTERS[field](part)]
    match value:
        case list():
            return [str(item) for item in value]
        case dict():
            return list(_pairs(value))
    return str(value).split("\n")


def _outline_point(point: dict[str, str]) -> list[str]:
    return [f"{point['label']}: {point['text']}" if point["label"] else point["text"]]


def _checklist(checklist: dict[str, Any]) -> list[str]:
    return [checklist["title"] or "Checklist", *(f"• {item}" for item in checklist["items"])]


def _entity(entity: dict[str, str]) -> list[str]:
    return [f"{entity['name']} ({entity['type']})"]


def _image(image: dict[str, str]) -> list[str]:
    return [" · ".join(filter(None, (image["caption"], image["source"], image["url"])))]


_PRINTERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "outline": _outline_point,
    "checklists": _checklist,
    "entities": _entity,
    "images": _image,
}


def _pairs(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, part in value.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(part, dict):
            yield from _pairs(part, f"{name} · ")
        elif part not in (None, "", []):
            yield f"{name}: {_plain(part)}"


def _plain(part: Any) -> str:
    if isinstance(part, bool):
        return "yes" if part else "no"
    return ", ".join(str(item) for item in part) if isinstance(part, list) else str(part)


def _lines(before: list[str], after: list[str]) -> Iterator[Line]:
    if len(before) + len(after) > MAX_LINES:
        yield from (Line("-", text) for text in before)
        yield from (Line("+", text) for text in after)
        return
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=True)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from (Line(" ", text) for text in before[a:b])
        else:
            yield from (Line("-", text) for text in before[a:b])
            yield from (Line("+", text) for text in after[c:d])
