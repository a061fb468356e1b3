"""Everybody does anything in any order: nothing unapproved reaches a reader, and no text is ever lost.

Hypothesis plays sequences of acts by all roles on one post, many of them on pages that are out of date. What
must hold is computed from the machine's own record of the acts that succeeded, not from kb's tables.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kb.choices import Severity, State
from kb.document import Document
from kb.errors import KbError
from kb.flow import commenting, maintaining, publishing, queueing, reviewing, revising, verifying
from kb.models import (
    Comment,
    Decision,
    Flag,
    ImportRun,
    Post,
    Publication,
    PublishedRevision,
    QueueItem,
    Revision,
)
from kb.sources.record import Record

pytestmark = pytest.mark.django_db

ROLES = ("editor", "second_editor", "reviewer", "second_reviewer", "administrator", "stranger")
WHO = st.sampled_from(ROLES)
# Mostly those who may, and mostly on a page that is up to date: else the machine meets refusals alone.
REVIEWERS = st.sampled_from(("reviewer", "second_reviewer", "administrator", "reviewer", "editor"))
PAGES = st.sampled_from((0, 0, 0, 0, 1, 2))
TEXTS = st.sampled_from(("one", "two", "three", "four", "password=Xy7hunter2abc"))
SEVERITIES = st.sampled_from((Severity.ADVISORY, Severity.ASKS, Severity.BLOCKING))
NOTE = revising.ChangeNote("an act of the machine")


@dataclass
class Frozen:
    """A revision as the machine remembers it."""

    fingerprint: str
    body: str
    author: str | None
    aside: bool = False


@dataclass
class Approval:
    number: int
    by: str
    effective_at: datetime
    ended: bool = False  # taken back, withdrawn, or lapsed before its time


@dataclass
class Ledger:
    """What happened, in the machine's own words."""

    revisions: list[Frozen] = field(default_factory=list)
    head: int = 0
    approvals: list[Approval] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    due: Approval | None = None  # waits for its time
    withheld: bool = False  # nobody verified it in time


class Desk(RuleBasedStateMachine):
    """One post among people who do not wait for each other."""

    people: SimpleNamespace

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        self.at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.ledger = Ledger()
        self.run = ImportRun.objects.create(started_at=self.at)
        self.post = revising.import_new(self._record("zero"), run=self.run, at=self.at)
        self._froze("zero", None)
        self.pages: list[dict[str, Any]] = [self._page()]

    def teardown(self) -> None:
        try:
            post = Post.objects.select_related("head").get(pk=self.post.pk)
            assert post.head is not None
            assert post.document().fingerprint == post.head.fingerprint
            assert post.state == post.current_state()
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    # --- Acts ---

    @rule(who=WHO, text=TEXTS, ask=st.booleans(), page=PAGES)
    def save(self, who: str, text: str, ask: bool, page: int) -> None:
        seen = self._seen(page)
        saved = self._try(
            lambda: revising.save(
                self.post,
                _document(text),
                base_number=seen["number"],
                by=self._person(who),
                at=self.at,
                note=NOTE,
                ask_for_review=ask,
            )
        )
        if saved:
            self._froze(text, who)

    @rule(who=WHO, number=st.integers(1, 6), page=PAGES)
    def restore(self, who: str, number: int, page: int) -> None:
        seen = self._seen(page)
        restored = self._try(
            lambda: revising.restore(
                self.post,
                number=number,
                base_number=seen["number"],
                by=self._person(who),
                at=self.at,
                note=NOTE,
            )
        )
        if restored:
            self._froze(self.ledger.revisions[number - 1].body, who)

    @rule(text=TEXTS)
    def import_again(self, text: str) -> None:
        post = Post.objects.get(pk=self.post.pk)
        record = self._record(text)
        if post.head and post.head.origin == "import":
            if post.head.fingerprint != record.document.fingerprint:
                revising.import_update(post, record, run=self.run, at=self.at)
                self._froze(text, None)
        else:
            revising.keep_aside(post, record, run=self.run, at=self.at)
            self._froze(text, None, aside=True)

    @rule(who=REVIEWERS, page=PAGES)
    def approve(self, who: str, page: int) -> None:
        self._approve(who, page, later=False)

    @rule(who=REVIEWERS, page=PAGES)
    def approve_for_later(self, who: str, page: int) -> None:
        self._approve(who, page, later=True)

    def _approve(self, who: str, page: int, *, later: bool) -> None:
        seen = self._seen(page)
        effective_at = self.at + timedelta(hours=1) if later else self.at
        decided = self._try(
            lambda: reviewing.approve(
                self.post,
                **seen,
                by=self._person(who),
                at=self.at,
                publish_at=effective_at if later else None,
            )
        )
        if decided:
            assert who not in self._writers(seen["number"])
            approval = Approval(seen["number"], who, effective_at)
            self.ledger.approvals.append(approval)
            self.ledger.due = approval if later else None
            self.ledger.withheld = self.ledger.withheld and later

    @rule(who=REVIEWERS, page=PAGES)
    def request_changes(self, who: str, page: int) -> None:
        seen = self._seen(page)
        if self._try(
            lambda: reviewing.request_changes(
                self.post, **seen, by=self._person(who), at=self.at, comment="Shorter."
            )
        ):
            self._end_due()

    @rule(who=REVIEWERS)
    def take_back(self, who: str) -> None:
        last = Decision.objects.filter(revision__post=self.post).first()
        if last and self._try(lambda: reviewing.take_back(last, by=self._person(who), at=self.at)):
            self._end_due()

    @rule(who=REVIEWERS)
    def withdraw(self, who: str) -> None:
        if self._try(
            lambda: reviewing.withdraw(self.post, by=self._person(who), at=self.at, comment="Wrong.")
        ):
            for approval in self.ledger.approvals:
                approval.ended = True
            self.ledger.withheld = False
            self._end_due()

    @rule(who=WHO, severity=SEVERITIES)
    def raise_flag(self, who: str, severity: str) -> None:
        person = self._person(who)
        self._try(
            lambda: reviewing.raise_flag(
                self.post, severity=severity, sentence="Look.", by=person, at=self.at
            )
        )

    @rule(who=REVIEWERS, undo=st.booleans(), first=st.booleans())
    def close_flags(self, who: str, undo: bool, first: bool) -> None:
        person = self._person(who)
        for flag in Flag.objects.open().filter(revision__post=self.post).order_by("-pk")[: 1 if first else 9]:
            closed = self._try(
                lambda flag=flag: reviewing.close_flag(flag, by=person, at=self.at, note="Fine.")
            )
            if closed and undo:
                self._try(lambda flag=flag: reviewing.reopen_flag(flag, by=person, at=self.at))

    @rule(who=WHO, page=PAGES)
    def comment(self, who: str, page: int) -> None:
        seen, text = self._seen(page), f"Remark {len(self.ledger.comments)}"
        person = self._person(who)
        if self._try(
            lambda: commenting.add(self.post, number=seen["number"], text=text, by=person, at=self.at)
        ):
            self.ledger.comments.append(text)

    @rule(who=REVIEWERS, act=st.sampled_from(("claim", "take_over", "release", "take_next")))
    def claim(self, who: str, act: str) -> None:
        person = self._person(who)
        if act == "take_next":
            self._try(lambda: queueing.take_next(by=person, at=self.at))
        else:
            self._try(lambda: getattr(queueing, act)(self.post, by=person, at=self.at))

    @rule(minutes=st.sampled_from((1, 20, 61)))
    def wait(self, minutes: int) -> None:
        self._pass(timedelta(minutes=minutes))

    @rule()
    def let_its_verification_come_due(self) -> None:
        self._pass(timedelta(days=91))

    def _pass(self, time: timedelta) -> None:
        self.at += time
        done = maintaining.upkeep(at=self.at)
        assert done
        assert done.failed == []
        if self.ledger.due and self.ledger.due.effective_at <= self.at:
            self.ledger.due, self.ledger.withheld = None, False
        self.ledger.withheld = self.ledger.withheld or bool(done.withheld)

    @rule(who=REVIEWERS, on=st.booleans())
    def set_withholding(self, who: str, on: bool) -> None:
        if self._try(lambda: verifying.set_withholding(self.post, on=on, by=self._person(who), at=self.at)):
            self.ledger.withheld = self.ledger.withheld and on

    @rule(who=REVIEWERS, page=PAGES)
    def verify(self, who: str, page: int) -> None:
        shown = publishing.approval_shown(self.post)
        published = shown.fingerprint if shown and page == 0 else self._seen(page)["fingerprint"]
        seen = {"published": published, "checked": "All of it."}
        if self._try(lambda: verifying.verify(self.post, **seen, by=self._person(who), at=self.at)):
            self.ledger.withheld = False

    @rule()
    def rebuild(self) -> None:
        assert publishing.rebuild().changed == []

    @rule()
    def open_the_page(self) -> None:
        self.pages.append(self._page())

    # --- What always holds ---

    @invariant()
    def readers_have_only_what_somebody_else_approved(self) -> None:
        publication = Publication.objects.filter(post=self.post).first()
        effective = {a.number for a in self.ledger.approvals if not a.ended and a.effective_at <= self.at}
        listed = set(PublishedRevision.objects.values_list("number", flat=True))
        assert listed <= effective
        if publication is None:
            held_back = self.ledger.withheld
            assert held_back or not effective, "an approval is in force, and readers have nothing"
            return
        assert not self.ledger.withheld
        assert publication.number in effective
        revision = self.ledger.revisions[publication.number - 1]
        assert publication.fingerprint == revision.fingerprint
        assert json.loads(publication.detail_json)["body"] == revision.body

    @invariant()
    def no_text_is_lost(self) -> None:
        kept = Revision.objects.filter(post=self.post).order_by("number").values_list("canonical", flat=True)
        assert list(kept) == [_document(r.body).canonical().decode() for r in self.ledger.revisions]
        assert list(Comment.objects.values_list("text", flat=True)) == self.ledger.comments

    @invariant()
    def the_queue_holds_what_waits(self) -> None:
        post = Post.objects.select_related("head").defer("body").get(pk=self.post.pk)
        waits = QueueItem.objects.open().filter(post=post).exists()
        assert post.head is not None
        called = post.head.flags.open().filter(code__in=queueing.CALLING).exists()
        assert waits == (post.state == State.WAITING or called)
        assert post.head.number == self.ledger.head

    # --- The machine's hands ---

    def _writers(self, number: int) -> set[str | None]:
        """Whose work this revision is: of what no approval that holds vouched for, or of the same content."""
        revisions = self.ledger.revisions
        holding = [a.number for a in self.ledger.approvals if not a.ended and a.number < number]
        wrote = {r.author for r in revisions[max(holding, default=0) : number] if not r.aside}
        return wrote | {r.author for r in revisions if r.fingerprint == revisions[number - 1].fingerprint}

    def _person(self, who: str) -> Any:
        return getattr(self.people, who)

    def _seen(self, back: int) -> dict[str, Any]:
        """A page that somebody has open: 0 is up to date, others are older."""
        return self._page() if back == 0 else self.pages[-min(back, len(self.pages))]

    def _page(self) -> dict[str, Any]:
        post = Post.objects.select_related("head").get(pk=self.post.pk)
        assert post.head
        flags = Flag.objects.filter(revision=post.head)
        decisions = Decision.objects.filter(revision__post=post)
        return {
            "number": post.head.number,
            "fingerprint": post.head.fingerprint,
            "standing": reviewing.standing(decisions, flags),
        }

    def _try(self, act: Callable[[], Any]) -> Any:
        """Do it, or be refused with a sentence and without a trace."""
        try:
            return act()
        except KbError:
            return None

    def _froze(self, text: str, author: str | None, *, aside: bool = False) -> None:
        document = _document(text)
        self.ledger.revisions.append(Frozen(document.fingerprint, document.body, author, aside))
        if not aside:
            self.ledger.head = len(self.ledger.revisions)
            self._end_due()

    def _end_due(self) -> None:
        if self.ledger.due:
            self.ledger.due.ended = True
            self.ledger.due = None

    def _record(self, text: str) -> Record:
        return Record(
            document=_document(text),
            content=text.encode(),
            format="alphanode",
            place="notes.txt:1",
            source="machine",
            source_id="1",
        )


def _document(text: str) -> Document:
    return Document(title="A note", body=text)


@pytest.fixture
def desk(people: SimpleNamespace) -> type[Desk]:
    Desk.people = people
    return Desk


def test_no_sequence_of_acts_publishes_the_unapproved_or_loses_a_text(desk: type[Desk]) -> None:
    run_state_machine_as_test(
        desk,
        settings=settings(
            max_examples=18,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
