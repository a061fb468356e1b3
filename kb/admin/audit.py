"""Turn the events of all posts, or of one, into pages and files that an auditor can follow."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from kb.admin import events, history, tables
from kb.admin.events import Event, Key, Wanted
from kb.models import Post

AUDIT = permission_required("kb.audit_post", raise_exception=True)
PAGE = 50
HEAD = ("at", "event", "who", "post", "title", "revision", "version", "fingerprint", "note")
GROUPS = (
    ("Revisions", ("revision",)),
    ("Flags", ("raised", "closed")),
    ("Decisions", ("decision", "schedule")),
    ("Comments", ("comment", "resolved")),
    ("What is still true", ("verification", "report")),
    ("Criteria", ("criteria", "retired")),
    ("Access tokens", ("issued", "revoked")),
    ("Webhooks", ("hook",)),
    ("Synonyms", ("synonym", "dropped")),
)


def moment(at: datetime | None, *, seconds: bool = True) -> SafeString | str:
    """A moment as a date: an auditor compares them with other records."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(),
        date_format(local, "Y-m-d H:i:s T" if seconds else "Y-m-d H:i"),
    )


class DateField(forms.DateField):
    """A day of the installation's time zone, from the calendar of the browser."""

    def __init__(self, label: str) -> None:
        super().__init__(
            label=label,
            required=False,
            widget=forms.DateInput({"type": "date"}),
            error_messages={"invalid": "Give a day as year-month-day, such as 2026-11-23."},
        )


class PersonField(forms.CharField):
    """A username; gives the user."""

    def __init__(self, label: str) -> None:
        super().__init__(label=label, required=False, max_length=150)

    def clean(self, value: Any) -> User | None:
        name = super().clean(value)
        if not name:
            return None
        found = User.objects.filter(username=name).first()
        if found is None:
            raise forms.ValidationError(f"Nobody here has the username “{name}”.")
        return found


class SpanForm(forms.Form):
    """A span of days, both included."""

    since = DateField("From")
    until = DateField("To")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        since, until = given.get("since"), given.get("until")
        if since and until and since > until:
            self.add_error("until", "The last day is before the first.")
        return given

    def span(self) -> tuple[datetime | None, datetime | None]:
        """The first moment of the first day, and the first one after the last day."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        # The calendar ends with the year 9999.
        after = until + timedelta(days=1) if until and until < date.max else None
        return _midnight(since), _midnight(after)

    def query(self, **more: str) -> str:
        """What the address says, with `more`, and without what is empty."""
        said = {name: self.data.get(name, "").strip() for name in self.fields} | more
        return "?" + urlencode({name: value for name, value in said.items() if value})


def _midnight(day: date | None) -> datetime | None:
    if day is None:
        return None
    try:
        return timezone.make_aware(datetime.combine(day, time.min))
    except OverflowError:
        return None  # the first day of the calendar, in a zone that is behind


class EventForm(SpanForm):
    who = PersonField("Who")
    kind = forms.ChoiceField(
        label="What",
        required=False,
        choices=[
            ("", "Everything"),
            *(
                (
                    name,
                    [(kind, words) for kind, words in events.KINDS.items() if kind.split(".")[0] in sources],
                )
                for name, sources in GROUPS
            ),
        ],
        error_messages={"invalid_choice": "There are no events of that kind; choose one of the list."},
    )
    field_order = ("who", "kind", "since", "until")

    def wanted(self, post: Post | None) -> Wanted:
        given, (since, until) = self.cleaned_data, self.span()
        who = given["who"].pk if given["who"] else None
        return Wanted(who, given["kind"], post.pk if post else None, since, until)


class AllEventsForm(EventForm):
    post = forms.CharField(label="Post", required=False, max_length=200, help_text="Its address, the slug.")
    field_order = ("who", "kind", "post", "since", "until")

    def clean_post(self) -> Post | None:
        slug = self.cleaned_data["post"]
        if not slug:
            return None
        found = Post.objects.filter(slug=slug).only("title").first()
        if found is None:
            raise forms.ValidationError(f"No post has the address “{slug}”.")
        return found


@require_GET
@AUDIT
def everything(request: HttpRequest) -> HttpResponseBase:
    """What anybody did with any post."""
    form = AllEventsForm(request.GET)
    form.is_valid()
    post = form.cleaned_data.get("post")
    context = _context(request, form, post)
    if request.GET.get("format"):
        return _file(request, form, post, "audit")
    page = {
        **admin.site.each_context(request),
        "title": "Who did what",
        "here": reverse("admin:kb_audit"),
        **context,
    }
    return TemplateResponse(request, "admin/kb/whole/audit.html", page, status=_status(form))


@require_GET
def of_post(request: HttpRequest, pk: int) -> HttpResponseBase:
    """What anybody did with one post: also for its reviewers, who decide on what came before."""
    if not (request.user.has_perm("kb.audit_post") or request.user.has_perm("kb.review_post")):
        raise PermissionDenied
    post = get_object_or_404(Post.objects.select_related("head", "publication"), pk=pk)
    form = EventForm(request.GET)
    form.is_valid()
    if request.GET.get("format"):
        return _file(request, form, post, f"audit-{post.slug}")
    context = {**_context(request, form, post), "here": "audit"}
    return history.render(request, "audit", post, title="Who did what", status=_status(form), **context)


PAGES = (("audit/", everything, "audit"),)
POST_PAGES = (("<int:pk>/audit/", of_post, "audit"),)


def _status(form: forms.Form) -> int:
    return 200 if form.is_valid() else 400


def _context(request: HttpRequest, form: EventForm, post: Post | None) -> dict[str, Any]:
    """The events of one page; none while the filter makes no sense."""
    before, lost = _before(request)
    found = []
    if form.is_valid():
        found = events.page(form.wanted(post), size=PAGE + 1, before=before)
    shown = found[:PAGE]
    return {
        "form": form,
        "rows": [{"event": event, "when": moment(event.key.at)} for event in shown],
        "filtered": any(request.GET.get(name) for name in form.fields),
        "lost": lost,
        "first": form.query() if before else "",
        "older": form.query(before=str(shown[-1].key)) if len(found) > PAGE else "",
        "csv": form.query(format="csv"),
        "jsonl": form.query(format="jsonl"),
    }


def _before(request: HttpRequest) -> tuple[Key | None, bool]:
    """Where the page begins, and whether the address named a place that is none."""
    text = request.GET.get("before", "")
    try:
        return (Key.read(text) if text else None), False
    except ValueError:
        return None, True


def _file(request: HttpRequest, form: EventForm, post: Post | None, name: str) -> HttpResponseBase:
    if not form.is_valid():
        problems = " ".join(str(error) for errors in form.errors.values() for error in errors)
        return HttpResponse(problems, status=400, content_type="text/plain; charset=utf-8")
    rows = _rows(events.all_of(form.wanted(post)))
    return tables.answer(name, request.GET["format"], HEAD, rows)


def _rows(found: Iterator[Event]) -> Iterator[tuple[Any, ...]]:
    for event in found:
        revision = event.revision
        about = (
            (revision.post.slug, revision.post.title, revision.number, revision.version, revision.fingerprint)
            if revision
            else (None,) * 5
        )
        who = event.who.username if event.who else None
        yield (event.key.at, event.words, who, *about, event.note)
