"""Private copies of what is typed: kept, told apart, discarded, and without any effect on what is."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction

from kb.document import Document
from kb.errors import Conflict, Refused
from kb.flow import drafting, revising
from kb.models import Post, WorkingCopy

pytestmark = pytest.mark.django_db
TYPED = {"title": "Typed", "body": "Not saved."}


@pytest.fixture
def post(make_post: Callable[..., Post]) -> Post:
    return make_post(ask_for_review=True)


def keep(post: Post | None, by: Any, at: datetime, **given: Any) -> WorkingCopy:
    return drafting.keep(
        post, **{"fields": TYPED, "base_number": 1, "seen": None, "by": by, "at": at} | given
    )


def everything_else() -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all of kb's tables but the private copies."""
    return {
        model.__name__: sorted(model.objects.values_list(), key=str)
        for model in apps.get_app_config("kb").get_models()
        if model is not WorkingCopy
    }


def test_a_copy_is_kept_and_kept_again_and_changes_nothing_else(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    before = everything_else()

    first = keep(post, people.editor, now)
    later = now + timedelta(seconds=3)
    second = keep(post, people.editor, later, fields={"title": "More"}, seen=first.updated_at)
    keep(None, people.editor, now, base_number=None)

    assert everything_else() == before
    assert second.pk == first.pk
    found = drafting.of(people.editor, post)
    assert found is not None
    assert (found.fields, found.started_at, found.updated_at) == ({"title": "More"}, now, later)
    assert drafting.of(people.second_editor, post) is None


def test_a_second_tab_never_writes_over_the_first(post: Post, people: SimpleNamespace, now: datetime) -> None:
    keep(post, people.editor, now)
    later = now + timedelta(minutes=1)

    for seen in (None, now - timedelta(seconds=1)):
        with pytest.raises(Refused, match="Other unsaved changes of yours, of 23 November, 12:00") as refused:
            keep(post, people.editor, later, fields={"title": "Second tab"}, seen=seen)
        assert refused.value.code == "another_copy"
        with pytest.raises(Refused):
            drafting.discard(post, seen=seen, by=people.editor)

    assert WorkingCopy.objects.get().fields == TYPED
    drafting.discard(post, seen=now, by=people.editor)
    with pytest.raises(Refused, match="were saved or discarded in another tab"):
        keep(post, people.editor, later, seen=now)
    assert not WorkingCopy.objects.exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"body": "x" * drafting.MAX_CHARACTERS}, "too_large"),
        ({f"row-{number}": "" for number in range(drafting.MAX_FIELDS + 1)}, "too_large"),
        ({"body": "a\x00b"}, "bad_text"),
        ({}, "nothing_typed"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_reason(
    post: Post, people: SimpleNamespace, now: datetime, fields: dict[str, str], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        keep(post, people.editor, now, fields=fields)

    assert (refused.value.code, WorkingCopy.objects.count()) == (code, 0)


def test_only_who_may_save_may_keep(post: Post, people: SimpleNamespace, now: datetime) -> None:
    for person in (people.auditor, people.stranger):
        for place in (post, None):
            with pytest.raises(Refused) as refused:
                keep(place, person, now)
            assert refused.value.code == "not_allowed"

    assert not WorkingCopy.objects.exists()


def test_others_are_named_for_a_day_and_what_they_typed_is_not_read(
    post: Post, people: SimpleNamespace, now: datetime, django_assert_num_queries: Any
) -> None:
    keep(post, people.editor, now)
    keep(post, people.reviewer, now - timedelta(hours=25))
    keep(post, people.administrator, now - timedelta(hours=23))

    with django_assert_num_queries(1) as asked:
        found = drafting.others(post, by=people.second_editor, at=now)
        named = [(copy.user.username, copy.updated_at) for copy in found]

    assert named == [("editor", now), ("administrator", now - timedelta(hours=23))]
    assert '"fields"' not in asked.captured_queries[0]["sql"]
    assert [copy.user for copy in drafting.others(post, by=people.editor, at=now)] == [people.administrator]


def test_a_save_takes_its_own_copy_along_and_no_other(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    note = revising.ChangeNote("because")
    settings = {"by": people.editor, "at": now, "note": note, "version": "", "ask_for_review": False}
    keep(post, people.editor, now)
    keep(post, people.second_editor, now)
    keep(None, people.editor, now, base_number=None)
    changed = Document.read({"title": "Changed"})

    with pytest.raises(Conflict):
        drafting.save(post, changed, base_number=7, **settings)
    assert WorkingCopy.objects.count() == 3
    drafting.save(post, changed, base_number=1, **settings)
    assert WorkingCopy.objects.filter(user=people.editor).get().post is None
    drafting.create(changed, slug="", **settings | {"version": "0.1.0"})

    assert WorkingCopy.objects.get().user == people.second_editor


def test_a_check_foresees_what_the_save_then_does(make_post: Any, people: SimpleNamespace, now: Any) -> None:
    post = make_post(body="One two three.")
    document = Document.read({**post.document().plain(), "body": "password = hunter2222"})

    outlook = drafting.foresee(post, document)

    assert outlook.proposal == ("1.0.0", "major", "more than half of the text is new")
    note = revising.ChangeNote("because")
    revision = revising.save(post, document, base_number=1, by=people.editor, at=now, note=note)
    assert revision is not None
    assert revision.version == "1.0.0"
    raised = [(flag.code, flag.sentence) for flag in revision.flags.order_by("pk")]
    assert [(rule.code, finding.sentence) for rule, finding in outlook.findings] == raised
    post.refresh_from_db()
    assert drafting.foresee(post, document).proposal is None
    assert drafting.foresee(None, document).proposal == ("0.1.0", "minor", "first revision")


@pytest.mark.django_db(transaction=True)
def test_each_person_has_one_text_checked_at_a_time(people: SimpleNamespace) -> None:
    other = connection.copy()
    try:
        with transaction.atomic():
            assert drafting.takes_turn(people.editor)
            with other.cursor() as cursor:
                lock = "SELECT pg_try_advisory_lock(%s, %s)"
                answers = []
                for person in (people.editor, people.second_editor):
                    cursor.execute(lock, [drafting._LOCK, person.pk])
                    answers += cursor.fetchone()
    finally:
        other.close()

    assert answers == [False, True]
