"""Turn what happens into log lines that carry the request's id: JSON for machines, short lines for people.

A line never holds query strings, bodies, cookies or headers: people search for names and paste secrets.
"""

import json
import logging
import random
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "X-Request-ID"
PROBES = ("/healthz", "/readyz")

# Short and plain enough to be quoted in a header, a page, a log line and a mail to the operator.
_well_formed = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_request_id: ContextVar[str] = ContextVar("request_id", default="-")
_own_fields = ("method", "path", "status", "ms", "user")

access = logging.getLogger("kb.access")
# None of our lines names threads, processes or the place in the code: logging need not look them up.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
logging._srcfile = None  # so named in the documentation of logging, under "Optimization"


def request_id() -> str:
    """The id of the request that this code answers; "-" outside of requests."""
    return _request_id.get()


class RequestLogMiddleware:
    """Give each request an id, send it back as X-Request-ID, and write one line when the answer is ready.

    An id that comes with the request counts only where a proxy vouches for it (TRUST_REQUEST_ID).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        begin = time.perf_counter()
        # A name for people to quote, no secret: what the system would give at random costs a call of it.
        request.request_id = _offered_id(request) or f"{random.getrandbits(128):032x}"  # type: ignore[attr-defined]
        token = _request_id.set(request.request_id)  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
            response.headers[HEADER] = request.request_id  # type: ignore[attr-defined]
            _write_line(request, response.status_code, 1000 * (time.perf_counter() - begin))
        finally:
            _request_id.reset(token)
        return response


def _offered_id(request: HttpRequest) -> str | None:
    offered = request.headers.get(HEADER, "") if settings.TRUST_REQUEST_ID else ""
    return offered if _well_formed.fullmatch(offered) else None


def _write_line(request: HttpRequest, status: int, ms: float) -> None:
    # A probe every second would drown everything else.
    level = logging.DEBUG if request.path in PROBES else logging.INFO
    if not access.isEnabledFor(level):
        return
    # Only a user who was loaded anyway: a log line must not cost a query.
    user = getattr(getattr(request, "_cached_user", None), "pk", None)
    fields = {
        "method": request.method,
        "path": request.path,
        "status": status,
        "ms": round(ms, 1),
        "user": user,
    }
    # Logger.log would look for the place in the code, and at each name of what is added.
    args = (request.method, request.path, status, ms)
    record = logging.LogRecord(access.name, level, "", 0, "%s %s %s %.1f ms", args, None)
    record.__dict__.update(fields)
    access.handle(record)


_as_json = json.JSONEncoder(default=str).encode


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id(),
        }
        known = record.__dict__
        line |= {name: known[name] for name in _own_fields if known.get(name) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return _as_json(line)


class TextFormatter(logging.Formatter):
    """One short line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = f"{moment} {record.levelname:<7} {request_id()[:8]:<8} {record.name}: "
        text += _one_line(record.getMessage())
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            text = f"{text}\n{self.formatStack(record.stack_info)}"
        return text


def _one_line(text: str) -> str:
    """Show control characters as escapes, so that no request can write a log line of its own."""
    return _control.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def logging_settings(form: str, level: str) -> dict[str, Any]:
    """Django's LOGGING: all lines to the standard error stream, at or above this level."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "config.logs.JsonFormatter"},
            "text": {"()": "config.logs.TextFormatter"},
        },
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": form}},
        "root": {"handlers": ["stream"], "level": level},
        "loggers": {
            # Django's own handlers would write each line a second time.
            "django": {"handlers": [], "propagate": True},
            # What these two say of refused requests is in the access line, and they would add the query.
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": [], "level": "ERROR", "propagate": True},
            # One line a query is too much even for DEBUG.
            "django.db.backends": {"level": "INFO"},
            "django.template": {"level": "INFO"},
            "django.utils.autoreload": {"level": "INFO"},
            "asyncio": {"level": "INFO"},
        },
    }
