"""Turn messages that wait into requests, again and again until each got through or is given up.

At least once: a message is marked after it was sent, so whoever breaks off in between sends it twice. A hook
is taken by one sender at a time, oldest message first, and let go after some messages or its first failure:
the slow ones and the dead ones hold up nobody else. No transaction is open while something is sent.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from kb import outgoing
from kb.flow import noticing
from kb.models import Delivery, Hook, HookAct
from kb.outgoing import Failed

ATTEMPTS = 8  # over 23 hours
FIRST_PAUSE = timedelta(seconds=15)
FACTOR = 4.0  # each pause to the one before
LEASE = timedelta(seconds=60)  # longer than one request may take
SLICE = 50  # messages of one hook in a row
SLICE_TIME = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=1)  # of a hook whose last attempt failed
LONGEST_ASKED = timedelta(days=1)  # that a receiver may ask to be left alone
OFF_AFTER = timedelta(days=3)

Clock = Callable[[], datetime]


@dataclass
class Sent:
    """How many messages got through, failed for now and were given up, and hooks that were switched off."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    off: int = 0


def deliver(*, clock: Clock = timezone.now) -> Sent:
    """Send what is due."""
    sent = Sent()
    while hook := _take(clock()):
        _serve(hook, sent, clock)
    return sent


def forget(*, at: datetime) -> int:
    """Drop what got through, or was given up, so many days ago as the setting says."""
    before = at - timedelta(days=settings.KB_HOOK_DAYS)
    delivered = Q(state=Delivery.DELIVERED, delivered_at__lt=before)
    given_up = Q(state=Delivery.DEAD, next_attempt_at__lt=before)
    return Delivery.objects.filter(delivered | given_up).delete()[0]


@transaction.atomic
def _take(at: datetime) -> Hook | None:
    """The hook with something due that was served longest ago, for this sender alone."""
    due = Delivery.objects.due(at).filter(hook=OuterRef("pk"))
    free = Hook.objects.filter(Q(rests_until=None) | Q(rests_until__lte=at), Exists(due), active=True)
    hook = (
        free.select_for_update(skip_locked=True)
        .order_by(F("rests_until").asc(nulls_first=True), "pk")
        .first()
    )
    if hook:
        Hook.objects.filter(pk=hook.pk).update(rests_until=at + LEASE)
    return hook


def _serve(hook: Hook, sent: Sent, clock: Clock) -> None:
    """Send what is due to this hook, until something fails or others have waited enough."""
    began, rest = clock(), timedelta(0)
    for _ in range(SLICE):
        at = clock()
        delivery = Delivery.objects.due(at).filter(hook=hook).select_related("hook").order_by("pk").first()
        if delivery is None or at - began > SLICE_TIME:
            break
        if not Hook.objects.filter(pk=hook.pk, active=True).update(rests_until=at + LEASE):
            return  # somebody switched it off
        try:
            status = _send(delivery, at)
        except Failed as failure:
            rest = _note_failure(delivery, failure, sent, clock())
            break
        _note_success(delivery, status, sent, clock())
    Hook.objects.filter(pk=hook.pk).update(rests_until=clock() + rest)


def _send(delivery: Delivery, at: datetime) -> int:
    body = delivery.payload.encode()
    key, timestamp = delivery.hook.key(), int(at.timestamp())
    headers = outgoing.signed(delivery.message, body, key=key, timestamp=timestamp)
    return outgoing.post(delivery.hook.url, body, headers, private=settings.KB_HOOK_PRIVATE)


@transaction.atomic
def _note_success(delivery: Delivery, status: int, sent: Sent, at: datetime) -> None:
    Delivery.objects.waiting().filter(pk=delivery.pk).update(
        state=Delivery.DELIVERED,
        attempts=F("attempts") + 1,
        last_status=status,
        last_error="",
        delivered_at=at,
    )
    Hook.objects.filter(pk=delivery.hook_id).exclude(failing_since=None).update(failing_since=None)
    sent.delivered += 1


@transaction.atomic
def _note_failure(delivery: Delivery, failure: Failed, sent: Sent, at: datetime) -> timedelta:
    """Write down what went wrong, and give for how long to leave the hook alone."""
    attempts, gone = delivery.attempts + 1, failure.status == 410
    asked = min(outgoing.asked_pause(failure.retry_after, at), LONGEST_ASKED)
    dead, wait = gone or attempts >= ATTEMPTS, max(pause(attempts), asked)
    Delivery.objects.waiting().filter(pk=delivery.pk).update(
        state=Delivery.DEAD if dead else Delivery.WAITING,
        attempts=attempts,
        # Of what is given up: since when. So long it is kept.
        next_attempt_at=at if dead else at + wait,
        last_status=failure.status,
        last_error=str(failure)[:300],
    )
    sent.failed += not dead
    sent.dead += dead
    hook = Hook.objects.select_for_update().get(pk=delivery.hook_id)
    hook.failing_since = hook.failing_since or at
    hook.save(update_fields=["failing_since"])
    if gone:
        sent.off += _switch_off(hook, "The receiver said that it is gone for good (410).", at)
    elif at - hook.failing_since >= OFF_AFTER:
        sent.off += _switch_off(hook, f"Every attempt failed for {OFF_AFTER.days} days.", at)
    # Whoever asks for a pause means all messages, not this one.
    return max(min(wait, LONGEST_REST), asked)


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts: 15 s, 1 min, 4 min ... 17 h, each a fifth more or less."""
    jitter = random.uniform(0.8, 1.2)  # noqa: S311  (so that receivers are not asked all at once)
    return FIRST_PAUSE * (jitter * FACTOR ** (attempts - 1))


def _switch_off(hook: Hook, reason: str, at: datetime) -> bool:
    """Stop telling a hook that nobody hears; what waits for it stays until somebody switches it on."""
    if not hook.active:
        return False
    hook.active, hook.off_because = False, reason
    hook.save(update_fields=["active", "off_because"])
    HookAct.objects.create(hook=hook, kind=HookAct.OFF, at=at, note=reason)
    noticing.tell(hook.made_by, f"The webhook “{hook}” was switched off. {reason}", at=at)
    return True
