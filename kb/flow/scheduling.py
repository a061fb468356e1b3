"""Turn an approval for later into a publication when its time has come, or let it lapse.

Until then the approval reaches no reader: triggers refuse it. A draft that changed meanwhile ends it, for an
approval holds for exactly the content that was seen. A blocking flag that was raised meanwhile holds it up
until somebody closes the flag.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from kb.errors import InvalidDocument, Refused
from kb.flow import noticing, publishing
from kb.models import Decision, Flag, Post, Schedule

FURTHEST = timedelta(days=3650)  # beyond is a slip, and near the calendar's end no moment can be read back


def schedule(approval: Decision, *, publish_at: datetime, at: datetime) -> Schedule:
    """Let an approval take effect later. Raises Refused `past` or `too_far`."""
    if publish_at <= at:
        raise Refused(
            f"The time to publish, {publish_at:%Y-%m-%d %H:%M %Z}, is over: choose a later one, or none to "
            "publish now.",
            code="past",
        )
    if publish_at - at > FURTHEST:
        raise Refused(
            f"The time to publish, {publish_at:%Y-%m-%d}, is more than ten years away: choose a sooner one.",
            code="too_far",
        )
    return Schedule.objects.create(decision=approval, publish_at=publish_at)


def pending(post: Post) -> Schedule | None:
    """The approval of this post that waits for its time."""
    waiting = Schedule.objects.filter(decision__revision__post=post, outcome=Schedule.PENDING)
    return waiting.select_related("decision__reviewer", "decision__revision").first()


def publish_due(*, at: datetime) -> list[Schedule]:
    """Publish what was approved for a moment that has come; each in a transaction of its own."""
    due = Schedule.objects.filter(outcome=Schedule.PENDING, publish_at__lte=at).order_by("publish_at", "pk")
    return [ended for pk in list(due.values_list("pk", flat=True)) if (ended := _publish(pk, at))]


@transaction.atomic
def _publish(pk: int, at: datetime) -> Schedule | None:
    due = Schedule.objects.select_related("decision__revision").get(pk=pk)
    post = Post.objects.select_for_update().get(pk=due.decision.revision.post_id)
    # Read again behind the lock: it may have ended while we waited.
    due.refresh_from_db(fields=["outcome"])
    if due.outcome != Schedule.PENDING:
        return None
    if not _holds(due.decision, post):
        return _lapse(due, "it changed since you approved it", at)
    if Flag.objects.open().blocking().filter(revision=post.head_id).exists():
        return None  # raised since the approval: who closes it lets the next run publish
    try:
        with transaction.atomic():
            _end(due, Schedule.PUBLISHED, at)
            publishing.publish(due.decision, at=at)
    except InvalidDocument as error:
        # Frozen when less strict limits held.
        return _lapse(due, f"it cannot be compiled: {error}", at)
    return due


def _holds(approval: Decision, post: Post) -> bool:
    """Whether it is still the last word on exactly this draft."""
    last = Decision.objects.in_force().filter(revision__post=post).order_by("-pk").first()
    return post.head_id == approval.revision_id and last == approval


def lapse(post: Post, *, by: Any, at: datetime) -> None:
    """End what waits for its time: the draft changed, or somebody decided anew. Its reviewer is told."""
    waiting = pending(post)
    if waiting:
        _lapse(waiting, "it changed, or somebody decided anew, since you approved it", at, by=by)


def take_back(waiting: Schedule, *, at: datetime) -> None:
    """End a schedule because its reviewer took the approval back."""
    _end(waiting, Schedule.TAKEN_BACK, at)


def _lapse(waiting: Schedule, why: str, at: datetime, *, by: Any = None) -> Schedule:
    approval = waiting.decision
    post = approval.revision.post
    sentence = (
        f"“{post}”, revision {approval.revision.number}, is not published at the time you chose: {why}."
    )
    noticing.tell(approval.reviewer, sentence, post=post, by=by, at=at)
    return _end(waiting, Schedule.LAPSED, at)


def _end(waiting: Schedule, outcome: str, at: datetime) -> Schedule:
    waiting.outcome, waiting.ended_at = outcome, at
    waiting.save(update_fields=["outcome", "ended_at"])
    return waiting
