"""Turn demo notes into posts in every state, through the verbs that people's acts go through; remove them.

Each note has a story: what became of it, and thereby the state in which a newcomer finds it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from kb.choices import DUE_WITHIN, Outcome, ReportKind, Severity
from kb.document import Document
from kb.flow import commenting, publishing, reporting, reviewing, revising, verifying
from kb.flow.revising import ChangeNote
from kb.models import (
    Comment,
    Decision,
    Entity,
    Flag,
    ImportRun,
    Post,
    Publication,
    Receipt,
    Report,
    Revision,
    Schedule,
    SourceRecord,
    Tick,
    Verification,
)
from kb.models.post import DEMO_SOURCE
from kb.sources import Record, jsonl

_LOCK = 0x6B64  # "kd": two that seed at once take turns
_STEP = timedelta(hours=5)
_AHEAD = timedelta(days=2)
BETWEEN_STORIES = timedelta(hours=30)


@dataclass(frozen=True, slots=True)
class Cast:
    """Those who act in the stories: one writes, one reviews, one imports."""

    editor: Any
    reviewer: Any
    administrator: Any


@dataclass(frozen=True, slots=True)
class Note:
    """A demo note: the record it is made from, whose source is DEMO_SOURCE, and its story."""

    record: Record
    story: str


@dataclass(slots=True)
class Scene:
    """One post on its way through its story. Each act happens a few hours after the one before."""

    note: Note
    cast: Cast
    run: ImportRun
    at: datetime
    post: Post

    @property
    def document(self) -> Document:
        return self.note.record.document

    def later(self) -> datetime:
        self.at += _STEP
        self.post.refresh_from_db()
        return self.at

    def head(self) -> Revision:
        head: Revision | None = self.post.head
        assert head is not None, "a post is never without a revision outside its own transaction"  # noqa: S101
        return head

    def save(self, document: Document, note: ChangeNote, *, ask_for_review: bool = False) -> None:
        at, base = self.later(), self.head().number
        revising.save(
            self.post,
            document,
            base_number=base,
            by=self.cast.editor,
            at=at,
            note=note,
            ask_for_review=ask_for_review,
        )

    def ask(self) -> None:
        reviewing.ask_for_review(self.post, by=self.cast.editor, at=self.later())

    def approve(self, comment: str = "", *, publish_at: datetime | None = None) -> None:
        at, head = self.later(), self.head()
        reviewing.approve(
            self.post,
            number=head.number,
            fingerprint=head.fingerprint,
            by=self.cast.reviewer,
            at=at,
            comment=comment,
            publish_at=publish_at,
        )

    def remark(self, text: str, *, by: Any, field: str = "") -> Comment:
        at, number = self.later(), self.head().number
        return commenting.add(self.post, number=number, field=field, text=text, by=by, at=at)


def seed(
    notes: Sequence[Note], *, cast: Cast, at: datetime, tell: Callable[[int], object] = lambda number: None
) -> int:
    """Write the notes that are not there yet, the oldest first, and give their number.

    Each is a transaction of its own, so that a run that was killed goes on where it stopped. `tell` gets the
    number of notes that were looked at so far. Raises Refused if somebody of the cast lacks a right.
    """
    missing = [note for note in notes if not _is_there(note)]
    if not missing:
        return 0
    run = ImportRun.objects.create(by=cast.administrator, paths=["demo content"], started_at=at)
    written = 0
    for number, note in enumerate(notes):
        if note in missing:
            begun = at - (len(notes) - number) * BETWEEN_STORIES
            written += _perform(note, cast=cast, run=run, at=begun)
        tell(number + 1)
    run.finished_at = at
    run.counts = dict(Counter(run.receipts.values_list("outcome", flat=True)))
    run.save(update_fields=["finished_at", "counts"])
    return written


@transaction.atomic
def _perform(note: Note, *, cast: Cast, run: ImportRun, at: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    if _is_there(note):
        return False
    begin, go_on = STORIES[note.story]
    scene = Scene(note, cast, run, at, begin(note, cast, run, at))
    go_on(scene)
    return True


def _is_there(note: Note) -> bool:
    return Post.objects.demo().filter(source_id=note.record.source_id).exists()


# --- How a story begins ---


def _write(note: Note, cast: Cast, run: ImportRun, at: datetime) -> Post:
    return _create(note, note.record.document, cast, at)


def _write_shorter(note: Note, cast: Cast, run: ImportRun, at: datetime) -> Post:
    return _create(note, shorter(note.record.document), cast, at)


def _write_for_due(note: Note, cast: Cast, run: ImportRun, at: datetime) -> Post:
    return _write_before(note, cast, run.started_at, DUE_WITHIN / 2)


def _write_for_overdue(note: Note, cast: Cast, run: ImportRun, at: datetime) -> Post:
    return _write_before(note, cast, run.started_at, -DUE_WITHIN)


def _write_before(note: Note, cast: Cast, now: datetime, left: timedelta) -> Post:
    """So long ago that, approved and forgotten, it has about this much time left until its verification."""
    days = verifying.policy_for(note.record.document).days
    return _create(note, note.record.document, cast, now - timedelta(days=days) + left)


def _create(note: Note, document: Document, cast: Cast, at: datetime) -> Post:
    return revising.create(
        document,
        slug=note.record.slug,
        by=cast.editor,
        at=at,
        note=ChangeNote(reason="Written down while the change is still fresh."),
        source=DEMO_SOURCE,
        source_id=note.record.source_id,
    )


def _import(note: Note, cast: Cast, run: ImportRun, at: datetime) -> Post:
    post = revising.import_new(note.record, run=run, at=at)
    _receipt(run, note.record, Outcome.CREATED, post, post.head)
    return post


def _receipt(run: ImportRun, record: Record, outcome: Outcome, post: Post, revision: Revision | None) -> None:
    Receipt.objects.create(
        run=run,
        place=record.place,
        source=DEMO_SOURCE,
        source_id=record.source_id,
        outcome=outcome,
        reason="A person had edited the post." if outcome == Outcome.CONFLICT else "",
        post=post,
        revision=revision,
    )


def shorter(document: Document) -> Document:
    """What the note may have been before its last edit: without its last section and expected result."""
    body, _, last = document.body.rpartition("\n## ")
    return document.model_copy(update={"body": body.rstrip() or last, "expected_result": ""})


# --- How it goes on ---


def _rest(scene: Scene) -> None:
    """It stays as it is: its flags decide what happens next."""


def _asked(scene: Scene) -> None:
    scene.ask()


def _published(scene: Scene) -> None:
    scene.ask()
    scene.approve()


def _long_published(scene: Scene) -> None:
    """Everything happened back then; nobody verified it since."""
    scene.at = scene.head().created_at
    _published(scene)


def _overdue(scene: Scene) -> None:
    _long_published(scene)
    verifying.flag_overdue(scene.post, at=scene.run.started_at - _STEP)


def _reported(scene: Scene) -> None:
    _published(scene)
    reporting.report(
        scene.post.slug,
        kind=ReportKind.OUTDATED,
        sentence="The second example is not needed any more: the newest release does it by itself.",
        sender="demo content",
        at=scene.later(),
    )


def _updated(scene: Scene) -> None:
    scene.approve("Good as a beginning; the last section is still missing.")
    scene.save(scene.document, COMPLETED, ask_for_review=True)
    scene.approve("Tried it as written, works.")


def _edited_since(scene: Scene) -> None:
    scene.approve()
    scene.save(scene.document, COMPLETED)


def _waiting_again(scene: Scene) -> None:
    """Two remarks go along: one that its editor answered, one that is open."""
    scene.approve()
    answered = scene.remark("Whom does a reader ask when this does not help?", by=scene.cast.reviewer)
    commenting.resolve(answered, by=scene.cast.editor, at=scene.later())
    scene.save(scene.document, COMPLETED, ask_for_review=True)
    scene.remark("Seen on the newest release, too?", by=scene.cast.reviewer, field="expected_result")


def _scheduled(scene: Scene) -> None:
    scene.ask()
    scene.approve("Good. Readers get it with the release.", publish_at=scene.run.started_at + _AHEAD)


def _restored(scene: Scene) -> None:
    scene.approve()
    scene.save(
        shorter(scene.document), ChangeNote(reason="Shortened: the last section seemed to be obvious.")
    )
    scene.approve()
    at, base = scene.later(), scene.head().number
    reason = ChangeNote(reason="It was not obvious: two people asked for the section that was cut.")
    revising.restore(scene.post, number=1, base_number=base, by=scene.cast.editor, at=at, note=reason)


def _restored_and_asked(scene: Scene) -> None:
    _restored(scene)
    scene.ask()


def _restored_and_approved(scene: Scene) -> None:
    _restored(scene)
    scene.approve("Right to bring it back.")


def _changes_requested(scene: Scene) -> None:
    scene.ask()
    at, head = scene.later(), scene.head()
    reviewing.request_changes(
        scene.post,
        number=head.number,
        fingerprint=head.fingerprint,
        by=scene.cast.reviewer,
        at=at,
        comment="The example does not run as it stands, and the rollback note should name the command. "
        "Otherwise fine.",
    )


def _withdrawn(scene: Scene) -> None:
    _published(scene)
    reviewing.withdraw(
        scene.post,
        by=scene.cast.reviewer,
        at=scene.later(),
        comment="Describes how it was before the last migration; somebody has to bring it up to date.",
    )


def _doubted(scene: Scene) -> None:
    _published(scene)
    reviewing.raise_flag(
        scene.post,
        severity=Severity.BLOCKING,
        sentence="The example fails on the newest release: try it before the next approval.",
        by=scene.cast.reviewer,
        at=scene.later(),
    )


def _conflict(scene: Scene) -> None:
    """The source brings other content after an editor changed what it had brought before."""
    scene.save(
        scene.document.model_copy(
            update={"owner": "the group that runs it", "notes": ("owner asked in person",)}
        ),
        ChangeNote(reason="Named an owner."),
    )
    newer = scene.document.model_copy(
        update={"summary": f"{scene.document.summary} Brought up to date by its source."}
    )
    record = replace(scene.note.record, document=newer)
    record = jsonl.parse(jsonl.write(record).removesuffix(b"\n"), record.place)
    aside = revising.keep_aside(scene.post, record, run=scene.run, at=scene.later())
    _receipt(scene.run, record, Outcome.CONFLICT, scene.post, aside)


COMPLETED = ChangeNote(
    reason="Added what was missing: the last section, and what a reader should see in the end.",
    files_touched="the note alone",
    metric_improved="questions in chat about it: from several a week to none",
)
Begin = Callable[[Note, Cast, ImportRun, datetime], Post]
STORIES: dict[str, tuple[Begin, Callable[[Scene], None]]] = {
    "written": (_write, _rest),
    "imported": (_import, _rest),
    "asked": (_write, _asked),
    "scheduled": (_write, _scheduled),
    "published": (_write, _published),
    "due": (_write_for_due, _long_published),
    "overdue": (_write_for_overdue, _overdue),
    "reported": (_write, _reported),
    "updated": (_write_shorter, _updated),
    "edited_since": (_write_shorter, _edited_since),
    "waiting_again": (_write_shorter, _waiting_again),
    "restored": (_write, _restored_and_asked),
    "restored_and_approved": (_write, _restored_and_approved),
    "changes_requested": (_write, _changes_requested),
    "withdrawn": (_write, _withdrawn),
    "doubted": (_write, _doubted),
    "conflict": (_import, _conflict),
}


# --- Removing ---


@dataclass(frozen=True, slots=True)
class Removal:
    """How many rows of each kind went."""

    posts: int = 0
    revisions: int = 0
    decisions: int = 0
    flags: int = 0
    publications: int = 0
    source_records: int = 0
    receipts: int = 0
    entities: int = 0


@transaction.atomic
def remove(*, at: datetime) -> Removal:
    """Delete every demo post with all that hangs on it, and entities that it alone named; nothing else.

    Published ones are withdrawn in the feed first. The database lets revisions, decisions and source records
    go only in a transaction that says so, and only those of demo posts.
    """
    posts = list(Post.objects.demo().select_for_update().order_by("pk"))
    ids = [post.pk for post in posts]
    entities = list(
        Entity.objects.filter(post_entities__post__in=ids).values_list("pk", flat=True).distinct()
    )
    runs = set(ImportRun.objects.filter(receipts__post__in=ids).values_list("pk", flat=True))
    runs |= set(ImportRun.objects.filter(revisions__post__in=ids).values_list("pk", flat=True))
    publications = Publication.objects.filter(post__in=ids).count()
    for post in posts:
        publishing.retract(post, at=at)
    _allow("on")
    Post.objects.filter(pk__in=ids).update(head=None)
    for rows in _said_of(ids):
        rows.delete()
    receipts = Receipt.objects.filter(post__in=ids).delete()[0]
    flags = Flag.objects.filter(revision__post__in=ids).delete()[0]
    decisions = _delete_decisions(ids)
    source_records = SourceRecord.objects.filter(revision__post__in=ids).delete()[0]
    revisions = _delete_revisions(ids)
    _allow("off")
    Post.objects.filter(pk__in=ids).delete()
    ImportRun.objects.filter(pk__in=runs, receipts=None, revisions=None).delete()
    unused = Entity.objects.filter(pk__in=entities, post_entities=None, aliases=[])
    return Removal(
        posts=len(posts),
        revisions=revisions,
        decisions=decisions,
        flags=flags,
        publications=publications,
        source_records=source_records,
        receipts=receipts,
        entities=unused.delete()[0],
    )


def _said_of(posts: list[int]) -> list[QuerySet[Any]]:
    """What hangs on revisions and decisions, in an order in which it can go."""
    return [
        Report.objects.filter(revision__post__in=posts),
        Comment.objects.filter(revision__post__in=posts),
        Verification.objects.filter(revision__post__in=posts),
        Tick.objects.filter(decision__revision__post__in=posts),
        Schedule.objects.filter(decision__revision__post__in=posts),
    ]


def _delete_decisions(posts: list[int]) -> int:
    """Those that take another back first: what they name has to outlive them."""
    found = Decision.objects.filter(revision__post__in=posts)
    return found.filter(takes_back__isnull=False).delete()[0] + found.delete()[0]


def _delete_revisions(posts: list[int]) -> int:
    """The newest of each post first: a revision's parent has to outlive it."""
    found = Revision.objects.filter(post__in=posts)
    numbers = found.order_by("-number").values_list("number", flat=True).distinct()
    return sum(found.filter(number=number).delete()[0] for number in list(numbers))


def _allow(word: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('kb.removing_demo', %s, true)", [word])
