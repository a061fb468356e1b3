"""Put back what a fixture wrote the first time: to write it anew would take thirty times as long.

The rows are kept in the test's own database, in a schema of each world, and go with it. Only the embedded
server lets us in as the superuser whom no trigger stops; elsewhere each world is made anew.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connection

from tests.emptying import superuser, tables, written

LEFT = {"kb_publishedtotals"}  # zeros, by a migration
_worlds: dict[str, str] = {}  # name to schema

_PUT_BACK = """
    CREATE SCHEMA worlds;
    CREATE FUNCTION worlds.put_back(world text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
        SET session_replication_role = replica AS $$
    DECLARE
        found text;
    BEGIN
        FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = world LOOP
            EXECUTE format('DELETE FROM public.%I', found);
            EXECUTE format('INSERT INTO public.%1$I SELECT * FROM %2$I.%1$I', found, world);
        END LOOP;
    END $$;
    GRANT USAGE ON SCHEMA worlds TO PUBLIC
"""


def remembered(name: str, make: Callable[[], Any]) -> None:
    """Have in the database what `make` writes to kb's tables, where nothing is stored yet but people."""
    if name in _worlds:
        with connection.cursor() as cursor:
            cursor.execute("SELECT worlds.put_back(%s)", [_worlds[name]])
        return
    assert set(_filled()) <= LEFT, f"{name}: got rows before it, expected none; ask for this fixture first"
    make()
    if superuser():
        _worlds[name] = _keep(f"world_{len(_worlds) + 1}")


def _keep(world: str) -> str:
    keeper = _keeper()
    keeper.execute(f"CREATE SCHEMA {world}")
    for table in _filled():
        # Through the test's connection: nobody else sees what its transaction wrote.
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
            rows = b"".join(copy)
        keeper.execute(f"CREATE TABLE {world}.{table} (LIKE {table})")
        with keeper.cursor().copy(f"COPY {world}.{table} FROM STDIN (FORMAT binary)") as copy:
            copy.write(rows)
    return world


def _filled() -> list[str]:
    return written({table for table in tables() if table.startswith("kb_")})


@cache
def _keeper() -> Any:
    keeper = superuser()
    assert keeper
    keeper.execute(_PUT_BACK)
    return keeper
