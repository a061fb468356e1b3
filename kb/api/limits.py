"""Turn a reader's requests into what is left of their minute: exact over all processes, without a write each.

A process takes a tenth of what seems left of a reader's minute from the database and spends it from memory;
near the end the shares become single requests, so that little is lost. Never is more spent than the limit.
What a process has not spent when the minute ends is lost, and while several hold shares a reader may be
told to wait a little before all is spent. Where the database does not answer, reading goes on uncounted.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac

from kb.api import access, problems
from kb.flow import metering  # noqa: TID251  (counts alone: see the module)

WINDOW = 60  # seconds
PART = 10  # a share is this part of what is left
PATIENCE = 10  # seconds in which a database that failed is not asked again

logger = logging.getLogger("kb.api.limits")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a reader stands after a request; `left` is None where nobody could count."""

    policy: str
    limit: int
    left: int | None
    wait: int  # seconds until the next minute
    is_over: bool = False

    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers-10."""
        found = {"RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW}'}
        if self.left is not None:
            found["RateLimit"] = f'"{self.policy}";r={self.left};t={self.wait}'
        return found


class _Purse:
    """What this process holds of one reader's minute."""

    __slots__ = ("held", "is_empty", "taken")

    def __init__(self) -> None:
        self.held = 0  # taken and not spent
        self.taken = 0  # by all processes, as last heard
        self.is_empty = False  # all of the limit is taken


class Limiter:
    """The purses of one process. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held for memory alone, never while the database is asked
        self._minute = 0
        self._purses: dict[str, _Purse] = {}
        self._ask_again_at = 0.0  # of the monotonic clock
        self._told_in = 0  # the minute of the last log line

    def spend(self, policy: str, reader: str, limit: int) -> Standing | None:
        """Count one request of this reader. None: they may send any number."""
        if not limit:
            return None
        now = int(time.time())
        minute, purse = self._purse(now // WINDOW, reader)
        wait = (minute + 1) * WINDOW - now
        while not self._pay(purse):
            if purse.is_empty:
                return Standing(policy, limit, 0, wait, is_over=True)
            if not self._fill(purse, minute, reader, limit):
                return Standing(policy, limit, None, wait)
        return Standing(policy, limit, max(0, limit - purse.taken) + purse.held, wait)

    def _purse(self, minute: int, reader: str) -> tuple[int, _Purse]:
        with self._lock:
            # A clock that was set back keeps the minute that it had.
            if minute > self._minute:
                self._minute, self._purses = minute, {}
            purse = self._purses.get(reader)
            if purse is None:
                purse = self._purses[reader] = _Purse()
            return self._minute, purse

    def _pay(self, purse: _Purse) -> bool:
        with self._lock:
            if purse.held:
                purse.held -= 1
                return True
            return False

    def _fill(self, purse: _Purse, minute: int, reader: str, limit: int) -> bool:
        """Take a share, or note that there is none. False: the database does not answer."""
        if not self._may_ask():
            return False
        share = max(1, (limit - purse.taken) // PART)
        try:
            taken = metering.take(_hidden(reader), minute, share)
        except (DatabaseError, InterfaceError) as error:
            self._tell(minute, error)
            return False
        self._ask_again_at = 0.0
        with self._lock:
            # Only what lies below the limit: of two that take the last share, one gets the rest of it.
            granted = min(share, max(0, limit - (taken - share)))
            purse.held += granted
            purse.taken = max(purse.taken, min(taken, limit))
            purse.is_empty = purse.is_empty or taken >= limit
        return True

    def _may_ask(self) -> bool:
        """Whether to try the database: after a failure, one thread at a time and not at once."""
        now = time.monotonic()
        with self._lock:
            if not self._ask_again_at:
                return True
            if now < self._ask_again_at:
                return False
            self._ask_again_at = now + PATIENCE
            return True

    def _tell(self, minute: int, error: Exception) -> None:
        with self._lock:
            self._ask_again_at = time.monotonic() + PATIENCE
            first, self._told_in = minute != self._told_in, minute
        if first:
            logger.warning("Requests are not counted: the database does not answer: %s", error)


limiter = Limiter()


class RateLimitMiddleware:
    """Find out who asks of the API, count it, and say on every answer where they stand."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.reader = reader = access.identify(request)
        standing = limiter.spend(reader.kind, f"{reader.kind} {reader.name}", reader.limit)
        if standing is None:
            return self.get_response(request)
        response = problems.too_many(request, standing) if standing.is_over else self.get_response(request)
        for name, value in standing.headers().items():
            response.headers[name] = value
        return response


def _hidden(reader: str) -> str:
    """A keyed hash: the table holds no addresses, and nobody can guess them back without SECRET_KEY."""
    found = _keyed().copy()
    found.update(reader.encode())
    return found.hexdigest()


@cache
def _keyed() -> hmac.HMAC:
    return salted_hmac("kb.api.limits", "", algorithm="sha256")
