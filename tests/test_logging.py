"""Logs: one line a request with its id, fit for machines in production and for people elsewhere."""

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from config.logs import JsonFormatter, RequestLogMiddleware, TextFormatter, logging_settings, request_id

OFFERED = "proxy-4f2c.19_AB"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("kb.test", logging.INFO, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


@pytest.fixture
def answer(caplog: pytest.LogCaptureFixture) -> Callable[[HttpRequest], HttpResponse]:
    """Send a request through the middleware to a view that logs one line."""
    caplog.set_level(logging.DEBUG)

    def view(request: HttpRequest) -> HttpResponse:
        logging.getLogger("kb.test").info("seen as %s", request_id())
        return HttpResponse(request.request_id)

    return RequestLogMiddleware(view)


def access_lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [line for line in caplog.records if line.name == "kb.access"]


def test_one_id_is_in_the_header_the_request_and_the_log(
    answer: Any, rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    response = answer(rf.get("/posts/"))

    identifier = response.headers["X-Request-ID"]
    assert response.content.decode() == identifier
    assert caplog.messages[0] == f"seen as {identifier}"


def test_each_request_has_an_id_of_its_own_and_none_is_left_behind(answer: Any, rf: RequestFactory) -> None:
    first, second = (answer(rf.get("/")).headers["X-Request-ID"] for _ in range(2))

    assert first != second
    assert request_id() == "-"


def test_an_offered_id_counts_only_behind_a_proxy_that_vouches_for_it(
    answer: Any, rf: RequestFactory, settings: Any
) -> None:
    request = rf.get("/", headers={"X-Request-ID": OFFERED})

    assert answer(request).headers["X-Request-ID"] != OFFERED

    settings.TRUST_REQUEST_ID = True
    assert answer(request).headers["X-Request-ID"] == OFFERED


@pytest.mark.parametrize(
    "offered", ["", "short", "x" * 65, "id with spaces", "12345678\n", "<script>alert(1)"]
)
def test_a_malformed_id_is_replaced(answer: Any, rf: RequestFactory, settings: Any, offered: str) -> None:
    settings.TRUST_REQUEST_ID = True

    given = answer(rf.get("/", headers={"X-Request-ID": offered})).headers["X-Request-ID"]

    assert given != offered
    assert len(given) == 32


def test_a_request_leaves_one_line_with_status_and_time(
    answer: Any, rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    answer(rf.post("/posts/"))

    [line] = access_lines(caplog)
    assert (line.method, line.path, line.status, line.user) == ("POST", "/posts/", 200, None)
    assert 0 <= line.ms < 1000


def test_a_line_holds_neither_query_nor_body_nor_headers(
    answer: Any, rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    answer(rf.post("/search/?q=canary1", {"password": "canary2"}, headers={"Authorization": "canary3"}))

    assert "canary" not in "".join(JsonFormatter().format(line) for line in caplog.records)


def test_a_refused_request_leaves_one_line_too(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.KB_READ_ACCESS = "public"
    caplog.set_level(logging.INFO)

    client.get("/api/v1/nothing-is-here/?q=canary")

    [line] = [line for line in caplog.records if line.name == "kb.access"]
    assert line.status == 404
    assert "canary" not in JsonFormatter().format(line)


def test_probes_are_logged_for_debugging_alone(
    answer: Any, rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    answer(rf.get("/healthz"))

    assert [line.levelno for line in access_lines(caplog)] == [logging.DEBUG]


def test_a_json_line_is_one_object() -> None:
    text = JsonFormatter().format(record("GET %s", "/a\nb", method="GET", path="/a\nb", status=200, ms=1.5))

    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "kb.test",
        "message": "GET /a\nb",
        "request_id": "-",
        "method": "GET",
        "path": "/a\nb",
        "status": 200,
        "ms": 1.5,
    }


def test_a_json_line_holds_the_traceback() -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        failed = record("failed")
        failed.exc_info = sys.exc_info()

    line = json.loads(JsonFormatter().format(failed))

    assert line["exception"].endswith("ValueError: no such thing")


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b[2J", "\u2028", "\x85"])
def test_no_request_writes_a_text_line_of_its_own(sign: str) -> None:
    text = TextFormatter().format(record("GET %s", f"/a{sign}12:00:00 INFO forged"))

    assert sign not in text
    assert len(text.splitlines()) == 1


def test_production_logs_json_and_warnings_alone_if_asked() -> None:
    settings = logging_settings("json", "WARNING")

    assert settings["handlers"]["stream"]["formatter"] == "json"
    assert settings["root"]["level"] == "WARNING"
