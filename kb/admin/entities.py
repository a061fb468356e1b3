"""Turn the list of entities into a page to name them, to find them again, and to drop the unused."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from kb.admin.forms import LinesField
from kb.admin.site import ListAdmin
from kb.models import Entity


class EntityForm(forms.ModelForm):
    aliases = LinesField(help_text=Entity._meta.get_field("aliases").help_text)

    class Meta:
        model = Entity
        fields = ("type", "name", "aliases")
        widgets = {"name": AdminTextInputWidget(), "type": AdminTextInputWidget()}

    def clean_aliases(self) -> list[str]:
        aliases: list[str] = self.cleaned_data["aliases"]
        for place, alias in enumerate(aliases, start=1):
            if "\x00" in alias or len(alias) > 500:
                raise forms.ValidationError(f"Line {place}: expected at most 500 characters without NUL.")
        return list(dict.fromkeys(aliases))


@admin.register(Entity)
class EntityAdmin(ListAdmin):
    actions = None
    empty_text = "No entities yet. They come with imported posts, or add one here."
    form = EntityForm
    list_display = ("name", "type", "shown_aliases", "posts")
    list_filter = ("type",)
    list_per_page = 100
    ordering = ("name", "type")
    search_fields = ("name", "type", "aliases")
    search_help_text = "Searches name, type and aliases."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entity]:
        return (
            super()
            .get_queryset(request)
            .annotate(number_of_posts=Count("post_entities__post", distinct=True))
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Entity | None = None) -> tuple[str, ...]:
        return ("type", "name") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Entity | None = None) -> bool:
        unused = obj is None or not obj.post_entities.exists()
        return unused and super().has_delete_permission(request, obj)

    @admin.display(description="Aliases")
    def shown_aliases(self, entity: Entity) -> str:
        return ", ".join(entity.aliases)

    @admin.display(description="Posts", ordering="number_of_posts")
    def posts(self, entity: Any) -> int:
        return entity.number_of_posts

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        raise Http404("There is no such entity.")
