"""Turn what reviewers say of a revision into decisions, and an approval into a publication.

An approval names the fingerprint that its reviewer saw. Each verb locks the post first: of two people at once
one wins and the other is told. `standing` is what had been said when a page was opened: who decides on it
after somebody else spoke is told first. Without it (None) only the content is compared.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q

from kb.choices import Severity, Verdict
from kb.errors import InvalidDocument, Refused
from kb.flow import criteria, noticing, permitting, publishing, queueing, scheduling
from kb.models import Decision, Flag, Post, Revision, Schedule
from kb.render import render

REVIEW_REQUESTED = "review_requested"
UNDO_LASTS = timedelta(seconds=30)


@transaction.atomic
def approve(
    post: Post,
    *,
    number: int,
    fingerprint: str,
    standing: str | None = None,
    by: Any,
    at: datetime,
    comment: str = "",
    publish_at: datetime | None = None,
    ticks: Iterable[tuple[int, int]] = (),
) -> Decision:
    """Approve exactly the revision that was seen, and publish it: now, or at `publish_at`.

    `ticks` are criteria that the reviewer ticked: primary key of Criteria and position in its list. Raises
    Refused: `not_allowed`, `changed`, `already_decided`, `own_work`, `open_blocking_flags`, `past`,
    `too_far`, `bad_tick` or `not_compiled`.
    """
    permitting.require(by, "kb.review_post", "kb.publish_post")
    post = lock(post)
    seen = _seen(post, number, fingerprint)
    last = seen.decisions.in_force().select_related("reviewer").first()
    if last and last.verdict == Verdict.APPROVE and not _asked_again(seen):
        raise Refused(f"“{post}” was already approved by {last.reviewer}.", code="already_decided")
    own = is_own_work(post, by)
    if own and not settings.KB_ALLOW_SELF_APPROVAL:
        raise Refused(
            f"You wrote some of this content of “{post}”: another person must approve it.", code="own_work"
        )
    _refuse_open_blocking(post, seen)
    _refuse_unheard(post, standing)
    scheduling.lapse(post, by=by, at=at)
    decision = Decision.objects.create(
        revision=seen,
        fingerprint=fingerprint,
        verdict=Verdict.APPROVE,
        comment=comment.strip(),
        reviewer=by,
        self_approved=own,
        at=at,
    )
    criteria.tick(decision, ticks)
    _settle(decision)
    try:
        if publish_at:
            # Now, not at its time, somebody is there to be told that it cannot be compiled.
            render(seen.document.body, seen.document.body_format)
            scheduling.schedule(decision, publish_at=publish_at, at=at)
        else:
            publishing.publish(decision, at=at)
    except InvalidDocument as error:
        # Frozen when less strict limits held.
        raise Refused(f"“{post}” cannot be published: {error} Send it back.", code="not_compiled") from None
    queueing.settle(post, by=by, at=at, outcome=decision.verdict)
    return decision


@transaction.atomic
def request_changes(
    post: Post,
    *,
    number: int,
    fingerprint: str,
    standing: str | None = None,
    by: Any,
    at: datetime,
    comment: str,
    ticks: Iterable[tuple[int, int]] = (),
) -> Decision:
    """Send the revision that was seen back to its editors. What readers have stays.

    Raises Refused: `not_allowed`, `comment_missing`, `changed`, `bad_tick` or `already_decided`.
    """
    permitting.require(by, "kb.review_post")
    comment = _words(comment, f"Say what has to change in “{post}”.", "comment_missing")
    post = lock(post)
    seen = _seen(post, number, fingerprint)
    last = seen.decisions.in_force().select_related("reviewer").first()
    if last and last.verdict == Verdict.REQUEST_CHANGES and not _asked_again(seen):
        raise Refused(
            f"{last.reviewer} already requested changes of this revision of “{post}”.", code="already_decided"
        )
    _refuse_unheard(post, standing)
    scheduling.lapse(post, by=by, at=at)
    decision = Decision.objects.create(
        revision=seen,
        fingerprint=fingerprint,
        verdict=Verdict.REQUEST_CHANGES,
        comment=comment,
        reviewer=by,
        at=at,
    )
    criteria.tick(decision, ticks)
    _settle(decision)
    queueing.settle(post, by=by, at=at, outcome=decision.verdict)
    return decision


@transaction.atomic
def withdraw(post: Post, *, published: str | None = None, by: Any, at: datetime, comment: str) -> Decision:
    """Take a published post, or one that is withheld, from readers; to come back it needs a new approval.

    `published` is the fingerprint of what readers had when the page was opened. Raises Refused:
    `not_allowed`, `comment_missing`, `not_published` or `changed`.
    """
    permitting.require(by, "kb.publish_post")
    comment = _words(comment, f"Say why “{post}” is withdrawn.", "comment_missing")
    post = lock(post)
    shown = publishing.approval_shown(post)
    if shown is None:
        raise Refused(f"“{post}” is not published, so there is nothing to withdraw.", code="not_published")
    if published is not None and published != shown.fingerprint:
        raise Refused(
            f"Readers have another revision of “{post}” since you opened it: {shown.revision.number}, "
            f"v{shown.revision.version}. Look at it and decide again.",
            code="changed",
        )
    scheduling.lapse(post, by=by, at=at)
    decision = Decision.objects.create(
        revision=shown.revision,
        fingerprint=shown.fingerprint,
        verdict=Verdict.WITHDRAW,
        comment=comment,
        reviewer=by,
        at=at,
    )
    publishing.retract(post, at=at)
    queueing.settle(post, by=by, at=at, outcome=decision.verdict)
    return decision


@transaction.atomic
def take_back(decision: Decision, *, by: Any, at: datetime) -> Decision:
    """Undo one's own last decision: a request for changes within moments, a scheduled approval till its time.

    The decision stays on record with this one beside it; flags that it settled are open again. Raises
    Refused: `not_allowed`, `not_yours`, `reached_readers`, `too_late` or `changed`.
    """
    permitting.require(by, "kb.review_post")
    post = lock(decision.revision.post)
    decision = Decision.objects.select_related("schedule", "revision").get(pk=decision.pk)
    waiting = scheduling.pending(post) if decision.verdict == Verdict.APPROVE else None
    _refuse_to_undo(post, decision, waiting, by=by, at=at)
    taken = Decision.objects.create(
        revision=decision.revision,
        fingerprint=decision.fingerprint,
        verdict=Verdict.TAKE_BACK,
        reviewer=by,
        takes_back=decision,
        at=at,
    )
    if waiting:
        scheduling.take_back(waiting, at=at)
    Flag.objects.bulk_create(_again(flag) for flag in decision.settled_flags.all())
    queueing.come_back(post, left_at=decision.at)
    queueing.settle(post, by=by, at=at)
    return taken


def _refuse_to_undo(
    post: Post, decision: Decision, waiting: Schedule | None, *, by: Any, at: datetime
) -> None:
    if decision.reviewer_id != by.pk:
        raise Refused(f"{decision.reviewer} decided that: only they can undo it.", code="not_yours")
    if decision.verdict != Verdict.REQUEST_CHANGES and waiting is None:
        raise Refused(
            f"Readers have felt this decision on “{post}”: it cannot be undone, only followed by another.",
            code="reached_readers",
        )
    last = Decision.objects.filter(revision__post=post).order_by("-pk").first()
    if last != decision or post.head_id != decision.revision_id:
        raise Refused(f"“{post}” changed since, or somebody decided anew: look at it again.", code="changed")
    if waiting is None and at - decision.at > UNDO_LASTS:
        raise Refused(
            f"Too late to undo: that goes for {UNDO_LASTS.seconds} seconds. Decide on “{post}” anew.",
            code="too_late",
        )


@transaction.atomic
def reopen_flag(flag: Flag, *, by: Any, at: datetime) -> Flag:
    """Undo one's own closing of a flag within moments: the closed one stays, and it is raised again.

    Raises Refused: `not_allowed`, `not_yours`, `too_late` or `changed`.
    """
    permitting.require(by, "kb.review_post")
    post = lock(flag.revision.post)
    flag = Flag.objects.select_related("settled_by").get(pk=flag.pk)
    if flag.closed_at is None or flag.settled_by or flag.closed_by_id != by.pk:
        raise Refused("You did not close this flag, so there is nothing to undo.", code="not_yours")
    if at - flag.closed_at > UNDO_LASTS:
        raise Refused(
            f"Too late to undo: that goes for {UNDO_LASTS.seconds} seconds. Raise a new flag.",
            code="too_late",
        )
    decided = Decision.objects.filter(revision__post=post, at__gte=flag.closed_at).exists()
    again = Flag.objects.open().filter(revision=flag.revision_id, code=flag.code, raised_by=flag.raised_by_id)
    if flag.raised_by_id:
        again = again.filter(sentence=flag.sentence)  # of a rule's own there is only one
    if decided or post.head_id != flag.revision_id or again.exists():
        raise Refused(f"“{post}” changed since, or somebody decided anew: look at it again.", code="changed")
    reopened = _again(flag)
    reopened.save()
    queueing.come_back(post, left_at=flag.closed_at)
    queueing.settle(post, by=by, at=at)
    return reopened


def _again(flag: Flag) -> Flag:
    """The same flag once more, open: what was closed stays closed on record."""
    return Flag(
        revision_id=flag.revision_id,
        code=flag.code,
        severity=flag.severity,
        sentence=flag.sentence,
        evidence=flag.evidence,
        raised_by_id=flag.raised_by_id,
        raised_at=flag.raised_at,
    )


@transaction.atomic
def close_flag(flag: Flag, *, sentence: str | None = None, by: Any, at: datetime, note: str) -> Flag:
    """Close a blocking or advisory flag of the newest revision with a note.

    `sentence` is what the flag said when the page was opened. Raises Refused: `not_allowed`, `note_missing`,
    `already_closed`, `changed`, `asks_is_settled_by_decision` or `own_work`.
    """
    permitting.require(by, "kb.review_post")
    note = _words(note, "Say in the note why this flag needs no further attention.", "note_missing")
    post = lock(flag.revision.post)
    flag = Flag.objects.select_for_update(of=("self",)).select_related("closed_by").get(pk=flag.pk)
    if not flag.is_open:
        raise Refused(f"{flag.closed_by} already closed this flag.", code="already_closed")
    if flag.revision_id != post.head_id:
        raise Refused(f"“{post}” has a newer revision with flags of its own: look there.", code="changed")
    if flag.severity == Severity.ASKS:
        raise Refused(
            "This flag asks for a review: approve the revision or request changes.",
            code="asks_is_settled_by_decision",
        )
    # By words: a browser sends line ends of its own.
    if sentence is not None and sentence.split() != flag.sentence.split():
        raise Refused("This flag says something else since you opened it: read it again.", code="changed")
    own = flag.severity == Severity.BLOCKING and is_own_work(post, by)
    if own and not settings.KB_ALLOW_SELF_APPROVAL:
        raise Refused(
            f"You wrote some of this content of “{post}”: another person must close what blocks it.",
            code="own_work",
        )
    flag.closed_at, flag.closed_by, flag.closing_note = at, by, note
    flag.save(update_fields=["closed_at", "closed_by", "closing_note"])
    _tell_reporters(flag, post)
    queueing.settle(post, by=by, at=at)
    return flag


def _tell_reporters(flag: Flag, post: Post) -> None:
    """Tell who reported it as a person; readers without a login are not known."""
    if flag.code != queueing.REPORTED or flag.closed_at is None:
        return
    reported = {"reports__revision__post": post, "reports__at__gte": flag.raised_at}
    for person in get_user_model().objects.filter(**reported).distinct():
        sentence = f"What you reported about “{post}” is settled: {flag.closing_note}"
        noticing.tell(person, sentence, post=post, by=flag.closed_by, at=flag.closed_at)


@transaction.atomic
def raise_flag(post: Post, *, severity: str, sentence: str, by: Any, at: datetime) -> Flag:
    """Flag the newest revision by hand. The flag goes along to later revisions until somebody closes it.

    Raises Refused: `not_allowed`, `sentence_missing` or `bad_severity`.
    """
    permitting.require(by, "kb.review_post")
    if severity not in Severity.values:
        raise Refused(
            f"Severity: got “{severity}”, expected {', '.join(Severity.values)}; choose one of them.",
            code="bad_severity",
        )
    sentence = _words(sentence, f"Say in one sentence why “{post}” needs attention.", "sentence_missing")
    return _raise(lock(post), code="by_hand", severity=Severity(severity), sentence=sentence, by=by, at=at)


@transaction.atomic
def ask_for_review(post: Post, *, by: Any, at: datetime) -> Flag:
    """Put the newest revision into the reviewers' queue; asking twice is asking once. Raises Refused."""
    permitting.require(by, "kb.change_post")
    post = lock(post)
    waiting = Flag.objects.open().filter(revision=post.head_id, code=REVIEW_REQUESTED).first()
    if waiting:
        return waiting
    if head(post).decisions.in_force().values_list("verdict", flat=True).first() == Verdict.APPROVE:
        raise Refused(f"“{post}” is approved as it is: there is nothing to review.", code="already_decided")
    sentence = f"{by} asks for a review."
    return _raise(post, code=REVIEW_REQUESTED, severity=Severity.ASKS, sentence=sentence, by=by, at=at)


def standing(decisions: Iterable[Decision], flags: Iterable[Flag]) -> str:
    """A short hash of what was said so far: the post's decisions and the flags of its newest revision."""
    said = [max((decision.pk for decision in decisions), default=0)]
    flagged = sorted((flag.pk, flag.sentence, flag.is_open) for flag in flags)
    return hashlib.sha256(json.dumps([said, flagged]).encode()).hexdigest()[:32]


def _refuse_unheard(post: Post, seen: str | None) -> None:
    if seen is None:
        return
    decisions = Decision.objects.filter(revision__post=post).only("pk")
    if seen != standing(decisions, Flag.objects.filter(revision=post.head_id)):
        raise Refused(
            f"Somebody decided or flagged “{post}” since you opened it. Read what was said and decide again.",
            code="changed",
        )


def _raise(post: Post, *, code: str, severity: Severity, sentence: str, by: Any, at: datetime) -> Flag:
    flag = Flag.objects.create(
        revision=head(post), code=code, severity=severity, sentence=sentence, raised_by=by, raised_at=at
    )
    queueing.settle(post, by=by, at=at)
    return flag


def lock(post: Post) -> Post:
    """The post as it is now; until the transaction ends nobody else changes or reviews it."""
    # Without a join: PostgreSQL would give a row that it waited for with the head from before the wait.
    locked = Post.objects.select_for_update().filter(pk=post.pk).first()
    if locked is None:
        raise Refused(f"“{post}” is no longer there: it was demo content, and was removed.", code="gone")
    return locked


def head(post: Post) -> Revision:
    """The newest revision."""
    if post.head is None:
        raise RuntimeError(f"post {post.pk} has no revision: it was written past the flow")
    return post.head


def _seen(post: Post, number: int, fingerprint: str) -> Revision:
    newest = head(post)
    if (newest.number, newest.fingerprint) != (number, fingerprint):
        raise Refused(
            f"“{post}” changed since you opened it: you saw revision {number}, now there is revision "
            f"{newest.number}. Look at what is new and decide again.",
            code="changed",
        )
    return newest


def _asked_again(seen: Revision) -> bool:
    """Whether somebody asked since the last decision, which settled all that asked before."""
    return seen.flags.open().filter(severity=Severity.ASKS).exists()


def is_own_work(post: Post, by: Any) -> bool:
    """Whether this person had a hand in the newest revision.

    So nobody's text gets to readers because somebody else changed a comma, or restored it.
    """
    return by.pk in queueing.writers(post)


def _refuse_open_blocking(post: Post, seen: Revision) -> None:
    count = seen.flags.open().blocking().count()
    if count:
        flags, them = ("flag", "it") if count == 1 else ("flags", "them")
        raise Refused(
            f"“{post}” still has {count} blocking {flags}: close {them}, or send the revision back.",
            code="open_blocking_flags",
        )


def _settle(decision: Decision) -> None:
    """The decision itself answers flags that asked for it; an approval vouches anew for what was overdue."""
    answered = Q(severity=Severity.ASKS)
    if decision.verdict == Verdict.APPROVE:
        answered |= Q(code=queueing.OVERDUE)
    Flag.objects.open().filter(answered, revision=decision.revision_id).update(
        closed_at=decision.at, closed_by=decision.reviewer, settled_by=decision
    )


def _words(text: str, sentence: str, code: str) -> str:
    if not text.strip():
        raise Refused(sentence, code=code)
    return text.strip()
