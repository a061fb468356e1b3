"""Turn an act that may be taken back within moments into a button on the page that follows it."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

KEY = "kb_undo"


def offer(request: HttpRequest, *, address: str, until: datetime) -> None:
    """Show the button on every page of the admin that this person opens before that moment."""
    request.session[KEY] = {"address": address, "until": until.isoformat()}


def withdraw(request: HttpRequest) -> None:
    request.session.pop(KEY, None)


def offered(request: HttpRequest) -> dict[str, Any] | None:
    """What can be undone now, and for how many seconds yet."""
    found = request.session.get(KEY)
    if not found:
        return None
    left = int((datetime.fromisoformat(found["until"]) - timezone.now()).total_seconds())
    return {"address": found["address"], "seconds": left} if left > 0 else None
