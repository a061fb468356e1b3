"""What front ends may rely on: the committed description, its examples, and no answer beside it."""

import copy
import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.handler import Handler
from tests import contract, examples

DATABASE = pytest.mark.django_db(transaction=True, databases=["default", "reading"])


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def world(people: SimpleNamespace, now: Any) -> None:
    examples.make_world(people, now)


# --- The snapshot -------------------------------------------------------------------------------------------
def test_the_committed_description_is_the_one_that_kb_gives() -> None:
    assert contract.text(contract.committed()) == contract.text(contract.current()), (
        "the API changed: run `python -m tests.contract`, and with --accept if that is meant"
    )


def _without(description: Any, *path: str) -> Any:
    changed = copy.deepcopy(description)
    node = changed
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return changed


POSTS = ("paths", "/api/v1/posts/", "get")


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (POSTS, "GET /api/v1/posts/ is gone"),
        ((*POSTS, "responses", "406"), "GET /api/v1/posts/: status 406 is gone"),
        (
            ("components", "schemas", "Card", "properties", "title"),
            "GET /api/v1/posts/ 200 results []: title is gone",
        ),
    ],
)
def test_what_is_taken_away_breaks_a_promise(path: tuple[str, ...], fault: str) -> None:
    old = contract.committed()

    assert fault in contract.breaking(old, _without(old, *path))


def test_a_narrower_parameter_and_a_wider_answer_break_promises() -> None:
    old = contract.committed()
    new = copy.deepcopy(old)
    (limit,) = (
        each for each in new["paths"]["/api/v1/posts/"]["get"]["parameters"] if each["name"] == "limit"
    )
    limit["schema"]["maximum"] = 100
    new["components"]["schemas"]["Card"]["properties"]["title"] = {"type": ["string", "null"]}
    new["components"]["schemas"]["Card"]["required"].remove("slug")

    found = [fault for fault in contract.breaking(old, new) if fault.startswith("GET /api/v1/posts/")]

    assert "GET /api/v1/posts/: parameter limit has a narrower maximum: 100" in found
    assert "GET /api/v1/posts/ 200 results [] title may be null now" in found
    assert "GET /api/v1/posts/ 200 results []: slug may be missing now" in found


def test_what_is_added_breaks_nothing() -> None:
    new = contract.committed()
    old = _without(_without(new, *POSTS), "components", "schemas", "Card", "properties", "title")

    assert contract.breaking(old, new) == []


# --- The examples -------------------------------------------------------------------------------------------
@DATABASE
@pytest.mark.usefixtures("world")
def test_every_example_is_what_the_api_answers(client: Client, request: pytest.FixtureRequest) -> None:
    found = examples.written(examples.answers(client))
    if request.config.getoption("--accept-examples"):
        examples.FILE.write_text(found, encoding="utf-8")

    assert json.loads(found) == json.loads(examples.FILE.read_text(encoding="utf-8"))


def test_every_operation_shows_an_example() -> None:
    shown = set(json.loads(examples.FILE.read_text(encoding="utf-8")))
    operations = {
        operation["operationId"]
        for methods in contract.committed()["paths"].values()
        for operation in methods.values()
        if "application/json" in operation["responses"]["200"]["content"]
    }

    assert {name for name in operations if f"{name} 200" not in shown} == WITHOUT_EXAMPLE


# Their answers are descriptions themselves, or a whole Document's schema.
WITHOUT_EXAMPLE = {"schema", "document_schema"}


# --- Anything at all ----------------------------------------------------------------------------------------
@DATABASE
@pytest.mark.usefixtures("world")
def test_whatever_is_asked_the_answer_is_one_that_is_described(settings: Any) -> None:
    """Schemathesis asks what the description allows and what it does not, the same way in each run."""
    api = schemathesis.openapi.from_dict(contract.current())
    api.app = Handler()
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]
    settings.ALLOWED_HOSTS = ["localhost"]
    answers: Counter[int] = Counter()
    asked = 0
    for found in api.get_all_operations():
        operation = found.ok()
        asked += 1
        there = operation.as_strategy(GenerationMode.POSITIVE, path_parameters=known(operation.path))

        @hypothesis_settings(
            max_examples=12,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(there | operation.as_strategy(GenerationMode.NEGATIVE))
        def ask(case: Any) -> None:
            answers[case.call_and_validate(checks=checks).status_code] += 1

        ask()
    assert asked == len(contract.committed()["paths"])
    # Not all of them were refused for one and the same reason.
    assert min(answers[200], answers[400], answers[404]) > 20


def known(path: str) -> dict[str, Any] | None:
    """What to put into a path so that there is something at it."""
    if "{key}" in path:
        return {"key": examples.CHECKLIST}
    if "{type}" in path:
        return {"type": "stack", "slug": "postgresql"}
    return {"slug": "prove-a-backup", "number": 1, "to": 2} if "{slug}" in path else None
