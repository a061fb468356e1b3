"""Turn words that mean the same into groups that administrators keep, with what each of them expands to."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from kb.admin.kept import KeptAdmin, KeptLinesField
from kb.flow import synonyms
from kb.models import Synonym


class SynonymForm(forms.Form):
    words = KeptLinesField(
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


@admin.register(Synonym)
class SynonymAdmin(KeptAdmin):
    row_form = SynonymForm
    missing = "There are no such synonyms."
    empty_text = "No synonyms yet. What you add here, searches look for too."
    list_display = ("group", "direction", "made_by", "made")
    ordering = ("words", "pk")

    @admin.display(description="Words", ordering="words")
    def group(self, found: Synonym) -> str:
        return str(found)

    @admin.display(description="Finds", ordering="is_one_way")
    def direction(self, found: Synonym) -> str:
        return "One way" if found.is_one_way else "Both ways"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:kb_audit") + "?kind=synonym.made")

    # --- One group ---

    def initial(self, found: Synonym) -> dict[str, Any]:
        return {"words": found.words, "is_one_way": found.is_one_way}

    def is_saved(self, request: HttpRequest) -> bool:
        return "preview" not in request.POST

    def write(self, request: HttpRequest, found: Synonym | None, given: dict[str, Any]) -> HttpResponse:
        made = synonyms.write(
            given["words"],
            is_one_way=given["is_one_way"],
            instead_of=found,
            by=request.user,
            at=timezone.now(),
        )
        messages.success(request, f"Searches use “{made}” from now on.")
        return HttpResponseRedirect(self.address("changelist"))

    def end(self, request: HttpRequest, found: Synonym) -> str:
        synonyms.retire(found, by=request.user, at=timezone.now())
        return f"Searches no longer use “{found}”."

    def context(self, request: HttpRequest, found: Synonym | None, form: forms.Form) -> dict[str, Any]:
        is_current = found is None or found.retired_at is None
        given = form.cleaned_data if form.is_bound and form.is_valid() else form.initial
        return {
            "title": str(found) if found else "Add synonyms",
            "form": form if is_current and self.may_change(request, found) else None,
            "errors": form.non_field_errors(),
            "expansions": Synonym(**given).expansions() if given else {},
        }
