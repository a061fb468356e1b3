"""Turn two Documents into the list of what changed, field by field, in the words that people see."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kb.document import Document, Payload, Scores, SourceFlags

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
    """A field's value as lines for people; [] when it is empty. Two values read alike only if they are."""
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
    label, text = point["label"], point["text"]
    if label:
        return [f"{label}: {text}"]
    return [json.dumps(text, ensure_ascii=False) if ": " in text else text]


def _checklist(checklist: dict[str, Any]) -> list[str]:
    title = checklist["title"] or "(no title)"
    if checklist["title"] == "(no title)" or title.startswith("•"):
        title = json.dumps(title, ensure_ascii=False)
    return [title, *(f"• {item}" for item in checklist["items"])]


def _entity(entity: dict[str, str]) -> list[str]:
    name, kind = entity["name"], entity["type"]
    return [f"{name} ({kind})" if " (" not in kind else json.dumps(entity, ensure_ascii=False)]


def _image(image: dict[str, str]) -> list[str]:
    parts = (image["caption"] or "(no caption)", image["source"] or "(no source)", image["url"])
    if any(" · " in part for part in parts) or {"(no caption)", "(no source)"} & set(image.values()):
        return [json.dumps(image, ensure_ascii=False)]
    return [" · ".join(parts)]


_PRINTERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "outline": _outline_point,
    "checklists": _checklist,
    "entities": _entity,
    "images": _image,
}
# Of these, that nothing is said is nothing to say. A further key of a payload is there, or is not.
_KNOWN = {*Scores.model_fields, *SourceFlags.model_fields, *Payload.model_fields}


def _pairs(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, part in value.items():
        known = not prefix and key in _KNOWN
        name = prefix + (key.replace("_", " ") if known else _name(key))
        if isinstance(part, dict) and part:
            yield from _pairs(part, f"{name} · ")
        elif not (known and part in (None, "")):
            yield f"{name}: {_plain(part)}"


def _name(key: str) -> str:
    return key if re.fullmatch(r"[\w .-]+", key) and " · " not in key else json.dumps(key, ensure_ascii=False)


# Text that would read as something else: a number, a truth, a list, nothing.
_LIKE_ANOTHER = re.compile(r"[-+.]?[0-9].*|true|false|null|yes|no|[\s\[{\"].*|.*(, |\n).*|", re.DOTALL)


def _plain(part: Any) -> str:
    match part:
        case bool():
            return "yes" if part else "no"
        case str():
            return json.dumps(part, ensure_ascii=False) if _LIKE_ANOTHER.fullmatch(part) else part
        case list() if len(part) > 1:
            return ", ".join(_plain(item) for item in part)
    return json.dumps(part, ensure_ascii=False)


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
