"""Turn a change of what readers have into an entry of the feed and, with it, into messages that wait.

Rows only, in the transaction that changes what readers have: either all of it happened or nothing. Sending
is kb.flow.delivering's, later.
"""

import json
from datetime import datetime
from typing import Any

from kb.models import Change, Delivery, Hook
from kb.models.publication import moment


def tell(change: Change) -> None:
    """Put a change into the feed and into the outbox of each hook that wants to hear of it."""
    change.save(force_insert=True)
    text = ""
    for hook in Hook.objects.hearing(change.kind):
        text = text or message(f"post.{change.kind}", change.entry(), at=change.at)
        leave(hook, text, change=change, at=change.at)


def leave(hook: Hook, text: str, *, change: Change | None = None, at: datetime) -> Delivery:
    """Let a message wait for its sender."""
    return Delivery.objects.create(hook=hook, change=change, payload=text, made_at=at, next_attempt_at=at)


def message(kind: str, data: dict[str, Any], *, at: datetime) -> str:
    """A body as the Standard Webhooks specification proposes: type, timestamp and data."""
    parts = {"type": kind, "timestamp": moment(at), "data": data}
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
