"""Turn administrators' words into access tokens: issued, shown once, listed with their state, revoked."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from kb.access_token import PREFIX
from kb.admin import labels
from kb.admin.audit import PersonField
from kb.admin.site import ListAdmin
from kb.choices import Scope
from kb.errors import Refused
from kb.flow import issuing
from kb.models import AccessToken

STATES = {
    "active": ("Active", "ok"),
    "expiring": ("Expires soon", "advisory"),
    "expired": ("Expired", "draft"),
    "revoked": ("Revoked", "withdrawn"),
    "inactive": ("Owner is inactive", "draft"),
}
LASTS = {"30": "30 days", "90": "90 days", "365": "1 year", "0": "Until it is revoked"}


class TokenForm(forms.Form):
    label = forms.CharField(
        label="What it is for",
        max_length=issuing.MAX_LABEL,
        widget=AdminTextInputWidget(),
        help_text="The machine and its job, such as “status page in the lobby”.",
    )
    owner = PersonField("Owner")
    scopes = forms.MultipleChoiceField(
        label="What it may read", choices=Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    lasts = forms.ChoiceField(label="Works for", choices=list(LASTS.items()))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].required = True
        self.fields["owner"].widget = AdminTextInputWidget()
        self.fields[
            "owner"
        ].help_text = "The username of who answers for it. The token stops working when their account does."


@admin.register(AccessToken)
class AccessTokenAdmin(ListAdmin):
    actions = None
    empty_text = (
        "No access tokens yet. A machine that reads the API without a login needs one: issue it here."
    )
    list_display = ("label", "begins_with", "owner", "may_read", "state", "expires", "used")
    list_per_page = 100
    list_select_related = ("owner",)
    ordering = ("-pk",)
    search_fields = ("label", "prefix", "owner__username")
    search_help_text = "Searches what it is for, how it begins and its owner."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("kb.issue_token")

    def has_change_permission(self, request: HttpRequest, obj: AccessToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AccessToken | None = None) -> bool:
        return False

    class Media:
        css = {"all": ("kb/token.css",)}

    @admin.display(description="Begins with")
    def begins_with(self, token: AccessToken) -> str:
        return f"{PREFIX}{token.prefix}…"

    @admin.display(description="May read")
    def may_read(self, token: AccessToken) -> str:
        return ", ".join(token.scopes)

    @admin.display(description="State")
    def state(self, token: AccessToken) -> SafeString:
        return labels.label(*STATES[token.state(timezone.now())])

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, token: AccessToken) -> SafeString | str:
        return labels.when(token.expires_at) if token.expires_at else "never"

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, token: AccessToken) -> SafeString | str:
        return labels.when(token.last_used_at) if token.last_used_at else "never"

    # --- One token ---

    def get_urls(self) -> list[URLPattern]:
        revoke = self.admin_site.admin_view(self.revoke)
        return [path("<int:pk>/revoke/", revoke, name="kb_accesstoken_revoke"), *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None:
            return self._issue(request)
        token = self._found(request, object_id)
        if request.method == "POST" or not self.has_view_permission(request, token):
            raise PermissionDenied
        return self._page(request, "token", f"{token.label}", token=token, **self._facts(token))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The token's own page tells all that ever happened to it.
        return HttpResponseRedirect(reverse("admin:kb_accesstoken_change", args=[object_id]))

    def _issue(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        first = {"owner": request.user.get_username(), "scopes": [Scope.READ], "lasts": "365"}
        form = TokenForm(request.POST if request.method == "POST" else None, initial=first)
        if form.is_valid():
            try:
                made, token = self._made(form.cleaned_data, request.user)
            except Refused as refused:
                form.add_error(None, str(refused))
            else:
                # Answered at once: on its way over another page the token would have to be kept somewhere.
                return self._page(request, "issued", "Token issued", made=made, value=token)
        status = 400 if form.errors else 200
        return self._page(request, "issue", "Issue an access token", status=status, form=form)

    def _made(self, given: dict[str, Any], by: User) -> tuple[AccessToken, str]:
        at, days = timezone.now(), int(given["lasts"])
        return issuing.issue(
            given["label"],
            owner=given["owner"],
            scopes=given["scopes"],
            expires_at=at + timedelta(days=days) if days else None,
            by=by,
            at=at,
        )

    def revoke(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask first, then end it for good."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        token = self._found(request, str(pk))
        here = reverse("admin:kb_accesstoken_change", args=[pk])
        if request.method == "POST":
            try:
                issuing.revoke(token, by=request.user, at=timezone.now())
                messages.success(request, f"“{token.label}” is revoked: the next request with it is refused.")
            except Refused as refused:
                messages.error(request, str(refused))
            return HttpResponseRedirect(here)
        if token.revoked_at:
            return HttpResponseRedirect(here)
        title = f"Revoke “{token.label}”"
        return self._page(request, "revoke", title, token=token, **self._facts(token))

    def _found(self, request: HttpRequest, object_id: str) -> AccessToken:
        found = self.get_object(request, admin.utils.unquote(object_id))
        if found is None:
            raise Http404("There is no such token.")
        return found

    def _facts(self, token: AccessToken) -> dict[str, Any]:
        words = dict(Scope.choices)
        return {
            "state": self.state(token),
            "scopes": [(scope, words[scope]) for scope in token.scopes],
            "facts": [
                ("Begins with", self.begins_with(token)),
                ("Owner", token.owner),
                ("Expires", self.expires(token)),
                ("Last used", self.used(token)),
                ("Issued", labels.when(token.created_at)),
                ("Issued by", token.created_by or "the command line"),
            ],
            "revoked": labels.when(token.revoked_at) if token.revoked_at else "",
        }

    def _page(
        self, request: HttpRequest, name: str, title: str, *, status: int = 200, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "may_issue": self.has_add_permission(request),
            **more,
        }
        return TemplateResponse(request, f"admin/kb/token/{name}.html", context, status=status)
