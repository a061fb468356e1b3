"""Turn what reviewers do on the review page into calls of the flow: each act is one.

After a decision the next item of the queue opens; every other act comes back to the page.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST

from kb.admin import claims, comments, labels, review_page, undo
from kb.admin.deciding import (
    ApproveForm,
    CloseFlagForm,
    CommentForm,
    MendForm,
    RaiseFlagForm,
    RequestChangesForm,
    WithdrawForm,
)
from kb.choices import State
from kb.document import Document
from kb.errors import InvalidDocument, Refused
from kb.flow import commenting, reviewing, revising
from kb.models import Comment, Decision, Flag, Post

SEE = permission_required("kb.review_post", raise_exception=True)
PUBLISH = permission_required(["kb.review_post", "kb.publish_post"], raise_exception=True)
MEND = permission_required(["kb.review_post", "kb.change_post"], raise_exception=True)
TALK = permission_required("kb.view_post", raise_exception=True)

Given = dict[str, Any]


@require_GET
@SEE
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return review_page.show(request, review_page.find(pk))


# --- Decisions: the next item opens -------------------------------------------------------------------------
@require_POST
@PUBLISH
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    def act(post: Post, given: Given) -> Decision:
        return reviewing.approve(post, **given, by=request.user, at=timezone.now())

    return _act(request, pk, "decide", ApproveForm, act, _decided)


@require_POST
@SEE
def request_changes(request: HttpRequest, pk: int) -> HttpResponse:
    def act(post: Post, given: Given) -> Decision:
        return reviewing.request_changes(post, **given, by=request.user, at=timezone.now())

    return _act(request, pk, "decide", RequestChangesForm, act, _decided, drawn=ApproveForm)


def _decided(request: HttpRequest, post: Post, decision: Decision) -> HttpResponse:
    """Say what was done, offer to undo it where no reader felt it, and open what comes next."""
    schedule = getattr(decision, "schedule", None)
    done = "Approved and published"
    if schedule:
        done = f"Approved; it is published {labels.moment(schedule.publish_at)}"
    elif decision.verdict != "approve":
        done = "Sent back with your comment"
    if schedule or decision.verdict != "approve":
        address = reverse("admin:kb_post_take_back", args=[post.pk, decision.pk])
        undo.offer(request, address=address, until=decision.at + reviewing.UNDO_LASTS)
    messages.success(request, format_html("{}: {}.", done, _link(post)))
    return claims.open_next(request, request.GET.get("filter", ""))


# --- Acts that come back to the page ------------------------------------------------------------------------
@require_POST
@SEE
def raise_flag(request: HttpRequest, pk: int) -> HttpResponse:
    def act(post: Post, given: Given) -> Flag:
        return reviewing.raise_flag(post, **given, by=request.user, at=timezone.now())

    return _act(request, pk, "raise_flag", RaiseFlagForm, act, _stay("Flag raised."))


@require_POST
@SEE
def close_flag(request: HttpRequest, pk: int, flag: int) -> HttpResponse:
    found = get_object_or_404(Flag.objects.select_related("revision__post"), pk=flag, revision__post=pk)

    def act(post: Post, given: Given) -> Flag:
        return reviewing.close_flag(found, **given, by=request.user, at=timezone.now())

    def then(request: HttpRequest, post: Post, closed: Flag) -> HttpResponse:
        address = reverse("admin:kb_post_reopen_flag", args=[pk, closed.pk])
        undo.offer(request, address=address, until=closed.closed_at + reviewing.UNDO_LASTS)
        messages.success(request, "Flag closed.")
        return _to_page(request, pk)

    return _act(request, pk, f"flag{found.pk}", CloseFlagForm, act, then)


@require_POST
@PUBLISH
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    def act(post: Post, given: Given) -> Decision:
        return reviewing.withdraw(post, **given, by=request.user, at=timezone.now())

    return _act(
        request, pk, "withdraw", WithdrawForm, act, _stay("Withdrawn: readers no longer have this post.")
    )


@require_POST
@SEE
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    def act(post: Post, given: Given) -> Comment:
        return commenting.add(post, **given, by=request.user, at=timezone.now())

    return _act(request, pk, "comment", CommentForm, act, _stay("Comment kept."))


@require_POST
@MEND
def mend(request: HttpRequest, pk: int) -> HttpResponse:
    """Save one field's text as this reviewer's revision; it stays in the queue if it was there."""

    def act(post: Post, given: Given) -> Any:
        document = Document.read({**post.head.document.plain(), given["field"]: given["text"]})
        return revising.save(
            post,
            document,
            base_number=given["number"],
            by=request.user,
            at=timezone.now(),
            note=revising.ChangeNote(given["reason"]),
            ask_for_review=post.state == State.WAITING,
        )

    def then(request: HttpRequest, post: Post, revision: Any) -> HttpResponse:
        if revision is None:
            messages.info(request, "Nothing changed; no new revision.")
        else:
            messages.success(
                request,
                f"Saved as revision {revision.number} (v{revision.version}). It holds words of yours now, so "
                "somebody else approves it.",
            )
        return _to_page(request, pk)

    return _act(request, pk, "mend", MendForm, act, then)


def _stay(done: str) -> Callable[[HttpRequest, Post, Any], HttpResponse]:
    def then(request: HttpRequest, post: Post, _made: Any) -> HttpResponse:
        messages.success(request, done)
        return _to_page(request, post.pk)

    return then


def _act(
    request: HttpRequest,
    pk: int,
    name: str,
    form_class: type[forms.Form],
    act: Callable[[Post, Given], Any],
    then: Callable[[HttpRequest, Post, Any], HttpResponse],
    *,
    drawn: type[forms.Form] | None = None,
) -> HttpResponse:
    """Do it and go on; or show the page anew with why not and with all that was typed.

    `drawn` is the form as the page has it, where one form serves two acts.
    """
    post = review_page.find(pk)
    drawn, auto_id = drawn or form_class, f"id_{name}_%s"
    form = form_class(request.POST, auto_id=auto_id)
    if not form.is_valid():
        return review_page.show(request, post, typed={name: drawn(request.POST, auto_id=auto_id)}, status=400)
    try:
        made = act(post, form.cleaned_data)
    except (Refused, InvalidDocument) as error:
        refused = error if isinstance(error, Refused) else Refused(str(error), code="invalid")
        sent = drawn(request.POST)
        typed = drawn(initial={field: sent[field].value() for field in sent.fields}, auto_id=auto_id)
        return review_page.show(
            request,
            review_page.find(pk),
            typed={name: typed},
            refused=refused,
            opened=form.cleaned_data.get("number"),
            status=409,
        )
    undo.withdraw(request)
    return then(request, post, made)


# --- Single buttons -----------------------------------------------------------------------------------------
@require_POST
@SEE
def take_back(request: HttpRequest, pk: int, decision: int) -> HttpResponse:
    found = get_object_or_404(Decision.objects.select_related("reviewer"), pk=decision, revision__post=pk)
    return _press(
        request,
        lambda: reviewing.take_back(found, by=request.user, at=timezone.now()),
        done="Taken back: the post waits as before.",
        address=_page_address(request, pk),
    )


@require_POST
@SEE
def reopen_flag(request: HttpRequest, pk: int, flag: int) -> HttpResponse:
    found = get_object_or_404(Flag.objects.select_related("revision__post"), pk=flag, revision__post=pk)
    return _press(
        request,
        lambda: reviewing.reopen_flag(found, by=request.user, at=timezone.now()),
        done="The flag is open again.",
        address=_page_address(request, pk),
    )


@require_POST
@TALK
def resolve_comment(request: HttpRequest, pk: int, comment: int) -> HttpResponse:
    found = get_object_or_404(Comment.objects.all(), pk=comment, revision__post=pk)
    return _press(
        request,
        lambda: commenting.resolve(found, by=request.user, at=timezone.now()),
        done="Comment resolved.",
        address=_back(request, pk),
    )


@require_POST
@TALK
def reopen_comment(request: HttpRequest, pk: int, comment: int) -> HttpResponse:
    found = get_object_or_404(Comment.objects.all(), pk=comment, revision__post=pk)
    return _press(
        request,
        lambda: commenting.reopen(found, by=request.user, at=timezone.now()),
        done="Comment open again.",
        address=_back(request, pk),
    )


def _press(request: HttpRequest, act: Callable[[], Any], *, done: str, address: str) -> HttpResponse:
    """Do what needs no form, and say on the next page what became of it."""
    undo.withdraw(request)
    try:
        act()
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, done)
    return HttpResponseRedirect(address)


# --- Where to go --------------------------------------------------------------------------------------------
def _to_page(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponseRedirect(_page_address(request, pk))


def _page_address(request: HttpRequest, pk: int) -> str:
    """The review page as it was shown."""
    query = review_page.kept(request)
    return reverse("admin:kb_post_review", args=[pk]) + (f"?{query}" if query else "")


def _back(request: HttpRequest, pk: int) -> str:
    """Where a comment's button was pressed: on the review page, or on the page of comments."""
    if "review" in request.GET:
        return _page_address(request, pk) + "#comments"
    return reverse("admin:kb_post_comments", args=[pk])


def _link(post: Post) -> Any:
    return format_html('<a href="{}">{}</a>', reverse("admin:kb_post_review", args=[post.pk]), post.title)


ROUTES = (
    ("<int:pk>/review/", page, "review"),
    ("<int:pk>/review/approve/", approve, "approve"),
    ("<int:pk>/review/request-changes/", request_changes, "request_changes"),
    ("<int:pk>/review/take-back/<int:decision>/", take_back, "take_back"),
    ("<int:pk>/review/raise-flag/", raise_flag, "raise_flag"),
    ("<int:pk>/review/close-flag/<int:flag>/", close_flag, "close_flag"),
    ("<int:pk>/review/reopen-flag/<int:flag>/", reopen_flag, "reopen_flag"),
    ("<int:pk>/review/withdraw/", withdraw, "withdraw"),
    ("<int:pk>/review/comment/", comment, "comment"),
    ("<int:pk>/review/mend/", mend, "mend"),
    ("<int:pk>/comments/", comments.page, "comments"),
    ("<int:pk>/comments/<int:comment>/resolve/", resolve_comment, "resolve_comment"),
    ("<int:pk>/comments/<int:comment>/reopen/", reopen_comment, "reopen_comment"),
)
