"""Turn an ordered set of rows into pages by keyset, and a page into JSON with its neighbours' addresses."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.db.models import Func, QuerySet, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan
from django.http import QueryDict

from kb.api.parameters import Parameters, WholeNumber
from kb.reading.keyset import Cursor, Keyset, Page, cut

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
LONGEST_CURSOR = 4000
# They say where a page begins and what is shown of its rows, not which rows the list has in which order.
NO_SCOPE = {"cursor", "limit", "count", "fields", "omit", "brief", "expand"}


class CursorField(forms.CharField):
    """The text of a cursor, which a Paged form reads once it knows what list it is of."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            max_length=LONGEST_CURSOR,
            label="Where to go on: part of the addresses in `next` and `previous`.",
            help_text="the value in `next` or `previous` of an earlier answer, unchanged, with the same "
            "filters and ordering",
        )


class LimitField(WholeNumber):
    def __init__(self) -> None:
        label = f"How many at most, {DEFAULT_LIMIT} unless told."
        super().__init__(least=1, most=MAX_LIMIT, label=label)

    def clean(self, value: str) -> int:
        return super().clean(value) or DEFAULT_LIMIT


class Paged(Parameters):
    """A list in pages. A subclass gives the keyset of its order."""

    keyset: Keyset
    cursor = CursorField()
    limit = LimitField()

    def order(self) -> Keyset:
        return self.keyset

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        values["scope"] = scope(self.data)
        text, values["cursor"] = values.get("cursor"), None
        # What is wrong elsewhere is told first: a cursor belongs to filters and an order that make sense.
        if text and not self.errors:
            try:
                values["cursor"] = Cursor.read(text, self.order(), values["scope"])
            except ValueError:
                self.add_error("cursor", "not a cursor of this list")
        return values


def scope(query: QueryDict) -> str:
    """A short hash of what decides which rows a list has and in which order; "" where nothing does."""
    said = sorted((name, value) for name in query if name not in NO_SCOPE for value in query.getlist(name))
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8] if said else ""


class _Row(Func):
    """ROW(a, b): PostgreSQL compares rows column by column and takes an index for it."""

    function = "ROW"
    output_field = TextField()


def page(
    rows: QuerySet,
    keyset: Keyset,
    columns: tuple[str, ...],
    *,
    cursor: Cursor | None,
    limit: int,
    scope: str = "",
) -> Page:
    """Fetch one page in one query."""
    backwards = cursor is not None and cursor.backwards
    if cursor is not None:
        compare = LessThan if keyset.descending != backwards else GreaterThan
        rows = rows.filter(compare(_Row(*keyset.columns), _Row(*map(Value, cursor.values))))
    found = list(
        rows.order_by(*keyset.ordering(backwards)).values_list(*keyset.columns, *columns)[: limit + 1]
    )
    return cut(found, keyset, limit, cursor, scope)


def envelope(path: str, query: QueryDict, found: Page, results: Sequence[bytes], **more: Any) -> bytes:
    """Join stored JSON into {"next", "previous", "results"} unread; `more` comes before results."""
    links = tuple(json.dumps(_link(path, query, cursor)).encode() for cursor in (found.next, found.previous))
    head = b'{"next":%s,"previous":%s,' % links
    for name, value in more.items():
        head += b'"%s":%s,' % (name.encode(), json.dumps(value, separators=(",", ":")).encode())
    return head + b'"results":[' + b",".join(results) + b"]}"


def _link(path: str, query: QueryDict, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    there = query.copy()
    there["cursor"] = str(cursor)
    return f"{path}?{there.urlencode()}"
