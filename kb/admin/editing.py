"""Turn what is being typed into a preview, findings and a private copy; and a draft into a reader's page.

The form's script asks here while somebody types, and the form's own button shows the same without a script.
Nothing here changes a post: a private copy is the only thing that is written.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kb import reading_time
from kb.admin import labels
from kb.admin.forms import PostForm, PostForms
from kb.article import article, may_show
from kb.choices import BodyFormat, Verdict
from kb.document import Document
from kb.errors import InvalidDocument, Refused
from kb.flow import drafting, publishing
from kb.flow.reviewing import head
from kb.models import Decision, Post, Revision, WorkingCopy
from kb.render import render as compiled

_ROW = re.compile(
    r"(?:checklists|entities|images)-(?:[0-9]{1,4}-[A-Za-z]{1,20}|(?:TOTAL|INITIAL|MIN_NUM|MAX_NUM)_FORMS)"
)
OTHER_PERSON = "Somebody else logged in meanwhile. Your text stays here alone; log in again to go on."
BUSY = "Another text of yours is being checked: this one follows."


@dataclass(slots=True)
class Look:
    """All that can be said of the form as it is typed."""

    html: SafeString | str = ""
    unreadable: str = ""  # why there is no preview
    amount: reading_time.Amount = field(default_factory=lambda: reading_time.amount(""))
    problems: list[dict[str, Any]] = field(default_factory=list)  # at a field each
    findings: list[dict[str, Any]] | None = None  # None: the rules could not run yet
    proposal: str = ""  # the version that kb would take
    reason: str = ""  # of it; empty when nothing changed


def look(post: Post | None, forms: PostForms) -> Look:
    """Compile, count and inspect what the forms hold; save nothing."""
    forms.is_valid()
    seen = Look()
    try:
        _compile(seen, forms.document or _body_alone(forms))
        if forms.document:
            _foresee(seen, post, forms.document)
    except InvalidDocument as error:
        seen.unreadable = "; ".join(
            f"{problem.got}, expected {problem.expected}" for problem in error.problems
        )
        if forms.document:
            forms.object(error)
    seen.problems = list(_problems(forms))
    return seen


def _body_alone(forms: PostForms) -> Document:
    data = forms.form.data
    return Document.read(
        {"title": "-", "body": data.get("body", ""), "body_format": data.get("body_format", "")}
    )


def _compile(seen: Look, document: Document) -> None:
    html = compiled(document.body, BodyFormat(document.body_format)).html
    # What the sanitiser let through, written by kb.article: nothing of what was typed is markup of its own.
    seen.html = article(html, prefix="text-").html
    seen.amount = reading_time.amount(html)


def _foresee(seen: Look, post: Post | None, document: Document) -> None:
    outlook = drafting.foresee(post, document)
    seen.findings = [
        {
            "label": labels.label(rule.severity.label, rule.severity),
            "sentence": finding.sentence,
            "evidence": finding.evidence,
        }
        for rule, finding in outlook.findings
    ]
    if outlook.proposal:
        seen.proposal, bump, seen.reason = outlook.proposal
        seen.reason = f"{bump.label.lower()}: {seen.reason}"


def _problems(forms: PostForms) -> Iterator[dict[str, Any]]:
    """Each field that has errors, with the id of its control and its name."""
    for name, errors in forms.form.errors.items():
        bound = forms.form[name] if name in forms.form.fields else None
        yield {
            "id": bound.id_for_label if bound else "",
            "label": bound.label if bound else "",
            "sentences": errors,
        }
    for prefix, rows in forms.formsets.items():
        if rows.non_form_errors():
            yield {"id": "", "label": prefix.capitalize(), "sentences": rows.non_form_errors()}
        for number, row in enumerate(rows.forms, 1):
            for name, errors in row.errors.items():
                bound = row[name] if name in row.fields else None
                label = f"{forms.NOUNS[prefix]} {number}" + (f", {bound.label}" if bound else "")
                yield {"id": bound.id_for_label if bound else "", "label": label, "sentences": errors}


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """What the form holds as readers would get it, what is wrong with it, and what a save would bring."""
    post = _post(request)
    with transaction.atomic():
        if not drafting.takes_turn(request.user):
            return JsonResponse({"error": BUSY}, status=429, headers={"Retry-After": "1"})
        seen = look(post, PostForms(request.POST, new=post is None))
    return JsonResponse(
        {
            "preview": seen.html,
            "unreadable": seen.unreadable,
            "checked": render_to_string("admin/kb/post/checked.html", {"look": seen}),
            "problems": [problem for problem in seen.problems if problem["id"]],
            **seen.amount._asdict(),
            "proposal": seen.proposal,
            "reason": seen.reason,
        }
    )


@require_http_methods(["GET", "POST"])
def keep(request: HttpRequest) -> HttpResponse:
    """Keep the form in the writer's private copy. GET: a new token, for whose login changed meanwhile."""
    if request.method == "GET":
        return JsonResponse({"csrf": get_token(request)})
    post = _post(request)
    if request.POST.get("writer", writer := str(request.user.pk)) != writer:
        # On a shared machine: what one person typed is not the next one's to find.
        return JsonResponse({"error": OTHER_PERSON, "code": "other_person", "copy": ""}, status=409)
    try:
        copy = drafting.keep(
            post,
            typed(request.POST),
            base_number=_number(request.POST.get("base_number", "")),
            seen=_moment(request.POST.get("copy", "")),
            by=request.user,
            at=timezone.now(),
        )
    except Refused as refused:
        kept = drafting.of(request.user, post)
        answer = {"error": str(refused), "code": refused.code, "copy": token(kept)}
        return JsonResponse(answer, status=409)
    at = timezone.localtime(copy.updated_at)
    others = render_to_string("admin/kb/post/others.html", {"others": present(request, post)})
    return JsonResponse({"copy": token(copy), "at": date_format(at, "H:i"), "others": others})


@require_POST
def discard(request: HttpRequest) -> HttpResponse:
    """Throw the writer's own copy away and show the form as it is saved."""
    post = _post(request)
    with suppress(Refused):  # the form shows the newer copy then, and asks again
        drafting.discard(post, seen=_moment(request.POST.get("copy", "")), by=request.user)
    return HttpResponseRedirect(_form_of(post))


def typed(data: Mapping[str, str]) -> dict[str, str]:
    """The fields of the post form, without tokens and buttons."""
    return {name: data[name] for name in data if name in PostForm.base_fields or _ROW.fullmatch(name)}


def token(copy: WorkingCopy | None) -> str:
    """Which state of a copy a form goes on from."""
    return copy.updated_at.isoformat() if copy else ""


def offered(copy: WorkingCopy) -> dict[str, Any]:
    """What the form says of the writer's own copy."""
    head_number = copy.post.head.number if copy.post and copy.post.head else None
    return {
        "when": labels.when(copy.updated_at),
        "token": token(copy),
        "title": copy.fields.get("title", ""),
        "base_number": copy.base_number,
        "moved_on": copy.base_number != head_number,
    }


def present(request: HttpRequest, post: Post | None) -> list[tuple[str, Any]]:
    """Who else has unsaved changes of this post, and since when."""
    if post is None:
        return []
    found = drafting.others(post, by=request.user, at=timezone.now())
    return [(str(copy.user), labels.when(copy.updated_at)) for copy in found]


def _form_of(post: Post | None) -> str:
    return reverse("admin:kb_post_change", args=[post.pk]) if post else reverse("admin:kb_post_add")


def _post(request: HttpRequest) -> Post | None:
    """The post whose form this is, None for a new one; only for who may save it."""
    given = request.POST.get("post", "")
    if not request.user.has_perm("kb.change_post" if given else "kb.add_post"):
        raise PermissionDenied
    if not given:
        return None
    return get_object_or_404(Post.objects.select_related("head"), pk=_number(given) or 0)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found and found.tzinfo else None


# --- A draft as a reader would see it ---


@require_GET
@permission_required("kb.view_post", raise_exception=True)
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """A revision on the reader's page, for those who may see drafts; `?revision=` names an older one."""
    revision = _revision(request, pk)
    try:
        detail = _compiled(revision)["detail_json"]
    except InvalidDocument as error:
        # Frozen when less strict limits held.
        return _as_read(
            request, revision, {"title": revision.document.title, "links": {}}, refused=str(error)
        )
    detail["links"]["meta"] = _address(revision, "preview_meta")
    return _as_read(request, revision, detail)


@require_GET
@permission_required("kb.view_post", raise_exception=True)
def preview_meta(request: HttpRequest, pk: int) -> HttpResponse:
    """What the meta box would show of a revision, which nobody vouched for yet."""
    try:
        meta = _compiled(_revision(request, pk))["meta_json"]
    except InvalidDocument as error:
        raise Http404(str(error)) from None
    meta["review"]["reviewed"] = False
    meta["revision"] |= {"status": "draft", "last_reviewed": None}
    return JsonResponse(meta, headers={"X-Robots-Tag": "noindex"})


def _revision(request: HttpRequest, pk: int) -> Revision:
    post = get_object_or_404(Post.objects.select_related("head"), pk=pk)
    if "revision" not in request.GET:
        return head(post)
    return get_object_or_404(
        post.revisions.select_related("post"), number=_number(request.GET["revision"]) or 0
    )


def _compiled(revision: Revision) -> dict[str, Any]:
    """What approving this now would give readers; the approval is none and is stored nowhere."""
    at = timezone.now()
    approval = Decision(revision=revision, verdict=Verdict.APPROVE, fingerprint=revision.fingerprint, at=at)
    moments = {"first": at, "reviewed_at": at, "review_by": publishing.review_by(revision, approval)}
    fields = publishing.compile_fields(revision, approval, **moments)
    return {name: json.loads(fields[name]) for name in ("detail_json", "meta_json")}


def _as_read(
    request: HttpRequest, revision: Revision, detail: dict[str, Any], *, refused: str = ""
) -> HttpResponse:
    context = {
        "site_name": settings.KB_SITE_NAME,
        "revision": revision,
        "is_head": revision.pk == revision.post.head_id,
        "refused": refused,
        "may_change": request.user.has_perm("kb.change_post"),
        "may_review": request.user.has_perm("kb.review_post"),
        "post": detail,
        "article": article(detail.get("html", "")),
        "entities": [
            {**entity, "page": reverse("site:home") + entity["url"].removeprefix("/api/v1/")}
            for entity in detail.get("entities", ())
        ],
        "shows_images": all(may_show(image["url"]) for image in detail.get("images", ())),
        "has_panel": any(detail.get(name) for name in ("owner", "expected_result", "rollback_note")),
    }
    response = render(request, "admin/kb/post/preview.html", context)
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _address(revision: Revision, name: str) -> str:
    return f"{reverse(f'admin:kb_post_{name}', args=[revision.post_id])}?revision={revision.number}"


ROUTES = (
    ("check/", check, "check"),
    ("keep/", keep, "keep"),
    ("discard/", discard, "discard"),
    ("<int:pk>/preview/", preview, "preview"),
    ("<int:pk>/preview/meta/", preview_meta, "preview_meta"),
)
