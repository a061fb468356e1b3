"""Turn requests into counts that all processes share: what a reader took of a minute, when a token was used.

The one part of the flow that the API calls. It writes no content and no state of any, and seldom: a process
takes a share of a minute's allowance at once, and a token's use is noted once a minute.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q

from kb.models import AccessToken, RateWindow

MINUTE = timedelta(minutes=1)
KEPT = 5  # minutes, for servers whose clocks differ

_TAKE = """
    INSERT INTO kb_ratewindow AS w (key, minute, taken) VALUES (%s, %s, %s)
    ON CONFLICT (key, minute) DO UPDATE SET taken = w.taken + EXCLUDED.taken
    RETURNING taken
"""


def take(key: str, minute: int, share: int) -> int:
    """Take a share of this reader's minute; give how much all processes have taken with it.

    Shares come one after another, so each caller knows which part of the whole its own is.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [key, minute, share])
        taken: int = cursor.fetchone()[0]
    return taken


def note_use(pk: int, *, at: datetime) -> None:
    """Note that a token was used, unless that was noted within the last minute."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=at - MINUTE)
    AccessToken.objects.filter(stale, pk=pk).update(last_used_at=at)


def forget(*, at: datetime) -> int:
    """Drop the counts of minutes that are over."""
    now = int(at.timestamp() // 60)
    return RateWindow.objects.filter(minute__lt=now - KEPT).delete()[0]
