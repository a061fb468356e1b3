"""Turn what the WSGI server hands over into a request, whatever its headers hold."""

from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """A Content-Type that cannot be read counts as none: Django would fail before any of our answers."""
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # of Django's HttpRequest, not in its stubs
        except (LookupError, ValueError):
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    request_class = Request
