"""Turn the database that a test wrote to back into the one that the migrations left.

Only tables that were written to are emptied: Django would truncate all, ten times as slowly.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import psycopg
from django.contrib.auth.models import Group
from django.db import connections, transaction

from config.embedded.server import ADMIN

GROUPS = ("Editors", "Reviewers", "Administrators", "Auditors")
# Filled by migrations, and the same for every test.
PEOPLE = {"auth_user", "auth_user_groups"}
KEPT = {"django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


# What fixtures made once for several tests, by name: the rows of each table as COPY gives them.
_worlds: dict[str, dict[str, bytes]] = {}


def empty_the_tables() -> None:
    tables = _tables()
    if not tables:  # a failure before the migrations: its own message says more
        return
    Group.objects.exclude(name__in=GROUPS).delete()
    written = _written(tables)
    if not written:
        return
    if superuser := _superuser():
        superuser.execute("; ".join(f"DELETE FROM {table}" for table in written))
    else:
        _delete(written)


def remembered(name: str, make: Callable[[], Any]) -> None:
    """Have in the database what `make` writes: the first time by making it, then by putting its rows back.

    For tests with transactions of their own, where nothing is stored yet but `people`. Publishing takes
    thirty times as long as putting back what it wrote.
    """
    superuser = _superuser()
    if superuser is None or name not in _worlds:
        make()
        if superuser:
            _worlds[name] = {table: _copied(superuser, table) for table in _written(_tables() - PEOPLE)}
        return
    with superuser.transaction(), superuser.cursor() as cursor:
        for table, rows in _worlds[name].items():
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
                copy.write(rows)


def _copied(superuser: psycopg.Connection[Any], table: str) -> bytes:
    with superuser.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
        return b"".join(copy)


def _tables() -> set[str]:
    connection = connections["default"]
    with connection.cursor() as cursor:
        return set(connection.introspection.table_names(cursor)) - KEPT


def _written(tables: set[str]) -> list[str]:
    """Those that hold any row."""
    probes = " UNION ALL ".join(f"SELECT '{t}' WHERE EXISTS (SELECT FROM {t})" for t in sorted(tables))
    with connections["default"].cursor() as cursor:
        cursor.execute(probes)
        return [table for (table,) in cursor.fetchall()]


def stop() -> None:
    """Let go of the database, which could not be dropped otherwise."""
    if _superuser.cache_info().currsize and (superuser := _superuser()):
        superuser.close()
    _superuser.cache_clear()


@cache
def _superuser() -> psycopg.Connection[Any] | None:
    """Whom no trigger stops, neither ours nor those of foreign keys; only the embedded server lets us in."""
    connection = connections["default"]
    server = getattr(connection, "embedded_server", None)
    if server is None:
        return None
    name = connection.settings_dict["NAME"]
    superuser = psycopg.connect(host=str(server.ensure()), user=ADMIN, dbname=name, autocommit=True)
    superuser.execute("SET session_replication_role = replica; SET lock_timeout = '20s'")
    return superuser


def _delete(written: list[str]) -> None:
    with transaction.atomic(), connections["default"].cursor() as cursor:
        # What was frozen stays, says a trigger; foreign keys are looked at when all is gone.
        for table in written:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER; DELETE FROM {table}")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in written:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
