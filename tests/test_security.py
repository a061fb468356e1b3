"""Security: what every answer carries, and what production's settings say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path

from config import errors, middleware
from config.handler import Handler
from config.options import declared

PROJECT = Path(__file__).parent.parent
PRODUCTION = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": "kb.example.com",
    "DATABASE_URL": "postgresql://kb@db.example.com/kb",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # What the browser tests set for this process is no part of an operator's environment.
    left_out = {*declared(), "DJANGO_ALLOW_ASYNC_UNSAFE"}
    clean = {name: value for name, value in os.environ.items() if name not in left_out}
    clean["DJANGO_SETTINGS_MODULE"] = "config.settings"
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(
        command, env=clean | variables, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )


def settings_with(**variables: str) -> dict[str, Any]:
    """The settings of a process that starts with these variables."""
    script = (
        "import json; from config import settings;"
        "print(json.dumps({n: getattr(settings, n) for n in dir(settings) if n.isupper()}, default=str))"
    )
    result = run("-c", script, **variables)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def production() -> dict[str, Any]:
    return settings_with(**PRODUCTION)


def refuse_politely(request: HttpRequest, what: str) -> HttpResponse:
    failures = {"400": SuspiciousOperation, "403": PermissionDenied, "500": ZeroDivisionError}
    raise failures[what]("a detail that is nobody's business")


def with_own_policy(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Content-Security-Policy": "sandbox"})


urlpatterns = [
    path("fail/<str:what>/", refuse_politely),
    path("api/fail/<str:what>/", refuse_politely),
    path("own/", with_own_policy),
    path("", include("kb.site.urls")),  # the error page leads home
]
handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"


def test_deployment_checks_are_silent_on_production_settings() -> None:
    result = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_production_speaks_https_alone(production: dict[str, Any]) -> None:
    assert production["DEBUG"] is False
    assert production["SECURE_SSL_REDIRECT"] is True
    assert production["SECURE_HSTS_SECONDS"] == 31_536_000
    assert production["SECURE_HSTS_INCLUDE_SUBDOMAINS"] is True
    assert production["SECURE_PROXY_SSL_HEADER"] is None


def test_production_cookies_stay_on_this_host_https_and_away_from_scripts(production: dict[str, Any]) -> None:
    for kind in ("SESSION", "CSRF"):
        assert production[f"{kind}_COOKIE_NAME"].startswith("__Host-")
        assert production[f"{kind}_COOKIE_SECURE"] is True
        assert production[f"{kind}_COOKIE_HTTPONLY"] is True
        assert production[f"{kind}_COOKIE_SAMESITE"] == "Lax"
        assert production.get(f"{kind}_COOKIE_DOMAIN") is None
        assert production.get(f"{kind}_COOKIE_PATH", "/") == "/"


def test_production_hashes_passwords_with_argon2(production: dict[str, Any]) -> None:
    assert production["PASSWORD_HASHERS"][0] == "django.contrib.auth.hashers.Argon2PasswordHasher"
    assert len(production["AUTH_PASSWORD_VALIDATORS"]) == 4


def test_no_setting_of_an_operator_makes_the_policy_unsafe() -> None:
    found = settings_with(
        **PRODUCTION,
        DEBUG="true",
        KB_IMAGE_HOSTS="images.example.com,*.cdn.example.com",
        KB_BEHIND_PROXY="true",
    )

    assert found["SECURE_CSP"]["img-src"] == [
        "'self'",
        "data:",
        "https://images.example.com",
        "https://*.cdn.example.com",
    ]
    assert "unsafe" not in json.dumps(found["SECURE_CSP"])
    assert found["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]


def test_quickstart_speaks_plain_http_on_loopback(tmp_path: Path) -> None:
    found = settings_with(
        KB_QUICKSTART="true", KB_DATA_DIR=str(tmp_path), DATABASE_URL=PRODUCTION["DATABASE_URL"]
    )

    assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "localhost", "[::1]"]
    assert found["SECURE_SSL_REDIRECT"] is False
    assert found["SECURE_HSTS_SECONDS"] == 0
    assert found["SESSION_COOKIE_NAME"] == "kb-session"
    assert found["DEBUG"] is False


@pytest.mark.parametrize("address", ["/healthz", "/api/v1/nothing/", "/nothing/"])
def test_every_answer_carries_the_headers(client: Client, address: str) -> None:
    headers = client.get(address).headers

    assert headers["Content-Security-Policy"] == POLICY
    assert "Content-Security-Policy-Report-Only" not in headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-ID"])


def test_pages_carry_djangos_headers_too(client: Client) -> None:
    headers = client.get("/nothing/").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.urls(__name__)
def test_a_view_may_set_a_policy_of_its_own(client: Client) -> None:
    assert client.get("/own/").headers["Content-Security-Policy"] == "sandbox"


def test_a_policy_can_be_tried_before_it_counts(client: Client, settings: Any) -> None:
    settings.SECURE_CSP, settings.SECURE_CSP_REPORT_ONLY = (
        {},
        {"img-src": ["'none'"], "upgrade-insecure-requests": []},
    )

    headers = client.get("/healthz").headers

    assert "Content-Security-Policy" not in headers
    assert headers["Content-Security-Policy-Report-Only"] == "img-src 'none'; upgrade-insecure-requests"


def test_pages_for_developers_keep_their_inline_styles(settings: Any) -> None:
    settings.DEBUG = True

    assert middleware.is_debug_page(HttpResponse(status=500))
    assert not middleware.is_debug_page(HttpResponse(status=200))


def test_plain_http_is_sent_to_https(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True

    response = client.get("/nothing/")

    assert (response.status_code, response.headers["Location"]) == (301, "https://testserver/nothing/")


@pytest.mark.parametrize(("address", "kind"), [("/", "text/html"), ("/api/v1/", "application/problem+json")])
def test_a_foreign_host_name_is_refused(client: Client, address: str, kind: str) -> None:
    response = client.get(address, headers={"Host": "evil.example.com"})

    assert response.status_code == 400
    assert response.headers["Content-Type"].split(";")[0] == kind
    assert "evil" not in response.content.decode()


def test_a_body_beyond_the_limit_is_refused_unread(client: Client) -> None:
    limit = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    response = client.generic("POST", "/api/v1/posts/", b"x", CONTENT_LENGTH=str(limit + 1))

    assert response.status_code == 413
    assert response.json()["detail"] == "The request is larger than 10 MiB: send less at once."


@pytest.mark.parametrize(("address", "kind"), [("/", "text/html"), ("/api/v1/", "application/problem+json")])
def test_a_cookie_with_a_nul_is_refused(client: Client, address: str, kind: str) -> None:
    client.cookies["kb-session"] = "\x00aaaaaaaa"

    response = client.get(address)

    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (400, kind)


@pytest.mark.parametrize("query", ["topic=%00", "a=b&%00", "term=%00&app_label=kb"])
def test_a_query_with_a_nul_gets_no_further_than_the_admins_door(client: Client, query: str) -> None:
    response = client.get(f"/admin/kb/post/?{query}")

    assert response.status_code == 400
    assert "NUL character" in response.content.decode()


@pytest.mark.parametrize("address", ["/?q=%5Cud800", "/admin/kb/post/?q=%5Cx00"])
@pytest.mark.parametrize("encoding", ["unicode_escape", "utf-7", "UTF-16"])
def test_a_request_in_another_encoding_is_refused(client: Client, address: str, encoding: str) -> None:
    response = client.get(address, CONTENT_TYPE=f"text/plain; charset={encoding}")

    assert response.status_code == 400
    assert "send UTF-8" in response.content.decode()


@pytest.mark.parametrize("kind", ["text/plain; x*=bogus''%41", "text/plain; charset=nothing", ";;=", "\xff"])
def test_a_content_type_that_cannot_be_read_is_no_failure(kind: str) -> None:
    request = Handler.request_class(RequestFactory()._base_environ(CONTENT_TYPE=kind))

    assert request.path == "/"


@pytest.mark.parametrize("length", ["-1", "many", "1.5"])
def test_a_length_that_is_no_number_is_refused(client: Client, length: str) -> None:
    assert client.generic("POST", "/api/v1/posts/", b"x", CONTENT_LENGTH=length).status_code == 400


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("what", "status", "title"),
    [("400", 400, "Bad Request"), ("403", 403, "Forbidden"), ("500", 500, "Internal Server Error")],
)
def test_a_failure_under_api_is_a_problem_with_the_request_id(
    client: Client, what: str, status: int, title: str
) -> None:
    client.raise_request_exception = False

    response = client.get(f"/api/fail/{what}/")

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["title"]) == (status, title)
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert "nobody's business" not in response.content.decode()


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("what", ["400", "403", "500"])
def test_a_failure_elsewhere_is_a_page_with_the_request_id(client: Client, what: str) -> None:
    client.raise_request_exception = False

    response = client.get(f"/fail/{what}/")

    assert response.status_code == int(what)
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["X-Request-ID"] in response.content.decode()
    assert "nobody's business" not in response.content.decode()


def test_an_error_page_that_fails_itself_still_says_what_happened(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> str:
        raise RuntimeError("the template is broken")

    monkeypatch.setattr("django.template.loader.render_to_string", fail)

    response = errors.server_error(rf.get("/"))

    assert response.status_code == 500
    assert "Something went wrong on our side." in response.content.decode()
    assert "The error page itself failed" in caplog.text


def test_a_form_from_elsewhere_is_refused_with_a_sentence() -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})

    assert response.status_code == 403
    assert "Go back, reload the page and send it again." in response.content.decode()
