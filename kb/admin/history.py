"""Turn a post's revisions into pages to read and compare, and a restore into one call of kb.flow."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from config import errors
from kb.admin import labels
from kb.admin.diffs import all_fields, shown
from kb.choices import Severity, Verdict
from kb.diff import diff, to_json
from kb.errors import Conflict, InvalidDocument, Refused
from kb.flow import revising
from kb.models import Comment, Decision, Flag, Post, Revision

PAGE = 50
MOST_COMMENTS = 20  # above the form; the page of comments has them all


def page(request: HttpRequest, post: Post) -> HttpResponse:
    """All revisions of a post, the newest first, with what was decided on each."""
    revisions = (
        Revision.objects.filter(post=post)
        .select_related("author", "import_run")
        .prefetch_related("decisions__reviewer")
        .defer("canonical")
        .order_by("-number")
    )
    found = Paginator(revisions, PAGE).get_page(request.GET.get("page"))
    rows = [{"revision": revision, "when": labels.when(revision.created_at)} for revision in found]
    return render(request, "history", post, title="Revisions", here="history", page=found, rows=rows)


@require_GET
@permission_required("kb.view_post", raise_exception=True)
def revision(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One revision with its note, its content, and how it differs from its parent or from `?against=`.

    `?view=` says how: unified, split or rendered. The address can be shared.
    """
    posts = labels.with_standing(Post.objects.select_related("head", "publication", "oversight"))
    post = get_object_or_404(posts, pk=pk)
    found = get_object_or_404(post.revisions.select_related("author", "parent", "import_run"), number=number)
    other = _other(request, post, found)
    return render(
        request,
        "revision",
        post,
        title=f"Revision {found.number} (v{found.version})",
        revision=found,
        other=other,
        changes=shown(other.document if other else None, found.document, view=request.GET.get("view", "")),
        view_query=f"against={other.number}&" if other else "",
        fields=all_fields(found.document),
        numbers=post.revisions.order_by("-number").values_list("number", "version"),
        created=labels.when(found.created_at),
        decisions=decision_rows(
            found.decisions.select_related("revision", "reviewer", "schedule", "taken_back_by")
        ),
        flags=[flag_row(flag) for flag in found.flags.select_related("closed_by", "raised_by", "settled_by")],
    )


@require_GET
def compared(request: HttpRequest, pk: int, number: int, other: int) -> HttpResponse:
    """What changed from one revision (0: nothing) to another, as JSON; problems are those of RFC 9457.

    Shape: post, from and to (number, version, fingerprint), changed, and the diff of kb.diff.to_json.
    """
    if not request.user.has_perm("kb.view_post"):
        return errors.problem(request, HTTPStatus.FORBIDDEN, "You may not see posts.")
    sides = {
        revision.number: revision
        for revision in Revision.objects.filter(post=pk, number__in={number, other}).select_related("post")
    }
    missing = {number, other} - sides.keys() - ({0} if other else set())
    if missing:
        return errors.problem(
            request, HTTPStatus.NOT_FOUND, f"There is no revision {min(missing)} of this post."
        )
    before, after = sides.get(number), sides[other]
    changes = diff(before.document if before else None, after.document)
    body = {
        "post": {"id": pk, "slug": after.post.slug},
        "from": _side(before),
        "to": _side(after),
        "changed": bool(changes),
        "diff": to_json(changes),
    }
    return JsonResponse(body, headers={"Cache-Control": "no-store"})


def _side(revision: Revision | None) -> dict[str, Any] | None:
    if revision is None:
        return None
    return {"number": revision.number, "version": revision.version, "fingerprint": revision.fingerprint}


def said(head: Revision) -> dict[str, Any]:
    """What an editor should know of the newest revision before going on: decision, open flags, comments."""
    decision = head.decisions.in_force().select_related("reviewer").first()
    comments = Comment.objects.open().filter(revision__post=head.post_id).select_related("by")
    return {
        "returned": decision if decision and decision.verdict == Verdict.REQUEST_CHANGES else None,
        "returned_when": labels.when(decision.at) if decision else "",
        "flags": [flag_row(flag) for flag in by_severity(head.flags.open().select_related("raised_by"))],
        "comments": [(comment, labels.when(comment.at)) for comment in comments[:MOST_COMMENTS]],
    }


def by_severity(flags: Iterable[Flag]) -> list[Flag]:
    """The gravest first."""
    order = list(labels.WORDS_OF_SEVERITY)
    return sorted(flags, key=lambda flag: order.index(Severity(flag.severity)))


def decision_rows(decisions: Iterable[Decision]) -> list[tuple[Decision, Any]]:
    """Each with when it was, and what its reviewer ticked at hand."""
    found = list(decisions)
    prefetch_related_objects(found, "ticks__criteria")
    return [(decision, labels.when(decision.at)) for decision in found]


def flag_row(flag: Flag) -> dict[str, Any]:
    return {
        "row": flag,
        "evidence": flag.evidence,
        "label": labels.label(flag.get_severity_display(), flag.severity),
        "raised": labels.when(flag.raised_at),
        "closed": labels.when(flag.closed_at) if flag.closed_at else "",
    }


def _other(request: HttpRequest, post: Post, found: Revision) -> Revision | None:
    """The revision to compare with. An `?against=` that names none is a 404, never silence."""
    against = request.GET.get("against", "")
    if not against:
        return found.parent
    if not (against.isascii() and against.isdigit() and len(against) < 10):
        raise Http404("There is no such revision.")
    return get_object_or_404(post.revisions.all(), number=int(against))


class RestoreForm(forms.Form):
    base_number = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False,
        widget=AdminTextareaWidget({"rows": 2, "required": True}),
        help_text="Why this content should come back. It stays with the new revision.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(["kb.view_post", "kb.change_post"], raise_exception=True)
def restore(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Ask for confirmation and a reason, then make an old revision's content the working draft again."""
    post = get_object_or_404(Post.objects.select_related("head", "publication", "oversight"), pk=pk)
    old = get_object_or_404(post.revisions.all(), number=number)
    form = RestoreForm(request.POST or None, initial={"base_number": post.head.number})
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                return _restored(request, post, old, form.cleaned_data)
            except Conflict as lost:
                form = RestoreForm(initial={**form.cleaned_data, "base_number": lost.current_number})
                messages.error(request, f"{lost} The comparison below is up to date; confirm again.")
                post.refresh_from_db()
            except Refused as refused:
                form.add_error("reason" if refused.code == "reason_missing" else None, str(refused))
            except InvalidDocument as error:
                # Frozen when less strict limits held.
                form.add_error(None, str(error))
        status = 409
    context = {
        "old": old,
        "form": form,
        "changes": shown(post.head.document, old.document),
    }
    return render(request, "restore", post, title=f"Restore revision {old.number}", status=status, **context)


def _restored(request: HttpRequest, post: Post, old: Revision, given: dict[str, Any]) -> HttpResponse:
    new = revising.restore(
        post,
        number=old.number,
        base_number=given["base_number"],
        by=request.user,
        at=timezone.now(),
        note=revising.ChangeNote(reason=given["reason"]),
    )
    if new:
        messages.success(
            request,
            f"Restored the content of revision {old.number} as revision {new.number} (v{new.version}).",
        )
    else:
        messages.info(request, "Nothing changed; no new revision.")
    return HttpResponseRedirect(reverse("admin:kb_post_history", args=[post.pk]))


def render(
    request: HttpRequest, template: str, post: Post, *, title: str, status: int = 200, **context: Any
) -> TemplateResponse:
    """One of the pages about a post, dressed as part of the admin."""
    shared = {
        **admin.site.each_context(request),
        "title": title,
        "subtitle": str(post),
        "opts": Post._meta,
        "original": post,
        "post": post,
        "labels": labels.states(post),
        "may_change": request.user.has_perm("kb.change_post"),
        "may_review": request.user.has_perm("kb.review_post"),
        "may_audit": request.user.has_perm("kb.review_post") or request.user.has_perm("kb.audit_post"),
        "published": labels.publication_of(post),
    }
    return TemplateResponse(request, f"admin/kb/post/{template}.html", {**shared, **context}, status=status)
