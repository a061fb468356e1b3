"""Turn words that mean the same into groups that administrators keep, with what each of them expands to."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from kb.admin import labels
from kb.admin.forms import LinesField
from kb.admin.site import ListAdmin
from kb.errors import Refused
from kb.flow import synonyms
from kb.models import Synonym


class SynonymForm(forms.Form):
    words = LinesField(
        label="Words that mean the same",
        help_text="One word or short phrase a line, such as “k8s” and “kubernetes”. Case, accents and "
        "endings make no difference.",
    )
    is_one_way = forms.BooleanField(
        label="One way",
        required=False,
        help_text="Who searches for the first line finds the others too, but not the other way round: "
        "“broker” also finds “kafka”, and “kafka” finds nothing else.",
    )

    def clean_words(self) -> list[str]:
        typed: list[str] = self.cleaned_data["words"]
        if any("\x00" in word for word in typed):
            raise forms.ValidationError("Expected text without NUL.")
        return typed


@admin.register(Synonym)
class SynonymAdmin(ListAdmin):
    actions = None
    empty_text = "No synonyms yet. What you add here, searches look for too."
    list_display = ("group", "is_one_way", "made_by", "made")
    list_per_page = 100
    list_select_related = ("made_by",)
    ordering = ("words", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Synonym]:
        found = super().get_queryset(request)
        match = request.resolver_match
        return found.current() if match and match.url_name == "kb_synonym_changelist" else found

    def has_delete_permission(self, request: HttpRequest, obj: Synonym | None = None) -> bool:
        return False

    @admin.display(description="Words", ordering="words")
    def group(self, found: Synonym) -> str:
        return str(found)

    @admin.display(description="Since", ordering="made_at")
    def made(self, found: Synonym) -> SafeString | str:
        return labels.when(found.made_at)

    # --- One group ---

    def get_urls(self) -> list[URLPattern]:
        retire = self.admin_site.admin_view(self.retire)
        return [path("<int:pk>/retire/", retire, name="kb_synonym_retire"), *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        found = self._found(request, object_id) if object_id is not None else None
        if request.method == "POST":
            if not self._may(request, found):
                raise PermissionDenied
            return self._save(request, found)
        if not (self.has_view_permission(request, found) if found else self.has_add_permission(request)):
            raise PermissionDenied
        given = {"words": found.words, "is_one_way": found.is_one_way} if found else {}
        return self._show(request, found, SynonymForm(initial=given))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:kb_audit") + "?kind=synonym.made")

    def _found(self, request: HttpRequest, object_id: str) -> Synonym:
        found = self.get_object(request, admin.utils.unquote(object_id))
        if found is None:
            raise Http404("There are no such synonyms.")
        return found

    def _may(self, request: HttpRequest, found: Synonym | None) -> bool:
        return self.has_change_permission(request) if found else self.has_add_permission(request)

    def _save(self, request: HttpRequest, found: Synonym | None) -> HttpResponse:
        form = SynonymForm(request.POST)
        if form.is_valid() and "preview" not in request.POST:
            try:
                made = synonyms.write(
                    form.cleaned_data["words"],
                    is_one_way=form.cleaned_data["is_one_way"],
                    instead_of=found,
                    by=request.user,
                    at=timezone.now(),
                )
                messages.success(request, f"Searches use “{made}” from now on.")
                return HttpResponseRedirect(reverse("admin:kb_synonym_changelist"))
            except Refused as refused:
                form.add_error(None, str(refused))
        return self._show(request, found, form)

    def retire(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let searches no longer use this group."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        if request.method == "POST":
            try:
                synonyms.retire(found, by=request.user, at=timezone.now())
                messages.success(request, f"Searches no longer use “{found}”.")
            except Refused as refused:
                messages.error(request, str(refused))
            return HttpResponseRedirect(reverse("admin:kb_synonym_changelist"))
        return HttpResponseRedirect(reverse("admin:kb_synonym_change", args=[pk]))

    def _show(self, request: HttpRequest, found: Synonym | None, form: SynonymForm) -> TemplateResponse:
        is_current = found is None or found.retired_at is None
        given = form.cleaned_data if form.is_bound and form.is_valid() else form.initial
        context = {
            **self.admin_site.each_context(request),
            "title": str(found) if found else "Add synonyms",
            "opts": self.opts,
            "found": found,
            "form": form if is_current and self._may(request, found) else None,
            "errors": form.non_field_errors(),
            "expansions": Synonym(**given).expansions() if given else {},
            "retired": labels.when(found.retired_at) if found and found.retired_at else "",
        }
        return TemplateResponse(
            request, "admin/kb/synonym/page.html", context, status=400 if form.errors else 200
        )
