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
    connection = connections["default"]
    with transaction.atomic(), connection.cursor() as cursor:
        tables = sorted(set(connection.introspection.table_names(cursor)) - KEPT)
        if not tables:  # a failure before the migrations: its own message says more
            return
        Group.objects.exclude(name__in=GROUPS).delete()
        probes = " UNION ALL ".join(f"SELECT '{t}' WHERE EXISTS (SELECT FROM {t})" for t in tables)
        cursor.execute(probes)
        written = [table for (table,) in cursor.fetchall()]
    if not written:
        return
    if superuser := _superuser():
        superuser.execute("; ".join(f"DELETE FROM {table}" for table in written))
    else:
        _delete(written)


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
