"""Turn a view into a readers' page: who may see it, how long it is kept, what a bad query string gets."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods

from config import errors

View = Callable[..., HttpResponse]


def for_readers(view: View, methods: tuple[str, ...] = ("GET", "HEAD")) -> View:
    """Ask for a login before anything is looked up, so that what exists and what does not answer alike."""

    @require_http_methods(methods)
    @wraps(view)
    def page(request: HttpRequest, **place: str) -> HttpResponse:
        if settings.KB_READ_ACCESS != "public" and not request.user.is_authenticated:
            response: HttpResponse = redirect_to_login(request.get_full_path())
        else:
            try:
                response = view(request, **place)
            except BadRequest as error:
                return errors.refuse(request, HTTPStatus.BAD_REQUEST, str(error))
        # A withdrawn post must not linger, and a page names its reader: ask again each time.
        response.headers["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, ["Cookie"])
        return response

    return page


def for_reporters(view: View) -> View:
    """A readers' page with a form that they may send back."""
    return for_readers(view, ("GET", "HEAD", "POST"))


def refuse_hidden(name: str, text: str, longest: int) -> str:
    """The text, or BadRequest: PostgreSQL takes no NUL, and nobody types that much."""
    if "\x00" in text:
        raise BadRequest(f"The parameter “{name}” holds a NUL character. Remove it and try again.")
    if len(text) > longest:
        raise BadRequest(
            f"The parameter “{name}” is longer than {longest} characters. Shorten it and try again."
        )
    return text
