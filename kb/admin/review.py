"""Turn a post's newest revision into the page on which reviewers decide; each act is one flow call."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from kb.admin import labels
from kb.admin.diffs import all_fields, shown
from kb.admin.history import by_severity, decision_rows, flag_row
from kb.admin.history import render as render_page
from kb.article import article
from kb.choices import Severity, Verdict
from kb.document import Document
from kb.errors import InvalidDocument, Refused
from kb.flow import reviewing
from kb.models import Decision, Flag, Post, Revision, SourceRecord
from kb.render import render

MAX_SOURCE = 200_000  # characters of a source record on the page
MAX_COMMENT = 10_000

SEE = permission_required("kb.review_post", raise_exception=True)
PUBLISH = permission_required(["kb.review_post", "kb.publish_post"], raise_exception=True)


def _comment(label: str, help_text: str, *, needed: bool) -> forms.CharField:
    # Whether a comment is missing is the flow's to say; the attribute only lets the browser say it sooner.
    widget = AdminTextareaWidget({"rows": 3, **({"required": True} if needed else {})})
    return forms.CharField(
        label=label, required=False, max_length=MAX_COMMENT, help_text=help_text, widget=widget
    )


class SeenForm(forms.Form):
    """What the reviewer had before them: an act on anything else is refused."""

    number = forms.IntegerField(widget=forms.HiddenInput)
    fingerprint = forms.CharField(widget=forms.HiddenInput, max_length=64)
    standing = forms.CharField(widget=forms.HiddenInput, max_length=64)


class ApproveForm(SeenForm):
    comment = _comment("Comment", "Optional. Stays with the decision.", needed=False)


class RequestChangesForm(SeenForm):
    comment = _comment(
        "What has to change", "The editors read this. Readers keep what they have.", needed=True
    )


class RaiseFlagForm(forms.Form):
    severity = forms.ChoiceField(choices=Severity.choices, initial=Severity.ADVISORY)
    sentence = _comment(
        "Why somebody should look", "One sentence. Blocking flags hold up approval.", needed=True
    )


class CloseFlagForm(forms.Form):
    sentence = forms.CharField(widget=forms.HiddenInput, strip=False)
    note = _comment("Why it is settled", "Stays with the flag.", needed=True)


class WithdrawForm(forms.Form):
    published = forms.CharField(widget=forms.HiddenInput, max_length=64)
    comment = _comment("Why it goes", "Readers lose the post at once; nothing is deleted.", needed=True)


@require_GET
@SEE
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _post(pk))


@require_POST
@PUBLISH
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(
        request,
        pk,
        ApproveForm,
        lambda post, given: reviewing.approve(post, **given, by=request.user, at=timezone.now()),
        done="Approved and published.",
    )


@require_POST
@SEE
def request_changes(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(
        request,
        pk,
        RequestChangesForm,
        lambda post, given: reviewing.request_changes(post, **given, by=request.user, at=timezone.now()),
        done="Sent back with your comment.",
    )


@require_POST
@SEE
def raise_flag(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(
        request,
        pk,
        RaiseFlagForm,
        lambda post, given: reviewing.raise_flag(post, **given, by=request.user, at=timezone.now()),
        done="Flag raised.",
    )


@require_POST
@SEE
def close_flag(request: HttpRequest, pk: int, flag: int) -> HttpResponse:
    found = get_object_or_404(Flag.objects.select_related("revision__post"), pk=flag, revision__post=pk)
    return _act(
        request,
        pk,
        CloseFlagForm,
        lambda _post, given: reviewing.close_flag(found, **given, by=request.user, at=timezone.now()),
        done="Flag closed.",
        name=f"flag{found.pk}",
    )


@require_POST
@permission_required(["kb.review_post", "kb.publish_post"], raise_exception=True)
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(
        request,
        pk,
        WithdrawForm,
        lambda post, given: reviewing.withdraw(post, **given, by=request.user, at=timezone.now()),
        done="Withdrawn: readers no longer have this post.",
    )


FORMS = {
    "approve": ApproveForm,
    "request_changes": RequestChangesForm,
    "raise_flag": RaiseFlagForm,
    "withdraw": WithdrawForm,
}
NAMES = {form: name for name, form in FORMS.items()}


def _act(
    request: HttpRequest,
    pk: int,
    form_class: type[forms.Form],
    act: Callable[[Post, dict[str, Any]], object],
    *,
    done: str,
    name: str = "",
) -> HttpResponse:
    """Do it and go back to the page; or show the page anew with why not and with all that was typed."""
    post = _post(pk)
    name = name or NAMES[form_class]
    form = form_class(request.POST, auto_id=f"id_{name}_%s")
    if not form.is_valid():
        return _page(request, post, typed={name: form}, status=400)
    try:
        act(post, form.cleaned_data)
    except Refused as refused:
        typed = {name: form_class(initial=form.cleaned_data, auto_id=f"id_{name}_%s")}
        return _page(request, _post(pk), typed=typed, refused=refused, status=409)
    messages.success(request, done)
    return HttpResponseRedirect(reverse("admin:kb_post_review", args=[pk]))


def _post(pk: int) -> Post:
    return get_object_or_404(
        Post.objects.select_related(
            "head__author", "head__parent", "head__import_run", "publication", "oversight"
        ),
        pk=pk,
    )


def _page(
    request: HttpRequest,
    post: Post,
    *,
    typed: dict[str, forms.Form] | None = None,
    refused: Refused | None = None,
    status: int = 200,
) -> HttpResponse:
    head, typed = post.head, typed or {}
    document = head.document
    approved = _last_approval(post)
    said = list(
        Decision.objects.filter(revision__post=post)
        .select_related("revision", "reviewer")
        .defer("revision__canonical")
    )
    decisions = decision_rows(said)
    flags = by_severity(head.flags.select_related("raised_by", "closed_by", "settled_by"))
    published = labels.publication_of(post)
    # What this page shows: an act on anything else is refused.
    seen = {
        "number": head.number,
        "fingerprint": head.fingerprint,
        "standing": reviewing.standing(said, flags),
        "published": published.fingerprint if published else "",
    }
    for form in typed.values():
        form.initial |= {name: value for name, value in seen.items() if name in form.fields}
    decided = next((row for row in decisions if row[0].revision_id == head.pk), (None, ""))
    context = {
        "here": "review",
        "head": head,
        "created": labels.when(head.created_at),
        "refused": refused,
        "kept": _words(typed) if refused else "",
        "wrong": status == 400,
        "own_work": reviewing.is_own_work(post, request.user),
        "self_approval": settings.KB_ALLOW_SELF_APPROVAL,
        "decided": decided[0],
        "decided_when": decided[1],
        "readers_have_it": published is not None and published.revision_id == head.pk,
        "approved": approved,
        "fields": all_fields(document),
        "changes": shown(approved.document if approved else None, document),
        "preview": _preview(document),
        "images": document.images,
        "source": _source(post),
        "decisions": decisions,
        "open_flags": [_open_flag(flag, typed) for flag in flags if flag.is_open],
        "closed_flags": [flag_row(flag) for flag in flags if not flag.is_open],
        "blocking": sum(flag.is_open and flag.severity == Severity.BLOCKING for flag in flags),
        "may_publish": request.user.has_perm("kb.publish_post"),
        "raise_flag_typed": "raise_flag" in typed,
        **{
            f"{name}_form": typed.get(name) or form(initial=seen, auto_id=f"id_{name}_%s")
            for name, form in FORMS.items()
        },
    }
    return render_page(request, "review", post, title="Review", status=status, **context)


def _words(typed: dict[str, forms.Form]) -> str:
    """What somebody typed for an act that was refused: the act's form may be gone by now."""
    (form,) = typed.values()
    return next((form.initial[name] for name in ("comment", "note", "sentence") if name in form.initial), "")


def _open_flag(flag: Flag, typed: dict[str, forms.Form]) -> dict[str, Any]:
    """A flag with the form that closes it; one that asks for review is closed by a decision alone."""
    name = f"flag{flag.pk}"
    form = typed.get(name) or CloseFlagForm(auto_id=f"id_{name}_%s")
    form.initial["sentence"] = flag.sentence
    closable = flag.severity != Severity.ASKS
    return {**flag_row(flag), "form": form if closable else None, "typed": name in typed}


def _last_approval(post: Post) -> Revision | None:
    return (
        Revision.objects.filter(post=post, decisions__verdict=Verdict.APPROVE)
        .order_by("-decisions__pk")
        .first()
    )


def _preview(document: Document) -> SafeString:
    """The body as readers would get it."""
    try:
        html = render(document.body, document.body_format).html
    except InvalidDocument as error:
        return format_html("<p>{}</p>", str(error))
    return article(html, prefix="text-").html


def _source(post: Post) -> dict[str, Any] | None:
    """The newest source record, as text."""
    record = (
        SourceRecord.objects.filter(revision__post=post)
        .select_related("revision")
        .order_by("-revision__number")
        .first()
    )
    if record is None:
        return None
    text = bytes(record.content).decode("utf-8", "replace")
    return {"record": record, "text": text[:MAX_SOURCE], "cut": max(0, len(text) - MAX_SOURCE)}
