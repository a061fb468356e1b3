"""Approvals for later: they reach nobody before their time, and lapse when the content changes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import DatabaseError, transaction

from kb.choices import State, Verdict
from kb.document import Document
from kb.errors import Refused
from kb.flow import publishing, reviewing, revising, scheduling
from kb.models import Change, Decision, Notice, Post, Publication, PublishedRevision, QueueItem, Schedule
from kb.render import render

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def approve(people: SimpleNamespace, now: datetime) -> Callable[..., Decision]:
    def decide(post: Post, *, publish_at: datetime | None, at: datetime = now) -> Decision:
        post = Post.objects.get(pk=post.pk)
        assert post.head
        seen = {"number": post.head.number, "fingerprint": post.head.fingerprint}
        return reviewing.approve(post, **seen, by=people.reviewer, at=at, publish_at=publish_at)

    return decide


@pytest.fixture
def edit(people: SimpleNamespace, now: datetime) -> Callable[..., None]:
    def save(post: Post, **content: Any) -> None:
        post = Post.objects.get(pk=post.pk)
        document = Document.read({**post.document().plain(), **content})
        note = revising.ChangeNote("edited for a test")
        revising.save(post, document, base_number=post.head.number, by=people.editor, at=now, note=note)

    return save


def outcomes() -> list[str]:
    return list(Schedule.objects.order_by("pk").values_list("outcome", flat=True))


def test_nothing_reaches_readers_before_the_time_and_all_of_it_after(
    make_post: Any, approve: Any, now: datetime
) -> None:
    post = make_post(ask_for_review=True)

    approve(post, publish_at=now + HOUR)
    early = scheduling.publish_due(at=now + HOUR - timedelta(seconds=1))
    before = (Publication.objects.count(), PublishedRevision.objects.count(), Change.objects.count())
    waiting = scheduling.pending(post)
    due = scheduling.publish_due(at=now + HOUR)

    post.refresh_from_db()
    assert (early, before) == ([], (0, 0, 0))
    assert waiting is not None
    assert due == [waiting]
    assert (post.state, outcomes()) == (State.SETTLED, ["published"])
    assert Publication.objects.get().published_at == now + HOUR
    assert scheduling.publish_due(at=now + 2 * HOUR) == []
    assert publishing.rebuild().changed == []


def test_what_readers_have_stays_until_the_next_one_is_due(
    make_post: Any, publish: Any, edit: Any, approve: Any, now: datetime
) -> None:
    post = make_post()
    publish(post)
    edit(post, body="The second text.")

    approve(post, publish_at=now + HOUR)
    rebuilt = publishing.rebuild()
    before = (Publication.objects.get().number, PublishedRevision.objects.count())
    scheduling.publish_due(at=now + HOUR)

    assert rebuilt.changed == []
    assert before == (1, 1)
    assert (Publication.objects.get().number, PublishedRevision.objects.count()) == (2, 2)


def test_a_draft_that_changes_ends_the_schedule_and_its_reviewer_is_told(
    make_post: Any, edit: Any, approve: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    approve(post, publish_at=now + HOUR)

    edit(post, body="Changed before its time.")
    done = scheduling.publish_due(at=now + HOUR)

    notice = Notice.objects.get()
    assert (done, outcomes()) == ([], ["lapsed"])
    assert Publication.objects.count() == 0
    assert (notice.user, notice.post_id) == (people.reviewer, post.pk)
    assert "is not published at the time you chose" in notice.sentence


def test_the_database_keeps_an_approval_from_readers_until_its_time(
    make_post: Any, publish: Any, edit: Any, approve: Any, now: datetime
) -> None:
    post = make_post()
    publish(post)
    edit(post, body="The second text.")
    decision = approve(post, publish_at=now + HOUR)

    with pytest.raises(DatabaseError, match="kb_only_what_was_approved_is_published"), transaction.atomic():
        publishing.publish(decision, at=now)


def test_a_time_that_is_over_is_refused_and_nothing_is_decided(
    make_post: Any, approve: Any, now: datetime
) -> None:
    with pytest.raises(Refused) as refusal:
        approve(make_post(), publish_at=now)

    assert refusal.value.code == "past"
    assert (Decision.objects.count(), Schedule.objects.count()) == (0, 0)


def test_a_time_that_no_calendar_can_give_back_is_refused(
    make_post: Any, approve: Any, now: datetime
) -> None:
    last = datetime.max.replace(tzinfo=ZoneInfo("America/New_York"))  # in UTC it is the year 10,000

    with pytest.raises(Refused) as refusal:
        approve(make_post(), publish_at=last)
    approve(make_post(), publish_at=now + scheduling.FURTHEST)

    assert refusal.value.code == "too_far"
    assert list(Schedule.objects.values_list("publish_at", flat=True)) == [now + scheduling.FURTHEST]


def test_a_blocking_flag_raised_meanwhile_holds_it_up_until_it_is_closed(
    make_post: Any, approve: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(ask_for_review=True)
    approve(post, publish_at=now + HOUR)
    said = {"severity": "blocking", "sentence": "It holds a password."}
    flag = reviewing.raise_flag(post, **said, by=people.second_reviewer, at=now)

    held = scheduling.publish_due(at=now + HOUR)
    before = (Publication.objects.count(), outcomes())
    reviewing.close_flag(flag, by=people.second_reviewer, at=now + HOUR, note="It is an example.")
    ended = scheduling.publish_due(at=now + 2 * HOUR)

    assert (held, before) == ([], (0, [Schedule.PENDING]))
    assert [schedule.outcome for schedule in ended] == [Schedule.PUBLISHED]
    assert Publication.objects.get().approval == ended[0].decision


def test_its_reviewer_takes_a_scheduled_approval_back_until_its_time(
    make_post: Any, approve: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(ask_for_review=True)
    since = QueueItem.objects.get().since
    decision = approve(post, publish_at=now + HOUR, at=now + timedelta(minutes=1))

    taken = reviewing.take_back(decision, by=people.reviewer, at=now + timedelta(minutes=50))
    published = scheduling.publish_due(at=now + HOUR)

    post.refresh_from_db()
    item = QueueItem.objects.get()
    assert (taken.verdict, taken.takes_back) == (Verdict.TAKE_BACK, decision)
    assert (published, outcomes()) == ([], ["taken_back"])
    assert (post.state, item.left_at, item.since) == (State.WAITING, None, since)
    asked = post.head.flags.filter(code="review_requested").order_by("pk")
    assert [flag.is_open for flag in asked] == [False, True]
    assert approve(post, publish_at=None).verdict == Verdict.APPROVE


def test_what_readers_got_is_never_taken_back(make_post: Any, people: SimpleNamespace, now: datetime) -> None:
    post = make_post()
    seen = {"number": 1, "fingerprint": post.head.fingerprint}
    decision = reviewing.approve(post, **seen, by=people.reviewer, at=now)

    with pytest.raises(Refused) as refusal:
        reviewing.take_back(decision, by=people.reviewer, at=now)
    with (
        pytest.raises(DatabaseError, match="kb_what_reached_readers_is_not_taken_back"),
        transaction.atomic(),
    ):
        Decision.objects.create(
            revision=post.head,
            fingerprint=post.head.fingerprint,
            verdict=Verdict.TAKE_BACK,
            takes_back=decision,
            reviewer=people.reviewer,
            at=now,
        )

    assert refusal.value.code == "reached_readers"


def test_a_withdrawal_ends_a_schedule_too(
    make_post: Any, publish: Any, edit: Any, approve: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    publish(post)
    edit(post, body="The second text.")
    approve(post, publish_at=now + HOUR)

    reviewing.withdraw(post, by=people.reviewer, at=now, comment="Wrong.")
    scheduling.publish_due(at=now + HOUR)

    assert (outcomes(), Publication.objects.count()) == (["lapsed"], 0)


class TestRequestForChanges:
    @pytest.fixture
    def returned(self, make_post: Any, people: SimpleNamespace, now: datetime) -> Decision:
        post = make_post(ask_for_review=True)
        seen = {"number": 1, "fingerprint": post.head.fingerprint}
        return reviewing.request_changes(post, **seen, by=people.reviewer, at=now, comment="Shorter.")

    def test_is_undone_within_moments(
        self, returned: Decision, people: SimpleNamespace, now: datetime
    ) -> None:
        reviewing.take_back(returned, by=people.reviewer, at=now + reviewing.UNDO_LASTS)

        post = Post.objects.get()
        assert post.state == State.WAITING
        assert post.head.flags.open().filter(code="review_requested").count() == 1

    @pytest.mark.parametrize(
        ("who", "seconds", "code"),
        [("reviewer", 31, "too_late"), ("second_reviewer", 1, "not_yours"), ("editor", 1, "not_allowed")],
    )
    def test_is_undone_by_its_reviewer_alone_and_soon(
        self, returned: Decision, people: SimpleNamespace, now: datetime, who: str, seconds: int, code: str
    ) -> None:
        with pytest.raises(Refused) as refusal:
            reviewing.take_back(returned, by=getattr(people, who), at=now + timedelta(seconds=seconds))

        assert refusal.value.code == code
        assert Post.objects.get().state == State.CHANGES_REQUESTED

    def test_is_not_undone_after_somebody_went_on(
        self, returned: Decision, edit: Any, people: SimpleNamespace, now: datetime
    ) -> None:
        edit(returned.revision.post, body="Shorter.")

        with pytest.raises(Refused) as refusal:
            reviewing.take_back(returned, by=people.reviewer, at=now)

        assert refusal.value.code == "changed"

    def test_is_undone_once(self, returned: Decision, people: SimpleNamespace, now: datetime) -> None:
        reviewing.take_back(returned, by=people.reviewer, at=now)

        with pytest.raises(Refused) as refusal:
            reviewing.take_back(returned, by=people.reviewer, at=now)

        assert refusal.value.code == "changed"


class TestClosedFlag:
    @pytest.fixture
    def closed(self, make_post: Any, people: SimpleNamespace, now: datetime) -> Any:
        post = make_post(owner="web team", rollback_note="Undo it.")
        flag = reviewing.raise_flag(post, severity="blocking", sentence="Wrong.", by=people.reviewer, at=now)
        return reviewing.close_flag(flag, by=people.second_reviewer, at=now, note="It is right.")

    def test_is_open_again_after_an_undo_and_the_closing_stays_on_record(
        self, closed: Any, people: SimpleNamespace, now: datetime
    ) -> None:
        again = reviewing.reopen_flag(closed, by=people.second_reviewer, at=now)

        post = Post.objects.get()
        assert (again.is_open, again.sentence, again.raised_by) == (True, "Wrong.", people.reviewer)
        assert (post.state, post.head.flags.count()) == (State.WAITING, 2)
        with pytest.raises(Refused) as refusal:
            reviewing.reopen_flag(closed, by=people.second_reviewer, at=now)
        assert refusal.value.code == "changed"

    @pytest.mark.parametrize(
        ("who", "seconds", "code"), [("second_reviewer", 31, "too_late"), ("reviewer", 1, "not_yours")]
    )
    def test_is_opened_again_by_who_closed_it_alone_and_soon(
        self, closed: Any, people: SimpleNamespace, now: datetime, who: str, seconds: int, code: str
    ) -> None:
        with pytest.raises(Refused) as refusal:
            reviewing.reopen_flag(closed, by=getattr(people, who), at=now + timedelta(seconds=seconds))

        assert refusal.value.code == code

    def test_is_not_opened_again_behind_a_decision(
        self, closed: Any, publish: Any, people: SimpleNamespace, now: datetime
    ) -> None:
        publish(Post.objects.get())

        with pytest.raises(Refused) as refusal:
            reviewing.reopen_flag(closed, by=people.second_reviewer, at=now)

        assert refusal.value.code == "changed"


def test_an_approval_that_lapsed_vouches_for_nobodys_text(
    make_post: Any, approve: Any, edit: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(by=people.second_reviewer, ask_for_review=True)
    approve(post, publish_at=now + HOUR)
    post.refresh_from_db()
    seen = {"number": post.head.number, "fingerprint": post.head.fingerprint}
    reviewing.request_changes(post, **seen, by=people.administrator, at=now, comment="It is wrong.")
    edit(post, title="A comma, changed")
    post.refresh_from_db()
    seen = {"number": post.head.number, "fingerprint": post.head.fingerprint}

    with pytest.raises(Refused) as refusal:
        reviewing.approve(post, **seen, by=people.second_reviewer, at=now)

    assert refusal.value.code == "own_work"
    assert Publication.objects.count() == 0


def test_a_withdrawn_approval_vouches_for_nobodys_text_any_more(
    make_post: Any, publish: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(body="All of it by the editor.")
    publish(post)
    reviewing.withdraw(post, by=people.reviewer, at=now, comment="Wrong.")
    people.editor.groups.set(people.reviewer.groups.all())
    promoted = type(people.editor).objects.get(pk=people.editor.pk)
    note = revising.ChangeNote("a comma")
    comma = Document.read({**post.document().plain(), "body": "All of it, by the editor."})
    revising.save(post, comma, base_number=1, by=people.second_editor, at=now, note=note)
    post.refresh_from_db()
    seen = {"number": 2, "fingerprint": post.head.fingerprint}

    with pytest.raises(Refused) as refusal:
        reviewing.approve(post, **seen, by=promoted, at=now)
    with pytest.raises(DatabaseError, match="kb_nobody_approves_their_own_work"), transaction.atomic():
        Decision.objects.create(
            revision=post.head,
            fingerprint=post.head.fingerprint,
            verdict=Verdict.APPROVE,
            reviewer=people.editor,
            at=now,
        )

    assert refusal.value.code == "own_work"


def test_what_cannot_be_compiled_is_refused_when_it_is_approved_not_at_its_time(
    make_post: Any, approve: Any, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = make_post(body="<div><div>x</div></div>", body_format="html")
    monkeypatch.setattr("kb.render.MAX_NESTING", 1)  # stricter than when it was frozen
    render.cache_clear()

    with pytest.raises(Refused) as refusal:
        approve(post, publish_at=now + HOUR)

    assert (refusal.value.code, Schedule.objects.count()) == ("not_compiled", 0)


def test_the_database_lets_no_schedule_pass_a_blocking_flag(
    make_post: Any, approve: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    approve(post, publish_at=now + HOUR)
    reviewing.raise_flag(post, severity="blocking", sentence="Wrong.", by=people.reviewer, at=now)

    with (
        pytest.raises(DatabaseError, match="kb_no_schedule_passes_a_blocking_flag"),
        transaction.atomic(),
    ):
        Schedule.objects.update(outcome="published", ended_at=now)

    assert outcomes() == ["pending"]
