"""Turn the models that readers may see into the rights of the role kb_reading: SELECT on their tables alone.

A model says `readers_may_see = True`; every other table stays closed. Rights are compared with what the
database's catalogue says and only differences become SQL, so that a second run does nothing. The role
belongs to the whole cluster and the grants to one database: several kb databases on a cluster can share it.

PostgreSQL lets everybody make temporary tables; that right stays, for it shows nothing.
"""

import sys
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.db import DEFAULT_DB_ALIAS, OperationalError, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate
from django.db.utils import IntegrityError

from config.database import READING_ROLE

READING = "reading"
# Refusals that leave the rest of the work possible: no right to, no such role, somebody was faster.
_REFUSALS = {"42501", "42704", "42710", "23505"}

_ROLE = """
    SELECT rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls,
           ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = pg_roles.oid),
           has_schema_privilege(oid, current_schema(), 'USAGE'),
           has_schema_privilege(oid, current_schema(), 'CREATE'),
           has_database_privilege(oid, current_database(), 'CONNECT')
    FROM pg_roles WHERE rolname = %s
"""
_GRANTS = """
    SELECT format('%%I.%%I', n.nspname, c.relname), c.relname, n.nspname = current_schema(), c.relkind = 'S',
           ARRAY(SELECT a.privilege_type FROM aclexplode(c.relacl) a WHERE a.grantee = r.oid),
           EXISTS (SELECT FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid AND a.grantee
           = r.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_roles r ON
           r.rolname = %s WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname <>
           'information_schema' AND n.nspname NOT LIKE 'pg\\_%%' ORDER BY 1
"""
# Asked by the reader itself, so that grants to PUBLIC and memberships count. What extensions bring holds no
# posts.
_SEEN = """
    SELECT c.relname, n.nspname = current_schema(), has_any_column_privilege(c.oid, 'SELECT'),
           has_any_column_privilege(c.oid, 'INSERT, UPDATE, REFERENCES')
           OR has_table_privilege(c.oid, 'DELETE, TRUNCATE, TRIGGER')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
    ORDER BY 1
"""


def publication_tables() -> set[str]:
    """Name the tables that readers may see."""
    return {
        model._meta.db_table
        for model in apps.get_models()
        if getattr(model, "readers_may_see", False) is True
    }


def missing_sql(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """List the SQL between what the database grants now and what it should; [] when all is in place."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(_ROLE, [READING_ROLE])
        role = cursor.fetchone()
        cursor.execute(_GRANTS, [READING_ROLE])
        relations = cursor.fetchall()
    return [
        *_role_sql(connection, role),
        *_membership_sql(connection, role is not None),
        *_schema_sql(connection, role),
        *_table_sql(relations),
    ]


def grant(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Bring the role and its rights into place; return the statements that this user may not run."""
    for statement in missing_sql(using):
        try:
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                cursor.execute(statement)
        except (ProgrammingError, OperationalError, IntegrityError) as error:
            if getattr(error.__cause__, "sqlstate", None) not in _REFUSALS:
                raise
    return missing_sql(using)


def for_the_administrator(statements: Sequence[str], using: str = DEFAULT_DB_ALIAS) -> str:
    """Say what somebody with more rights has to run."""
    database = connections[using].settings_dict["NAME"]
    return "\n".join(
        [
            f"The role {READING_ROLE}, under which readers' pages read, is not in place, and this user",
            f"may not do that. An administrator of the server has to run, in the database {database}:",
            *(f"    {statement};" for statement in statements),
            "Then run: manage.py reading_role",
        ]
    )


def connect(app: AppConfig) -> None:
    """Keep the role's rights in step with the tables after every migration; a system check watches them."""
    post_migrate.connect(_after_migrating, sender=app, dispatch_uid="kb.reading_role")
    checks.register(check, checks.Tags.database)


def check(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Ask the reading connection itself what it may see: `manage.py check --database reading`."""
    if READING not in (databases or ()):
        return []
    connection = _without_pool(connections[READING])
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SEEN)
            relations = cursor.fetchall()
    except OperationalError as error:
        hint = "Run manage.py migrate and manage.py reading_role; look at READING_DATABASE_URL if it is set."
        return [checks.Warning(f"The readers' database connection fails: {error}", hint=hint, id="kb.W101")]
    finally:
        connection.close()
    return [*_unreadable(relations), *_too_much(relations)]


def _without_pool(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """A connection of its own: a pool would wait, and then say that it waited instead of what is wrong."""
    alone = connection.copy()
    options = {name: value for name, value in alone.settings_dict["OPTIONS"].items() if name != "pool"}
    alone.settings_dict = {**alone.settings_dict, "OPTIONS": options}
    return alone


def _unreadable(relations: list[tuple[Any, ...]]) -> list[checks.CheckMessage]:
    readable = {name for name, is_ours, may_select, _ in relations if is_ours and may_select}
    lacking = sorted(publication_tables() - readable)
    if not lacking:
        return []
    text = f"The readers' database user cannot read {', '.join(lacking)}."
    return [checks.Warning(text, hint="Run manage.py migrate, then manage.py reading_role.", id="kb.W102")]


def _too_much(relations: list[tuple[Any, ...]]) -> list[checks.CheckMessage]:
    allowed = publication_tables()
    seen = [
        name for name, is_ours, may_select, _ in relations if may_select and not (is_ours and name in allowed)
    ]
    written = [name for name, _, _, may_write in relations if may_write]
    found: list[checks.CheckMessage] = []
    hint = (
        f"Run manage.py reading_role, and let READING_DATABASE_URL, if set, log in as {READING_ROLE} or as a "
        "user whose only right is being a member of it."
    )
    if seen:
        text = f"The readers' database user can read more than publications: {_some(seen)}."
        found.append(checks.Error(text, hint=hint, id="kb.E103"))
    if written:
        text = f"The readers' database user can write: {_some(written)}."
        found.append(checks.Error(text, hint=hint, id="kb.E104"))
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _role_sql(connection: BaseDatabaseWrapper, role: tuple[Any, ...] | None) -> list[str]:
    if role is None:
        return [f"CREATE ROLE {READING_ROLE} NOLOGIN"]
    can_login, is_mighty, memberships, *_ = role
    statements = [f"REVOKE {other} FROM {READING_ROLE}" for other in memberships]
    if is_mighty:
        statements.append(
            f"ALTER ROLE {READING_ROLE} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        )
    if _reading_user() == READING_ROLE and not can_login:
        statements.append(f"ALTER ROLE {READING_ROLE} LOGIN")
    return statements


def _membership_sql(connection: BaseDatabaseWrapper, role_exists: bool) -> list[str]:
    """Let the user that `reading` logs in as take on the role; the owner needs not inherit its rights."""
    user = _reading_user() or connection.settings_dict["USER"]
    if user == READING_ROLE:
        return []
    has_set_option = connection.get_database_version() >= (16,)
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        owner = cursor.fetchone()[0]
        is_owner = user in {"", owner}
        user = user or owner
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user])
        if not cursor.fetchone():
            return []
        if role_exists:
            right = ("SET" if has_set_option else "MEMBER") if is_owner else "USAGE"
            cursor.execute("SELECT pg_has_role(%s, %s, %s)", [user, READING_ROLE, right])
            if cursor.fetchone()[0]:
                return []
    options = " WITH INHERIT FALSE, SET TRUE" if has_set_option and is_owner else ""
    return [f"GRANT {READING_ROLE} TO {connection.ops.quote_name(user)}{options}"]


def _schema_sql(connection: BaseDatabaseWrapper, role: tuple[Any, ...] | None) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema(), current_database(), session_user")
        schema, database, owner = (connection.ops.quote_name(name) for name in cursor.fetchone())
    may_use, may_create, may_connect = role[3:] if role else (False, False, True)
    statements = []
    if not may_connect:
        statements.append(f"GRANT CONNECT ON DATABASE {database} TO {READING_ROLE}")
    if not may_use:
        statements.append(f"GRANT USAGE ON SCHEMA {schema} TO {READING_ROLE}")
    if may_create:
        # From PUBLIC too, as databases from before PostgreSQL 15 grant it; the owner may have lived on that
        # grant.
        statements += [
            f"GRANT CREATE ON SCHEMA {schema} TO {owner}",
            f"REVOKE CREATE ON SCHEMA {schema} FROM {READING_ROLE}, PUBLIC",
        ]
    return statements


def _table_sql(relations: list[tuple[Any, ...]]) -> list[str]:
    allowed = publication_tables()
    statements = []
    for full_name, name, is_ours, is_sequence, privileges, has_column_grants in relations:
        granted = set(privileges)
        wanted = {"SELECT"} if is_ours and name in allowed else set()
        if granted - wanted or has_column_grants:
            kind = "SEQUENCE" if is_sequence else "TABLE"
            statements.append(f"REVOKE ALL ON {kind} {full_name} FROM {READING_ROLE}")
            granted.clear()
        if wanted - granted:
            statements.append(f"GRANT SELECT ON TABLE {full_name} TO {READING_ROLE}")
    return statements


def _reading_user() -> str:
    user: str = connections[READING].settings_dict["USER"] or ""
    return user


def _after_migrating(using: str, verbosity: int = 1, **kwargs: Any) -> None:
    if using != DEFAULT_DB_ALIAS or connections[using].vendor != "postgresql":
        return
    left = grant(using)
    if left and verbosity:
        out = kwargs.get("stdout") or sys.stderr
        out.write(for_the_administrator(left, using) + "\n")
