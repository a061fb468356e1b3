"""Turn a request for the API into its answer by a short way of its own.

The site and the admin need sessions, forms and messages; the API needs none of that, and each middleware that
only passes a request on costs as much as a good part of an answer. API_MIDDLEWARE names what the API passes.
"""

from collections.abc import Callable, Sequence
from typing import cast

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import get_resolver
from django.utils.module_loading import import_string

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class LanesMiddleware:
    """Send what is asked of the API past all middleware that stands after this one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.api = lane(settings.API_MIDDLEWARE)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith("/api/"):
            return self.api(request)
        return self.get_response(request)


def lane(names: Sequence[str]) -> GetResponse:
    """The middleware with these names, the first outermost, around the view."""
    handler = cast(GetResponse, convert_exception_to_response(view_answer))
    for name in reversed(names):
        try:
            handler = cast(GetResponse, convert_exception_to_response(import_string(name)(handler)))
        except MiddlewareNotUsed:
            continue
    return handler


def view_answer(request: HttpRequest) -> HttpResponseBase:
    match = get_resolver().resolve(request.path_info)
    request.resolver_match = match
    response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    return response
