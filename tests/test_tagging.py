"""Tags and facets: what publications have in common, counted as they come and go."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from kb.flow import publishing, reviewing
from kb.models import Oversight, Post, Publication, PublishedFacet, PublishedTag

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]


def counts() -> dict[str, int]:
    return {str(facet): facet.posts for facet in PublishedFacet.objects.exclude(kind="ai_involved")}


def tags() -> set[tuple[str, str]]:
    rows = PublishedTag.objects.exclude(facet__kind="ai_involved").select_related("facet", "publication")
    return {(str(tag.facet), tag.publication.slug) for tag in rows}


def test_facets_are_counted_through_publishing_updates_and_withdrawals(
    make_post: MakePost, publish: Publish, people: Any, now: datetime
) -> None:
    one = make_post(slug="one", topic="backend", stack=["Go", "Go"], difficulty="beginner")
    publish(one)
    publish(make_post(slug="two", topic="backend", stack=["Rust"]))
    make_post(slug="draft", topic="backend", stack=["Go"])

    assert counts() == {
        "all:": 2,
        "topic:backend": 2,
        "stack:Go": 1,
        "stack:Rust": 1,
        "difficulty:beginner": 1,
    }

    reviewing.withdraw(one, by=people.reviewer, at=now, comment="wrong")

    assert counts() == {"all:": 1, "topic:backend": 1, "stack:Rust": 1}
    assert tags() == {("all:", "two"), ("topic:backend", "two"), ("stack:Rust", "two")}


def test_a_facet_is_withheld_with_the_last_post_that_has_it(
    make_post: MakePost, publish: Publish, people: Any, now: datetime
) -> None:
    post = make_post(slug="one", topic="backend")
    publish(post)
    Oversight.objects.create(post=post, withhold_when_overdue=True, set_by=people.reviewer)

    publishing.refresh(post, at=now)

    assert PublishedFacet.objects.get(kind="topic").withhold_at == now + timedelta(days=90)
    publish(make_post(slug="two", topic="backend"))
    assert PublishedFacet.objects.get(kind="topic").withhold_at is None


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        ("UPDATE kb_publishedfacet SET posts = 7 WHERE kind = 'topic'", ["facet topic backend"]),
        ("DELETE FROM kb_publishedfacet WHERE kind = 'topic'", ["facet topic backend", "tag of publication"]),
        ("DELETE FROM kb_publishedtag", ["tag of publication"]),
        (
            "INSERT INTO kb_publishedfacet (kind, value, posts, staying) VALUES ('stack', 'Go', 1, 1)",
            ["facet stack Go"],
        ),
    ],
)
def test_what_was_counted_wrong_is_found_and_mended(
    make_post: MakePost, publish: Publish, damage: str, names: list[str]
) -> None:
    publish(make_post(slug="one", topic="backend"))
    before = counts(), tags()
    publishing.queue_up()
    with connections["default"].cursor() as cursor:
        cursor.execute(damage)

    changed = publishing.rebuild().changed

    assert [name for name in names if not any(found.startswith(name) for found in changed)] == []
    assert (counts(), tags()) == before
    assert publishing.rebuild().changed == []
