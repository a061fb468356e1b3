"""Comments and criteria: what reviewers leave beside their decisions."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from kb import likeness
from kb.document import Document
from kb.errors import Refused
from kb.flow import commenting, criteria, reviewing
from kb.likeness import bands, passages, similarity
from kb.models import Comment, Criteria, Decision, Flag, Likeness, Post, QueueItem, Tick

pytestmark = pytest.mark.django_db

BODY = "Keep **one** pool for each process.\n\nThen measure."


@pytest.mark.parametrize(
    ("field", "quote"),
    [
        ("", ""),
        ("body", ""),
        ("body", "Keep **one** pool"),
        ("body", "Keep one pool for each process. Then"),  # as readers see it
        ("checklists.0.items.1", "then measure"),
        ("scores.quality", ""),
    ],
)
def test_a_comment_names_the_whole_a_field_or_a_passage_and_decides_nothing(
    make_post: Any, people: SimpleNamespace, now: datetime, field: str, quote: str
) -> None:
    post = make_post(body=BODY, checklists=[{"items": ["first this", "then measure"]}], ask_for_review=True)
    before = (post.state, Flag.objects.count(), QueueItem.objects.get().rank)

    made = commenting.add(post, number=1, field=field, quote=quote, text=" Why? ", by=people.editor, at=now)

    post.refresh_from_db()
    assert (made.revision, made.field, made.quote, made.text) == (post.head, field, quote, "Why?")
    assert (post.state, Flag.objects.count(), QueueItem.objects.get().rank) == before
    assert Decision.objects.count() == 0


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"text": "  "}, "text_missing"),
        ({"text": "x" * 10_001}, "too_long"),
        ({"number": 2}, "no_such_revision"),
        ({"field": "nothing"}, "no_such_passage"),
        ({"field": "body", "quote": "never written"}, "no_such_passage"),
        ({"by": "stranger"}, "not_allowed"),
        ({"by": "auditor"}, "not_allowed"),
    ],
)
def test_a_comment_that_says_nothing_or_of_nothing_is_refused(
    make_post: Any, people: SimpleNamespace, now: datetime, given: dict[str, Any], code: str
) -> None:
    who = getattr(people, given.pop("by", "reviewer"))

    with pytest.raises(Refused) as refusal:
        commenting.add(make_post(body=BODY), **{"number": 1, "text": "Why?", "by": who, "at": now, **given})

    assert (refusal.value.code, Comment.objects.count()) == (code, 0)


def test_a_comment_is_resolved_and_opened_again_and_its_words_stay(
    make_post: Any, people: SimpleNamespace, now: datetime
) -> None:
    comment = commenting.add(make_post(), number=1, text="Why?", by=people.reviewer, at=now)

    resolved = commenting.resolve(comment, by=people.editor, at=now)
    commenting.resolve(comment, by=people.second_editor, at=now)
    opened = commenting.reopen(comment, by=people.reviewer, at=now)

    assert resolved.resolved_by == people.editor
    assert opened.resolved_at is None
    with pytest.raises(DatabaseError, match="kb_a_comment_is_resolved_never_changed"), transaction.atomic():
        Comment.objects.update(text="Something else.")
    with pytest.raises(DatabaseError, match="kb_a_comment_is_resolved_never_changed"), transaction.atomic():
        Comment.objects.all().delete()


def test_a_changed_list_of_criteria_is_its_next_version_and_decisions_keep_theirs(
    make_post: Any, people: SimpleNamespace, now: datetime
) -> None:
    first = criteria.write("Basics", items=["Runs as written", " "], by=people.administrator, at=now)
    post = make_post()
    seen = {"number": 1, "fingerprint": post.head.fingerprint}
    decision = reviewing.approve(post, **seen, by=people.reviewer, at=now, ticks=[(first.pk, 0)])

    second = criteria.write("Basics", items=["Runs", "Has a way back"], by=people.administrator, at=now)

    assert [(row.version, row.items) for row in (first, second)] == [
        (1, ["Runs as written"]),
        (2, ["Runs", "Has a way back"]),
    ]
    assert [str(tick) for tick in decision.ticks.all()] == ["Runs as written"]
    assert criteria.for_document(Document(title="Any")) == [second]
    for change in (lambda: Criteria.objects.update(items=["Nothing"]), lambda: Tick.objects.all().delete()):
        with pytest.raises(DatabaseError, match=r"kb_criteria_are|kb_what_belongs"), transaction.atomic():
            change()


def test_criteria_for_a_topic_go_to_its_posts_alone_until_they_are_retired(
    people: SimpleNamespace, now: datetime
) -> None:
    made = criteria.write("Data", topic="Databases", items=["Backed up"], by=people.administrator, at=now)
    inside, outside = (Document(title="Any", topic=topic) for topic in ("databases / postgresql", "web"))

    before = (criteria.for_document(inside), criteria.for_document(outside))
    criteria.retire("Data", by=people.administrator, at=now)

    assert before == ([made], [])
    assert criteria.for_document(inside) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"name": " "}, "name_missing"),
        ({"items": [" "]}, "items_missing"),
        ({"items": ["x" * 501]}, "too_long"),
        ({"by": "reviewer"}, "not_allowed"),
    ],
)
def test_criteria_that_ask_nothing_are_refused(
    people: SimpleNamespace, now: datetime, given: dict[str, Any], code: str
) -> None:
    who = getattr(people, given.pop("by", "administrator"))

    with pytest.raises(Refused) as refusal:
        criteria.write(given.pop("name", "Basics"), **{"items": ["Runs"], "by": who, "at": now, **given})

    assert (refusal.value.code, Criteria.objects.count()) == (code, 0)


def test_a_tick_on_no_criterion_is_refused_with_the_decision(
    make_post: Any, people: SimpleNamespace, now: datetime
) -> None:
    made = criteria.write("Basics", items=["Runs"], by=people.administrator, at=now)
    post = make_post()
    seen = {"number": 1, "fingerprint": post.head.fingerprint}

    with pytest.raises(Refused) as refusal:
        reviewing.approve(post, **seen, by=people.reviewer, at=now, ticks=[(made.pk, 1)])

    assert (refusal.value.code, Decision.objects.count()) == ("bad_tick", 0)


def test_near_duplicates_are_found_and_strangers_are_not(make_post: Any) -> None:
    words = " ".join(f"word{number} of the note" for number in range(40))
    one = make_post(body=words)
    near = make_post(body=f"{words} and a little more")
    make_post(body=" ".join(f"other{number} text here" for number in range(40)))
    make_post(body="Short.")

    found = Post.objects.filter(likeness__in=Likeness.objects.near(one))

    assert list(found) == [near]
    assert similarity(one.document(), near.document()) > 0.9
    assert bands(Document(title="Short")) == []


def test_what_two_texts_share_is_told_as_the_first_one_writes_it() -> None:
    one = Document(
        title="One",
        body="First of all: stop the *service*, wait a minute, then start it again. Call me. And once "
        "more: look at the log of the service before you go home.",
    )
    other = Document(
        title="Other",
        body="Look at the log of the service before you sleep. Else stop the service, wait a minute, then "
        "start it again!",
    )

    assert [(passage.words, passage.text) for passage in passages(one, other)] == [
        (10, "stop the *service*, wait a minute, then start it again"),
        (9, "look at the log of the service before you"),
    ]
    assert passages(one, Document(title="Short")) == []


def test_bands_of_a_text_stay_what_they_are_while_the_method_is_the_same() -> None:
    document = Document(
        title="Bands", body="are stored, so that a release of the library must not change them."
    )

    assert (likeness.METHOD, bands(document)[:2]) == (
        5548266053069202081,
        [5551943722831641756, 7358063236462858274],
    )
