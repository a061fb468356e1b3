"""Turn rows that administrators keep into a list and a page of each; a change makes another row.

No row is changed or removed: what is no longer wanted is retired, and what it was stays to be read.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from kb.admin import labels
from kb.admin.forms import LinesField
from kb.admin.site import ListAdmin
from kb.errors import Refused


class KeptLinesField(LinesField):
    """Lines that are kept as they are: no Document judges them."""

    def validate(self, value: list[str]) -> None:
        super().validate(value)
        if any("\x00" in line for line in value):
            raise forms.ValidationError("Expected text without NUL.")


class KeptAdmin(ListAdmin):
    """The list shows what is in use. A class of it says what its form holds, and calls kb.flow."""

    actions = None
    list_per_page = 100
    list_select_related = ("made_by",)
    row_form: type[forms.Form]
    missing: str  # what a page that is not there says

    def initial(self, found: Any) -> dict[str, Any]:
        """What the form of this row begins with."""
        raise NotImplementedError

    def read(self, request: HttpRequest, found: Any | None) -> forms.Form:
        return self.row_form(request.POST)

    def is_saved(self, request: HttpRequest) -> bool:
        """Whether the form was sent to be kept."""
        return True

    def write(self, request: HttpRequest, found: Any | None, given: dict[str, Any]) -> HttpResponse:
        """Keep this, instead of what was found. Raises Refused."""
        raise NotImplementedError

    def end(self, request: HttpRequest, found: Any) -> str:
        """Retire it, and say what follows. Raises Refused."""
        raise NotImplementedError

    def context(self, request: HttpRequest, found: Any | None, form: forms.Form) -> dict[str, Any]:
        """What the page shows beside `found` and `retired`: `title`, `form` and more."""
        raise NotImplementedError

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request)
        match = request.resolver_match
        return found.current() if match and match.url_name == self._name("changelist") else found

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="Since", ordering="made_at")
    def made(self, found: Any) -> SafeString | str:
        return labels.when(found.made_at)

    def address(self, page: str, *args: Any) -> str:
        return reverse(f"admin:{self._name(page)}", args=args)

    def _name(self, page: str) -> str:
        return f"kb_{self.opts.model_name}_{page}"

    # --- One of them ---

    def get_urls(self) -> list[URLPattern]:
        retire = self.admin_site.admin_view(self.retire)
        return [path("<int:pk>/retire/", retire, name=self._name("retire")), *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        found = self._found(request, object_id) if object_id is not None else None
        if request.method == "POST":
            if not self.may_change(request, found):
                raise PermissionDenied
            return self._save(request, found)
        if not (self.has_view_permission(request, found) if found else self.has_add_permission(request)):
            raise PermissionDenied
        return self._show(request, found, self.row_form(initial=self.initial(found) if found else {}))

    def may_change(self, request: HttpRequest, found: Any | None) -> bool:
        return self.has_change_permission(request) if found else self.has_add_permission(request)

    def retire(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Use it no longer."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        if request.method != "POST":
            return HttpResponseRedirect(self.address("change", pk))
        try:
            messages.success(request, self.end(request, found))
        except Refused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect(self.address("changelist"))

    def _found(self, request: HttpRequest, object_id: str) -> Any:
        found = self.get_object(request, admin.utils.unquote(object_id))
        if found is None:
            raise Http404(self.missing)
        return found

    def _save(self, request: HttpRequest, found: Any | None) -> HttpResponse:
        form = self.read(request, found)
        if form.is_valid() and self.is_saved(request):
            try:
                return self.write(request, found, form.cleaned_data)
            except Refused as refused:
                form.add_error(None, str(refused))
        return self._show(request, found, form)

    def _show(self, request: HttpRequest, found: Any | None, form: forms.Form) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "found": found,
            "retired": labels.when(found.retired_at) if found and found.retired_at else "",
            **self.context(request, found, form),
        }
        page = f"admin/kb/{self.opts.model_name}/page.html"
        return TemplateResponse(request, page, context, status=400 if form.errors else 200)
