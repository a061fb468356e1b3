"""Turn what reviewers should check into lists that administrators keep; each change is a new version."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
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
    items = LinesField(
        label="What to check", help_text="One thing a line, as a sentence that is true or not."
    )

    def clean_items(self) -> list[str]:
        items: list[str] = self.cleaned_data["items"]
        if any("\x00" in item for item in items):
            raise forms.ValidationError("Expected text without NUL.")
        return items


@admin.register(Criteria)
class CriteriaAdmin(ListAdmin):
    actions = None
    empty_text = "No criteria yet. What you add here, reviewers tick beside each decision."
    list_display = ("name", "for_topic", "number_of_items", "version", "made_by", "made")
    list_per_page = 100
    list_select_related = ("made_by",)
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Criteria]:
        found = super().get_queryset(request)
        match = request.resolver_match
        return found.current() if match and match.url_name == "kb_criteria_changelist" else found

    def has_delete_permission(self, request: HttpRequest, obj: Criteria | None = None) -> bool:
        return False

    @admin.display(description="For posts on")
    def for_topic(self, found: Criteria) -> str:
        return found.topic or "everything"

    @admin.display(description="Criteria")
    def number_of_items(self, found: Criteria) -> int:
        return len(found.items)

    @admin.display(description="Since", ordering="made_at")
    def made(self, found: Criteria) -> SafeString | str:
        return labels.when(found.made_at)

    # --- One list ---

    def get_urls(self) -> list[URLPattern]:
        retire = self.admin_site.admin_view(self.retire)
        return [path("<int:pk>/retire/", retire, name="kb_criteria_retire"), *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        found = self._found(request, object_id) if object_id is not None else None
        if request.method == "POST":
            self._require(request, found)
            return self._save(request, found)
        if not (self.has_view_permission(request, found) if found else self.has_add_permission(request)):
            raise PermissionDenied
        given = {"name": found.name, "topic": found.topic, "items": found.items} if found else {}
        return self._show(request, found, CriteriaForm(initial={**given, "seen": found and found.version}))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The page of a list names its versions.
        return HttpResponseRedirect(reverse("admin:kb_criteria_change", args=[object_id]) + "#versions")

    def _found(self, request: HttpRequest, object_id: str) -> Criteria:
        found = self.get_object(request, admin.utils.unquote(object_id))
        if found is None:
            raise Http404("There is no such list of criteria.")
        return found

    def _require(self, request: HttpRequest, found: Criteria | None) -> None:
        may = self.has_change_permission if found else self.has_add_permission
        if not may(request):
            raise PermissionDenied

    def _save(self, request: HttpRequest, found: Criteria | None) -> HttpResponse:
        form = self._read(request, found)
        if form.is_valid():
            given = form.cleaned_data
            try:
                self._refuse_old(found, given["seen"])
                made = criteria.write(
                    given["name"],
                    topic=given["topic"],
                    items=given["items"],
                    by=request.user,
                    at=timezone.now(),
                )
                messages.success(request, f"“{made.name}” is version {made.version} from now on.")
                return HttpResponseRedirect(reverse("admin:kb_criteria_change", args=[made.pk]))
            except Refused as refused:
                form.add_error(None, str(refused))
        return self._show(request, found, form)

    def _read(self, request: HttpRequest, found: Criteria | None) -> CriteriaForm:
        # A list keeps its name: by it the versions belong together.
        data = request.POST.copy()
        if found:
            data["name"] = found.name
        return CriteriaForm(data)

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

    def retire(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give reviewers this list no longer; what was ticked stays with its decisions."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:kb_criteria_change", args=[pk]))
        try:
            criteria.retire(found.name, by=request.user, at=timezone.now())
            messages.success(request, f"Reviewers no longer get “{found.name}”.")
        except Refused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect(reverse("admin:kb_criteria_changelist"))

    def _show(self, request: HttpRequest, found: Criteria | None, form: CriteriaForm) -> TemplateResponse:
        versions = Criteria.objects.filter(name=found.name).select_related("made_by") if found else ()
        current = not found or Criteria.objects.current().filter(pk=found.pk).exists()
        if found:
            form.fields["name"].widget = forms.HiddenInput()
        context = {
            **self.admin_site.each_context(request),
            "title": f"{found.name}, version {found.version}" if found else "Add criteria",
            "opts": self.opts,
            "found": found,
            # What was typed into a form that came too late stays to be copied.
            "form": form if (current or form.is_bound) and self._may(request, found) else None,
            "current": current,
            "versions": [(one, labels.when(one.made_at)) for one in versions[:MOST_VERSIONS]],
            "retired": labels.when(found.retired_at) if found and found.retired_at else "",
        }
        return TemplateResponse(
            request, "admin/kb/criteria/page.html", context, status=400 if form.errors else 200
        )

    def _may(self, request: HttpRequest, found: Criteria | None) -> bool:
        return self.has_change_permission(request) if found else self.has_add_permission(request)
