"""Turn a set of rows into a number that costs the same however many there are."""

from typing import Any

from django.db.models import IntegerField, QuerySet, Subquery

MOST = 1_000


class Bounded(Subquery):
    """How many rows there are, to be selected beside others; of more than MOST it says MOST + 1."""

    template = "(SELECT count(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Any]) -> None:
        super().__init__(rows.order_by().values("pk")[: MOST + 1])


def words(number: int) -> str:
    return f"{MOST:,}+" if number > MOST else f"{number:,}"
