"""Similar posts: what they share, the rarest first, in words; none for merely something in common."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from kb import meaning
from kb.flow import embedding, publishing, reviewing
from kb.models import Post, Publication
from kb.reading import meaning as reading
from kb.reading import similar as module
from kb.reading.similar import Reason, similar
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[[Post], Publication]


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def shelf(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> None:
    """Twelve posts about nothing in common but Python, so that sharing something rare tells something."""

    def make() -> None:
        for number in range(12):
            content = {"title": f"Other {number}", "stack": ["Python"], "tools": [f"tool {number}"]}
            publish(make_post(slug=f"other-{number}", **content))

    begin_with(make)


def about(*problems: str, **content: Any) -> dict[str, Any]:
    return {"entities": [{"name": name, "type": "problem"} for name in problems], **content}


def slugs(slug: str) -> list[str]:
    return [one.slug for one in similar(slug) or []]


def test_what_shares_most_of_what_is_rare_comes_first_with_its_reasons(
    shelf: None, make_post: MakePost, publish: Publish
) -> None:
    for slug, content in {
        "one": about("disk full", stack=["PostgreSQL", "Python"], tools=["psql"]),
        "twin": about("disk full", stack=["PostgreSQL"], tools=["psql"], title="Twin"),
        "cousin": about("slow start", stack=["PostgreSQL"], tools=["psql"]),
        "stranger": about("no mail", stack=["Python"]),
    }.items():
        publish(make_post(slug=slug, **content))
    make_post(slug="draft", **about("disk full", stack=["PostgreSQL"], tools=["psql"]))

    found = similar("one")

    assert found is not None
    assert [one.slug for one in found] == ["twin", "cousin"]
    assert found[0].title == "Twin"
    assert list(map(str, found[0].reasons)) == [
        "same problem: disk full",
        "same stack: PostgreSQL",
        "same tool: psql",
    ]
    assert found[0].score > found[1].score > module.FLOOR


def test_of_equal_ones_the_newest_comes_first(shelf: None, make_post: MakePost, publish: Publish) -> None:
    for slug in ("one", "first", "second", "third"):
        publish(make_post(slug=slug, **about("disk full")))

    assert slugs("one") == ["third", "second", "first"]


def test_a_name_that_is_stack_and_entity_is_one_reason() -> None:
    kinds, keys = ["entity", "stack", "tool"], ["area:Caching", "caching", "redis"]

    assert module._reasons(kinds, keys, 0.6) == (
        Reason("area", ("Caching",)),
        Reason("tool", ("redis",)),
        Reason("meaning"),
    )


def test_withdrawn_and_withheld_posts_are_similar_to_nothing(
    shelf: None, make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    posts = {slug: make_post(slug=slug, **about("disk full")) for slug in ("one", "withdrawn", "withheld")}
    for post in posts.values():
        publish(post)
    assert slugs("one") == ["withheld", "withdrawn"]

    reviewing.withdraw(posts["withdrawn"], by=people.reviewer, at=now, comment="No.")
    with transaction.atomic():
        publishing.queue_up()
        withheld = Publication.objects.filter(post=posts["withheld"])
        withheld.update(withhold_at=now - timedelta(days=1))

    assert slugs("one") == []
    assert [similar("withdrawn"), similar("withheld"), similar("none")] == [None, None, None]


def test_posts_that_share_nothing_are_similar_in_meaning(
    make_post: MakePost, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Colours:
        name, dimensions = "colours", 2

        def embed(self, texts: list[str]) -> list[meaning.Vector]:
            return [[float(text.count("red")), float(text.count("blue"))] for text in texts]

    monkeypatch.setattr(meaning, "embedder", Colours)
    monkeypatch.setattr(reading, "stored", lambda: True)
    monkeypatch.setattr(module, "stored", lambda: True)
    for slug, title in {"one": "red", "near": "red red blue", "far": "blue"}.items():
        publish(make_post(slug=slug, title=title))
    model = embedding.set_up()
    list(embedding.fill(model))

    found = similar("one")

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE kb_publishedvector DROP COLUMN vector")
    assert found is not None
    assert [(one.slug, list(map(str, one.reasons))) for one in found] == [("near", ["close in meaning"])]


# --- The doors ----------------------------------------------------------------------------------------------
def test_the_api_gives_the_cards_and_the_reasons(
    client: Client, shelf: None, make_post: MakePost, publish: Publish
) -> None:
    _, twin = (publish(make_post(slug=slug, **about("disk full"))) for slug in ("one", "twin"))

    answer = client.get("/api/v1/posts/one/similar/")

    (found,) = answer.json()["results"]
    card = client.get("/api/v1/posts/").json()["results"][0]
    assert (found["post"], card["slug"]) == (card, twin.slug)
    assert found["reasons"] == [
        {"kind": "problem", "values": ["disk full"], "text": "same problem: disk full"}
    ]
    etag = answer.headers["ETag"]
    assert client.get("/api/v1/posts/one/similar/", headers={"If-None-Match": etag}).status_code == 304
    assert client.get("/api/v1/posts/other-0/similar/").json() == {"results": []}
    assert client.get("/api/v1/posts/one/similar/?limit=21").json()["parameter"] == "limit"


def test_draft_and_missing_are_one_answer(client: Client, make_post: MakePost) -> None:
    make_post(slug="draft")

    draft, missing = (client.get(f"/api/v1/posts/{slug}/similar/") for slug in ("draft", "none"))

    def told(answer: Any) -> Any:
        return {name: value for name, value in answer.json().items() if name != "request_id"}

    assert (draft.status_code, told(draft)) == (404, told(missing))


def test_it_is_one_query_whether_one_or_three_are_similar(
    client: Client, shelf: None, make_post: MakePost, publish: Publish
) -> None:
    counts = []
    publish(make_post(slug="one", **about("disk full")))
    for number in range(3):
        publish(make_post(slug=f"twin-{number}", **about("disk full")))
        with CaptureQueriesContext(connections["reading"]) as caught:
            found = client.get("/api/v1/posts/one/similar/").json()["results"]
        counts.append((len(found), len(caught)))

    assert counts == [(1, 1), (2, 1), (3, 1)]


def test_the_page_of_a_post_lists_them(
    client: Client, shelf: None, make_post: MakePost, publish: Publish
) -> None:
    publish(make_post(slug="one", **about("disk <full>")))
    publish(make_post(slug="twin", title="The <twin>", **about("disk <full>")))

    page = client.get("/posts/one/").content.decode()

    assert '<li><a href="/posts/twin/">The &lt;twin&gt;</a>' in page
    assert "same problem: disk &lt;full&gt;" in page
    assert "Similar posts" not in client.get("/posts/other-0/").content.decode()
