"""Turn SQL into rows of the alias `reading`, as quickly as Django's connection allows.

Statements are prepared on the server, so each is written once and takes values as parameters alone.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

Row = tuple[Any, ...]
Answer = TypeVar("Answer")


def present(table: str) -> str:
    """Without what is withheld from some moment on, once that has come: PresentManager says the same."""
    return f"({table}.withhold_at IS NULL OR {table}.withhold_at > now())"


Values = Sequence[Any] | Mapping[str, Any]


def microseconds(column: str) -> str:
    """A moment as a whole number, since 1970: a thousand of them are read in the time of fifty moments."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


def http_date(column: str) -> str:
    """A moment as HTTP writes it: PostgreSQL does so in no time, and Python's reading alone takes more."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"')"""


class _Kept(threading.local):
    """A thread's cursor: making one for each statement, in Django's wrapper, takes as long as the answer."""

    connection: Any = None
    cursor: Any = None


_kept = _Kept()


def rows(sql: str, values: Values = ()) -> list[Row]:
    connection = connections["reading"]
    if connection.connection is None or connection.in_atomic_block or is_watched(connection):
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())
    with connection.wrap_database_errors:
        if _kept.connection is not connection.connection:
            _kept.connection, _kept.cursor = connection.connection, connection.create_cursor()
        _kept.cursor.execute(sql, values)
        found: list[Row] = _kept.cursor.fetchall()
        return found


def row(sql: str, values: Values = ()) -> Row | None:
    """The first row, or None where there is none."""
    found = rows(sql, values)
    return found[0] if found else None


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


def is_watched(connection: BaseDatabaseWrapper) -> bool:
    """Whether somebody counts or wraps statements, which only Django's own cursor tells."""
    return connection.queries_logged or bool(connection.execute_wrappers)


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
