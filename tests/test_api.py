"""The readers' door: stored bytes, honest caching, one answer for all that is not published, no writing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from kb.api import door
from kb.flow import publishing, reviewing, revising, verifying
from kb.models import Post, Publication
from kb.models.publication import moment
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[[Post], Publication]

CHECKLIST = {"title": "Before release", "items": ["run linting", "tag the release"]}
FULL: dict[str, Any] = {
    "title": "Measure first, “then” change",
    "body": "Some *text* about uvicorn.",
    "topic": "production defaults",
    "summary": "How to change a default.",
    "outline": [{"label": "context", "text": "before a migration"}],
    "brief": "Be careful.",
    "stack": ["python services", "backend"],
    "tools": ["uvicorn", "ruff"],
    "code_language": "python",
    "difficulty": "advanced",
    "reading_time": 12,
    "scores": {"quality": 74, "freshness": 69, "depth": 72, "clarity": 94},
    "checklists": [CHECKLIST],
    "entities": [{"name": "python services", "type": "stack"}, {"name": "pipelines", "type": "ci, cd"}],
    "images": [{"source": "unsplash", "url": "https://images.example.com/1.png", "caption": "A picture"}],
    "payload": {"source_id": "a-1", "generator": "synthesizer", "paragraphs": 7, "seed": 10444},
    "notes": ["a note"],
    "owner": "Platform team",
    "expected_result": "Defaults are documented.",
    "rollback_note": "Revert.",
}
ADDRESSES = (
    "/api/v1/",
    "/api/v1/posts/",
    "/api/v1/posts/full/",
    "/api/v1/posts/full/meta/",
    "/api/v1/posts/full/revisions/",
    "/api/v1/posts/full/revisions/1/",
    "/api/v1/posts/full/revisions/1/diff/1/",
    "/api/v1/posts/full/?brief=true&expand=meta",
    "/api/v1/entities/",
    "/api/v1/entities/stack/python-services/",
    "/api/v1/entities/stack/python-services/posts/",
    "/api/v1/checklists/",
    "/api/v1/facets/",
    "/api/v1/status/",
    "/api/v1/changes/",
    "/api/v1/document-schema/",
    "/api/v1/schema/",
)


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def full(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> Publication:
    begin_with(lambda: publish(make_post(slug="full", **FULL)))
    return Publication.objects.get()


def without_id(response: Any) -> dict[str, Any]:
    return {**response.json(), "request_id": "-"}


def queries(url: str, client: Client, alias: str = "reading") -> int:
    with CaptureQueriesContext(connections[alias]) as caught:
        assert client.get(url).status_code == 200
    return len(caught)


# --- What is published --------------------------------------------------------------------------------------
def test_a_post_goes_out_as_it_was_stored(client: Client, full: Publication) -> None:
    detail = client.get("/api/v1/posts/full/")
    meta = client.get("/api/v1/posts/full/meta/")

    assert detail.content == full.detail_json.encode()
    assert meta.content == full.meta_json.encode()
    assert detail.headers["Content-Type"] == meta.headers["Content-Type"] == "application/json"


def test_a_list_joins_the_stored_cards(client: Client, make_post: MakePost, publish: Publish) -> None:
    first = publish(make_post())
    second = publish(make_post())

    response = client.get("/api/v1/posts/")

    cards = f"{second.card_json},{first.card_json}"
    count = '{"value":2,"exact":true}'
    body = f'{{"next":null,"previous":null,"count":{count},"results":[{cards}]}}'
    assert response.content.decode() == body


def test_an_empty_knowledge_base_lists_nothing(client: Client) -> None:
    assert client.get("/api/v1/posts/").json() == {
        "next": None,
        "previous": None,
        "count": {"value": 0, "exact": True},
        "results": [],
    }


def test_the_root_names_every_list(client: Client) -> None:
    assert client.get("/api/v1/").json() == {
        "name": "kb",
        "version": "1",
        "links": {
            "posts": "/api/v1/posts/",
            "entities": "/api/v1/entities/",
            "checklists": "/api/v1/checklists/",
            "search": "/api/v1/search/",
            "suggest": "/api/v1/suggest/",
            "facets": "/api/v1/facets/",
            "changes": "/api/v1/changes/",
            "export": "/api/v1/export/",
            "status": "/api/v1/status/",
            "document_schema": "/api/v1/document-schema/",
            "schema": "/api/v1/schema/",
            "docs": "/api/v1/docs/",
        },
    }


def test_every_address_in_a_post_answers(client: Client, full: Publication) -> None:
    post = client.get("/api/v1/posts/full/").json()

    addresses = [post["url"], *post["links"].values(), *(entity["url"] for entity in post["entities"])]

    assert {address: client.get(address).status_code for address in addresses} == dict.fromkeys(
        addresses, 200
    )


def test_the_revisions_of_a_published_post_are_those_that_were_approved(
    client: Client, make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(slug="twice", title="One")
    first = publish(post)
    edit(post, people, now, title="Two")
    edit(post, people, now, title="Three")
    last = publish(post)
    edit(post, people, now, title="Four")

    found = client.get("/api/v1/posts/twice/revisions/").json()

    assert (found["next"], found["previous"]) == (None, None)
    assert found["results"] == [
        {
            "number": number,
            "version": publication.version,
            "fingerprint": publication.fingerprint,
            "approved_at": "2026-11-23T12:00:00Z",
            "url": f"/api/v1/posts/twice/revisions/{number}/",
        }
        for number, publication in ((3, last), (1, first))
    ]
    titles = {
        number: client.get(f"/api/v1/posts/twice/revisions/{number}/").json()["title"] for number in range(6)
    }
    assert titles == {1: "One", 3: "Three", **dict.fromkeys((0, 2, 4, 5), "Not Found")}


def edit(post: Post, people: SimpleNamespace, now: datetime, **fields: Any) -> None:
    post.refresh_from_db()
    changed = post.document().model_copy(update=fields)
    note = revising.ChangeNote("because")
    revising.save(post, changed, base_number=post.head.number, by=people.editor, at=now, note=note)


def test_an_entity_counts_and_lists_published_posts_alone(
    client: Client, make_post: MakePost, publish: Publish, full: Publication
) -> None:
    make_post(entities=FULL["entities"])

    entity = client.get("/api/v1/entities/stack/python-services/").json()

    assert entity == {
        "type": "stack",
        "name": "python services",
        "slug": "python-services",
        "posts": 1,
        "url": "/api/v1/entities/stack/python-services/",
        "links": {"posts": "/api/v1/entities/stack/python-services/posts/"},
        "newest": [json.loads(full.card_json)],
    }
    assert [card["slug"] for card in client.get(entity["links"]["posts"]).json()["results"]] == ["full"]


def test_entities_are_listed_by_type_and_name(client: Client, full: Publication) -> None:
    everything = client.get("/api/v1/entities/").json()["results"]
    stacks = client.get("/api/v1/entities/?type=stack").json()["results"]

    assert [(row["type"], row["name"]) for row in everything] == [
        ("ci, cd", "pipelines"),
        ("stack", "python services"),
    ]
    assert [row["name"] for row in stacks] == ["python services"]


def test_a_checklist_names_its_items_and_the_posts_that_carry_it(client: Client, full: Publication) -> None:
    (row,) = client.get("/api/v1/checklists/").json()["results"]
    checklist = client.get(row["url"]).json()

    assert {key: row[key] for key in ("title", "items", "posts")} == {**CHECKLIST, "posts": 1}
    assert checklist == {**row, "newest": [json.loads(full.card_json)]}
    assert [card["slug"] for card in client.get(row["links"]["posts"]).json()["results"]] == ["full"]


def test_a_consumer_of_changes_misses_nothing_and_gets_nothing_twice(
    client: Client, make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    one, two = make_post(slug="one"), make_post(slug="two")
    publish(one)
    publish(two)
    seen, address, more = [], "/api/v1/changes/?limit=1", True
    while more:
        feed = client.get(address).json()
        seen += feed["results"]
        address, more = feed["next"], feed["more"]
    reviewing.withdraw(one, by=people.administrator, at=now, comment="wrong")

    later = client.get(address).json()

    told = [(change["kind"], change["slug"]) for change in seen + later["results"]]
    assert told == [("published", "one"), ("published", "two"), ("withdrawn", "one")]
    assert client.get(later["next"]).json() == {"next": later["next"], "more": False, "results": []}


def test_the_document_schema_is_the_documents_own(client: Client) -> None:
    response = client.get("/api/v1/document-schema/")

    assert response.headers["Content-Type"] == "application/schema+json"
    assert response.json()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert response.json()["title"] == "Document"


# --- What is not --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "tail",
    ["", "meta/", "?expand=meta,revisions,entities", "revisions/", "revisions/1/", "revisions/1/diff/1/"],
)
def test_a_draft_a_withdrawn_post_and_none_at_all_answer_alike(
    client: Client,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    now: datetime,
    tail: str,
) -> None:
    make_post(slug="draft")
    gone = make_post(slug="gone")
    etag = f'"{publish(gone).etag}"'
    reviewing.withdraw(gone, by=people.administrator, at=now, comment="wrong")

    answers = [
        client.get(f"/api/v1/posts/{slug}/{tail}", headers={"If-None-Match": held})
        for slug in ("draft", "gone", "none")
        for held in ("", "*", etag)
    ]

    assert {answer.status_code for answer in answers} == {404}
    bodies = [without_id(answer) for answer in answers]
    assert bodies == [bodies[0]] * 9
    assert bodies[0] == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "not_found",
        "detail": "There is nothing here.",
        "retry": False,
        "request_id": "-",
    }
    heads = [dict(answer.headers) | {"X-Request-ID": "-"} for answer in answers]
    assert heads == [heads[0]] * 9


def test_what_is_published_again_as_a_draft_still_shows_the_approved_text(
    client: Client, full: Publication, people: SimpleNamespace, now: datetime
) -> None:
    edit(Post.objects.get(slug="full"), people, now, title="Unseen", summary="Unseen")

    answers = [client.get(address).content for address in ADDRESSES]

    assert not any(b"Unseen" in answer for answer in answers)


@pytest.mark.parametrize(
    "path",
    [
        "posts/%00/",
        "posts/a%00b/meta/",
        "posts/" + "x" * 3000 + "/",
        "posts/none/revisions/99999999999999999999999/",
        "posts/none/revisions/" + "9" * 5000 + "/",
        "posts/none/revisions/-1/",
        "entities/a%00/b/",
        "entities/a/b%00/",
        "entities/stack/%F0%28%8C%28/",
        "entities//x/",
        "checklists/none/",
        "checklists/%00/",
        "checklists/" + "f" * 64 + "/",
        "nothing/",
        "posts/full/other/",
        "%0A/",
        "a%0Ab/",
    ],
)
def test_an_address_without_anything_is_a_404(client: Client, path: str) -> None:
    response = client.get(f"/api/v1/{path}")

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


# --- Caching ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_reader_who_has_the_answer_gets_304(client: Client, full: Publication, address: str) -> None:
    first = client.get(address)
    tag = first.headers["ETag"]

    for held in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = client.get(address, headers={"If-None-Match": held})

        assert (again.status_code, again.content) == (304, b"")
        for name in ("ETag", "Cache-Control", "Last-Modified", "Vary"):
            assert again.headers.get(name) == first.headers.get(name)
    assert client.get(address, headers={"If-None-Match": '"other"'}).content == first.content
    assert tag.startswith('"')
    assert first.headers["Cache-Control"] == "private, no-cache"


def test_a_changed_metric_changes_the_etag(client: Client, full: Publication, now: datetime) -> None:
    held = {"If-None-Match": client.get("/api/v1/posts/full/").headers["ETag"]}
    Post.objects.filter(slug="full").update(view_count=41)
    publishing.refresh(Post.objects.get(slug="full"), at=now)

    response = client.get("/api/v1/posts/full/", headers=held)

    assert (response.status_code, response.json()["view_count"]) == (200, 41)


def test_last_modified_is_when_somebody_last_vouched_for_it(
    client: Client, full: Publication, people: SimpleNamespace, now: datetime
) -> None:
    def modified() -> list[str | None]:
        return [client.get(address).headers.get("Last-Modified") for address in ADDRESSES[2:4]]

    approved = modified()
    verifying.verify(
        full.post,
        published=full.fingerprint,
        checked="Tried it.",
        by=people.reviewer,
        at=now + timedelta(days=1),
    )

    assert approved == ["Mon, 23 Nov 2026 12:00:00 GMT"] * 2
    assert modified() == ["Tue, 24 Nov 2026 12:00:00 GMT"] * 2


@pytest.mark.parametrize("address", ["posts/full/?expand=entities", "status/"])
def test_what_changes_at_other_moments_too_has_no_last_modified(
    client: Client, full: Publication, address: str
) -> None:
    answer = client.get(f"/api/v1/{address}")

    assert (answer.status_code, answer.headers.get("Last-Modified")) == (200, None)


def test_an_operator_can_let_caches_keep_answers(client: Client, full: Publication, settings: Any) -> None:
    settings.KB_API_CACHE_CONTROL = "public, max-age=60"

    assert client.get("/api/v1/posts/").headers["Cache-Control"] == "public, max-age=60"
    assert client.get("/api/v1/posts/none/").headers["Cache-Control"] == "no-store"


# --- Cost ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [1, 3])
def test_each_answer_is_one_query(client: Client, make_post: MakePost, publish: Publish, count: int) -> None:
    for number in range(count):
        publish(make_post(slug=f"post-{number}", **FULL))
    addresses = {
        "posts/": 1,
        "posts/?q=text&stack=backend&quality__gte=1": 1,
        "posts/?stack=backend&stack=x&tool__all=ruff,uvicorn&updated__gte=2020-01-01&expand=meta": 1,
        "posts/?ordering=title&entity=stack:python services&difficulty=advanced": 1,
        "posts/?fields=title&count=none": 1,
        "posts/?count=exact": 1,
        # The page, and the count in a transaction of its own with a limit of time.
        "posts/?count=exact&limit=1&quality__gte=1": 1 if count == 1 else 5,
        "posts/post-0/": 1,
        "posts/post-0/?fields=title&expand=meta,revisions,entities": 4,
        "posts/post-0/meta/": 1,
        "posts/post-0/meta/?brief=true": 1,
        "posts/post-0/revisions/1/diff/1/": 1,
        "posts/post-0/revisions/": 1,
        "posts/post-0/revisions/1/": 1,
        "entities/": 1,
        "entities/?type=stack&q=py&ordering=-posts": 1,
        "entities/stack/python-services/": 1,
        "entities/stack/python-services/posts/": 2,
        "checklists/": 1,
        "facets/": 1,
        "facets/?stack=backend": 1,
        "status/": 1,
        "changes/": 1,
        "schema/": 0,
    }

    assert {path: queries(f"/api/v1/{path}", client) for path in addresses} == addresses
    assert {path: queries(f"/api/v1/{path}", client, "default") for path in addresses} == dict.fromkeys(
        addresses, 0
    )


def test_an_open_api_asks_for_no_user_even_of_those_who_logged_in(
    client: Client, full: Publication, people: SimpleNamespace
) -> None:
    client.force_login(people.editor)

    assert queries("/api/v1/posts/full/", client, "default") == 0
    assert client.get("/api/v1/posts/full/").headers["Vary"] == "Authorization"


# --- Methods and forms --------------------------------------------------------------------------------------
@pytest.mark.parametrize("address", [*ADDRESSES, "/api/v1/posts/none/", "/api/v1/nothing/", "/api/v1/posts"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_nothing_can_be_written(client: Client, address: str, method: str) -> None:
    response = client.generic(method, address, b"{}", content_type="application/json")

    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert without_id(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize("address", [*ADDRESSES, "/api/v1/posts/none/", "/api/v1/posts/?topik=x"])
def test_head_tells_what_get_would(client: Client, full: Publication, address: str) -> None:
    get, head = client.get(address), client.head(address)

    assert (head.status_code, head.content) == (get.status_code, b"")
    assert int(head.headers["Content-Length"]) == len(get.content)
    assert dict(head.headers) | {"X-Request-ID": "-"} == dict(get.headers) | {"X-Request-ID": "-"}


def test_options_tells_nothing_of_a_post(client: Client, full: Publication) -> None:
    answers = [client.options(f"/api/v1/posts/{slug}/") for slug in ("full", "none")]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    heads = [dict(answer.headers) | {"X-Request-ID": "-"} for answer in answers]
    assert heads[0] == heads[1]
    assert heads[0]["Allow"] == "GET, HEAD, OPTIONS"


def test_a_form_that_is_not_there_is_406(client: Client, full: Publication) -> None:
    for address in ("/api/v1/posts/full/", "/api/v1/posts/none/"):
        response = client.get(address, headers={"Accept": "application/xml"})

        assert (response.status_code, response.json()["offers"]) == (406, ["application/json"])


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "text/html, */*;q=0.1", "application/json; charset=utf-8"]
)
def test_what_accepts_json_gets_json(client: Client, full: Publication, accept: str) -> None:
    assert client.get("/api/v1/posts/full/", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize(
    "accept", ["", "/", ";;;===", "a" * 9000, ",".join(["a/b"] * 500), "\xff\x00", '";"']
)
def test_a_broken_accept_header_is_no_failure(client: Client, full: Publication, accept: str) -> None:
    assert client.get("/api/v1/posts/full/", headers={"Accept": accept}).status_code in {200, 406}


def test_accept_headers_of_any_length_fill_no_memory(client: Client, full: Publication) -> None:
    door.chosen.cache_clear()

    answers = [
        client.get("/api/v1/posts/full/", headers={"Accept": f"application/json, text/{'x' * 9000}{n}"})
        for n in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert door.chosen.cache_info().currsize == 0


@pytest.mark.parametrize("held", ["*, x", '"', 'W/"', "\x00", '"a' * 3000, "W/*", "é"])
def test_a_broken_if_none_match_is_ignored(client: Client, full: Publication, held: str) -> None:
    assert client.get("/api/v1/posts/full/", headers={"If-None-Match": held}).status_code == 200


def test_a_forgotten_slash_is_put_right(client: Client, full: Publication) -> None:
    response = client.get("/api/v1/posts/full?brief=true")

    assert (response.status_code, response.headers["Location"]) == (301, "/api/v1/posts/full/?brief=true")


# --- Access -------------------------------------------------------------------------------------------------
def test_a_closed_api_says_the_same_to_a_stranger_everywhere(
    client: Client, make_post: MakePost, full: Publication, settings: Any
) -> None:
    settings.KB_READ_ACCESS = "authenticated"
    make_post(slug="draft")
    paths = (
        *ADDRESSES,
        "/api/v1/docs/",
        "/api/v1/nothing/",
        "/api/v1/posts",
        "/api/v1/posts/draft/",
        "/api/v1/posts/none/",
        "/api/v1/posts/?topik=1",
        "/api/v1/posts/?limit=abc",
    )
    held = {"If-None-Match": "*", "Accept": "application/xml"}

    answers = [client.get(path) for path in paths] + [client.get(path, headers=held) for path in paths]

    bodies = [without_id(answer) for answer in answers]
    assert {answer.status_code for answer in answers} == {401}
    assert bodies == [bodies[0]] * len(bodies)
    assert bodies[0]["code"] == "unauthorized"
    heads = [dict(answer.headers) | {"X-Request-ID": "-"} for answer in answers]
    for head in heads:
        head["Vary"] = head["Vary"].removesuffix(", Accept")
    assert heads == [heads[0]] * len(heads)
    assert heads[0]["WWW-Authenticate"] == 'Bearer realm="kb", Cookie realm="kb"'
    assert heads[0]["Vary"] == "Authorization, Cookie"


def test_a_closed_api_answers_whoever_logged_in(
    client: Client, full: Publication, people: SimpleNamespace, settings: Any
) -> None:
    settings.KB_READ_ACCESS = "authenticated"
    client.force_login(people.stranger)

    response = client.get("/api/v1/posts/full/")

    assert (response.status_code, response.headers["Vary"]) == (200, "Authorization, Cookie")
    assert queries("/api/v1/posts/full/", client) == 1
    assert client.get("/api/v1/posts/none/").status_code == 404
    assert client.post("/api/v1/posts/", {}).status_code == 405


def test_a_closed_account_reads_no_more(
    client: Client, full: Publication, people: SimpleNamespace, settings: Any
) -> None:
    settings.KB_READ_ACCESS = "authenticated"
    client.force_login(people.stranger)
    people.stranger.is_active = False
    people.stranger.save()

    assert client.get("/api/v1/posts/full/").status_code == 401


# --- Failures -----------------------------------------------------------------------------------------------
def test_a_failure_of_the_database_is_a_problem_that_passes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("host db.internal refused user kb")

    monkeypatch.setattr(door, "stored", fail)
    monkeypatch.setattr("kb.api.listing.stored", fail)

    response = client.get("/api/v1/posts/")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert (response.json()["code"], response.json()["retry"]) == ("service_unavailable", True)
    assert b"db.internal" not in response.content


def test_what_nobody_foresaw_is_a_problem_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("nobody's business")

    monkeypatch.setattr("kb.api.listing.stored", fail)
    client.raise_request_exception = False

    response = client.get("/api/v1/posts/")

    assert (response.status_code, response.json()["retry"]) == (500, True)
    assert response.json()["code"] == "internal_server_error"
    assert b"nobody" not in response.content


def test_moments_are_utc() -> None:
    assert moment(datetime(2026, 11, 23, 12, 0, tzinfo=UTC)) == "2026-11-23T12:00:00Z"


def test_a_connection_that_broke_since_the_last_request_is_replaced(client: Client) -> None:
    client.get("/api/v1/posts/")
    with connections["reading"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connections["reading"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()

    assert client.get("/api/v1/posts/").status_code == 200


def test_the_api_passes_no_middleware_for_sessions_and_forms(client: Client, settings: Any) -> None:
    response = client.get("/api/v1/posts/none/")

    assert (response.status_code, "kb-csrf" in response.cookies) == (404, False)
    assert not hasattr(response.wsgi_request, "session")
