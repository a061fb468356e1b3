"""Turn the configured connections into those of a database that benchmarks may fill and drop."""

from django.db import connection, connections


def use_own_database(*, keep: bool, ending: str = "bench") -> bool:
    """Point all connections at the bench's database; whether it is new."""
    configured = connection.settings_dict["NAME"]
    name = configured if ending in configured else f"{configured}_{ending}"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        new = not (keep and cursor.fetchone())
        if new:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            cursor.execute(f'CREATE DATABASE "{name}"')
    point_at(name)
    return new


def point_at(name: str) -> None:
    for alias in connections:
        connections[alias].close()
        connections[alias].close_pool()
        connections[alias].settings_dict["NAME"] = name
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == (name,)  # whatever it was told: no other one is filled
