"""Probes: /healthz says that the process answers, /readyz that it can do its work."""

from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from config import health

READY = {"status": "ok", "database": "ok", "reading_database": "ok", "migrations": "ok"}


def test_healthz_answers_without_any_database(client: Client) -> None:
    response = client.get("/healthz")

    # No database mark on this test: a query would fail it.
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_never_cached_and_only_read(client: Client, path: str) -> None:
    response = client.post(path)

    assert response.status_code == 405
    assert response.headers["Cache-Control"] == "no-store"


def test_a_probe_by_address_and_plain_http_is_answered(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["kb.example.com"]

    assert client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.django_db(databases=["default", "reading"])
def test_readyz_says_yes_when_both_databases_answer_and_migrations_are_applied(client: Client) -> None:
    response = client.get("/readyz")

    assert response.json() == READY
    assert response.status_code == 200


@pytest.mark.django_db(databases=["default", "reading"])
def test_readyz_says_no_while_a_migration_is_missing(client: Client) -> None:
    MigrationRecorder(connections["default"]).migration_qs.filter(app="sessions").delete()

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == READY | {
        "status": "unavailable",
        "migrations": "1 app lacks migrations: run manage.py migrate",
    }


@pytest.mark.django_db(databases=["default", "reading"])
@pytest.mark.parametrize(("alias", "key"), [("default", "database"), ("reading", "reading_database")])
def test_readyz_names_the_database_that_is_down_and_no_more(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alias: str, key: str
) -> None:
    def refuse() -> None:
        raise OperationalError("connection to db.example.com as kb failed")

    monkeypatch.setattr(connections[alias], "cursor", refuse)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()[key] == "unreachable"
    assert "db.example.com" not in response.content.decode()
    assert "db.example.com" in caplog.text


@pytest.mark.django_db(databases=["default", "reading"])
def test_readyz_costs_three_queries(client: Client, django_assert_num_queries: Any) -> None:
    health.last_migrations()

    with django_assert_num_queries(3, using="default"), django_assert_num_queries(1, using="reading"):
        client.get("/readyz")
