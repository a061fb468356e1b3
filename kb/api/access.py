"""Decide who may read: everybody, or people who logged in. The same answer for every address.

Whoever may not read gets a 401, whether or not there is something at the address.
"""

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from rest_framework import authentication, exceptions

from kb.api.problems import CHALLENGE

# For the one thing it does to a request: nothing that the API answers changes a session.
_sessions = SessionMiddleware(lambda request: HttpResponse())


class SessionAuthentication(authentication.SessionAuthentication):
    """The login of the admin, by its cookie."""

    def authenticate_header(self, request):
        return CHALLENGE


def admit(request: HttpRequest) -> None:
    """Raise NotAuthenticated for those who may not read. Open installations look nobody up."""
    if is_closed() and not _is_logged_in(request):
        raise exceptions.NotAuthenticated


def _is_logged_in(request: HttpRequest) -> bool:
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    _sessions.process_request(request)
    request._cached_user = get_user(request)  # named so by Django; the log line looks there too
    return request._cached_user.is_authenticated


def is_closed() -> bool:
    """Whether only people who logged in may read."""
    return settings.KB_READ_ACCESS != "public"
