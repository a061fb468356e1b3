"""Turn KB_API_ORIGINS into leave for other sites' pages to read the API and to load the meta box (CORS).

Logins never cross: no answer has Access-Control-Allow-Credentials, so a page elsewhere gets what anybody
gets, or what its own token may read. django-cors-headers would do the half of this that is one look into a
set; it knows nothing of Cross-Origin-Resource-Policy, without which a style sheet does not load, and lets
credentials be allowed.
"""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

API = "/api/"
# Code and styles, the same for everybody; nothing here tells what kb holds.
STATIC = f"{settings.STATIC_URL}kb/"
EXPOSED = "ETag, Last-Modified, Link, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, If-Modified-Since, If-None-Match",
    "Access-Control-Max-Age": "7200",  # as long as any browser keeps it
}


class CorsMiddleware:
    """Say to browsers which origins may read, on every answer, refusals and failures too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        origins = settings.KB_API_ORIGINS
        if not origins or not request.path.startswith((API, STATIC)):
            return self.get_response(request)
        is_preflight = request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
        response = HttpResponse(status=HTTPStatus.NO_CONTENT) if is_preflight else self.get_response(request)
        if request.path.startswith(STATIC):
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        allowed = _allowed(request.META.get("HTTP_ORIGIN", ""), origins)
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = allowed
            more = PREFLIGHT if is_preflight else {"Access-Control-Expose-Headers": EXPOSED}
            for name, value in more.items():
                response.headers[name] = value
        if allowed != "*":
            # Also where none was named: a cache would give that answer to a page of an origin.
            patch_vary_headers(response, ["Origin"])
        return response


def _allowed(origin: str, origins: tuple[str, ...]) -> str:
    """What the answer allows: "*", this origin, or nothing."""
    if origins == ("*",):
        return "*"
    return origin if origin in origins else ""
