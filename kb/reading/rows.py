"""Turn SQL into rows of the alias `reading`, as quickly as Django's connection allows.

Statements are prepared on the server, so each is written once and takes values as parameters alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from django.db import InterfaceError, OperationalError, connections, transaction

Row = tuple[Any, ...]
Answer = TypeVar("Answer")


def present(table: str) -> str:
    """Without what is withheld from some moment on, once that has come: PresentManager says the same."""
    return f"({table}.withhold_at IS NULL OR {table}.withhold_at > now())"


def rows(sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
    with connections["reading"].cursor() as cursor:
        cursor.execute(sql, values)
        found: list[Row] = cursor.fetchall()
    return found


def row(sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
    """The first row, or None where there is none."""
    with connections["reading"].cursor() as cursor:
        cursor.execute(sql, values)
        found: Row | None = cursor.fetchone()
    return found


class TooSlow(Exception):
    """A statement took longer than it may."""


@contextmanager
def within(milliseconds: int) -> Iterator[None]:
    """Let no statement in here take longer; raises TooSlow."""
    try:
        with transaction.atomic(using="reading"):
            with connections["reading"].cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {milliseconds:d}")
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise TooSlow from error
        raise


def persistently(answer: Callable[[], Answer]) -> Answer:
    """Give the answer; once more if the connection, kept since an earlier request, proves to be broken.

    Reading twice does no harm, and asking before each request whether the connection lives would cost more
    than most answers do.
    """
    try:
        return answer()
    except (OperationalError, InterfaceError):
        connection = connections["reading"]
        if connection.in_atomic_block or connection.connection is None or connection.is_usable():
            raise
        connection.close()
        return answer()
