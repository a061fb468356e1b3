"""The export: every publication once, resumable by a slug, and exact together with the changes feed."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg.pq import TransactionStatus

from kb.document import Document
from kb.flow import reviewing, revising
from kb.flow.revising import ChangeNote
from kb.models import Change, Post, Publication
from kb.reading import export
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

EXPORT = "/api/v1/export/"


@pytest.fixture(autouse=True)
def everybody_reads(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH", 2)


@pytest.fixture
def posts(
    begin_with: BeginWith, make_post: Callable[..., Post], publish: Callable[..., Publication]
) -> dict[str, Post]:
    """Five that are published, “b” among them, and a draft."""

    def make() -> None:
        for post in [make_post(slug=slug, body=f"Zeile\u2028{slug}") for slug in "dbeac"]:
            publish(post)
        make_post(slug="a-draft")

    begin_with(make)
    return {post.slug: post for post in Post.objects.exclude(slug="a-draft").order_by("pk")}


def lines(client: Client, query: str = "") -> list[bytes]:
    return client.get(EXPORT + query).getvalue().splitlines(keepends=True)


def stored(*slugs: str) -> list[bytes]:
    details = dict(Publication.objects.values_list("slug", "detail_json"))
    return [f"{details[slug]}\n".encode() for slug in slugs]


def test_every_publication_is_one_line_of_the_stored_bytes(client: Client, posts: dict[str, Post]) -> None:
    response = client.get(EXPORT)
    begin, *middle, end = response.getvalue().splitlines(keepends=True)

    since = Change.objects.latest("pk").pk
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert response.headers["Cache-Control"] == "no-store"
    assert json.loads(begin) == {"begin": True, "since": since}
    assert middle == stored(*"abcde")
    assert json.loads(end) == {"end": True, "posts": 5}


def test_it_goes_on_after_any_slug_with_exactly_the_rest(client: Client, posts: dict[str, Post]) -> None:
    after = {slug: lines(client, f"?after={slug}") for slug in ("a", "b", "e", "bb", "zzz")}

    assert {slug: found[1:-1] for slug, found in after.items()} == {
        "a": stored(*"bcde"),
        "b": stored(*"cde"),
        "e": [],
        "bb": stored(*"cde"),
        "zzz": [],
    }
    assert json.loads(after["b"][-1]) == {"end": True, "posts": 3}


def test_one_that_is_cut_off_has_no_end_and_lets_others_begin(client: Client, posts: dict[str, Post]) -> None:
    for _ in range(export.AT_ONCE * 2):
        response = client.get(EXPORT)
        chunks: Iterator[bytes] = iter(response)
        cut = next(chunks) + next(chunks)
        response.close()

    last = json.loads(cut.splitlines()[-1])["slug"]
    rest = lines(client, f"?after={last}")
    assert b'"end"' not in cut
    assert cut.splitlines(keepends=True)[1:] + rest[1:-1] == stored(*"abcde")


def test_no_more_than_a_few_are_written_at_once(client: Client, posts: dict[str, Post]) -> None:
    running = [client.get(EXPORT) for _ in range(export.AT_ONCE)]
    refused = client.get(EXPORT)
    for response in running:
        response.close()

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert len(lines(client)) == 7

    unsent = [export.begin() for _ in range(export.AT_ONCE)]
    assert unsent.pop() is not None
    unsent.clear()
    assert len(lines(client)) == 7


def test_what_happens_meanwhile_is_in_the_feed_from_since_on(
    client: Client,
    posts: dict[str, Post],
    make_post: Callable[..., Post],
    publish: Callable[..., Publication],
    people: SimpleNamespace,
    now: datetime,
) -> None:
    response = client.get(EXPORT)
    chunks = iter(response)
    cut = next(chunks) + next(chunks)  # a and b
    reviewing.withdraw(posts["a"], by=people.administrator, at=now, comment="wrong")
    reviewing.withdraw(posts["d"], by=people.administrator, at=now, comment="wrong")
    publish(make_post(slug="aa"))
    change(posts["b"], people, now)
    publish(posts["b"])

    begin, *details, _ = (cut + b"".join(chunks)).splitlines()
    has = {post["slug"]: post["revision"]["fingerprint"] for post in map(json.loads, details)}
    exported = set(has)
    feed = client.get(f"/api/v1/changes/?since={json.loads(begin)['since']}").json()["results"]
    for entry in feed:
        has[entry["slug"]] = entry["fingerprint"]
        if entry["kind"] == "withdrawn":
            del has[entry["slug"]]

    assert exported == {"a", "b", "c", "e"}
    assert has == dict(Publication.reading.values_list("slug", "fingerprint"))


def change(post: Post, people: SimpleNamespace, now: datetime) -> None:
    document = Document.read({**post.document().plain(), "title": "Another"})
    revising.save(post, document, base_number=1, by=people.editor, at=now, note=ChangeNote("changed"))


def test_a_batch_is_one_query_and_leaves_no_transaction_open(client: Client, posts: dict[str, Post]) -> None:
    with CaptureQueriesContext(connections["reading"]) as queries:
        chunks = iter(client.get(EXPORT))
        next(chunks), next(chunks)
        status = connections["reading"].connection.info.transaction_status
        list(chunks)

    assert status == TransactionStatus.IDLE
    # Where the feed stands, three batches, and that nothing is left.
    assert len(queries) == 5


def test_a_head_begins_nothing(client: Client, posts: dict[str, Post]) -> None:
    responses = [client.head(EXPORT) for _ in range(export.AT_ONCE + 1)]

    assert [(r.status_code, r.content, r.headers["Content-Type"]) for r in responses] == [
        (200, b"", "application/x-ndjson")
    ] * len(responses)


@pytest.mark.parametrize("query", ["?after=", "?after=%00", "?after=a/b", "?after=" + "a" * 201, "?since=1"])
def test_a_place_that_is_no_slug_is_refused(client: Client, db: None, query: str) -> None:
    assert client.get(EXPORT + query).status_code == 400


def test_who_may_not_read_gets_no_export(client: Client, posts: dict[str, Post], settings: Any) -> None:
    settings.KB_READ_ACCESS = "authenticated"

    assert client.get(EXPORT).status_code == 401
    assert client.get(EXPORT, headers={"Accept": "text/html"}).status_code == 401
