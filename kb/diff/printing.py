"""Turn a field's value into lines for people. Two values read alike only if they are."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from kb.document import Payload, Scores, SourceFlags

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
        name = prefix + (key.replace("_", " ") if known else key_words(key))
        if isinstance(part, dict) and part:
            yield from _pairs(part, f"{name} · ")
        elif not (known and part in (None, "")):
            yield f"{name}: {plain_words(part)}"


def key_words(key: str) -> str:
    return key if re.fullmatch(r"[\w .-]+", key) and " · " not in key else json.dumps(key, ensure_ascii=False)


# Text that would read as something else: a number, a truth, a list, nothing.
_LIKE_ANOTHER = re.compile(r"[-+.]?[0-9].*|true|false|null|yes|no|[\s\[{\"].*|.*(, |\n).*|", re.DOTALL)


def plain_words(part: Any) -> str:
    match part:
        case bool():
            return "yes" if part else "no"
        case str():
            return json.dumps(part, ensure_ascii=False) if _LIKE_ANOTHER.fullmatch(part) else part
        case list() if len(part) > 1:
            return ", ".join(plain_words(item) for item in part)
    return json.dumps(part, ensure_ascii=False)


def item_words(field: str, item: Any) -> str:
    """One item of a list field."""
    return "\n".join(_PRINTERS[field](item)) if field in _PRINTERS else str(item)


def value_words(path: tuple[str, ...], value: Any) -> str:
    """One value; "" where there is nothing."""
    inside_payload = path[0] == "payload"
    if value is None and not (inside_payload and path[-1] not in _KNOWN):
        return ""
    if inside_payload and not (value == "" and len(path) == 2 and path[1] in _KNOWN):
        return "\n".join(_pairs(value)) if isinstance(value, dict) and value else plain_words(value)
    return plain_words(value) if isinstance(value, bool) else str(value)


def value_label(path: tuple[str, ...]) -> str:
    """What people call a score, a source flag or a key of the payload."""
    if path[0] in {"scores", "flags"}:
        return path[1].replace("_", " ").capitalize()
    known = len(path) == 2 and path[1] in _KNOWN
    words = [path[1].replace("_", " ")] if known else [key_words(key) for key in path[1:]]
    return " · ".join((LABELS[path[0]], *words))
