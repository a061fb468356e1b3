"""Turn a request into checked parameters, and stored bytes into an answer that caches can keep honest.

Every address asks in the same order, and nothing about content is looked at before the last step: method,
access, form (Accept), parameters, content, and only for content that is there, whether the reader has it.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date, parse_etags
from rest_framework import exceptions
from rest_framework.views import APIView

from kb.api import access, parameters, problems

READS = ("GET", "HEAD", "OPTIONS")


class ReadView(APIView):
    """An address that can be read. A subclass names its parameters and gives the answer to a GET."""

    parameters: type[forms.BaseForm] = parameters.NoParameters
    format_kwarg = None  # no address names its form by a suffix

    def initial(self, request, *args, **kwargs):
        # First of all, so that it is the same for everybody and every address.
        if request.method not in READS:
            raise exceptions.MethodNotAllowed(request.method)
        self.check_permissions(request)
        self.check_throttles(request)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)

    def values(self) -> dict[str, Any]:
        """The parameters of this request; raises BadParameters."""
        return parameters.read(self.request.GET, self.form())

    def form(self) -> forms.BaseForm:
        return self.parameters(self.request.GET)

    def options(self, request, *args, **kwargs):
        return HttpResponse(status=204, headers={"Allow": problems.ALLOW, "Cache-Control": "no-store"})

    def raise_uncaught_exception(self, exc):
        # DRF's own asks for a renderer first, which is not chosen yet when access fails.
        raise exc

    @property
    def default_response_headers(self):
        return {}

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        if access.is_closed():
            patch_vary_headers(response, ["Cookie"])
        if len(self.renderer_classes) > 1:
            patch_vary_headers(response, ["Accept"])
        if request.method == "HEAD":
            # The server need not know which answers have a body.
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class NothingHere(ReadView):
    """Any other address: those who may not read learn nothing here either."""

    schema = None

    def get(self, request, *args, **kwargs):
        raise Http404

    options = get


def one(rows: QuerySet, *columns: str) -> tuple[Any, ...]:
    """The row's columns, in one query; Http404 if there is none."""
    for found in rows.order_by().values_list(*columns)[:1]:
        return found
    raise Http404


def stored(
    request: HttpRequest,
    body: bytes,
    *,
    etag: str = "",
    at: datetime | None = None,
    content_type: str = "application/json",
) -> HttpResponse:
    """Send this body, or 304 to a reader who has it. Without an `etag` the body's own hash is one."""
    tag = f'"{etag or hashlib.sha256(body).hexdigest()}"'
    has_it = _matches(request.headers.get("If-None-Match", ""), tag)
    response = HttpResponseNotModified() if has_it else HttpResponse(body, content_type=content_type)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = settings.KB_API_CACHE_CONTROL
    if at:
        # Told, never asked for: a metric changes the answer and not this moment, so only the ETag decides.
        response.headers["Last-Modified"] = http_date(at.timestamp())
    return response


def _matches(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in [held.removeprefix("W/") for held in parse_etags(header)]


def as_bytes(value: dict[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
