"""The readers' database role, asked over its own connection: it sees publications and nothing else."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError, ProgrammingError, connections, transaction

from kb import reading_role

pytestmark = pytest.mark.django_db(databases=["default", "reading"])
committing = pytest.mark.django_db(databases=["default", "reading"], transaction=True)

# What must stay closed whatever becomes of the list that models make.
SECRET = {"kb_post", "kb_revision", "kb_flag", "kb_decision", "auth_user", "django_session"}


def _run(query: str, alias: str = "default") -> list[tuple[Any, ...]]:
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else []


def _is_refused(query: str, alias: str = "reading") -> bool:
    try:
        _run(query, alias)
    except ProgrammingError as error:
        if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise
        return True
    return False


def _tables() -> set[str]:
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table for model in models} | {"django_migrations"}


# --- What it may ---


def test_readers_connect_under_their_own_role():
    assert _run("SELECT current_user::text", "reading") == [("kb_reading",)]


def test_readers_can_select_from_publications_and_from_nothing_else():
    public = {model._meta.db_table for model in apps.get_models() if getattr(model, "readers_may_see", False)}

    refused = {table for table in _tables() if _is_refused(f'SELECT 1 FROM "{table}" LIMIT 1')}

    assert public
    assert refused == _tables() - public
    assert refused >= SECRET


def test_readers_cannot_look_into_single_columns_of_a_closed_table():
    assert _is_refused("SELECT password FROM auth_user")
    assert _is_refused("SELECT count(*) FROM auth_user")


@pytest.mark.parametrize("act", ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"])
def test_readers_hold_no_other_right_on_any_table(act: str):
    held = [
        table
        for table in sorted(_tables())
        if _run(f"SELECT has_table_privilege('{table}', '{act}')", "reading") == [(True,)]
    ]

    assert held == []


def test_readers_cannot_make_tables_or_read_the_list_of_passwords():
    for query in ("CREATE TABLE planted (id int)", "SELECT rolpassword FROM pg_authid"):
        with pytest.raises(DatabaseError, match=r"permission denied|read-only"):
            _run(query, "reading")


# --- Bringing it into place ---


def test_after_migrating_nothing_is_left_to_do(capsys: pytest.CaptureFixture[str]):
    assert reading_role.missing_sql() == []

    call_command("reading_role", "--print-sql")
    call_command("reading_role")

    out = capsys.readouterr().out
    assert out.startswith("-- The role kb_reading is in place.")
    assert "nothing else" in out


@pytest.mark.parametrize("right", ["SELECT", "INSERT, DELETE", "SELECT (password)"])
def test_a_right_that_was_granted_by_hand_is_taken_back(right: str):
    _run(f"GRANT {right} ON auth_user TO kb_reading")

    before = reading_role.missing_sql()
    left = reading_role.grant()

    assert before == ["REVOKE ALL ON TABLE public.auth_user FROM kb_reading"]
    assert left == []


def test_a_publication_table_that_lost_its_grant_gets_it_back():
    table = sorted(reading_role.publication_tables())[0]
    _run(f"REVOKE ALL ON {table} FROM kb_reading")

    call_command("reading_role")

    assert _run(f"SELECT has_table_privilege('kb_reading', '{table}', 'SELECT')") == [(True,)]


def test_a_user_who_may_not_create_roles_is_told_what_the_administrator_must_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(reading_role, "READING_ROLE", "kb_absent")
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone()[0]:
            # A server of the developer's own, where the tests' user may: become one who may not.
            cursor.execute("CREATE ROLE kb_powerless")
            cursor.execute("GRANT kb_powerless TO CURRENT_USER")
            cursor.execute("SET LOCAL ROLE kb_powerless")

    with pytest.raises(CommandError) as refusal:
        call_command("reading_role")
    reading_role._after_migrating("default")

    for text in (str(refusal.value), capsys.readouterr().err):
        assert "CREATE ROLE kb_absent NOLOGIN;" in text
        assert "An administrator of the server has to run" in text


# --- Watching it ---


def test_the_check_is_silent_when_all_is_in_place_and_when_reading_is_not_asked_for():
    assert reading_role.check(databases=["default", "reading"]) == []
    assert reading_role.check(databases=["default"]) == []
    assert reading_role.check(databases=None) == []


@pytest.fixture
def spoiled(transactional_db: None, request: pytest.FixtureRequest) -> Iterator[None]:
    spoil, mend = request.param
    _run(spoil)
    yield
    _run(mend)


@committing
@pytest.mark.parametrize(
    ("spoiled", "expected"),
    [
        (
            ("GRANT SELECT ON auth_user TO PUBLIC", "REVOKE ALL ON auth_user FROM PUBLIC"),
            ("kb.E103", "The readers' database user can read more than publications: auth_user."),
        ),
        (
            ("GRANT DELETE ON auth_user TO PUBLIC", "REVOKE ALL ON auth_user FROM PUBLIC"),
            ("kb.E104", "The readers' database user can write: auth_user."),
        ),
        (
            (
                "REVOKE SELECT ON kb_publication FROM kb_reading",
                "GRANT SELECT ON kb_publication TO kb_reading",
            ),
            ("kb.W102", "The readers' database user cannot read kb_publication."),
        ),
    ],
    indirect=["spoiled"],
)
def test_the_check_names_what_is_amiss(spoiled: None, expected: tuple[str, str]):
    found = reading_role.check(databases=["reading"])

    assert [(message.id, message.msg) for message in found] == [expected]
    assert found[0].hint


@committing
def test_the_check_says_so_when_readers_cannot_connect(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(connections["reading"].settings_dict, "USER", "kb_nobody_of_that_name")

    found = reading_role.check(databases=["reading"])

    assert [message.id for message in found] == ["kb.W101"]
    assert "kb_nobody_of_that_name" in found[0].msg
    assert "manage.py migrate" in found[0].hint
