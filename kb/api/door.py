"""Turn a request into checked parameters, and stored bytes into an answer that caches can keep honest.

Every address asks in the same order, and nothing about content is looked at before the last step: method,
access, form (Accept), parameters, content, and only for content that is there, whether the reader has it.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponsePermanentRedirect,
    QueryDict,
)
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.views import APIView

from kb.api import access, problems
from kb.api.parameters import NoParameters, Parameters, read
from kb.choices import Scope
from kb.reading.rows import Row, persistently

READS = ("GET", "HEAD", "OPTIONS")
LONGEST_KEPT = 200  # characters of an Accept header


class ReadView(APIView):
    """An address that can be read. A subclass names its parameters and gives the answer to a GET.

    DRF's declarations (renderers, schema) hold; its way through a request is replaced by a shorter one.
    """

    parameters: type[Parameters] = NoParameters
    scope = Scope.READ  # what a token needs to read here; "": nothing

    def dispatch(self, request, *args, **kwargs):
        self.args, self.kwargs = args, kwargs
        try:
            response = persistently(lambda: self.respond(request, *args, **kwargs))
        except Exception as error:
            response = problems.answer(error, {"request": request, "view": self})
            if response is None:
                raise
        return self.finish(request, response)

    def respond(self, request, *args, **kwargs):
        # The method first of all, so that it is the same for everybody and every address.
        if request.method not in READS:
            raise exceptions.MethodNotAllowed(request.method)
        request.reader.require(self.scope)
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        # Readers may send headers of any length: kept are those that browsers and programs send.
        choose = chosen if len(accept) <= LONGEST_KEPT else chosen.__wrapped__
        self.renderer = choose(tuple(self.renderer_classes), accept)
        handler = self.options if request.method == "OPTIONS" else self.get
        return handler(request, *args, **kwargs)

    def values(self) -> dict[str, Any]:
        """The parameters of this request; raises BadParameters."""
        if not self.request.META["QUERY_STRING"]:
            return dict(nothing_said(self.parameters))
        return read(self.request.GET, self.parameters(self.request.GET))

    def options(self, request, *args, **kwargs):
        return HttpResponse(status=204, headers={"Allow": problems.ALLOW, "Cache-Control": "no-store"})

    def finish(self, request, response):
        # Also where everybody may read: what a cache holds is no answer to a token that is not valid.
        varies = "Authorization, Cookie" if access.is_closed() else "Authorization"
        if len(self.renderer_classes) > 1:
            varies += ", Accept"
        if "Vary" in response.headers:
            patch_vary_headers(response, varies.split(", "))
        else:
            response.headers["Vary"] = varies
        if request.method == "HEAD":
            # The server need not know which answers have a body.
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


@cache
def nothing_said(form: type[Parameters]) -> dict[str, Any]:
    """The values of a request without any parameters."""
    nothing = QueryDict()
    return read(nothing, form(nothing))


@lru_cache(maxsize=1000)
def chosen(renderers: tuple[type[BaseRenderer], ...], accept: str) -> type[BaseRenderer]:
    """The renderer that this Accept header asks for; raises NotAcceptable."""
    asked = SimpleNamespace(META={"HTTP_ACCEPT": accept}, headers={"accept": accept}, query_params={})
    renderer, _ = DefaultContentNegotiation().select_renderer(asked, [kind() for kind in renderers])
    return type(renderer)


class NothingHere(ReadView):
    """Any other address: those who may not read learn nothing here either.

    Where it merely lacks the slash at its end, the reader is sent to the one that has it.
    """

    schema = None
    scope = ""

    def get(self, request, *args, **kwargs):
        if not request.path_info.endswith("/"):
            return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
        raise Http404

    options = get


def there(found: Row | None) -> Row:
    """The row, or Http404 where there is none."""
    if found is None:
        raise Http404
    return found


def stored(
    request: HttpRequest,
    body: bytes,
    *,
    etag: str = "",
    changed_at: str = "",
    content_type: str = "application/json",
) -> HttpResponse:
    """Send this body, or 304 to a reader who has it. Without an `etag` the body's own hash is one.

    `changed_at` is a date as HTTP writes it.
    """
    etag = etag or hashlib.sha256(body).hexdigest()
    tag = f'"{etag}"'
    response = (
        HttpResponseNotModified() if has(request, etag) else HttpResponse(body, content_type=content_type)
    )
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = settings.KB_API_CACHE_CONTROL
    if changed_at:
        # Told, never asked for: a metric changes the answer and not this moment, so only the ETag decides.
        response.headers["Last-Modified"] = changed_at
    return response


def has(request: HttpRequest, etag: str) -> bool:
    """Whether the reader has the answer with this ETag."""
    header, tag = request.META.get("HTTP_IF_NONE_MATCH"), f'"{etag}"'
    if header is None:
        return False
    return header.strip() == "*" or tag in [held.removeprefix("W/") for held in parse_etags(header)]


def as_bytes(value: dict[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
