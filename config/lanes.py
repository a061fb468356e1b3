"""Turn a request for the API into its answer by a short way of its own.

The site and the admin need sessions, forms and messages; the API needs none of that, and each middleware that
only passes a request on costs as much as a good part of an answer. API_MIDDLEWARE names what the API passes.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import URLResolver, get_resolver
from django.utils.module_loading import import_string

from config.middleware import (
    BodyLimitMiddleware,
    Guard,
    NoNulMiddleware,
    Utf8Middleware,
    is_debug_page,
    policy_headers,
)

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
    view, args, kwargs = found_view(request.path_info)
    response: HttpResponseBase = view(request, *args, **kwargs)
    return response


def found_view(path: str) -> tuple[Any, Any, Any]:
    """The view for this path, and what it is called with: as Django resolves it, without its objects."""
    resolver = get_resolver()
    begin, routes = api_routes(resolver)
    if path.startswith(begin):
        for route in routes:
            if match := route.pattern.match(path[len(begin) :]):
                return route.callback, match[1], match[2]
    view, args, kwargs = resolver.resolve(path)
    return view, args, kwargs


@cache
def api_routes(resolver: URLResolver) -> tuple[str, list[Any]]:
    """Where the API begins, and its routes from there on."""
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver) and one.namespace == "api":
            return f"/{one.pattern}", one.url_patterns
    return "/", []


class HeadersMiddleware:
    """Send what four middleware send with pages, in one step."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.https = SecurityMiddleware(get_response)
        self.headers = as_kept(constant_headers())
        self.headers_with_policy = self.headers | as_kept(policy_headers())

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        kept = self.headers if is_debug_page(response) else self.headers_with_policy
        # All at once, and below what the view said: header by header takes as long as asking the database.
        response.headers._store = kept | response.headers._store
        if self.https.sts_seconds:
            self.https.process_response(request, cast(HttpResponse, response))
        return response


class GuardMiddleware:
    """Refuse what five middleware refuse for pages, asking each only about what it looks at."""

    HOSTS_KNOWN = 100

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.https = SecurityMiddleware(get_response)
        self.common = CommonMiddleware(get_response)
        self.guards: dict[str, Guard] = {
            "CONTENT_TYPE": Utf8Middleware(get_response),
            "HTTP_COOKIE": NoNulMiddleware(get_response),
        }
        with suppress(MiddlewareNotUsed):
            self.guards["CONTENT_LENGTH"] = BodyLimitMiddleware(get_response)
        self.hosts: set[str | None] = set()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        self.require_host(request)
        response = self.refusal(request) or self.get_response(request)
        # For the header with its length; no address under /api/ is left to be sent to one with a slash.
        return self.common.process_response(request, cast(HttpResponse, response))

    def require_host(self, request: HttpRequest) -> None:
        """Raise DisallowedHost, but look only once at a host that is right."""
        host = request.META.get("HTTP_HOST")
        if host not in self.hosts:
            request.get_host()
            if len(self.hosts) < self.HOSTS_KNOWN:
                self.hosts.add(host)

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        if self.https.redirect and (redirect := self.https.process_request(request)):
            return redirect
        for name, guard in self.guards.items():
            if request.META.get(name) and (refusal := guard.refusal(request)):
                return refusal
        return None


def constant_headers() -> dict[str, str]:
    return {
        "Permissions-Policy": settings.PERMISSIONS_POLICY,
        "Cross-Origin-Resource-Policy": settings.CROSS_ORIGIN_RESOURCE_POLICY,
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
    }


def as_kept(headers: dict[str, str]) -> dict[str, tuple[str, str]]:
    """As Django's ResponseHeaders keeps them."""
    return {name.lower(): (name, value) for name, value in headers.items()}
