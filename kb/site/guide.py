"""Turn the files of a small front end into the page that explains them; tests run the very same files."""

from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from kb.site.access import for_readers
from kb.site.views import page

FILES = Path(__file__).parent.parent / "static" / "kb" / "guide"


@for_readers
def guide(request: HttpRequest) -> HttpResponse:
    return page(
        request,
        "guide",
        origin=f"{request.scheme}://{request.get_host()}",
        files=f"{settings.STATIC_URL}kb/guide/",
        html=_text("index.html"),
        script=_text("app.js"),
    )


@cache
def _text(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")
