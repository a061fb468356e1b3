"""Decide who reads: a token, a person who logged in, or whoever is at an address; and whether they may.

What an Authorization header holds is valid or refused, on open installations too: a machine whose token
ended must not go on as somebody else without noticing. Whoever may not read gets a 401 for every address,
whether or not there is something at it. Tokens are looked up where they are revoked, on the alias `default`
and anew for each request: a revoked one opens nothing from the next request on, however far a replica is
behind.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework import exceptions

from config.sender import sender
from kb import access_token
from kb.api.problems import InsufficientScope, InvalidToken
from kb.flow import metering  # noqa: TID251  (when a token was used, no content)
from kb.models.access import opening


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, and so whose minute a request counts in."""

    kind: str  # "token", "person" or "address"
    name: str
    scopes: frozenset[str] | None = None  # None: all
    refusal: Exception | None = None  # why they get nothing

    @property
    def limit(self) -> int:
        """Requests a minute; 0: any number."""
        return settings.KB_API_RATE_ADDRESS if self.kind == "address" else settings.KB_API_RATE_TOKEN

    def require(self, scope: str) -> None:
        """Raise what stands between this reader and answers of this scope; "" is for every reader."""
        if self.refusal:
            raise self.refusal
        if scope and self.scopes is not None and scope not in self.scopes:
            raise InsufficientScope(scope)


def identify(request: HttpRequest) -> Reader:
    """Find out who asks. Open installations look nobody up who offers no token.

    Who is refused counts as their address: guesses have their limit too.
    """
    refusal: Exception | None = None
    try:
        # Also where it is empty: servers leave nothing of a header with letters that are not ASCII.
        if "HTTP_AUTHORIZATION" in request.META:
            return _by_token(request.META["HTTP_AUTHORIZATION"], timezone.now())
        if is_closed():
            return _by_session(request)
    except (exceptions.APIException, DatabaseError, InterfaceError) as error:
        refusal = error
    return Reader("address", sender(request), refusal=refusal)


def _by_token(offered: str, at: datetime) -> Reader:
    scheme, _, token = offered.partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidToken("The Authorization header has no token: expected “Bearer kb_…”.")
    if not access_token.is_whole(token.strip()):
        raise InvalidToken("This is no access token, or it was not copied whole: its checksum is wrong.")
    found = opening(token.strip(), at)
    if found is None:
        # The same words for what never was, has expired, was revoked, or is of somebody who left.
        raise InvalidToken("This access token is not valid, or no longer. Ask an administrator for another.")
    pk, scopes, used_at = found
    if used_at is None or used_at < at - metering.MINUTE:
        with suppress(DatabaseError):  # a note that is missing refuses nobody
            metering.note_use(pk, at=at)
    return Reader("token", str(pk), frozenset(scopes))


def _by_session(request: HttpRequest) -> Reader:
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    if cookie and "\x00" not in cookie:
        # For the one thing it does to a request: nothing that the API answers changes a session.
        SessionMiddleware(lambda request: HttpResponse()).process_request(request)
        user = request._cached_user = get_user(request)  # named so by Django; the log line looks there too
        if user.is_authenticated:
            return Reader("person", str(user.pk))
    raise exceptions.NotAuthenticated


def is_closed() -> bool:
    """Whether only people who logged in, and tokens, may read."""
    return settings.KB_READ_ACCESS != "public"
