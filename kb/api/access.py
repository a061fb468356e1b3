"""Decide who may read: everybody, or people who logged in. The same answer for every address.

Whoever may not read gets a 401, whether or not there is something at the address.
"""

from django.conf import settings
from rest_framework import authentication, permissions

from kb.api.problems import CHALLENGE


class SessionAuthentication(authentication.SessionAuthentication):
    """The login of the admin, by its cookie."""

    def authenticate_header(self, request):
        return CHALLENGE


class ReadAccess(permissions.BasePermission):
    def has_permission(self, request, view):
        # In this order: open installations read no session and ask the database for no user.
        return not is_closed() or bool(request.user and request.user.is_authenticated)


def is_closed() -> bool:
    """Whether only people who logged in may read."""
    return settings.KB_READ_ACCESS != "public"
