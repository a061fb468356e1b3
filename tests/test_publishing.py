"""Publishing: readers get a pure function of what was approved, and all lists keep in step with it."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from kb.choices import ChangeKind
from kb.document import Document
from kb.flow import publishing, reviewing, revising
from kb.flow.revising import ChangeNote
from kb.models import (
    Change,
    Flag,
    Post,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    Revision,
)
from kb.models.publication import TsQuery
from kb.reading.search import search
from kb.words import query

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]
PYTHON = {"name": "python", "type": "stack"}
CI = {"name": "Build & test", "type": "ci, cd"}
STEPS = {"title": "Steps", "items": ["measure", "change"]}
AFTER = {"title": "After", "items": ["measure"]}
IMAGE = {"source": "unsplash", "url": "https://images.example.com/1.png", "caption": "A picture"}
SCORES = {"quality": 74, "freshness": 69, "depth": None, "clarity": 94}
PAYLOAD = {
    "source_id": "a-1",
    "generator": "writer",
    "paragraphs": 7,
    "scenario": "",
    "seed": 1,
    "mood": "good",
}
FLAGS = {
    "ai_generated_style": True,
    "has_images": True,
    "image_heavy": False,
    "needs_human_review": False,
}
SAME = {
    "title": "Tune “the” pool",
    "topic": "defaults",
    "summary": "How to size it.",
    "stack": ["postgresql", "backend"],
    "tools": ["psql"],
    "code_language": "sql",
    "difficulty": "advanced",
    "reading_time": 12,
    "payload": PAYLOAD,
    "notes": ["a note"],
    "owner": "Platform team",
    "expected_result": "Fewer timeouts.",
    "rollback_note": "Set it back.",
}
FULL = {
    **SAME,
    "body": "Keep it *small*.",
    "outline": [{"label": "context", "text": "before a migration"}],
    "brief": "Be careful.",
    "scores": SCORES,
    "checklists": [STEPS, AFTER],
    "entities": [PYTHON, CI],
    "images": [IMAGE],
    "flags": FLAGS,
}


@pytest.fixture
def save(people: SimpleNamespace, now: datetime) -> Callable[..., Revision | None]:
    def change(post: Post, **content: Any) -> Revision | None:
        post.refresh_from_db()
        assert post.head
        return revising.save(
            post,
            Document.read({**post.document().plain(), **content}),
            base_number=post.head.number,
            by=people.editor,
            at=now,
            note=ChangeNote("Corrected."),
        )

    return change


@pytest.fixture
def withdraw(people: SimpleNamespace, now: datetime) -> Callable[[Post], Any]:
    return lambda post: reviewing.withdraw(post, by=people.reviewer, at=now, comment="Outdated.")


@pytest.fixture
def publish_unsafe(people: SimpleNamespace, publish: Publish, now: datetime) -> Publish:
    """Publish what a blocking flag held up, after a reviewer closed it."""

    def act(post: Post) -> Publication:
        flag = Flag.objects.open().blocking().get(revision=post.head_id)
        reviewing.close_flag(flag, by=people.reviewer, at=now, note="Readers do not get it.")
        return publish(post)

    return act


def stored() -> list[tuple[Any, ...]]:
    """Every column of every publication, and its words."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.*, t.published_at, t.withhold_at, t.length, t.words::text FROM kb_publication p"
            " JOIN kb_publishedtext t ON t.publication_id = p.id ORDER BY p.id"
        )
        return cursor.fetchall()


def found(words: str) -> list[str]:
    return sorted(json.loads(hit.card)["title"] for hit in search(words).hits)


# --- What is compiled ---


def test_all_answers_hold_the_approved_content(make_post: MakePost, publish: Publish) -> None:
    post = make_post(slug="pool", **FULL)
    Post.objects.filter(pk=post.pk).update(view_count=9)

    publication = publish(post)

    fingerprint = Document.read(FULL).fingerprint
    moment = "2026-11-23T12:00:00Z"
    shared = {
        **SAME,
        "slug": "pool",
        "view_count": 9,
        "reference": "",
        "flags": FLAGS,
        "review": {
            "reviewed": True,
            "at": moment,
            "version": "0.1.0",
            "fingerprint": fingerprint,
            "ai_involved": True,
            "review_by": "2027-02-21",
        },
    }
    assert json.loads(publication.detail_json) == {
        **shared,
        "url": "/api/v1/posts/pool/",
        "html": "<p>Keep it <em>small</em>.</p>\n",
        "body": "Keep it *small*.",
        "body_format": "markdown",
        "outline": FULL["outline"],
        "brief": "Be careful.",
        "scores": SCORES,
        "checklists": [STEPS, AFTER],
        "entities": [
            {**PYTHON, "url": "/api/v1/entities/stack/python/"},
            {**CI, "url": f"/api/v1/entities/ci%2C%20cd/{publishing.entity_slug('Build & test')}/"},
        ],
        "images": [IMAGE],
        "revision": {"number": 1, "version": "0.1.0", "fingerprint": fingerprint},
        "published_at": moment,
        "first_published_at": moment,
        "links": {"meta": "/api/v1/posts/pool/meta/", "revisions": "/api/v1/posts/pool/revisions/"},
    }
    assert json.loads(publication.meta_json) == {
        **shared,
        "ai_outline": FULL["outline"],
        "ai_brief": "Be careful.",
        "score": SCORES,
        "revision": {"status": "published", "version": "0.1.0", "last_reviewed": "2026-11-23"},
        "hash": "",
        "checklist": ["measure", "change", "measure"],
        "entities": [PYTHON, CI],
        "image_sources": [IMAGE],
    }
    card = ("slug", "title", "topic", "summary", "difficulty", "code_language", "stack", "tools")
    assert json.loads(publication.card_json) == {
        **{name: shared[name] for name in (*card, "reading_time", "view_count")},
        "url": "/api/v1/posts/pool/",
        "entities": [PYTHON, CI],
        "scores": SCORES,
        "ai_involved": True,
        "version": "0.1.0",
        "published_at": moment,
        "review_by": "2027-02-21",
    }


def test_of_html_readers_get_what_the_sanitiser_left(make_post: MakePost, publish_unsafe: Publish) -> None:
    body = '<p onclick="x()">Hi <b>you</b></p><script>alert(1)</script>'

    publication = publish_unsafe(make_post(body=body, body_format="html"))

    clean = "<p>Hi <b>you</b></p>"
    detail = json.loads(publication.detail_json)
    listed = json.loads(PublishedRevision.objects.get().document_json)
    assert (detail["body"], detail["html"], publication.html) == (clean, clean, clean)
    assert (listed["body"], listed["body_format"]) == (clean, "html")


def test_images_at_unsafe_addresses_are_left_out(make_post: MakePost, publish_unsafe: Publish) -> None:
    unsafe = [{**IMAGE, "url": url} for url in ("javascript:x", "//host/1.png", "data:image/png;base64,x")]

    publication = publish_unsafe(make_post(images=[*unsafe, IMAGE]))

    assert json.loads(publication.detail_json)["images"] == [IMAGE]
    assert json.loads(publication.meta_json)["image_sources"] == [IMAGE]
    assert json.loads(PublishedRevision.objects.get().document_json)["images"] == [IMAGE]


# --- Again ---


def test_compiling_again_gives_the_same_bytes_in_every_column(
    make_post: MakePost, publish: Publish, publish_unsafe: Publish, save: Any, withdraw: Any
) -> None:
    twice, back = make_post(**FULL), make_post(entities=[CI], checklists=[STEPS])
    publish(twice)
    save(twice, title="Another", entities=[PYTHON])
    publish(twice)
    publish(back)
    withdraw(back)
    publish(back)
    save(back, title="Only a draft", entities=[])
    publish(make_post(body="# Ünï\n\n<b>not html</b> &amp; `code`"))
    publish_unsafe(make_post(body="<p>x</p><script>y</script>", body_format="html"))
    lists = (PublishedEntity, PublishedChecklist, PublishedRevision, Change)
    before = (stored(), [list(model.objects.order_by("pk").values()) for model in lists])

    rebuilt = publishing.rebuild()

    assert (rebuilt.checked, rebuilt.changed) == (4, [])
    assert (stored(), [list(model.objects.order_by("pk").values()) for model in lists]) == before


def test_the_etag_changes_with_content_and_metric_and_with_nothing_else(
    make_post: MakePost, publish: Publish, save: Any, now: datetime
) -> None:
    post = make_post()
    etags = [publish(post).etag]
    publishing.refresh(post, at=now)
    etags.append(Publication.objects.get().etag)
    Post.objects.filter(pk=post.pk).update(view_count=5)
    publishing.refresh(post, at=now)
    etags.append(Publication.objects.get().etag)
    save(post, notes=["new"])
    etags.append(publish(post).etag)

    assert etags[0] == etags[1]
    assert len(set(etags)) == 3


def test_a_metric_reaches_readers_as_an_update_of_the_same_approval(
    make_post: MakePost, publish: Publish, now: datetime
) -> None:
    post = make_post()
    before = publish(post)
    Post.objects.filter(pk=post.pk).update(view_count=5)

    for _ in range(2):  # the second time there is nothing to tell
        publishing.refresh(post, at=now + timedelta(days=1))

    after = Publication.objects.get()
    assert json.loads(after.card_json)["view_count"] == 5
    assert (after.approval, after.fingerprint, after.published_at) == (
        before.approval,
        before.fingerprint,
        now,
    )
    assert list(Change.objects.values_list("kind", "at")) == [
        (ChangeKind.PUBLISHED, now),
        (ChangeKind.UPDATED, now + timedelta(days=1)),
    ]


def test_a_metric_of_a_draft_or_a_withdrawn_post_goes_nowhere(
    make_post: MakePost, publish: Publish, withdraw: Any, now: datetime
) -> None:
    draft, gone = make_post(), make_post()
    publish(gone)
    withdraw(gone)
    told = Change.objects.count()
    Post.objects.update(view_count=5)

    for post in (draft, gone):
        publishing.refresh(post, at=now)

    assert (Publication.objects.count(), Change.objects.count()) == (0, told)


# --- In step ---


def counts() -> tuple[dict[str, int], dict[str, int]]:
    return (
        dict(PublishedEntity.objects.values_list("key", "posts")),
        dict(PublishedChecklist.objects.values_list("title", "posts")),
    )


def test_entities_and_checklists_are_counted_through_publishing_updates_and_withdrawals(
    make_post: MakePost, publish: Publish, save: Any, withdraw: Any
) -> None:
    first = make_post(entities=[PYTHON, CI, PYTHON], checklists=[STEPS, STEPS])
    second = make_post(entities=[PYTHON], checklists=[STEPS, AFTER])
    make_post(entities=[{"name": "secret", "type": "area"}], checklists=[{"items": ["secret"]}])

    seen = []
    for act in (
        lambda: publish(first),
        lambda: publish(second),
        lambda: save(first, entities=[CI], checklists=[AFTER]),
        lambda: publish(first),
        lambda: withdraw(second),
        lambda: withdraw(first),
    ):
        act()
        seen.append(counts())

    python, ci = "stack:python", "ci, cd:Build & test"
    assert seen == [
        ({python: 1, ci: 1}, {"Steps": 1}),
        ({python: 2, ci: 1}, {"Steps": 2, "After": 1}),
        ({python: 2, ci: 1}, {"Steps": 2, "After": 1}),
        ({python: 1, ci: 1}, {"Steps": 1, "After": 2}),
        ({ci: 1}, {"After": 1}),
        ({}, {}),
    ]


def test_the_feed_tells_what_was_published_updated_and_withdrawn(
    make_post: MakePost, publish: Publish, save: Any, withdraw: Any
) -> None:
    post = make_post(slug="pool")
    first = publish(post).fingerprint
    save(post, notes=["new"])
    second = publish(post).fingerprint
    withdraw(post)
    publish(post)

    assert list(Change.objects.values_list("kind", "slug", "version", "fingerprint")) == [
        ("published", "pool", "0.1.0", first),
        ("updated", "pool", "0.1.1", second),
        ("withdrawn", "pool", "", ""),
        ("published", "pool", "0.1.1", second),
    ]


def test_readers_see_approved_revisions_alone_and_none_from_before_a_withdrawal(
    make_post: MakePost, publish: Publish, save: Any, withdraw: Any, now: datetime
) -> None:
    def listed() -> list[tuple[Any, ...]]:
        rows = PublishedRevision.objects.values_list("post_slug", "number", "approved_at", "document_json")
        return [(slug, number, at, json.loads(text)["title"]) for slug, number, at, text in rows]

    post = make_post(slug="pool", title="One")
    publish(post)
    save(post, title="Two, never approved")
    save(post, title="Three")
    publish(post)
    both = listed()
    withdraw(post)
    none = listed()
    publish(post)

    assert both == [("pool", 3, now, "Three"), ("pool", 1, now, "One")]
    assert none == []
    assert listed() == [("pool", 3, now, "Three")]


# --- Search ---


def test_words_are_found_by_weight_where_they_stand(make_post: MakePost, publish: Publish) -> None:
    content = {
        "title": "zebra",
        "topic": "yak",
        "tools": ["walrus"],
        "entities": [{"name": "viper", "type": "x"}],
        "summary": "urchin",
        "brief": "toad",
        "outline": [{"text": "snake"}],
        "body": "raven *quail*",
        "notes": ["hidden"],
    }

    publish(make_post(**content))

    assert stored()[0][-1] == (
        "'^zebra' 'quail':87 'raven':86 'snake':62C,75C 'toad':61C,74C"
        " 'urchin':60C,73C 'viper':36B,49B 'walrus':35B,48B 'yak':34B,47B 'zebra':1A,12A,23A"
    )


@pytest.mark.django_db(transaction=True, databases=["default", "reading"])
def test_a_title_is_found_and_an_update_forgets_the_old_words(
    make_post: MakePost, publish: Publish, save: Any
) -> None:
    post = make_post(title="Zebra crossing", body="Stripes.\n\nLines.")
    make_post(title="Zebra draft")
    publish(post)
    before = (found("zebras"), found("stripes lines"), found("zebra -lines"))
    save(post, title="Road", body="Nothing.")
    publish(post)

    assert before == (["Zebra crossing"], ["Zebra crossing"], [])
    assert (found("zebra"), found("road")) == ([], ["Road"])


@pytest.mark.parametrize(
    "body",
    [
        " ".join(f"{number:x}" for number in range(170_000))[:1_000_000],
        "x" * 1_000_000,
        "ä" * 1_000_000,
        " ".join(chr(0x4E00 + number % 20_000) for number in range(500_000)),
        # Each stands in the index as a whole and in its parts.
        " ".join(f"a{number:x}-b{number:x}-c{number:x}" for number in range(45_000)),
    ],
    ids=["short words", "one word", "one wide word", "wide words", "words with hyphens"],
)
def test_the_longest_body_is_published_and_found_by_its_title(
    make_post: MakePost, publish: Publish, body: str
) -> None:
    publish(make_post(title="Enormous", body=body))

    assert Publication.objects.get(text__words=TsQuery(query("enormous").tsquery)).title == "Enormous"
    assert json.loads(Publication.objects.get().detail_json)["body"] == body
