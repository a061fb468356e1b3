"""Readers' rows come through one kept cursor a thread, which follows its connection."""

import pytest
from django.db import DataError, OperationalError, connections

from kb.reading import rows

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])


def backend() -> int:
    return rows.rows("SELECT pg_backend_pid()")[0][0]


def test_statements_one_after_the_other_use_one_cursor_with_djangos_time_zone():
    connections["reading"].ensure_connection()

    moment = rows.row("SELECT '2026-01-02T03:04:05+02:00'::timestamptz")
    cursor = rows._kept.cursor
    again = rows.row("SELECT %s::int + 1", [1])

    assert moment[0].isoformat() == "2026-01-02T01:04:05+00:00"
    assert again == (2,)
    assert rows._kept.cursor is cursor


def test_a_connection_that_broke_is_replaced_and_the_question_asked_again():
    connections["reading"].ensure_connection()
    before = backend()
    with pytest.raises(OperationalError):
        rows.row("SELECT pg_terminate_backend(pg_backend_pid())")

    assert rows.persistently(backend) != before


def test_a_failure_is_djangos_own_error():
    connections["reading"].ensure_connection()

    with pytest.raises(DataError):
        rows.row("SELECT 1 / 0")

    assert rows.row("SELECT 1") == (1,)
