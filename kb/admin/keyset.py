"""Turn an ordered list into pages of which each begins behind the last row of the one before.

Unlike an offset, a page costs the same at any depth, and a row that leaves meanwhile shifts nothing.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
PLACE = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Keyset:
    """The order of a list: a number or a moment, then the primary key; a minus puts the greatest first."""

    field: str
    key: str
    of_moments: bool = False

    def ordered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.order_by(self.field, self.key)

    def place(self, row: Any) -> str:
        value = getattr(row, self.field.lstrip("-"))
        return f"{(value - EPOCH) // MICROSECOND if self.of_moments else value}.{row.pk}"

    def behind(self, rows: QuerySet[Any], place: str) -> QuerySet[Any]:
        """The rows behind this place. Raises ValueError for what `place` never gave."""
        value, pk = self._read(place)
        name, (further, below) = self.field.lstrip("-"), map(_beyond, (self.field, self.key))
        # The first condition says less than the second, and lets an index begin at the right row.
        return rows.filter(Q(**{f"{further}e": value}), Q(**{further: value}) | Q(**{name: value, below: pk}))

    def _read(self, place: str) -> tuple[int | datetime, int]:
        found = PLACE.fullmatch(place)
        if found is None:
            raise ValueError("a place is two numbers with a dot between them")
        value, pk = int(found[1]), int(found[2])
        try:
            return (EPOCH + value * MICROSECOND if self.of_moments else value), pk
        except OverflowError:
            raise ValueError("no calendar has this moment") from None


def _beyond(name: str) -> str:
    return f"{name[1:]}__lt" if name.startswith("-") else f"{name}__gt"
