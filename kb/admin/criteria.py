"""Turn what reviewers should check into lists that administrators keep; each change is a new version."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from kb.admin import labels
from kb.admin.kept import KeptAdmin, KeptLinesField
from kb.errors import Refused
from kb.flow import criteria
from kb.models import Criteria

MOST_VERSIONS = 100


class CriteriaForm(forms.Form):
    """A list of criteria. `seen` is the version that one began with: a change of another is refused."""

    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(max_length=criteria.MAX_NAME, widget=AdminTextInputWidget())
    topic = forms.CharField(
        required=False,
        max_length=500,
        widget=AdminTextInputWidget(),
        help_text="For posts whose topic begins so, such as “secrets”. Empty: for every post.",
    )
    items = KeptLinesField(
        label="What to check", help_text="One thing a line, as a sentence that is true or not."
    )


@admin.register(Criteria)
class CriteriaAdmin(KeptAdmin):
    row_form = CriteriaForm
    missing = "There is no such list of criteria."
    empty_text = "No criteria yet. What you add here, reviewers tick beside each decision."
    list_display = ("name", "for_topic", "number_of_items", "version", "made_by", "made")
    ordering = ("name",)

    @admin.display(description="For posts on")
    def for_topic(self, found: Criteria) -> str:
        return found.topic or "everything"

    @admin.display(description="Criteria")
    def number_of_items(self, found: Criteria) -> int:
        return len(found.items)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The page of a list names its versions.
        return HttpResponseRedirect(self.address("change", object_id) + "#versions")

    # --- One list ---

    def initial(self, found: Criteria) -> dict[str, Any]:
        return {
            "name": found.name,
            "topic": found.topic,
            "items": found.items,
            "seen": found.version,
        }

    def read(self, request: HttpRequest, found: Criteria | None) -> CriteriaForm:
        # A list keeps its name: by it the versions belong together.
        data = request.POST.copy()
        if found:
            data["name"] = found.name
        return CriteriaForm(data)

    def write(self, request: HttpRequest, found: Criteria | None, given: dict[str, Any]) -> HttpResponse:
        self._refuse_old(found, given["seen"])
        made = criteria.write(
            given["name"], topic=given["topic"], items=given["items"], by=request.user, at=timezone.now()
        )
        messages.success(request, f"“{made.name}” is version {made.version} from now on.")
        return HttpResponseRedirect(self.address("change", made.pk))

    def _refuse_old(self, found: Criteria | None, seen: int | None) -> None:
        if found is None:
            return
        newest = Criteria.objects.filter(name=found.name).order_by("-version").first()
        if newest and newest.version != seen:
            raise Refused(
                f"“{found.name}” is version {newest.version} by now, made by {newest.made_by}: open that one "
                "and change it.",
                code="changed",
            )

    def end(self, request: HttpRequest, found: Criteria) -> str:
        criteria.retire(found.name, by=request.user, at=timezone.now())
        return f"Reviewers no longer get “{found.name}”."

    def context(self, request: HttpRequest, found: Criteria | None, form: forms.Form) -> dict[str, Any]:
        versions = Criteria.objects.filter(name=found.name).select_related("made_by") if found else ()
        current = not found or Criteria.objects.current().filter(pk=found.pk).exists()
        if found:
            form.fields["name"].widget = forms.HiddenInput()
        return {
            "title": f"{found.name}, version {found.version}" if found else "Add criteria",
            # What was typed into a form that came too late stays to be copied.
            "form": form if (current or form.is_bound) and self.may_change(request, found) else None,
            "current": current,
            "versions": [(one, labels.when(one.made_at)) for one in versions[:MOST_VERSIONS]],
        }
