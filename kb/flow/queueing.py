"""Turn a post's flags and decisions into its state and its place in the reviewers' queue.

The queue is ordered by harm. A point of harm weighs as much as a day of waiting, so that the order of two
posts never changes while nobody touches them, and one index gives it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import log10
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from kb.choices import Origin, Severity, State
from kb.errors import Refused
from kb.flow import noticing, permitting
from kb.models import Decision, Flag, Post, QueueItem, Revision
from kb.models.waiting import CLAIM_LASTS

DAY = 86_400  # seconds
# A flag of this kind puts the post into the queue, whatever the state of its draft.
REPORTED, OVERDUE = "reader_report", "verification_overdue"
CALLING = frozenset({REPORTED, OVERDUE})
# What readers may come to harm by; the rest only asks for a look.
POINTS = {
    "credential": 60,
    "removed_markup": 40,
    REPORTED: 20,
    OVERDUE: 15,
    "low_score": 10,
}
BLOCKING = 30  # for each open blocking flag, up to three
REASONS = ("rank", "points", "blocking", "codes", "readers", "lowest_score", "writers")


@dataclass(frozen=True, slots=True)
class _Reasons:
    """Why a post needs a reviewer, from the open flags of its newest revision."""

    codes: list[str]
    blocking: int

    def points(self, post: Post) -> int:
        raised = sum(POINTS.get(code, 0) for code in self.codes)
        return raised + BLOCKING * min(self.blocking, 3) + 10 * int(log10((post.view_count or 0) + 1))


def settle(post: Post, *, by: Any = None, at: datetime, outcome: str = "", also: Iterable[str] = ()) -> None:
    """Bring the post's state and its place in the queue in step; the caller holds the post's lock.

    `outcome` is the verdict that ends its stay; without one a stay ends as "settled". `also` names fields
    that the caller set: they are saved along, for each write of a post costs one in all of its indexes.
    """
    flags = _open_flags(post)
    post.state = post.current_state({severity for _, severity in flags})
    post.save(update_fields=["state", *also])
    _place(post, flags, by=by, at=at, outcome=outcome)


def refresh(post: Post, *, at: datetime) -> None:
    """Bring the post's place in the queue in step with its flags and readers."""
    _place(post, _open_flags(post), by=None, at=at, outcome="")


def _place(post: Post, flags: list[tuple[str, str]], *, by: Any, at: datetime, outcome: str) -> None:
    """Put the post into the queue, move it there, or let it leave, as its flags say."""
    item = QueueItem.objects.open().filter(post=post).first()
    reasons = _reasons(flags)
    if post.state != State.WAITING and not CALLING.intersection(reasons.codes):
        if item:
            _leave(item, by=by, at=at, outcome=outcome)
        return
    item = item or QueueItem(post=post, since=at)
    item.codes, item.blocking, item.points = reasons.codes, reasons.blocking, reasons.points(post)
    item.rank = item.points * DAY - int(item.since.timestamp())
    item.readers = post.view_count or 0
    scores = (post.quality, post.freshness, post.depth, post.clarity)
    item.lowest_score = min((score for score in scores if score is not None), default=None)
    item.writers = list(writers(post))
    # Not the claim: somebody may make one meanwhile, without the post's lock.
    item.save(update_fields=None if item.pk is None else REASONS)
    if by is not None and item.claimed_by_id == by.pk:
        touch(post, by=by, at=at)


def come_back(post: Post, *, left_at: datetime) -> None:
    """Undo that the post left the queue at this moment, so that it waits since when it did."""
    left = QueueItem.objects.filter(post=post, left_at=left_at).order_by("-pk").first()
    if left and not QueueItem.objects.open().filter(post=post).exists():
        left.left_at = left.left_by = None
        left.outcome = ""
        left.save()


def writers(post: Post) -> set[int]:
    """Whose work the newest revision is: who wrote some of it since the last approval, or all of it once.

    They may not approve it; a trigger asks the same before it lets an approval in. An approval that was taken
    back, lapsed or withdrawn vouches for nothing.
    """
    head = post.head
    if head is None:
        return set()
    if head.number == 1:
        return {head.author_id} if head.author_id else set()
    revisions = Revision.objects.filter(post=post)
    vouched = Decision.objects.vouching().filter(revision__post=post)
    approved = revisions.filter(number__lt=head.number, decisions__in=vouched)
    last = Coalesce(Subquery(approved.order_by("-number").values("number")[:1]), 0)
    since = Q(number__gt=last, number__lte=head.number) & ~Q(origin=Origin.ASIDE)
    own = revisions.filter(since | Q(fingerprint=head.fingerprint), author__isnull=False)
    return set(own.values_list("author_id", flat=True))


def _open_flags(post: Post) -> list[tuple[str, str]]:
    """Code and severity of each on the newest revision."""
    return list(Flag.objects.open().filter(revision=post.head_id).values_list("code", "severity"))


def _reasons(flags: list[tuple[str, str]]) -> _Reasons:
    severities = Counter(severity for _, severity in flags)
    return _Reasons(sorted({code for code, _ in flags}), severities[Severity.BLOCKING])


def _leave(item: QueueItem, *, by: Any, at: datetime, outcome: str) -> None:
    item.left_at, item.left_by, item.outcome = at, by, outcome or "settled"
    item.claimed_by = item.claimed_at = item.claim_seen_at = None
    item.save()


@transaction.atomic
def take_next(*, by: Any, at: datetime, among: QuerySet[QueueItem] | None = None) -> QueueItem | None:
    """Claim the most harmful item that this person may decide on and nobody holds; None when there is none.

    Two who ask at once get different items: rows that somebody else is just taking are passed over.
    Raises Refused `not_allowed`.
    """
    permitting.require(by, "kb.review_post")
    wanted = QueueItem.objects.for_reviewer(by).unclaimed(at).by_harm()
    if among is not None:
        wanted = wanted.filter(pk__in=among.order_by().values("pk"))
    item = wanted.select_for_update(skip_locked=True, of=("self",)).first()
    return _hold(item, by, at) if item else None


@transaction.atomic
def claim(post: Post, *, by: Any, at: datetime) -> QueueItem:
    """Keep a waiting post for this person. Raises Refused `not_allowed`, `not_waiting` or `claimed`."""
    permitting.require(by, "kb.review_post")
    item = _locked(post)
    holder = item.claimer(at)
    if holder and holder.pk != by.pk:
        minutes = _minutes(item, at)
        raise Refused(f"{holder} has had “{post}” for {minutes}: wait, or take it over.", code="claimed")
    return _hold(item, by, at)


@transaction.atomic
def take_over(post: Post, *, by: Any, at: datetime) -> QueueItem:
    """Claim a post that somebody else holds; they are told. Raises Refused `not_allowed` or `not_waiting`."""
    permitting.require(by, "kb.review_post")
    item = _locked(post)
    noticing.tell(item.claimer(at), f"{by} took over the review of “{post}”.", post=post, by=by, at=at)
    return _hold(item, by, at)


@transaction.atomic
def assign(post: Post, *, to: Any, by: Any, at: datetime) -> QueueItem:
    """Claim a post for somebody, who is told, as is who held it.

    Raises Refused `not_allowed`, `not_waiting` or `own_work`.
    """
    permitting.require(by, "kb.review_post")
    permitting.require(to, "kb.review_post")
    item = _locked(post)
    if to.pk in item.writers and not settings.KB_ALLOW_SELF_APPROVAL:
        raise Refused(
            f"{to} wrote some of the content of “{post}”: choose another reviewer.", code="own_work"
        )
    holder = item.claimer(at)
    if holder and holder.pk != to.pk:
        noticing.tell(holder, f"{by} gave the review of “{post}” to {to}.", post=post, by=by, at=at)
    noticing.tell(to, f"{by} asks you to review “{post}”.", post=post, by=by, at=at)
    return _hold(item, to, at)


@transaction.atomic
def release(post: Post, *, by: Any, at: datetime) -> QueueItem:
    """Give a claimed post back to the queue. Raises Refused `not_waiting` or `not_yours`."""
    item = _locked(post)
    if item.claimed_by_id != by.pk:
        raise Refused(f"You do not hold “{post}”, so there is nothing to release.", code="not_yours")
    item.claimed_by = item.claimed_at = item.claim_seen_at = None
    item.save(update_fields=["claimed_by", "claimed_at", "claim_seen_at"])
    return item


def touch(post: Post, *, by: Any, at: datetime) -> bool:
    """Note a sign of life of who holds the post; False if that is somebody else by now, or nobody."""
    held = QueueItem.objects.open().filter(post=post, claimed_by=by)
    return bool(held.filter(claim_seen_at__gt=at - CLAIM_LASTS).update(claim_seen_at=at))


def _locked(post: Post) -> QueueItem:
    # The post first, as every verb does: a notice names it, and two would wait for each other in a ring.
    Post.objects.select_for_update(no_key=True).filter(pk=post.pk).first()
    item = QueueItem.objects.open().select_for_update().filter(post=post).first()
    if item is None:
        raise Refused(f"“{post}” does not wait for a reviewer any more.", code="not_waiting")
    return item


def _hold(item: QueueItem, person: Any, at: datetime) -> QueueItem:
    if item.claimer(at) != person:
        item.claimed_at = at
    item.claimed_by, item.claim_seen_at = person, at
    item.save(update_fields=["claimed_by", "claimed_at", "claim_seen_at"])
    return item


def _minutes(item: QueueItem, at: datetime) -> str:
    since = item.claimed_at or at
    minutes = max(1, int((at - since).total_seconds() // 60))
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
