"""Turn DATABASE_URL and READING_DATABASE_URL into Django's DATABASES: `default` and `reading`.

`default` owns the tables. `reading` is the alias of the readers' doors and may SELECT the publication
tables alone:

- no DATABASE_URL: both are the embedded server, where kb_reading logs in by itself;
- DATABASE_URL alone: `reading` logs in as the same user and takes on the role kb_reading at once. It
  forgets even after `RESET ROLE`, but SQL that an attacker writes could say `SET ROLE NONE`; and a pooler
  between kb and PostgreSQL may refuse the start option. A login of its own is stronger:
- READING_DATABASE_URL: whatever it names, a login of its own or a replica.
"""

from pathlib import Path
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

READING_ROLE = "kb_reading"
READING_OPTIONS = f"-c role={READING_ROLE} -c default_transaction_read_only=on"


def databases(
    database_url: str | None, reading_url: str | None, data_dir: Path, pool_size: int
) -> dict[str, dict[str, Any]]:
    """Give DATABASES; `default` has at most `pool_size` connections a process, or with 0 one a request."""
    default = _parse("DATABASE_URL", database_url) if database_url else _embedded("kb", data_dir)
    if reading_url:
        reading = _parse("READING_DATABASE_URL", reading_url)
    elif database_url:
        reading = {**default, "OPTIONS": _with_reading_role(default["OPTIONS"])}
    else:
        reading = _embedded(READING_ROLE, data_dir)
    return {"default": _pooled(default, pool_size), "reading": _kept(reading)}


class ReadingRouter:
    """Keep writes and migrations away from `reading`; reads go there where code says `using("reading")`."""

    def db_for_write(self, model: type, **hints: Any) -> str:
        # Also for an object that was read there, whose save would otherwise go back to where it came from.
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        return True if {one._state.db, other._state.db} <= {"default", "reading"} else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == "reading" else None


def _embedded(user: str, data_dir: Path) -> dict[str, Any]:
    return {
        "ENGINE": "config.embedded",
        "NAME": "kb",
        "USER": user,
        "OPTIONS": {"data_dir": str(data_dir), "application_name": "kb"},
    }


def _parse(variable: str, url: str) -> dict[str, Any]:
    """Read a PostgreSQL URL as libpq does: options such as sslmode or host=/folder stand after the `?`.

    Raises ImproperlyConfigured, which names the variable and shows nothing of a value that may hold a
    password.
    """
    form = "postgresql://user:password@host:5432/database?sslmode=require"
    if not url.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(
            f"{variable} names no PostgreSQL server: it starts with neither postgresql:// nor postgres://. "
            f"Expected: {form}"
        )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's own words may quote the password.
        raise ImproperlyConfigured(
            f"{variable} is no valid PostgreSQL URL. Expected: {form}, with @ : / ? # % in a password as "
            "as %40 %3A %2F %3F %23 %25 and only options that libpq knows"
        ) from None
    if not parts.get("dbname"):
        raise ImproperlyConfigured(f"{variable} names no database: put its name after the host, {form}")
    port = str(parts.get("port") or "")
    if not all(
        1 <= int(number) <= 65535 if number.isdecimal() else False for number in port.split(",") if port
    ):
        raise ImproperlyConfigured(f"{variable} has no valid port: expected a number from 1 to 65535, {form}")
    main = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {name: value for name, value in parts.items() if name not in main}
    values = {django: str(parts.get(name) or "") for name, django in main.items()}
    defaults = {"application_name": "kb", "connect_timeout": "10"}
    return {"ENGINE": "django.db.backends.postgresql", **values, "OPTIONS": {**defaults, **options}}


def _with_reading_role(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "options": f"{options.get('options', '')} {READING_OPTIONS}".strip()}


def _pooled(parts: dict[str, Any], size: int) -> dict[str, Any]:
    if size:
        pool = {"min_size": 1, "max_size": size, "timeout": 10}
        parts = {**parts, "OPTIONS": {**parts["OPTIONS"], "pool": pool}}
    return {**parts, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}


def _kept(parts: dict[str, Any]) -> dict[str, Any]:
    """One connection a thread, kept from request to request, with statements that the server prepares once.

    Taking a connection from a pool, and asking whether it lives, costs more than reading a publication: where
    a kept one proves to be broken, kb.reading.rows.persistently asks again.
    """
    options = {**parts["OPTIONS"], "server_side_binding": True, "prepare_threshold": 1}
    return {**parts, "OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
