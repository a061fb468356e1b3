"""Turn what the WSGI server hands over into a request, whatever its headers hold."""

from collections.abc import Callable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, reset_queries
from django.urls import set_script_prefix

API = "/api/"


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """A Content-Type that cannot be read counts as none: Django would fail before any of our answers."""
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # of Django's HttpRequest, not in its stubs
        except (LookupError, ValueError):
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    """Answer requests; those of the API without Django's signals, for which nothing there waits."""

    request_class = Request

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if not environ.get("PATH_INFO", "").startswith(API):
            return super().__call__(environ, start_response)
        request = self.request_class(environ)
        set_script_prefix(request.META["SCRIPT_NAME"])
        response: Any = self.get_response(request)
        # As Django keeps them, name and value; its own way to them looks each one up.
        headers = list(response.headers._store.values())
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        if response.streaming:
            return response  # whose end sends the signal that lets go of connections
        let_go_of_connections()
        return [response.content]


def let_go_of_connections(**signal: Any) -> None:
    """What Django does before and after each request, once and for those connections alone that are open.

    Before a request nothing need be done: no connection of ours grows old, and a broken one is found in use.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            connection.close_if_unusable_or_obsolete()


def keep_connections_cheaply() -> None:
    """For a server without DEBUG, whose log of queries Django would empty here."""
    request_started.disconnect(reset_queries)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_finished.connect(let_go_of_connections)
