"""Turn a reader's request into a page: one query on the alias `reading`, and what was compiled goes out.

The one thing that comes in is a reader's report, through its own flow function.
"""

import json
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from config.sender import sender
from kb.article import article, may_show
from kb.choices import ReportKind
from kb.errors import Refused, TooOften
from kb.flow import reporting  # noqa: TID251  (the one thing that readers may bring in)
from kb.models.publication import Publication, PublishedEntity
from kb.reading.similar import similar
from kb.site.access import for_readers, for_reporters, refuse_hidden
from kb.site.listing import listing

ENTITIES = 300  # on one page
LONGEST_KEY = 600


def page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return render(request, f"kb/{template}.html", _everywhere() | context)


def _everywhere() -> dict[str, Any]:
    return {
        "site_name": settings.KB_SITE_NAME,
        "api_docs": _api_docs(),
        "is_indexed": settings.KB_INDEXING,
    }


def _api_docs() -> str:
    try:
        return reverse("api:docs")
    except NoReverseMatch:
        return ""


@for_readers
def home(request: HttpRequest) -> HttpResponse:
    if "q" in request.GET:  # where searching was before it had a page of its own
        return redirect(f"{reverse('site:search')}?{urlencode({'q': request.GET['q']})}")
    before = request.GET.get("before", "")
    shown = listing(before)
    return page(request, "home", shown=shown, before=before)


@for_readers
def post(request: HttpRequest, slug: str) -> HttpResponse:
    row = Publication.reading.filter(slug=slug).only("detail_json").first()
    if row is None:
        raise Http404
    detail = json.loads(row.detail_json)
    written = article(detail["html"])
    return page(
        request,
        "post",
        post=detail,
        article=written,
        reviewed_at=datetime.fromisoformat(detail["review"]["at"]),
        review_by=_review_by(detail["review"]),
        overdue=_is_overdue(_review_by(detail["review"])),
        entities=[{**entity, "page": _page_of(entity["url"])} for entity in detail["entities"]],
        shows_images=all(may_show(image["url"]) for image in detail["images"]),
        similar=similar(slug),
        has_panel=any(detail[name] for name in ("owner", "expected_result", "rollback_note")),
    )


def _review_by(review: dict[str, Any]) -> date | None:
    """The day until which somebody vouches for it; None in what an older kb compiled."""
    return date.fromisoformat(review["review_by"]) if "review_by" in review else None


def _is_overdue(review_by: date | None) -> bool:
    return review_by is not None and review_by < timezone.now().astimezone(UTC).date()


class ReportForm(forms.Form):
    kind = forms.ChoiceField(
        label="What is the matter?",
        choices=[
            (ReportKind.WRONG, "Wrong: something in it is not true"),
            (ReportKind.OUTDATED, "Outdated: it was true once"),
            (ReportKind.UNCLEAR, "Unclear: it cannot be followed"),
        ],
        widget=forms.RadioSelect,
        error_messages=dict.fromkeys(
            ("required", "invalid_choice"), "Choose what is the matter: wrong, outdated or unclear."
        ),
    )
    sentence = forms.CharField(
        label="In a sentence",
        max_length=reporting.MOST_TEXT,
        widget=forms.Textarea({"rows": 4}),
        error_messages={"required": "Say in a sentence what is the matter, so that somebody can mend it."},
    )


@for_reporters
def report(request: HttpRequest, slug: str) -> HttpResponse:
    """The form of a reader who found something; what is sent goes to reviewers and to no other reader."""
    title = _title(slug)
    form = ReportForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _form(request, slug, title, form, 400 if form.is_bound else 200)
    by = request.user if request.user.is_authenticated else None
    try:
        reporting.report(slug, **form.cleaned_data, by=by, sender=sender(request), at=timezone.now())
    except TooOften as refused:
        return _too_often(request, slug, title, refused)
    except Refused as refused:
        if refused.code == "not_published":
            raise Http404 from None
        form.add_error(None, str(refused))
        return _form(request, slug, title, form, 400)
    return redirect("site:thanks", slug)


def _title(slug: str) -> str:
    """The title of a post that readers have; of any other there is no form."""
    title = Publication.reading.filter(slug=slug).values_list("title", flat=True).first()
    if title is None:
        raise Http404
    return str(title)


def _form(request: HttpRequest, slug: str, title: str, form: ReportForm, status: int) -> HttpResponse:
    response = page(request, "report", slug=slug, post_title=title, form=form)
    response.status_code = status
    return response


def _too_often(request: HttpRequest, slug: str, title: str, refused: TooOften) -> HttpResponse:
    """429 with the time from which the next report is taken, for people and for programs."""
    context = {"slug": slug, "post_title": title, "sentence": str(refused), "again_at": refused.again_at}
    response = page(request, "too_often", **context)
    response.status_code = HTTPStatus.TOO_MANY_REQUESTS
    wait = (refused.again_at - timezone.now()).total_seconds()
    response.headers["Retry-After"] = str(max(1, round(wait)))
    return response


@for_readers
def thanks(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, "thanks", slug=slug, post_title=_title(slug))


def _page_of(api_address: str) -> str:
    """The page of what this API address names: the site mirrors the API."""
    return reverse("site:home") + api_address.removeprefix("/api/v1/")


@for_readers
def entities(request: HttpRequest) -> HttpResponse:
    after = refuse_hidden("after", request.GET.get("after", ""), LONGEST_KEY)
    found = list(PublishedEntity.reading.filter(key__gt=after).order_by("key")[: ENTITIES + 1])
    shown = found[:ENTITIES]
    following = shown[-1].key if len(found) > ENTITIES else ""
    return page(request, "entities", entities=shown, following=following, after=after)


@for_readers
def entity(request: HttpRequest, type: str, slug: str) -> HttpResponse:  # noqa: A002  (named in the address)
    if "\x00" in type + slug:
        raise Http404
    row = PublishedEntity.reading.filter(type=type, slug=slug).first()
    if row is None:
        raise Http404
    before = request.GET.get("before", "")
    shown = listing(before, entity=row.key)
    return page(request, "entity", entity=row, shown=shown, before=before)


@for_readers
def embed(request: HttpRequest) -> HttpResponse:
    newest = listing().cards[:1]
    slug = newest[0].post["slug"] if newest else "the-posts-slug"
    return page(
        request,
        "embed",
        newest=newest[0].post if newest else None,
        slug=slug,
        meta=f"/api/v1/posts/{slug}/meta/",
        origin=f"{request.scheme}://{request.get_host()}",
        # Without the hash of a release, so that a front end's page outlives ours.
        files=f"{settings.STATIC_URL}kb/",
    )


class Login(LoginView):
    """Readers log in here; the admin has a page of its own that asks for staff."""

    template_name = "kb/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | _everywhere()


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    return redirect(static("kb/favicon.svg"))
