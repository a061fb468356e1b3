"""Turn a post's flags and decisions into its state and its place in the reviewers' queue.

The queue is ordered by harm. A point of harm weighs as much as a day of waiting, so that the order of two
posts never changes while nobody touches them, and one index gives it.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from math import log10
from typing import Any

from django.db.models import Q, Subquery
from django.db.models.functions import Coalesce

from kb.choices import Origin, Severity, State, Verdict
from kb.models import Flag, Post, QueueItem, Revision

DAY = 86_400  # seconds
# A flag of this kind puts the post into the queue, whatever the state of its draft.
CALLING = frozenset({"reader_report", "verification_overdue"})
# What readers may come to harm by; the rest only asks for a look.
POINTS = {
    "credential": 60,
    "removed_markup": 40,
    "reader_report": 20,
    "verification_overdue": 15,
    "low_score": 10,
}
BLOCKING = 30  # for each open blocking flag, up to three


@dataclass(frozen=True, slots=True)
class _Reasons:
    """Why a post needs a reviewer, from the open flags of its newest revision."""

    codes: list[str]
    blocking: int

    def points(self, post: Post) -> int:
        raised = sum(POINTS.get(code, 0) for code in self.codes)
        return raised + BLOCKING * min(self.blocking, 3) + 10 * int(log10((post.view_count or 0) + 1))


def settle(post: Post, *, by: Any = None, at: datetime, outcome: str = "") -> None:
    """Bring the post's state and its place in the queue in step; the caller holds the post's lock.

    `outcome` is the verdict that ends its stay; without one a stay ends as "settled".
    """
    post.state = post.current_state()
    post.save(update_fields=["state"])
    refresh(post, by=by, at=at, outcome=outcome)


def refresh(post: Post, *, by: Any = None, at: datetime, outcome: str = "") -> QueueItem | None:
    """Put the post into the queue, move it there, or let it leave, as its flags say."""
    item = QueueItem.objects.open().filter(post=post).first()
    reasons = _reasons(post)
    if post.state != State.WAITING and not CALLING.intersection(reasons.codes):
        if item:
            _leave(item, by=by, at=at, outcome=outcome)
        return None
    item = item or QueueItem(post=post, since=at)
    item.codes, item.blocking, item.points = reasons.codes, reasons.blocking, reasons.points(post)
    item.rank = item.points * DAY - int(item.since.timestamp())
    item.readers = post.view_count or 0
    scores = (post.quality, post.freshness, post.depth, post.clarity)
    item.lowest_score = min((score for score in scores if score is not None), default=None)
    item.writers = list(writers(post))
    item.save()
    return item


def writers(post: Post) -> set[int]:
    """Whose work the newest revision is: who wrote some of it since the last approval, or all of it once.

    They may not approve it; a trigger asks the same before it lets an approval in.
    """
    head = post.head
    if head is None:
        return set()
    revisions = Revision.objects.filter(post=post)
    approved = revisions.filter(
        number__lt=head.number, decisions__verdict=Verdict.APPROVE, decisions__taken_back_by=None
    )
    last = Coalesce(Subquery(approved.order_by("-number").values("number")[:1]), 0)
    since = Q(number__gt=last, number__lte=head.number) & ~Q(origin=Origin.ASIDE)
    own = revisions.filter(since | Q(fingerprint=head.fingerprint), author__isnull=False)
    return set(own.values_list("author_id", flat=True))


def _reasons(post: Post) -> _Reasons:
    found = list(Flag.objects.open().filter(revision=post.head_id).values_list("code", "severity"))
    severities = Counter(severity for _, severity in found)
    return _Reasons(sorted({code for code, _ in found}), severities[Severity.BLOCKING])


def _leave(item: QueueItem, *, by: Any, at: datetime, outcome: str) -> None:
    item.left_at, item.left_by, item.outcome = at, by, outcome or "settled"
    item.claimed_by = item.claimed_at = item.claim_seen_at = None
    item.save()
