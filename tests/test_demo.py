"""The demo content: a post in every state, the same however often it is written, and gone without a trace."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction
from django.db.models import Count

from kb.choices import ChangeKind, Origin, Outcome, Severity, State
from kb.errors import Refused
from kb.flow import commenting, criteria, demonstrating, flagging, reviewing, scheduling
from kb.flow.demonstrating import STORIES, Cast, Note
from kb.management import demo
from kb.models import (
    Change,
    Comment,
    Entity,
    Flag,
    ImportRun,
    Post,
    Publication,
    Receipt,
    Revision,
    Schedule,
    SourceRecord,
)
from kb.render import safe_url
from tests.conftest import lasting, make_people, require_groups

NOTES = demo.notes()


def one_of_each() -> list[Note]:
    """The first note of each story: as telling as all of them, and written in a fraction of the time."""
    return list({note.story: note for note in reversed(NOTES)}.values())[::-1]


@pytest.fixture
def cast(people: SimpleNamespace) -> Cast:
    return Cast(editor=people.editor, reviewer=people.reviewer, administrator=people.administrator)


@pytest.fixture(scope="class")
def seeded(django_db_setup: None, django_db_blocker: Any, now: datetime) -> Iterator[Cast]:
    """One of each, written once for tests that look at it."""
    with lasting(django_db_blocker):
        require_groups()
        people = make_people()
        cast = Cast(editor=people.editor, reviewer=people.reviewer, administrator=people.administrator)
        demonstrating.seed(one_of_each(), cast=cast, at=now)
        yield cast


def rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in apps.get_app_config("kb").get_models()}


def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables of kb, value for value."""
    models = apps.get_app_config("kb").get_models()
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


# --- The notes ---


def test_there_are_about_sixty_notes_and_no_two_share_an_address_or_a_title() -> None:
    assert 55 <= len(NOTES) <= 70
    assert len({note.record.source_id for note in NOTES}) == len(NOTES)
    assert len({note.record.document.title for note in NOTES}) == len(NOTES)


def test_the_notes_are_the_same_each_time() -> None:
    assert demo.notes() == NOTES


def test_every_story_has_a_note() -> None:
    assert {note.story for note in NOTES} == set(STORIES)


def test_a_note_that_links_to_another_names_one_that_exists() -> None:
    slugs = {note.record.slug for note in NOTES}
    linked = {
        part.split("/)")[0] for note in NOTES for part in note.record.document.body.split("](/posts/")[1:]
    }

    assert linked
    assert linked <= slugs


def test_every_picture_has_an_address_that_readers_may_follow_and_a_caption() -> None:
    images = [image for note in NOTES for image in note.record.document.images]

    assert images
    assert [image for image in images if not safe_url(image.url) or not image.caption] == []


def test_only_the_notes_that_show_a_blocking_rule_trip_over_one() -> None:
    blocked = {
        note.record.slug: rule.code
        for note in NOTES
        for rule, _ in flagging.inspect(note.record.document)
        if rule.severity == Severity.BLOCKING
    }

    assert blocked == {"rotate-a-leaked-secret": "credential", "an-embedded-status-panel": "removed_markup"}


# --- Writing them ---


def test_a_newcomer_finds_every_state(cast: Cast, now: datetime) -> None:
    flagged = [note for note in NOTES if flagging.inspect(note.record.document)]

    demonstrating.seed([*one_of_each(), *flagged], cast=cast, at=now)

    posts = Post.objects.demo()
    assert set(posts.values_list("state", flat=True)) == set(State.values)
    # Published ones that changed since: as a draft, and waiting for another review.
    assert {State.DRAFT, State.WAITING} <= set(posts.published().values_list("state", flat=True))
    assert set(Revision.objects.values_list("origin", flat=True)) == set(Origin.values)
    assert set(Change.objects.values_list("kind", flat=True)) == set(ChangeKind.values)
    assert set(Receipt.objects.values_list("outcome", flat=True)) == {Outcome.CREATED, Outcome.CONFLICT}
    open_codes = set(
        Flag.objects.open().filter(revision__in=posts.values("head")).values_list("code", flat=True)
    )
    assert open_codes == {*flagging.WORDS, reviewing.REVIEW_REQUESTED, "by_hand"}


def test_the_page_of_a_source_waits_for_review_with_its_bytes(cast: Cast, now: datetime) -> None:
    page = next(note for note in NOTES if note.record.source_id == demo.PAGE_ID)

    demonstrating.seed([page], cast=cast, at=now)

    post = Post.objects.get()
    assert (post.state, post.source, post.view_count) == (State.WAITING, "kb-demo", 1287)
    assert SourceRecord.objects.get().content == demo.PAGE.read_bytes()


@pytest.mark.django_db
@pytest.mark.usefixtures("seeded")
class TestOneOfEach:
    def test_what_happened_lies_in_the_past_and_in_order(self, now: datetime) -> None:
        changes = list(Change.objects.order_by("pk").values_list("at", flat=True))
        assert changes == sorted(changes)
        assert changes[-1] < now
        assert Revision.objects.filter(created_at__gte=now).count() == 0

    def test_a_newcomer_finds_remarks_and_an_approval_that_is_still_to_come(self, now: datetime) -> None:
        remarks = Comment.objects.order_by("pk").values_list("by__username", "resolved_by__username")
        assert list(remarks) == [("reviewer", "editor"), ("reviewer", None)]
        assert [schedule.publish_at for schedule in Schedule.objects.filter(outcome=Schedule.PENDING)] == [
            now + timedelta(days=2)
        ]

    def test_nobody_approved_their_own_work(self) -> None:
        assert set(Publication.objects.values_list("approval__reviewer__username", flat=True)) == {"reviewer"}
        assert Revision.objects.filter(author__username="reviewer").count() == 0

    def test_writing_them_twice_changes_nothing(self, seeded: Cast, now: datetime) -> None:
        before = everything()

        assert demonstrating.seed(one_of_each(), cast=seeded, at=now) == 0
        assert everything() == before


def test_a_run_that_was_killed_is_completed_by_the_next(cast: Cast, now: datetime) -> None:
    notes = one_of_each()

    def killed(number: int) -> None:
        if number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demonstrating.seed(notes, cast=cast, at=now, tell=killed)
    left = Post.objects.count()
    written = demonstrating.seed(notes, cast=cast, at=now)

    assert (left, written) == (4, len(notes) - 4)
    assert Post.objects.count() == len(notes)
    assert not Post.objects.values("source_id").annotate(n=Count("pk")).filter(n__gt=1).exists()


def test_a_story_that_breaks_off_leaves_no_half_post(
    cast: Cast, people: SimpleNamespace, now: datetime
) -> None:
    published = next(note for note in NOTES if note.story == "published")

    with pytest.raises(Refused):
        demonstrating.seed(
            [published], cast=Cast(people.editor, people.stranger, people.administrator), at=now
        )

    assert Post.objects.count() == 0


# --- Removing them ---


def remove(**options: Any) -> str:
    out = StringIO()
    call_command("remove_demo", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def own_posts(make_post: Any, publish: Any) -> None:
    """What must stay: a draft and a published post, which share entities with the demo content."""
    shared = {"name": "postgresql", "type": "stack"}
    make_post(title="Our own draft", entities=[shared, {"name": "ours", "type": "area"}])
    publish(make_post(title="Our own published note", entities=[shared]))
    Entity.objects.create(type="area", name="unused, made by hand")


@pytest.mark.usefixtures("own_posts")
def test_removing_takes_all_demo_content_and_leaves_the_rest_untouched(cast: Cast, now: datetime) -> None:
    before = everything()
    changes = Change.objects.count()
    demonstrating.seed(one_of_each(), cast=cast, at=now)
    published = set(Publication.objects.filter(post__source="kb-demo").values_list("slug", flat=True))
    assert published

    said = remove(yes=True)

    after = everything()
    feed = after.pop("Change")
    assert before.pop("Change") == feed[:changes]
    # Counted rows were counted up and down again.
    assert after == before
    last = {entry["slug"]: entry["kind"] for entry in feed}
    assert {last[slug] for slug in published} == {ChangeKind.WITHDRAWN}
    assert f"{len(STORIES)} posts" in said
    assert "stay" in said


def test_what_a_newcomer_did_with_demo_posts_goes_with_them(
    cast: Cast, people: SimpleNamespace, now: datetime
) -> None:
    page = next(note for note in NOTES if note.record.source_id == demo.PAGE_ID)
    demonstrating.seed([page], cast=cast, at=now)
    post = Post.objects.get()
    assert post.head
    seen = {"number": post.head.number, "fingerprint": post.head.fingerprint}
    listed = criteria.write("Basics", items=["Runs"], by=people.administrator, at=now)
    returned = reviewing.request_changes(
        post, **seen, by=people.reviewer, at=now, comment="Shorter.", ticks=[(listed.pk, 0)]
    )
    reviewing.take_back(returned, by=people.reviewer, at=now)
    commenting.add(post, number=1, text="Why?", by=people.editor, at=now)
    reviewing.approve(post, **seen, by=people.reviewer, at=now, publish_at=now + timedelta(hours=1))
    scheduling.publish_due(at=now + timedelta(hours=1))

    demonstrating.remove(at=now)

    assert {name: count for name, count in rows().items() if count} == {
        "Change": 2,
        "Criteria": 1,
        "PublishedTotals": 1,  # of zeros
    }


@pytest.mark.usefixtures("own_posts")
def test_removing_twice_is_harmless() -> None:
    before = everything()

    assert remove(yes=True) == "There is no demo content; nothing was removed.\n"
    assert everything() == before


def test_without_a_terminal_nothing_is_removed_unless_told(
    cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    demonstrating.seed(NOTES[:1], cast=cast, at=now)
    monkeypatch.setattr("sys.stdin", StringIO())

    with pytest.raises(CommandError, match=r"--yes"):
        remove()

    assert Post.objects.count() == 1


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("", 1), ("n", 1)])
def test_a_terminal_is_asked_first(
    answer: str, left: int, cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    demonstrating.seed(NOTES[:1], cast=cast, at=now)
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("builtins.input", lambda question: answer)

    if left:
        with pytest.raises(CommandError, match="Nothing was removed"):
            remove()
    else:
        remove()

    assert Post.objects.count() == left


@pytest.mark.usefixtures("own_posts")
def test_the_word_that_lets_demo_content_go_opens_nothing_else() -> None:
    draft = Post.objects.get(title="Our own draft")
    Post.objects.filter(pk=draft.pk).update(head=None)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL kb.removing_demo = 'on'")

    with pytest.raises(Error, match="kb_a_flag_is_closed_never_removed"), transaction.atomic():
        Flag.objects.filter(revision__post=draft).delete()
    with pytest.raises(Error, match="kb_what_was_frozen_stays"), transaction.atomic():
        draft.revisions.all()._raw_delete("default")


def test_after_removing_the_word_is_taken_back(cast: Cast, now: datetime) -> None:
    demonstrating.seed(NOTES[:1], cast=cast, at=now)

    demonstrating.remove(at=now)

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('kb.removing_demo', true)")
        assert cursor.fetchone() == ("off",)


def test_runs_of_demo_content_go_and_others_stay(cast: Cast, people: SimpleNamespace, now: datetime) -> None:
    own = ImportRun.objects.create(by=people.administrator, started_at=now)
    demonstrating.seed(one_of_each(), cast=cast, at=now)
    assert ImportRun.objects.count() == 2

    demonstrating.remove(at=now)

    assert list(ImportRun.objects.all()) == [own]
