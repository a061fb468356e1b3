"""Turn refusals and failures into problem+json (RFC 9457), in the one shape of config.errors."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions

from config import errors
from kb.reading.rows import TooSlow

logger = logging.getLogger("kb.api")

ALLOW = "GET, HEAD, OPTIONS"
# A 401 has to name a way in (RFC 9110); browsers open no dialog for a scheme that they don't know.
CHALLENGE = 'Bearer realm="kb", Cookie realm="kb"'
WHO = {"token": "This access token", "person": "Your account", "address": "Your address"}
SHOWN = 20  # faults in one answer


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request's parameters."""

    parameter: str
    code: str  # unknown, repeated, empty, invalid or missing
    got: str  # what came, shortened
    expected: str
    nearest: str | None = None  # the right name, for one that is almost right

    @property
    def sentence(self) -> str:
        hint = f" Did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.parameter}: got {self.got}, expected {self.expected}.{hint}"


class BadParameters(exceptions.APIException):
    """Parameters that an address does not understand; `faults` has an entry for each."""

    status_code = HTTPStatus.BAD_REQUEST

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__(" ".join(fault.sentence for fault in faults))


class InvalidToken(exceptions.AuthenticationFailed):
    """A token was offered that opens nothing."""


class InsufficientScope(exceptions.PermissionDenied):
    """A valid token that may not read this."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__()


def answer(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Give the problem for this error; None, and so a 500, for what nobody foresaw."""
    for kinds, make in ANSWERS:
        if isinstance(error, kinds):
            return make(context["request"], error, context["view"])
    return None


def _bad_parameters(request, error: BadParameters, view) -> HttpResponse:
    first, shown = error.faults[0], error.faults[:SHOWN]
    return errors.problem(
        request,
        HTTPStatus.BAD_REQUEST,
        " ".join(fault.sentence for fault in shown),
        code=f"{first.code}_parameter",
        more={
            "parameter": first.parameter,
            "errors": [{**asdict(fault), "detail": fault.sentence} for fault in shown],
        },
    )


def _not_found(request, error, view) -> HttpResponse:
    # The same words for what was never there, what is a draft and what was withdrawn.
    return errors.problem(request, HTTPStatus.NOT_FOUND, errors.SENTENCES[HTTPStatus.NOT_FOUND])


def _not_logged_in(request, error, view) -> HttpResponse:
    sentence = "Only people who logged in may read here. Log in on the site, or send an access token."
    response = errors.problem(request, HTTPStatus.UNAUTHORIZED, sentence)
    response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def _invalid_token(request, error: InvalidToken, view) -> HttpResponse:
    response = errors.problem(request, HTTPStatus.UNAUTHORIZED, str(error.detail), code="invalid_token")
    response.headers["WWW-Authenticate"] = 'Bearer realm="kb", error="invalid_token"'
    return response


def _insufficient_scope(request, error: InsufficientScope, view) -> HttpResponse:
    sentence = (
        f"This access token may not read this: it lacks the scope “{error.scope}”. Ask for one that has it."
    )
    response = errors.problem(
        request,
        HTTPStatus.FORBIDDEN,
        sentence,
        code="insufficient_scope",
        more={"scope": error.scope},
    )
    challenge = f'Bearer realm="kb", error="insufficient_scope", scope="{error.scope}"'
    response.headers["WWW-Authenticate"] = challenge
    return response


def _forbidden(request, error, view) -> HttpResponse:
    return errors.problem(request, HTTPStatus.FORBIDDEN, errors.SENTENCES[HTTPStatus.FORBIDDEN])


def _method_not_allowed(request, error, view) -> HttpResponse:
    sentence = f"This API is for reading: it answers {ALLOW}."
    response = errors.problem(request, HTTPStatus.METHOD_NOT_ALLOWED, sentence)
    response.headers["Allow"] = ALLOW
    return response


def _not_acceptable(request, error, view) -> HttpResponse:
    offers = sorted({renderer.media_type for renderer in view.renderer_classes})
    sentence = f"The Accept header leaves out what this address has: {', '.join(offers)}."
    return errors.problem(request, HTTPStatus.NOT_ACCEPTABLE, sentence, more={"offers": offers})


def too_many(request: HttpRequest, standing: Any) -> HttpResponse:
    """Answer somebody whose minute is spent: who they are to us, how many they have, when it begins anew."""
    who = WHO[standing.policy]
    sentence = f"{who} may ask {standing.limit:,} times a minute, and has."
    response = _later(request, HTTPStatus.TOO_MANY_REQUESTS, sentence, standing.wait)
    if request.method == "HEAD":
        response.content = b""
    return response


def _busy(request, error: exceptions.Throttled, view) -> HttpResponse:
    sentence = "As many as may read this at once are reading it."
    return _later(request, HTTPStatus.TOO_MANY_REQUESTS, sentence, error.wait)


def _no_database(request, error, view) -> HttpResponse:
    logger.error("The readers' database does not answer", exc_info=error)
    return _later(request, HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer.", None)


def _count_too_slow(request, error, view) -> HttpResponse:
    sentence = "There are too many to count one by one in time. Ask for count=estimate, or for fewer."
    return errors.problem(
        request, HTTPStatus.SERVICE_UNAVAILABLE, sentence, code="count_too_slow", retry=False
    )


def _later(request, status: HTTPStatus, sentence: str, wait: float | None) -> HttpResponse:
    seconds = max(1, round(wait or 5))
    response = errors.problem(request, status, f"{sentence} Ask again in {seconds} s.")
    response.headers["Retry-After"] = str(seconds)
    return response


ANSWERS: list[tuple[tuple[type[Exception], ...], Callable[..., HttpResponse]]] = [
    ((BadParameters,), _bad_parameters),
    ((Http404, exceptions.NotFound), _not_found),
    ((InvalidToken,), _invalid_token),
    ((InsufficientScope,), _insufficient_scope),
    ((exceptions.NotAuthenticated, exceptions.AuthenticationFailed), _not_logged_in),
    ((PermissionDenied, exceptions.PermissionDenied), _forbidden),
    ((exceptions.MethodNotAllowed,), _method_not_allowed),
    ((exceptions.NotAcceptable,), _not_acceptable),
    ((exceptions.Throttled,), _busy),
    ((TooSlow,), _count_too_slow),
    ((OperationalError, InterfaceError), _no_database),
]
