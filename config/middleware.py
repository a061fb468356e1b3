"""Turn the promises of config/security.py that Django 5.2 has no middleware for into headers and refusals."""

import codecs
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config import errors

GetResponse = Callable[[HttpRequest], HttpResponseBase]
Policy = Mapping[str, Sequence[str]]


class ContentSecurityPolicyMiddleware:
    """Send SECURE_CSP and SECURE_CSP_REPORT_ONLY as Django 6's middleware of this name does.

    A header that a view set itself stays; an empty policy sends none. On Django 6, name
    django.middleware.csp.ContentSecurityPolicyMiddleware in MIDDLEWARE instead and delete this class.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.headers = policy_headers()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if is_debug_page(response):
            return response
        for name, policy in self.headers.items():
            response.headers.setdefault(name, policy)
        return response


def policy_headers() -> dict[str, str]:
    policies = {
        "Content-Security-Policy": settings.SECURE_CSP,
        "Content-Security-Policy-Report-Only": settings.SECURE_CSP_REPORT_ONLY,
    }
    return {name: policy_text(policy) for name, policy in policies.items() if policy}


def policy_text(policy: Policy) -> str:
    """The header's value: directives in their order, each followed by its sources."""
    return "; ".join(" ".join([directive, *sources]) for directive, sources in policy.items())


def is_debug_page(response: HttpResponseBase) -> bool:
    """Whether this may be one of Django's pages for developers, whose styles and scripts are inline."""
    return settings.DEBUG and response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR}


class ResponseHeadersMiddleware:
    """Send the headers of config/security.py that Django has no setting for."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.headers = {
            "Permissions-Policy": settings.PERMISSIONS_POLICY,
            "Cross-Origin-Resource-Policy": settings.CROSS_ORIGIN_RESOURCE_POLICY,
        }

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response


class Guard:
    """Refuse a request, or pass it on as it is."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.refusal(request) or self.get_response(request)

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        raise NotImplementedError


class NoNulMiddleware(Guard):
    """Refuse a NUL in a cookie or in a query of the admin: PostgreSQL takes none, and would fail.

    Readers' pages and the API name the parameter themselves; fields of forms refuse it at their place.
    """

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        if any("\x00" in value for value in request.COOKIES.values()):
            sentence = "A cookie holds a NUL character. Delete the cookies of this site and try again."
            return errors.refuse(request, HTTPStatus.BAD_REQUEST, sentence)
        query = request.META.get("QUERY_STRING", "")
        if request.path.startswith("/admin/") and b"\x00" in unquote_to_bytes(query):
            sentence = "The address holds a NUL character. Remove it and try again."
            return errors.refuse(request, HTTPStatus.BAD_REQUEST, sentence)
        return None


class Utf8Middleware(Guard):
    """Refuse a request that names another encoding than UTF-8.

    Django would read addresses and forms by it, and some encodings give what PostgreSQL takes none of: a NUL
    that NoNulMiddleware does not see, or half a pair of surrogates.
    """

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.encoding and codecs.lookup(request.encoding).name not in {"utf-8", "ascii"}:
            sentence = "The Content-Type header names an encoding other than UTF-8: send UTF-8."
            return errors.refuse(request, HTTPStatus.BAD_REQUEST, sentence)
        return None


class BodyLimitMiddleware(Guard):
    """Refuse a body that announces more than DATA_UPLOAD_MAX_MEMORY_SIZE before any of it is read.

    Django's own limit leaves out files. A WSGI request reads no further than its Content-Length.
    """

    def __init__(self, get_response: GetResponse) -> None:
        if settings.DATA_UPLOAD_MAX_MEMORY_SIZE is None:
            raise MiddlewareNotUsed
        super().__init__(get_response)
        self.limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        announced = request.META.get("CONTENT_LENGTH") or "0"
        if not announced.isdecimal():
            return errors.refuse(
                request, HTTPStatus.BAD_REQUEST, "The Content-Length header is no whole number."
            )
        if int(announced) > self.limit:
            sentence = f"The request is larger than {self.limit // 2**20} MiB: send less at once."
            return errors.refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
        return None
