"""Turn approvals into the sign-off list: which content was approved, by whom, and what became of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from kb.admin import labels, tables
from kb.admin.audit import AUDIT, PersonField, SpanForm, moment
from kb.choices import Origin, Verdict
from kb.models import Decision, Oversight, Publication, Revision, Schedule

PAGE = 50
HEAD = (
    *("post", "title", "revision", "version", "fingerprint", "approver", "approved at", "authors"),
    *("own work", "state", "comment"),
)
# What became of an approval: words, and the kind of its label.
IN_FORCE = ("In force", "published")
SCHEDULED = ("Waits for its time", "waiting")
LAPSED = ("Lapsed before its time", "changes")
TAKEN_BACK = ("Taken back", "draft")
WITHDRAWN = ("Withdrawn", "blocking")
WITHHELD = ("In force, withheld while overdue", "blocking")
SUPERSEDED = ("Superseded", "")


class SignoffForm(SpanForm):
    by = PersonField("Approver")
    field_order = ("by", "since", "until")


@dataclass(frozen=True, slots=True)
class Signoff:
    decision: Decision
    authors: list[str]
    state: tuple[str, str]

    @property
    def label(self) -> SafeString:
        return labels.label(*self.state)

    @property
    def when(self) -> SafeString | str:
        return moment(self.decision.at)


@require_GET
@AUDIT
def page(request: HttpRequest) -> HttpResponseBase:
    form = SignoffForm(request.GET)
    before = _before(request)
    good = form.is_valid()
    if request.GET.get("format"):
        if not good:
            problems = " ".join(str(error) for errors in form.errors.values() for error in errors)
            return HttpResponse(problems, status=400, content_type="text/plain; charset=utf-8")
        return tables.answer("sign-off", request.GET["format"], HEAD, _rows(form))
    found = signoffs(form, before=before, size=PAGE + 1) if good else []
    shown = found[:PAGE]
    context = {
        **admin.site.each_context(request),
        "title": "Sign-off list",
        "form": form,
        "rows": shown,
        "filtered": any(request.GET.get(name) for name in form.fields),
        "first": form.query() if before else "",
        "older": form.query(before=str(shown[-1].decision.pk)) if len(found) > PAGE else "",
        "csv": form.query(format="csv"),
        "jsonl": form.query(format="jsonl"),
        "here": reverse("admin:kb_signoff"),
    }
    return TemplateResponse(request, "admin/kb/whole/signoff.html", context, status=200 if good else 400)


PAGES = (("sign-off/", page, "signoff"),)


def _before(request: HttpRequest) -> int | None:
    """The decision before which the page begins; what is no number begins at the newest."""
    text = request.GET.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def signoffs(form: SignoffForm, *, before: int | None, size: int) -> list[Signoff]:
    """The newest approvals before this one, in one query."""
    since, until = form.span()
    found = approvals()
    if form.cleaned_data["by"]:
        found = found.filter(reviewer=form.cleaned_data["by"])
    if since:
        found = found.filter(at__gte=since)
    if until:
        found = found.filter(at__lt=until)
    if before:
        found = found.filter(pk__lt=before)
    return [Signoff(decision, decision.authors, _state(decision)) for decision in found[:size]]


def approvals() -> QuerySet[Decision]:
    """Approvals with whose work they approved and what tells what became of them; the newest first."""
    later = Decision.objects.filter(pk__gt=OuterRef("pk"))
    withdrawn = Decision.objects.filter(
        revision__post=OuterRef("revision__post"),
        verdict=Verdict.WITHDRAW,
        pk__gt=OuterRef("pk"),
        pk__lt=OuterRef(OuterRef("pk")),
    )
    # Those that vouched at that time: what ended since did so for later approvals alone.
    earlier = (
        Decision.objects.approvals()
        .filter(revision__post=OuterRef("revision__post"), revision__number__lt=OuterRef("revision__number"))
        .exclude(schedule__outcome=Schedule.LAPSED, schedule__ended_at__lte=OuterRef("at"))
        .exclude(Exists(withdrawn))
        .order_by("-revision__number")
        .values("revision__number")[:1]
    )
    wrote = Revision.objects.filter(
        post=OuterRef(OuterRef("revision__post")),
        number__lte=OuterRef(OuterRef("revision__number")),
        number__gt=OuterRef(OuterRef("base")),
        author=OuterRef("pk"),
    ).exclude(origin=Origin.ASIDE)
    return (
        Decision.objects.filter(verdict=Verdict.APPROVE)
        .select_related("revision__post", "reviewer", "schedule", "taken_back_by")
        .only(
            *("fingerprint", "comment", "self_approved", "at", "verdict"),
            *("revision__number", "revision__version", "revision__post__title", "revision__post__slug"),
            *("reviewer__username", "schedule__outcome", "taken_back_by__at", "taken_back_by__takes_back"),
        )
        .annotate(
            base=Coalesce(Subquery(earlier), 0),
            authors=ArraySubquery(User.objects.filter(Exists(wrote)).order_by("username").values("username")),
            with_readers=Exists(Publication.objects.filter(approval=OuterRef("pk"))),
            withdrawn=Exists(later.filter(revision=OuterRef("revision"), verdict=Verdict.WITHDRAW)),
            withheld=Exists(
                Oversight.objects.filter(post=OuterRef("revision__post"), withheld_at__isnull=False)
            ),
            followed=Exists(
                Decision.objects.effective().filter(
                    revision__post=OuterRef("revision__post"), pk__gt=OuterRef("pk")
                )
            ),
        )
        .order_by("-pk")
    )


def _state(decision: Decision) -> tuple[str, str]:
    schedule = getattr(decision, "schedule", None)
    if getattr(decision, "taken_back_by", None):
        return TAKEN_BACK
    if schedule and schedule.outcome in {Schedule.PENDING, Schedule.LAPSED}:
        return SCHEDULED if schedule.outcome == Schedule.PENDING else LAPSED
    if decision.with_readers:
        return IN_FORCE
    if decision.withdrawn:
        return WITHDRAWN
    return WITHHELD if decision.withheld and not decision.followed else SUPERSEDED


def _rows(form: SignoffForm) -> Iterator[tuple[Any, ...]]:
    before = None
    while found := signoffs(form, before=before, size=500):
        for row in found:
            decision, revision = row.decision, row.decision.revision
            yield (
                *(revision.post.slug, revision.post.title, revision.number, revision.version),
                *(decision.fingerprint, decision.reviewer.username, decision.at, row.authors),
                *(decision.self_approved, row.state[0], decision.comment),
            )
        before = found[-1].decision.pk
