"""Turn the state of this process and its databases into /healthz and /readyz, for supervisors."""

import logging
from collections.abc import Callable
from functools import cache
from http import HTTPStatus

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import Error as DatabaseError
from django.http import HttpRequest, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase

logger = logging.getLogger("kb.health")

READING_DB_ALIAS = "reading"


class ProbeMiddleware:
    """Answer /healthz (does the process answer?) and /readyz (can it do its work?) before anything else.

    Probes come by address and plain http, without a login: host check, redirect and login would refuse them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        probe = {"/healthz": healthz, "/readyz": readyz}.get(request.path)
        if probe is None:
            return self.get_response(request)
        response = probe() if request.method in {"GET", "HEAD"} else HttpResponseNotAllowed(["GET", "HEAD"])
        response.headers["Cache-Control"] = "no-store"
        return response


def healthz() -> HttpResponseBase:
    return JsonResponse({"status": "ok"})


def readyz() -> HttpResponseBase:
    """200 if both databases answer and every migration is applied, else 503 with what is amiss."""
    found = {
        "database": _state(DEFAULT_DB_ALIAS, _select_one),
        "reading_database": _state(READING_DB_ALIAS, _select_one),
        "migrations": _state(DEFAULT_DB_ALIAS, _migrations),
    }
    ready = set(found.values()) == {"ok"}
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({"status": "ok" if ready else "unavailable", **found}, status=status)


def _state(alias: str, look: Callable[[str], str]) -> str:
    try:
        return look(alias)
    except DatabaseError:
        # The reason may name hosts and users: it goes to the log, not to whoever asks.
        logger.warning("The database %r does not answer as it should", alias, exc_info=True)
        return "unreachable"


def _select_one(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations(alias: str) -> str:
    missing = last_migrations() - set(MigrationRecorder(connections[alias]).applied_migrations())
    apps = len({app for app, _ in missing})
    lack = "app lacks" if apps == 1 else "apps lack"
    return f"{apps} {lack} migrations: run manage.py migrate" if apps else "ok"


@cache
def last_migrations() -> frozenset[tuple[str, str]]:
    """The last migration of each app, which depends on all before it; read once, as code does not change."""
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes())
