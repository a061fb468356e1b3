"""CORS: pages of origins that an operator names read the API and load the meta box; logins never cross."""

from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db(databases=["default", "reading"])

APP, OTHER = "https://app.example.com", "https://other.example.com"
POSTS, BOX = "/api/v1/posts/", "/static/kb/metabox.js"
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,if-none-match",
}


@pytest.fixture(autouse=True)
def allowed(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"
    settings.KB_API_ORIGINS = (APP, "http://localhost:3000")


def cors_headers(response: Any) -> dict[str, str]:
    wanted = ("access-control-", "cross-origin-resource", "vary")
    return {name: value for name, value in response.headers.items() if name.lower().startswith(wanted)}


def varies(response: Any) -> set[str]:
    return {name.strip() for name in response.headers.get("Vary", "").split(",") if name}


@pytest.mark.parametrize(
    "path", [POSTS, "/api/v1/posts/none/", "/api/v1/nothing/", "/api/v1/posts/?x=1", "/api/v1"]
)
def test_a_named_origin_reads_answers_and_refusals(client: Client, path: str) -> None:
    response = client.get(path, headers={"Origin": APP})

    assert response.headers["Access-Control-Allow-Origin"] == APP
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Link", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"} <= set(exposed)
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" in varies(response)


@pytest.mark.parametrize(
    "origin", [OTHER, "null", f"{APP}.evil.example", "http://app.example.com", f"{APP}/", ""]
)
def test_any_other_origin_gets_the_answer_and_no_leave_to_read_it(client: Client, origin: str) -> None:
    response = client.get(POSTS, headers={"Origin": origin} if origin else {})

    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in varies(response)


def test_a_preflight_is_answered_without_looking_anything_up(
    client: Client, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.KB_READ_ACCESS = "authenticated"

    with django_assert_num_queries(0):
        responses = [
            client.options(path, headers={"Origin": APP, **PREFLIGHT})
            for path in (POSTS, "/api/v1/posts/none/")
        ]

    for response in responses:
        assert (response.status_code, response.content) == (204, b"")
        assert cors_headers(response) == {
            "Access-Control-Allow-Origin": APP,
            "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
            "Access-Control-Allow-Headers": "Accept, Authorization, If-Modified-Since, If-None-Match",
            "Access-Control-Max-Age": "7200",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Vary": "Origin",
        }


def test_a_preflight_of_another_origin_gets_no_leave(client: Client) -> None:
    response = client.options(POSTS, headers={"Origin": OTHER, **PREFLIGHT})

    assert response.status_code == 204
    assert cors_headers(response) == {"Cross-Origin-Resource-Policy": "same-origin", "Vary": "Origin"}


def test_the_answer_that_a_cache_may_keep_names_what_it_varies_by(client: Client) -> None:
    first = client.get(POSTS, headers={"Origin": APP})
    second = client.get(POSTS, headers={"Origin": APP, "If-None-Match": first.headers["ETag"]})

    assert second.status_code == 304
    assert second.headers["Access-Control-Allow-Origin"] == APP
    assert varies(first) == varies(second) >= {"Origin"}


def test_a_login_never_crosses(client: Client, settings: Any, people: Any) -> None:
    settings.KB_READ_ACCESS = "authenticated"
    client.force_login(people.stranger)

    response = client.get(POSTS, headers={"Origin": APP})

    # The cookie is for this site's own pages: a browser shows another's page no answer to a request with it.
    assert response.status_code == 200
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_the_star_allows_every_origin_and_still_no_login(client: Client, settings: Any) -> None:
    settings.KB_API_ORIGINS = ("*",)

    response = client.get(POSTS, headers={"Origin": OTHER})

    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" not in varies(response)


def test_the_meta_box_loads_on_pages_of_a_named_origin(client: Client) -> None:
    named, other = (client.head(BOX, headers={"Origin": origin}) for origin in (APP, OTHER))

    assert named.status_code == other.status_code == 200
    assert named.headers["Access-Control-Allow-Origin"] == APP
    # Style sheets come without an Origin header, so this cannot depend on it.
    assert named.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Origin" in varies(other)


def test_without_origins_nothing_is_said_and_nothing_crosses(client: Client, settings: Any) -> None:
    settings.KB_API_ORIGINS = ()

    for path in (POSTS, BOX):
        response = client.head(path, headers={"Origin": APP})
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Origin" not in varies(response)


@pytest.mark.parametrize(
    "path", ["/", "/admin/login/", "/posts/none/", "/static/admin/css/base.css", "/apis/"]
)
def test_pages_never_cross(client: Client, settings: Any, path: str) -> None:
    settings.KB_API_ORIGINS = ("*",)

    response = client.head(path, headers={"Origin": APP})

    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
