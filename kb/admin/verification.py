"""Turn what readers have into a page on which a person says it is still true, and how often into policies."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from kb.admin import labels
from kb.admin.diffs import all_fields
from kb.admin.history import render as render_page
from kb.admin.records import AboutRevisionAdmin
from kb.admin.site import ListAdmin
from kb.article import article
from kb.choices import FacetKind
from kb.errors import InvalidDocument, Refused
from kb.flow import publishing, queueing, verifying
from kb.models import (
    Decision,
    Flag,
    Post,
    Publication,
    PublishedFacet,
    PublishedTag,
    Report,
    Verification,
    VerificationPolicy,
)
from kb.render import render

SHOWN = 20  # reports and verifications on the page
COUNTED = 1_000  # posts of a policy; beyond that nobody needs the number

SEE = permission_required("kb.view_post", raise_exception=True)


class VerifyForm(forms.Form):
    # What is missing or wrong is the flow's to say; the attribute only lets the browser say it sooner.
    published = forms.CharField(widget=forms.HiddenInput, max_length=64)
    checked = forms.CharField(
        label="What you checked, and how",
        required=False,
        widget=AdminTextareaWidget({"rows": 4, "required": True}),
        help_text="Such as: ran every command on version 18; asked the owner. Stays with the verification.",
    )
    evidence = forms.CharField(
        label="Link to what proves it",
        required=False,
        widget=AdminTextInputWidget({"placeholder": "https://"}),
        help_text="Optional: a build, a ticket, a dashboard.",
    )


@require_GET
@SEE
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _post(pk))


@require_POST
@SEE
def verify(request: HttpRequest, pk: int) -> HttpResponse:
    post, form = _post(pk), VerifyForm(request.POST)
    if not form.is_valid():
        return _page(request, post, form=form, status=400)
    try:
        verifying.verify(post, **form.cleaned_data, by=request.user, at=timezone.now())
    except Refused as refused:
        if refused.code == "not_allowed":
            raise PermissionDenied from None
        typed = VerifyForm(initial=form.cleaned_data)
        return _page(request, _post(pk), form=typed, refused=refused, status=409)
    messages.success(request, "Verified: readers see the new date.")
    return HttpResponseRedirect(reverse("admin:kb_post_verify", args=[pk]))


@require_POST
@permission_required(["kb.view_post", "kb.publish_post"], raise_exception=True)
def withholding(request: HttpRequest, pk: int) -> HttpResponse:
    choice = request.POST.get("on")
    if choice not in {"1", "0"}:
        raise BadRequest("Nothing was chosen: go back and choose again.")
    post, on = _post(pk), choice == "1"
    verifying.set_withholding(post, on=on, by=request.user, at=timezone.now())
    done = "Readers lose this post while its verification is overdue." if on else "Readers keep this post."
    messages.success(request, done)
    return HttpResponseRedirect(reverse("admin:kb_post_verify", args=[pk]))


# Routes below a post, as PostAdmin registers them.
ROUTES: tuple[tuple[str, Callable[..., HttpResponse], str], ...] = (
    ("<int:pk>/verify/", page, "verify"),
    ("<int:pk>/verify/still-true/", verify, "still_true"),
    ("<int:pk>/verify/withholding/", withholding, "withholding"),
)


def _post(pk: int) -> Post:
    return get_object_or_404(Post.objects.select_related("head", "publication", "oversight"), pk=pk)


def _page(
    request: HttpRequest,
    post: Post,
    *,
    form: VerifyForm | None = None,
    refused: Refused | None = None,
    status: int = 200,
) -> HttpResponse:
    approval = publishing.approval_shown(post)
    context = {
        "here": "verify",
        "approval": approval,
        "refused": refused,
        "wrong": status == 400,
        "oversight": getattr(post, "oversight", None),
        "may_publish": request.user.has_perm("kb.publish_post"),
        "reports": _reports(post),
        "verifications": [(row, labels.when(row.at)) for row in _verifications(post)],
        **(_shown(request, post, approval, form) if approval else {}),
    }
    return render_page(request, "verify", post, title="Verify", status=status, **context)


def _shown(request: HttpRequest, post: Post, approval: Decision, form: VerifyForm | None) -> dict[str, Any]:
    """What readers have, until when somebody vouches for it, and the form for whoever may do so again."""
    revision, now = approval.revision, timezone.now()
    document = revision.document
    policy = verifying.policy_for(document)
    review_by = publishing.review_by(revision, approval)
    form = form or VerifyForm(initial={"published": approval.fingerprint})
    form.initial["published"] = approval.fingerprint
    return {
        "revision": revision,
        "approved": labels.when(approval.at),
        "text": _text(document),
        "fields": all_fields(document.model_copy(update={"body": ""})),
        "review_by": labels.day(review_by),
        "truth": labels.truth(review_by, now) or labels.label("Fresh", "ok"),
        "policy": policy,
        "form": form if verifying.may_verify(request.user, policy) else None,
        "newer": post.head_id != revision.pk,
    }


def _text(document: Any) -> SafeString:
    """The body as readers have it."""
    try:
        html = render(document.body, document.body_format).html
    except InvalidDocument as error:
        return format_html("<p>{}</p>", str(error))
    return article(html, prefix="text-").html


def _verifications(post: Post) -> QuerySet[Verification]:
    rows = Verification.objects.filter(revision__post=post).select_related("by", "revision")
    return rows.defer("revision__canonical")[:SHOWN]


def _reports(post: Post) -> list[dict[str, Any]]:
    """What readers said, the newest first; what a reviewer settled already is marked so."""
    rows = Report.objects.filter(revision__post=post).select_related("by", "revision")
    flag = Flag.objects.open().filter(revision=post.head_id, code=queueing.REPORTED).first()
    return [
        {
            "row": row,
            "when": labels.when(row.at),
            "kind": labels.label(row.get_kind_display(), "advisory"),
            "settled": flag is None or row.at < flag.raised_at,
        }
        for row in rows.defer("revision__canonical")[:SHOWN]
    ]


# --- How often ---


class PolicyForm(forms.ModelForm):
    """A policy; with “Show how many posts” it comes back unsaved, with the number."""

    class Meta:
        model = VerificationPolicy
        fields = ("topic", "entity_type", "days", "verifier", "group")
        widgets = {"topic": AdminTextInputWidget(), "entity_type": AdminTextInputWidget()}

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if bool(given.get("topic")) == bool(given.get("entity_type")):
            raise forms.ValidationError("Give a topic or a type of entity, one of the two.")
        return given

    def is_valid(self) -> bool:
        return super().is_valid() and "_preview" not in self.data

    def preview(self) -> str:
        """How many published posts it is about, once somebody asked for that."""
        if "_preview" not in self.data or self.errors:
            return ""
        return f"This is about {counted(self.instance)} that readers have. Nothing is saved yet."


def touched(policy: VerificationPolicy) -> QuerySet[Publication]:
    """Publications that the policy is about; where one has a longer topic of its own, that one counts."""
    if policy.topic:
        return Publication.objects.filter(topic__istartswith=policy.topic)
    named = PublishedFacet.objects.filter(kind=FacetKind.ENTITY, value__startswith=f"{policy.entity_type}:")
    tags = PublishedTag.objects.filter(facet__in=named)
    return Publication.objects.filter(pk__in=tags.values("publication_id"))


def counted(policy: VerificationPolicy) -> str:
    number = touched(policy).order_by()[: COUNTED + 1].count()
    if number > COUNTED:
        return f"more than {COUNTED:,} posts"
    return "1 post" if number == 1 else f"{number:,} posts"


@admin.register(VerificationPolicy)
class VerificationPolicyAdmin(ListAdmin):
    actions = None
    form = PolicyForm
    change_form_template = "admin/kb/policy.html"
    empty_text = "No policies yet: every post is verified after the number of days that KB_VERIFY_DAYS says."
    list_display = ("about", "every", "who", "published_posts")
    list_select_related = ("verifier", "group")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field:
            field.empty_label = "Whoever may verify"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """People and groups are chosen here, and kept on their own pages."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        for name in ("add", "change", "delete", "view"):
            if hasattr(getattr(field, "widget", None), f"can_{name}_related"):
                setattr(field.widget, f"can_{name}_related", False)
        return field

    @admin.display(description="For", ordering="topic")
    def about(self, policy: VerificationPolicy) -> str:
        if policy.topic:
            return f"Topic: {policy.topic} …"
        return f"Entities of type {policy.entity_type}"

    @admin.display(description="Verified every", ordering="days")
    def every(self, policy: VerificationPolicy) -> str:
        return f"{policy.days} days"

    @admin.display(description="By")
    def who(self, policy: VerificationPolicy) -> str:
        named = [str(who) for who in (policy.verifier, policy.group) if who]
        return ", ".join(named) or "whoever may verify"

    @admin.display(description="Published posts")
    def published_posts(self, policy: VerificationPolicy) -> str:
        return counted(policy)

    def save_model(self, request: HttpRequest, obj: VerificationPolicy, form: Any, change: bool) -> None:
        verifying.write_policy(obj, by=request.user)

    def delete_model(self, request: HttpRequest, obj: VerificationPolicy) -> None:
        verifying.remove_policy(obj, by=request.user)


@admin.register(Report)
class ReportAdmin(AboutRevisionAdmin):
    empty_text = "No reports. Readers send them from a post's page."
    list_display = ("post_link", "kind", "sentence", "reporter", "reported")
    list_filter = ("kind",)
    list_select_related = ("revision__post", "by")
    ordering = ("-pk",)
    search_fields = ("revision__post__title", "sentence")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        return super().get_queryset(request).defer("revision__canonical", "revision__post__body")

    @admin.display(description="By")
    def reporter(self, report: Report) -> str:
        return str(report.by) if report.by else "a reader without a login"

    @admin.display(description="When", ordering="at")
    def reported(self, report: Report) -> SafeString | str:
        return labels.when(report.at)

    def address(self, row: Any) -> str:
        return reverse("admin:kb_post_verify", args=[row.revision.post_id])
