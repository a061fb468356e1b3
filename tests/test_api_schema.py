"""The description of the API: valid, complete, and true of real answers."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from jsonschema import Draft202012Validator

from kb.document import Document, json_schema
from kb.models import Post, Publication
from tests.test_api import FULL

DATABASE = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[[Post], Publication]


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    return client.get("/api/v1/schema/").json()


def closed(node: Any) -> Any:
    """The same schema, refusing members that an object does not name."""
    if isinstance(node, list):
        return [closed(part) for part in node]
    if not isinstance(node, dict):
        return node
    shut = {key: closed(value) for key, value in node.items()}
    if "properties" in shut and "additionalProperties" not in shut:
        shut["additionalProperties"] = False
    return shut


def faults(schema: dict[str, Any], path: str, response: Any) -> list[str]:
    """What an answer holds against what is promised for this path."""
    promised = schema["paths"][path]["get"]["responses"][str(response.status_code)]
    form = promised["content"][response.headers["Content-Type"]]
    whole = {**closed(form["schema"]), "components": closed(schema["components"])}
    return [error.message for error in Draft202012Validator(whole).iter_errors(response.json())]


def test_the_description_is_valid_openapi() -> None:
    out = StringIO()

    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)

    assert "openapi: 3.1" in out.getvalue()


def test_every_address_is_described_but_the_page_for_people(schema: dict[str, Any]) -> None:
    (api,) = (part for part in get_resolver().url_patterns if str(part.pattern) == "api/v1/")
    addresses = {
        "/api/v1/" + str(entry.pattern).replace("<slug:", "<").replace("<str:", "<").replace("<int:", "<")
        for entry in api.url_patterns
        if entry.name not in {"docs", "nothing"}
    }

    assert {path.replace("{", "<").replace("}", ">") for path in schema["paths"]} == addresses
    assert {method for operations in schema["paths"].values() for method in operations} == {"get"}


def test_every_operation_tells_its_refusals(schema: dict[str, Any]) -> None:
    for path, operations in schema["paths"].items():
        responses = operations["get"]["responses"]
        may_be_missing = {"404"} if "{" in path else set()
        kept = set() if path == "/api/v1/export/" else {"304"}
        assert set(responses) == {
            *("200", "400", "401", "403", "406", "429", "500", "503"),
            *kept,
            *may_be_missing,
        }
        assert list(responses["400"]["content"]) == ["application/problem+json"]
        assert all({"RateLimit", "RateLimit-Policy"} <= set(told["headers"]) for told in responses.values())
        assert "Retry-After" in responses["429"]["headers"]


def test_every_operation_tells_the_scope_that_a_token_needs(schema: dict[str, Any]) -> None:
    scopes = {path: each["get"]["security"][0]["token"] for path, each in schema["paths"].items()}

    assert scopes["/api/v1/"] == scopes["/api/v1/schema/"] == []
    assert scopes["/api/v1/posts/{slug}/"] == ["read"]
    assert scopes["/api/v1/changes/"] == ["changes"]
    assert set(schema["components"]["securitySchemes"]) == {"token", "session"}


def test_the_list_of_posts_tells_its_parameters(schema: dict[str, Any]) -> None:
    operation = schema["paths"]["/api/v1/posts/"]["get"]
    parameters = {each["name"]: each["schema"] for each in operation["parameters"] if each["in"] == "query"}

    assert len(parameters) == 35
    assert parameters["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    words = {"type": "string", "enum": ["beginner", "intermediate", "advanced"]}
    assert parameters["difficulty"] == {"type": "array", "items": words, "maxItems": 20}
    assert parameters["ordering"]["enum"] == [
        *("-published_at", "published_at", "-reviewed_at", "-quality", "title")
    ]
    assert parameters["ai_involved"] == {"type": "boolean"}
    assert parameters["topic"]["items"] == {"type": "string", "minLength": 1, "maxLength": 500}
    assert parameters["q"] == {"type": "string", "minLength": 1, "maxLength": 200}


@DATABASE
@pytest.mark.parametrize(
    ("path", "tail"),
    [
        ("/api/v1/", ""),
        ("/api/v1/posts/", ""),
        ("/api/v1/posts/{slug}/", "full/"),
        ("/api/v1/posts/{slug}/", "bare/"),
        ("/api/v1/posts/{slug}/meta/", "full/meta/"),
        ("/api/v1/posts/{slug}/meta/", "bare/meta/"),
        ("/api/v1/posts/{slug}/revisions/", "full/revisions/"),
        ("/api/v1/posts/{slug}/revisions/{number}/", "full/revisions/1/"),
        ("/api/v1/posts/{slug}/revisions/{number}/", "bare/revisions/1/"),
        ("/api/v1/posts/{slug}/revisions/{number}/diff/{to}/", "full/revisions/1/diff/1/"),
        ("/api/v1/posts/", "?count=none"),
        ("/api/v1/facets/", ""),
        ("/api/v1/facets/", "?tool=ruff&kind=tool"),
        ("/api/v1/status/", ""),
        ("/api/v1/posts/{slug}/", "none/"),
        ("/api/v1/posts/", "?topik=1"),
        ("/api/v1/entities/", ""),
        ("/api/v1/checklists/", ""),
        ("/api/v1/changes/", ""),
        ("/api/v1/document-schema/", ""),
    ],
)
def test_answers_are_what_the_description_promises(
    client: Client,
    make_post: MakePost,
    publish: Publish,
    schema: dict[str, Any],
    path: str,
    tail: str,
) -> None:
    publish(make_post(slug="full", **FULL))
    publish(make_post(slug="bare"))

    response = client.get(path.partition("{")[0] + tail)

    assert faults(schema, path, response) == []


@DATABASE
def test_an_entity_and_a_checklist_are_what_the_description_promises(
    client: Client, make_post: MakePost, publish: Publish, schema: dict[str, Any]
) -> None:
    publish(make_post(slug="full", **FULL))
    (checklist,) = client.get("/api/v1/checklists/").json()["results"]

    entity = client.get("/api/v1/entities/stack/python-services/")
    assert faults(schema, "/api/v1/entities/{type}/{slug}/", entity) == []
    assert faults(schema, "/api/v1/checklists/{key}/", client.get(checklist["url"])) == []
    posts = client.get("/api/v1/entities/stack/python-services/posts/")
    assert faults(schema, "/api/v1/entities/{type}/{slug}/posts/", posts) == []
    posts = client.get(checklist["links"]["posts"])
    assert faults(schema, "/api/v1/checklists/{key}/posts/", posts) == []


@DATABASE
def test_a_promise_that_is_not_kept_is_found(
    client: Client, make_post: MakePost, publish: Publish, schema: dict[str, Any]
) -> None:
    publish(make_post(slug="full", **FULL))
    response = client.get("/api/v1/entities/stack/python-services/")
    body = response.json()
    response.json = lambda: {**body, "extra": 1, "name": None, "links": {"posts": 7}}

    assert len(faults(schema, "/api/v1/entities/{type}/{slug}/", response)) == 3


@DATABASE
def test_a_part_of_a_post_is_promised_too_and_nothing_beside_it(
    client: Client, make_post: MakePost, publish: Publish, schema: dict[str, Any]
) -> None:
    publish(make_post(slug="full", **FULL))
    parts = {
        "/api/v1/posts/{slug}/": "full/?fields=title&expand=meta,revisions,entities",
        "/api/v1/posts/{slug}/meta/": "full/meta/?brief=true",
        "/api/v1/posts/": "?omit=slug&expand=meta",
    }
    for path, tail in parts.items():
        assert faults(schema, path, client.get("/api/v1/posts/" + tail)) == []

    response = client.get("/api/v1/posts/full/?fields=title")
    response.json = lambda: {"title": None}
    assert len(faults(schema, "/api/v1/posts/{slug}/", response)) == 1


@DATABASE
def test_a_revisions_document_is_a_document(client: Client, make_post: MakePost, publish: Publish) -> None:
    publication = publish(make_post(slug="full", **FULL))

    document = client.get("/api/v1/posts/full/revisions/1/").json()

    Draft202012Validator(json_schema()).validate(document)
    assert Document.read(document).fingerprint == publication.fingerprint


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("application/yaml", "application/yaml"),
        ("application/vnd.oai.openapi", "application/vnd.oai.openapi"),
    ],
)
def test_the_description_comes_as_json_and_as_yaml(client: Client, accept: str, kind: str) -> None:
    response = client.get("/api/v1/schema/", headers={"Accept": accept})

    assert (response.status_code, response.headers["Content-Type"]) == (200, kind)
    assert response.headers["Vary"] == "Authorization, Accept"
    if kind.endswith("json"):
        assert json.loads(response.content)["info"]["title"] == "kb API"
