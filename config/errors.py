"""Turn a refused or failed request into its answer: problem+json under /api/, a page elsewhere."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist, loader

logger = logging.getLogger("kb.errors")

SENTENCES = {
    HTTPStatus.BAD_REQUEST: "kb cannot make sense of this request.",
    HTTPStatus.FORBIDDEN: "You may not do this.",
    HTTPStatus.NOT_FOUND: "There is nothing here.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong on our side. Try again; if it stays, name the "
    "request id to whoever runs this site.",
}
# Those after which the same request may succeed later: the cause lies with us or with the moment.
RETRY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
}
# Python 3.13 renamed this one; a code stays.
CODES = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content_too_large"}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, HTTPStatus.BAD_REQUEST)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, HTTPStatus.FORBIDDEN)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, HTTPStatus.NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    return refuse(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = "The form is too old, or another site sent it. Go back, reload the page and send it again."
    return refuse(request, HTTPStatus.FORBIDDEN, sentence)


def refuse(request: HttpRequest, status: HTTPStatus, sentence: str = "") -> HttpResponse:
    """Answer with this status in the form that the path calls for. Neither form quotes the request."""
    sentence = sentence or SENTENCES[status]
    make = problem if request.path.startswith("/api/") else _page
    response = make(request, status, sentence)
    response.headers["Cache-Control"] = "no-store"
    return response


def problem(
    request: HttpRequest,
    status: HTTPStatus,
    sentence: str,
    *,
    code: str = "",
    more: Mapping[str, Any] | None = None,
    retry: bool | None = None,
) -> HttpResponse:
    """Answer with a problem of RFC 9457: `code` is stable for programs, `detail` is for people.

    `retry` says whether the same request may succeed later, which the status tells unless it is given;
    `more` adds members such as `parameter`.
    """
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": code or CODES.get(status, status.name.lower()),
        "detail": sentence,
        **(more or {}),
        "retry": status in RETRY if retry is None else retry,
        "request_id": _id(request),
    }
    response = HttpResponse(json.dumps(body), status=status, content_type="application/problem+json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _page(request: HttpRequest, status: HTTPStatus, sentence: str) -> HttpResponse:
    context = {
        "status": status.value,
        "title": status.phrase,
        "sentence": sentence,
        "request_id": _id(request),
    }
    try:
        # Without the request: its user would be a query, and the database may be what failed.
        return HttpResponse(loader.render_to_string("kb/error.html", context), status=status)
    except Exception as error:
        if not isinstance(error, TemplateDoesNotExist):
            logger.exception("The error page itself failed")
        return HttpResponse(
            f"{sentence}\nRequest id: {_id(request)}\n", status=status, content_type="text/plain"
        )


def _id(request: HttpRequest) -> str:
    return getattr(request, "request_id", "-")
