"""One source record: a Document, and what its source says about it from outside."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from kb.document import MAX_NUMBER, Document
from kb.errors import Problem

# A body of a million characters, each of them escaped twice over, and room for the rest.
MAX_RECORD = 16 * 2**20  # bytes

MAX_SLUG = 200
SHORT_SLUG = 120  # what is made of a title
TEXT_LIMITS = {  # characters, as the columns of a post hold them
    "slug": MAX_SLUG,
    "reference": 200,
    "source": 60,
    "source_id": 200,
    "source_hash": 200,
    "source_status": 60,
    "source_version": 60,
}
ENVELOPE = (*TEXT_LIMITS, "source_last_reviewed", "view_count")

_SLUG = re.compile(r"[-a-zA-Z0-9_]*", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    document: Document
    slug: str = ""
    reference: str = ""
    source: str = ""
    source_id: str = ""
    source_hash: str = ""
    source_status: str = ""
    source_version: str = ""
    source_last_reviewed: date | None = None
    view_count: int | None = None
    content: bytes = b""  # as it came, byte for byte
    format: str = ""
    place: str = ""  # "file:line"
    unknown: tuple[str, ...] = ()  # keys that were kept but are not known


def envelope(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Validate what stands beside the Document; keys of ENVELOPE to values, and what is wrong."""
    kept: dict[str, Any] = {}
    problems = []
    for field in ENVELOPE:
        if field not in data:
            continue
        value = data[field]
        expected = _expected(field, value)
        if expected:
            problems.append(Problem(field, repr(value)[:80], expected))
        elif field == "source_last_reviewed":
            kept[field] = date.fromisoformat(value) if value else None
        else:
            kept[field] = value.strip() if isinstance(value, str) else value
    return kept, problems


def _expected(field: str, value: Any) -> str:
    """What the field takes, if this is not it; "" if all is well."""
    if field == "view_count":
        fits = value is None or (type(value) is int and 0 <= value <= MAX_NUMBER)
        return "" if fits else "a whole number from 0 to 2**53 - 1"
    if field == "source_last_reviewed":
        return "" if value is None or _is_date(value) else "a date such as 2026-01-31"
    if not isinstance(value, str) or not is_storable(value) or "\n" in value or "\r" in value:
        return "a single line of Unicode text without NUL"
    if len(value.strip()) > TEXT_LIMITS[field]:
        return f"at most {TEXT_LIMITS[field]} characters"
    if field == "slug" and not _SLUG.fullmatch(value.strip()):
        return "letters a to z, digits, hyphens and underscores"
    return ""


def _is_date(value: Any) -> bool:
    if value == "":
        return True
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes it as text: no NUL, no lone surrogates."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def slugify(text: str, *, tail: str = "") -> str:
    """Lower-case words with hyphens, shortened at a word; the tail is kept whole."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    room = SHORT_SLUG - len(tail) - 1 if tail else SHORT_SLUG
    if len(words) > room:
        cut = words[: room + 1].rfind("-")
        words = words[: cut if cut > 0 else room].rstrip("-")
    return "-".join(part for part in (words, tail) if part)
