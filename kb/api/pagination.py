"""Turn an ordered set of rows into pages by keyset: each page starts after the values of the last row.

Unlike an offset, a page costs the same at any depth, and a row that is published meanwhile shifts nothing.
A cursor holds nothing but values that its reader has seen; a made-up one gives a place in the list, no more.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import Func, QuerySet, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan

from kb.api.parameters import WholeNumber

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
LONGEST_CURSOR = 4000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LAST_MOMENT = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // MICROSECOND
LAST_ID = 2**63 - 1


@dataclass(frozen=True)
class Keyset:
    """The columns that order a list, all in one direction, the last of them unique with those before it."""

    columns: Mapping[str, type]  # name to datetime, int or str
    descending: bool = False

    def ordering(self, backwards: bool = False) -> list[str]:
        sign = "-" if self.descending != backwards else ""
        return [sign + name for name in self.columns]


@dataclass(frozen=True)
class Cursor:
    """A place in a list: right after the row with these values, or right before it."""

    values: tuple[Any, ...]
    backwards: bool = False

    def __str__(self) -> str:
        plain = [
            (value - EPOCH) // MICROSECOND if isinstance(value, datetime) else value for value in self.values
        ]
        text = json.dumps([int(self.backwards), *plain], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, keyset: Keyset) -> "Cursor":
        """Raise ValueError for what no list of this keyset gave out."""
        padded = text + "=" * (-len(text) % 4)
        try:
            parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (binascii.Error, RecursionError) as error:
            raise ValueError("not a cursor") from error
        if not isinstance(parts, list) or len(parts) != 1 + len(keyset.columns):
            raise ValueError("not a cursor of this list")
        if type(parts[0]) is not int or parts[0] not in (0, 1):
            raise ValueError("no direction")
        kinds = keyset.columns.values()
        values = tuple(_value(part, kind) for part, kind in zip(parts[1:], kinds, strict=True))
        return cls(values, backwards=bool(parts[0]))


def _value(part: Any, kind: type) -> Any:
    if kind is str:
        if not isinstance(part, str) or "\x00" in part:
            raise ValueError("not text")
        part.encode()  # UnicodeEncodeError is a ValueError: no lone surrogates
        return part
    most = LAST_MOMENT if kind is datetime else LAST_ID
    if type(part) is not int or not 0 <= part <= most:
        raise ValueError("not a number in range")
    return EPOCH + part * MICROSECOND if kind is datetime else part


class CursorField(forms.CharField):
    def __init__(self, keyset: Keyset) -> None:
        self.keyset = keyset
        super().__init__(
            required=False,
            max_length=LONGEST_CURSOR,
            label="Where to go on: part of the addresses in `next` and `previous`.",
            help_text="the value in `next` or `previous` of an earlier answer, unchanged",
        )

    def clean(self, value: str) -> Cursor | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return Cursor.read(text, self.keyset)
        except ValueError:
            raise forms.ValidationError("not a cursor") from None


class LimitField(WholeNumber):
    def __init__(self) -> None:
        label = f"How many at most, {DEFAULT_LIMIT} unless told."
        super().__init__(least=1, most=MAX_LIMIT, label=label)

    def clean(self, value: str) -> int:
        return super().clean(value) or DEFAULT_LIMIT


class _Row(Func):
    """ROW(a, b): PostgreSQL compares rows column by column and takes an index for it."""

    function = "ROW"
    output_field = TextField()


@dataclass(frozen=True)
class Page:
    rows: list[tuple[Any, ...]]  # without the keyset's own columns
    next: Cursor | None
    previous: Cursor | None


def page(
    rows: QuerySet, keyset: Keyset, columns: tuple[str, ...], *, cursor: Cursor | None, limit: int
) -> Page:
    """Fetch one page in one query."""
    backwards = cursor is not None and cursor.backwards
    if cursor is not None:
        compare = LessThan if keyset.descending != backwards else GreaterThan
        rows = rows.filter(compare(_Row(*keyset.columns), _Row(*map(Value, cursor.values))))
    found = list(
        rows.order_by(*keyset.ordering(backwards)).values_list(*keyset.columns, *columns)[: limit + 1]
    )
    has_more = len(found) > limit
    found = found[:limit]
    if backwards:
        found.reverse()
    width = len(keyset.columns)
    after = Cursor(found[-1][:width]) if found and (has_more or backwards) else None
    before = (
        Cursor(found[0][:width], backwards=True) if found and (has_more if backwards else cursor) else None
    )
    return Page([row[width:] for row in found], next=after, previous=before)


def envelope(path: str, query: Mapping[str, str], found: Page, results: list[bytes]) -> bytes:
    """Join stored JSON into {"next", "previous", "results"} without reading it."""
    links = [_link(path, query, found.next), _link(path, query, found.previous)]
    head = b'{"next":%s,"previous":%s,"results":[' % tuple(json.dumps(link).encode() for link in links)
    return head + b",".join(results) + b"]}"


def _link(path: str, query: Mapping[str, str], cursor: Cursor | None) -> str | None:
    return None if cursor is None else f"{path}?{urlencode({**query, 'cursor': str(cursor)})}"
