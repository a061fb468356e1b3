"""Turn the database that a test wrote to back into the one that the migrations left.

Only tables that were written to are emptied: Django would truncate all, ten times as slowly.
"""

from functools import cache
from typing import Any

import psycopg
from django.contrib.auth.models import Group
from django.db import connections, transaction

from config.embedded.server import ADMIN

GROUPS = ("Editors", "Reviewers", "Administrators", "Auditors")
# Filled by migrations, and the same for every test.
KEPT = {"django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


def empty_the_tables() -> None:
    names = tables()
    if not names:  # a failure before the migrations: its own message says more
        return
    Group.objects.exclude(name__in=GROUPS).delete()
    filled = written(names)
    if not filled:
        return
    if connection := superuser():
        connection.execute("; ".join(f"DELETE FROM {table}" for table in filled))
    else:
        _delete(filled)


def tables() -> set[str]:
    """Those that tests may write to."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        return set(connection.introspection.table_names(cursor)) - KEPT


def written(names: set[str]) -> list[str]:
    """Those that hold any row."""
    probes = " UNION ALL ".join(f"SELECT '{t}' WHERE EXISTS (SELECT FROM {t})" for t in sorted(names))
    with connections["default"].cursor() as cursor:
        cursor.execute(probes)
        return [table for (table,) in cursor.fetchall()]


def stop() -> None:
    """Let go of the database, which could not be dropped otherwise."""
    if superuser.cache_info().currsize and (connection := superuser()):
        connection.close()
    superuser.cache_clear()


@cache
def superuser() -> psycopg.Connection[Any] | None:
    """Whom no trigger stops, neither ours nor those of foreign keys; only the embedded server lets us in."""
    connection = connections["default"]
    server = getattr(connection, "embedded_server", None)
    if server is None:
        return None
    name = connection.settings_dict["NAME"]
    made = psycopg.connect(host=str(server.ensure()), user=ADMIN, dbname=name, autocommit=True)
    made.execute("SET session_replication_role = replica; SET lock_timeout = '20s'")
    return made


def _delete(names: list[str]) -> None:
    with transaction.atomic(), connections["default"].cursor() as cursor:
        # What was frozen stays, says a trigger; foreign keys are looked at when all is gone.
        for table in names:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER; DELETE FROM {table}")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in names:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
