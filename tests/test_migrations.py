"""Migrations: what the models say, and a way back and forth that leaves the gate as it was."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

pytestmark = pytest.mark.django_db(transaction=True)

GUARDS = """
    SELECT t.tgname || ' on ' || t.tgrelid::regclass || ': ' || pg_get_functiondef(t.tgfoid)
      FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT conname || ': ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conname ~ '^kb_'
    UNION ALL
    SELECT 'right of ' || g.name || ': ' || p.codename
      FROM auth_group g JOIN auth_group_permissions gp ON gp.group_id = g.id
      JOIN auth_permission p ON p.id = gp.permission_id
    UNION ALL
    SELECT table_name || ' read by ' || grantee || ': ' || privilege_type
      FROM information_schema.role_table_grants WHERE grantee = 'kb_reading'
    ORDER BY 1
"""

# What a post is made of at 0001.
ROWS = ("kb_post", "kb_revision", "kb_flag")


def rows(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


def execute(*statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def put_back(table: str) -> str:
    """The statement that does so; the way back may have left its columns in another order."""
    of = f"WHERE table_schema = 'aside' AND table_name = '{table}'"
    columns = ", ".join(rows(f"SELECT column_name FROM information_schema.columns {of}"))
    return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM aside.{table}"


def tables() -> list[str]:
    with connection.cursor() as cursor:
        return [name for name in connection.introspection.table_names(cursor) if name.startswith("kb_")]


@pytest.fixture
def whole_again() -> Iterator[None]:
    """Whatever happens, the tests after this one find all tables."""
    yield
    call_command("migrate", "kb", verbosity=0)


def test_the_models_need_no_further_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.fixture
def aside() -> Iterator[None]:
    """A place for rows that outlive their tables."""
    execute("CREATE SCHEMA aside")
    yield
    execute("DROP SCHEMA aside CASCADE")


@pytest.mark.usefixtures("groups", "whole_again", "aside")
def test_the_way_back_to_nothing_and_forth_keeps_posts_guards_and_rights(make_post: Any) -> None:
    post = make_post()
    before = rows(GUARDS)

    call_command("migrate", "kb", "0001", verbosity=0)
    kept = rows("SELECT slug FROM kb_post")
    unguarded = rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
    execute(*(f"CREATE TABLE aside.{table} AS SELECT * FROM {table}" for table in ROWS))
    call_command("migrate", "kb", "zero", verbosity=0)
    left = (
        tables(),
        rows("SELECT name FROM auth_group"),
        rows("SELECT proname FROM pg_proc WHERE proname ~ '^kb_'"),
    )
    call_command("migrate", "kb", "0001", verbosity=0)
    execute(*map(put_back, ROWS))
    call_command("migrate", "kb", verbosity=0)

    assert (kept, unguarded) == ([post.slug], [])
    assert left == ([], [], [])
    assert rows(GUARDS) == before
    assert {"right of Reviewers: publish_post", "kb_publication read by kb_reading: SELECT"} <= set(before)
    assert any(line.startswith("kb_revisions_stay on kb_revision: ") for line in before)
    assert rows("SELECT slug FROM kb_post") == [post.slug]
    with pytest.raises(DatabaseError, match="kb_an_identity_stays"), transaction.atomic():
        type(post).objects.filter(pk=post.pk).update(slug="another")
