"""Turn an ordered list into pages: each starts after the values of the last row of the page before.

Unlike an offset, a page costs the same at any depth, and a row that is published meanwhile shifts nothing.
A cursor holds nothing but values that its reader has seen; a made-up one gives a place in the list, no more.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kb.reading.rows import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LAST_MOMENT = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // MICROSECOND
LAST_ID = 2**63 - 1
LAST_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Keyset:
    """The columns that order a list, all in one direction, the last of them unique with those before it."""

    columns: Mapping[str, type]  # name to datetime, int or str
    descending: bool = False

    def ordering(self, backwards: bool = False) -> list[str]:
        sign = "-" if self.descending != backwards else ""
        return [sign + name for name in self.columns]

    def values(self, row: Row) -> tuple[Any, ...]:
        """The keys that stand first in a row."""
        keys = zip(row, self.columns.values(), strict=False)
        return tuple(
            EPOCH + key * MICROSECOND if kind is datetime and isinstance(key, int) else key
            for key, kind in keys
        )


@dataclass(frozen=True)
class Cursor:
    """A place in a list: right after the row with these values, or right before it.

    `scope` says of which list: a place among other rows or in another order means nothing.
    """

    values: tuple[Any, ...]
    backwards: bool = False
    scope: str = ""

    def __str__(self) -> str:
        plain = [
            (value - EPOCH) // MICROSECOND if isinstance(value, datetime) else value for value in self.values
        ]
        text = json.dumps(
            [int(self.backwards), self.scope, *plain], ensure_ascii=False, separators=(",", ":")
        )
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, keyset: Keyset, scope: str = "") -> "Cursor":
        """Raise ValueError for what no list of this keyset and scope gave out."""
        padded = text + "=" * (-len(text) % 4)
        try:
            parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (binascii.Error, RecursionError) as error:
            raise ValueError("not a cursor") from error
        if not isinstance(parts, list) or len(parts) != 2 + len(keyset.columns):
            raise ValueError("not a cursor of this list")
        if type(parts[0]) is not int or parts[0] not in (0, 1):
            raise ValueError("no direction")
        if parts[1] != scope:
            raise ValueError("a cursor of other filters or another order")
        kinds = keyset.columns.values()
        values = tuple(_value(part, kind) for part, kind in zip(parts[2:], kinds, strict=True))
        return cls(values, backwards=bool(parts[0]), scope=scope)


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


@dataclass(frozen=True)
class Page:
    rows: list[Row]  # without the keyset's own columns
    next: Cursor | None
    previous: Cursor | None


def cut(found: Sequence[Row], keyset: Keyset, limit: int, cursor: Cursor | None, scope: str = "") -> Page:
    """A page out of up to `limit` + 1 rows, read in the cursor's direction, each with its keys first.

    Moments among the keys may come as microseconds since EPOCH.
    """
    width = len(keyset.columns)
    backwards = cursor is not None and cursor.backwards
    has_more, shown = len(found) > limit, list(found[:limit])
    if backwards:
        shown.reverse()
    after = before = None
    if shown and (has_more or backwards):
        after = Cursor(keyset.values(shown[-1]), scope=scope)
    if shown and (has_more if backwards else cursor):
        before = Cursor(keyset.values(shown[0]), backwards=True, scope=scope)
    return Page([row[width:] for row in shown], next=after, previous=before)
