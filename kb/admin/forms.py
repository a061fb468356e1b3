"""Turn the forms of the change page into a Document and a change note, and a Document back into the forms.

The forms know no tables: whoever loses a race still holds every text that they typed.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import (
    AdminTextareaWidget,
    AdminTextInputWidget,
    AutocompleteSelect,
    RelatedFieldWidgetWrapper,
)
from django.forms.formsets import BaseFormSet, formset_factory
from django.utils.functional import cached_property
from django.utils.text import capfirst

from kb.choices import Difficulty
from kb.document import MAX_ITEMS, Document, Scores, SourceFlags
from kb.errors import InvalidDocument, Problem
from kb.flow.revising import ChangeNote
from kb.models import Checklist as ChecklistRow
from kb.models import ChecklistItem, Entity, Image, Post, PostEntity

SCORES = tuple(Scores.model_fields)
FLAGS = tuple(SourceFlags.model_fields)


class LinesField(forms.CharField):
    """A list, one item a line; blank lines say nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{"required": False, "strip": False, "widget": AdminTextareaWidget({"rows": 4}), **kwargs}
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        # At newlines alone: other characters that end lines may be part of an item.
        lines = super().to_python(value).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return [line.strip() for line in lines if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or []) != self.to_python(data)


class OutlineField(LinesField):
    """Outline points, one a line, as "label: text". Text with a colon but without label begins with ": "."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(_point, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        points = []
        for line in super().to_python(value):
            label, colon, text = line.partition(":")
            points.append(
                {"label": label.strip(), "text": text.strip()} if colon else {"label": "", "text": line}
            )
        return points


def _point(point: Mapping[str, str]) -> str:
    label, text = point["label"], point["text"]
    return f"{label}: {text}" if label or ":" in text else text


class PayloadField(forms.CharField):
    """A JSON object. Numbers, depth and size are the Document's to judge."""

    widget = AdminTextareaWidget({"rows": 6, "class": "kb-mono", "spellcheck": "false"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return {}
        try:
            found = json.loads(text, object_pairs_hook=_one_of_each)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(
                f'Not JSON: {error}. Expected an object such as {{"seed": 7}}.'
            ) from None
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"Not JSON that kb can keep: {str(error)[:200]}.") from None
        if not isinstance(found, dict):
            raise forms.ValidationError(
                f'Got {str(found)[:80]!r}, expected a JSON object such as {{"seed": 7}}.'
            )
        return found


def _one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice in one object")
    return found


def _text(name: str, *, rows: int = 0, **kwargs: Any) -> forms.CharField:
    """A field for the text column of this name; the Document strips and judges it."""
    column = Post._meta.get_field(name)
    widget = AdminTextareaWidget({"rows": rows}) if rows else AdminTextInputWidget()
    return forms.CharField(
        **{
            "required": False,
            "strip": False,
            "label": _label(name),
            "help_text": column.help_text,
            "widget": widget,
        }
        | kwargs
    )


def _label(name: str) -> str:
    return LABELS.get(name) or str(capfirst(Post._meta.get_field(name).verbose_name))


def _help(name: str) -> str:
    return Post._meta.get_field(name).help_text


def _lines(name: str) -> LinesField:
    return LinesField(label=_label(name), help_text=_help(name))


def _number(name: str, highest: int) -> forms.IntegerField:
    widget = forms.NumberInput({"class": "kb-short"})
    return forms.IntegerField(
        required=False,
        min_value=0,
        max_value=highest,
        label=_label(name),
        help_text=_help(name),
        widget=widget,
    )


def _tick(name: str) -> forms.BooleanField:
    return forms.BooleanField(required=False, label=_label(name), help_text=_help(name))


LABELS = {"body_format": "Format of the body", "ai_generated_style": "AI-generated style"}


class PostForm(forms.Form):
    """The working draft but its lists of parts, the number that it is based on, and the change note."""

    base_number = forms.IntegerField(
        widget=forms.HiddenInput,
        error_messages={"required": "The form lost its revision: reload the page and copy your text over."},
    )
    title = _text("title", required=True)
    slug = _text(
        "slug",
        strip=True,
        max_length=200,
        help_text="The post's address, such as production-defaults. Empty: made from the title. "
        "Fixed once saved, so that links never break.",
    )
    topic = _text("topic")
    summary = _text("summary", rows=3)
    body_format = forms.ChoiceField(
        choices=Post._meta.get_field("body_format").choices,
        label=_label("body_format"),
        help_text=_help("body_format"),
    )
    body = _text("body", rows=24)
    outline = OutlineField(
        label="Outline",
        help_text="One point a line, as “label: text”. Without a label, text with a colon begins with “: ”.",
    )
    brief = _text("brief", rows=3)
    stack = _lines("stack")
    tools = _lines("tools")
    code_language = _text("code_language")
    difficulty = forms.ChoiceField(
        required=False,
        choices=[("", "Not said"), *((level.value, level.value.capitalize()) for level in Difficulty)],
        help_text=_help("difficulty"),
    )
    reading_time = _number("reading_time", 10_000)
    notes = _lines("notes")
    quality = _number("quality", 100)
    freshness = _number("freshness", 100)
    depth = _number("depth", 100)
    clarity = _number("clarity", 100)
    owner = _text("owner")
    expected_result = _text("expected_result", rows=3)
    rollback_note = _text("rollback_note", rows=3)
    ai_generated_style = _tick("ai_generated_style")
    has_images = _tick("has_images")
    image_heavy = _tick("image_heavy")
    needs_human_review = _tick("needs_human_review")
    payload = PayloadField(help_text=_help("payload"))

    reason = forms.CharField(
        required=False,
        widget=AdminTextareaWidget({"rows": 2}),
        help_text="Why you make this change; needed with every change. Reviewers read it first, and it stays "
        "with the revision.",
    )
    files_touched = forms.CharField(
        required=False,
        widget=AdminTextareaWidget({"rows": 2}),
        help_text="Files that the work behind it changed.",
    )
    command_used = forms.CharField(
        required=False,
        widget=AdminTextareaWidget({"rows": 2}),
        help_text="The command that did it, ready to run again.",
    )
    metric_improved = forms.CharField(
        required=False,
        widget=AdminTextInputWidget(),
        help_text="What got better, with numbers: p95 from 420 to 180 ms.",
    )
    version = forms.CharField(
        required=False,
        max_length=60,
        widget=AdminTextInputWidget({"class": "kb-short"}),
        help_text="Leave empty and kb takes the next one: major for another topic, stack or a text that is "
        "mostly new; minor for other steps, tools, results or parts of the text; patch for the rest. "
        "Or name a higher one, such as 2.0.0.",
    )

    def __init__(self, *args: Any, new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A post's address is set once; a new post has no revision to be based on.
        del self.fields["base_number" if new else "slug"]

    def note(self) -> ChangeNote:
        names = ("reason", "files_touched", "command_used", "metric_improved")
        return ChangeNote(**{name: self.cleaned_data[name].replace("\r\n", "\n") for name in names})


class RowForm(forms.Form):
    """One row of a list of parts. A row in which nothing is filled in is no part."""

    def is_blank(self) -> bool:
        return not any(self.cleaned_data.get(name) for name in self.base_fields)

    def plain(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.base_fields}


class ChecklistForm(RowForm):
    title = forms.CharField(
        required=False,
        strip=False,
        widget=AdminTextInputWidget(),
        help_text=ChecklistRow._meta.get_field("title").help_text,
    )
    items = LinesField(
        help_text=f"{ChecklistItem._meta.get_field('text').help_text} One a line, in their order."
    )


def _entity_widget() -> RelatedFieldWidgetWrapper:
    column = PostEntity._meta.get_field("entity")
    return RelatedFieldWidgetWrapper(
        AutocompleteSelect(column, admin.site), column.remote_field, admin.site, can_add_related=True
    )


class EntityField(forms.ModelChoiceField):
    """One entity, looked up among those of all rows together: a query for the list, not one for each row."""

    known: Mapping[str, Entity] | None = None

    def to_python(self, value: Any) -> Any:
        if self.known is None or value in self.empty_values:
            return super().to_python(value)
        if str(value) not in self.known:
            raise forms.ValidationError(self.error_messages["invalid_choice"], params={"value": value})
        return self.known[str(value)]


class EntityForm(RowForm):
    entity = EntityField(
        queryset=Entity.objects.all(),
        required=False,
        widget=_entity_widget(),
        help_text="Type a name or an alias. What is missing can be added with the plus.",
    )

    def plain(self) -> dict[str, Any]:
        entity = self.cleaned_data["entity"]
        return {"name": entity.name, "type": entity.type}


class ImageForm(RowForm):
    url = forms.CharField(
        required=False,
        label="URL",
        widget=AdminTextInputWidget({"inputmode": "url"}),
        help_text=Image._meta.get_field("url").help_text,
    )
    caption = forms.CharField(
        required=False,
        strip=False,
        widget=AdminTextInputWidget(),
        help_text=Image._meta.get_field("caption").help_text,
    )
    source = forms.CharField(
        required=False,
        strip=False,
        widget=AdminTextInputWidget(),
        help_text=Image._meta.get_field("source").help_text,
    )


class RowFormSet(BaseFormSet):
    """Rows with an order and a box to remove them."""

    def parts(self) -> list[RowForm]:
        """The rows that count, in their order. Only after is_valid()."""
        kept = [
            (form.cleaned_data.get("ORDER") or MAX_ITEMS * 10, place, form)
            for place, form in enumerate(self.forms)
            if not form.cleaned_data.get("DELETE") and form.cleaned_data and not form.is_blank()
        ]
        return [form for _order, _place, form in sorted(kept, key=lambda row: row[:2])]

    def add_fields(self, form: forms.Form, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["ORDER"].widget = forms.NumberInput({"class": "kb-order", "min": 1})
        form.fields["DELETE"].label = "Remove"

    def script(self, noun: str) -> str:
        """What Django's inlines.js has to know."""
        options = {"prefix": self.prefix, "addText": f"Add another {noun}", "deleteText": "Remove"}
        return json.dumps({"name": f"#{self.prefix}", "options": options})


class EntityRows(RowFormSet):
    @cached_property
    def known(self) -> dict[str, Entity]:
        """The entities that the rows name, by their keys as the browser sends them."""
        named = {
            value
            for name, value in self.data.items()
            if name.startswith(f"{self.prefix}-") and name.endswith("-entity")
        }
        keys = [int(value) for value in named if value.isascii() and value.isdigit() and len(value) < 18]
        return {str(key): entity for key, entity in Entity.objects.in_bulk(keys).items()}

    def add_fields(self, form: forms.Form, index: int | None) -> None:
        super().add_fields(form, index)
        if self.is_bound:
            form.fields["entity"].known = self.known


def _rows(form: type[RowForm], formset: type[RowFormSet] = RowFormSet) -> type[RowFormSet]:
    return formset_factory(
        form,
        formset=formset,
        extra=1,
        can_order=True,
        can_delete=True,
        max_num=MAX_ITEMS,
        absolute_max=MAX_ITEMS + 1,
    )  # type: ignore[return-value]


class PostForms:
    """All forms of the change page together. Read with `is_valid()`, then `document` and `form.note()`."""

    NOUNS = {"checklists": "checklist", "entities": "entity", "images": "image"}
    ROWS = {
        "checklists": _rows(ChecklistForm),
        "entities": _rows(EntityForm, EntityRows),
        "images": _rows(ImageForm),
    }

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        new: bool,
        document: Document | None = None,
        base_number: int | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> None:
        initial = {**(note or {}), "base_number": base_number}
        parts: dict[str, list[dict[str, Any]]] = {}
        if document:
            initial |= _fields(document)
            parts = _parts(document)
        self.form = PostForm(data, new=new, initial=initial)
        self.formsets = {
            prefix: rows(data, prefix=prefix, initial=parts.get(prefix)) for prefix, rows in self.ROWS.items()
        }
        self.document: Document | None = None

    @property
    def lists(self) -> list[dict[str, Any]]:
        """The formsets as the template shows them."""
        return [
            {
                "formset": rows,
                "noun": self.NOUNS[prefix],
                "title": prefix.capitalize(),
                "script": rows.script(self.NOUNS[prefix]),
            }
            for prefix, rows in self.formsets.items()
        ]

    @property
    def media(self) -> forms.Media:
        media = self.form.media + forms.Media(js=["admin/js/jquery.init.js", "admin/js/inlines.js"])
        for rows in self.formsets.values():
            media += rows.media
        return media + forms.Media(js=["admin/js/autocomplete.js", "kb/autocomplete.js"])

    def is_valid(self) -> bool:
        """Read the Document. What no Document may hold becomes an error at its field."""
        valid = [self.form.is_valid(), *(rows.is_valid() for rows in self.formsets.values())]
        if not all(valid):
            return False
        parts = {prefix: rows.parts() for prefix, rows in self.formsets.items()}
        try:
            self.document = Document.read(self._plain(parts))
        except InvalidDocument as error:
            self.object(error)
            return False
        return True

    def object(self, error: InvalidDocument) -> None:
        """Show each problem at its field. Only after is_valid()."""
        parts = {prefix: rows.parts() for prefix, rows in self.formsets.items()}
        for problem in error.problems:
            self._show(problem, parts)

    def _plain(self, parts: Mapping[str, list[RowForm]]) -> dict[str, Any]:
        given = self.form.cleaned_data
        same = Document.model_fields.keys() & given.keys()
        return {
            **{name: given[name] for name in same},
            "difficulty": given["difficulty"] or None,
            "scores": {name: given[name] for name in SCORES},
            "flags": {name: given[name] for name in FLAGS},
            **{prefix: [row.plain() for row in rows] for prefix, rows in parts.items()},
        }

    def _show(self, problem: Problem, parts: Mapping[str, list[RowForm]]) -> None:
        first, *rest = problem.field.split(".")
        sentence = f"Got {problem.got}, expected {problem.expected}."
        if first in parts and rest and rest[0].isdigit():
            row = parts[first][int(rest[0])]
            field = rest[1] if len(rest) > 1 and rest[1] in row.fields else None
            row.add_error(field, _at_item(rest[2:], sentence))
            return
        if first in {"scores", "flags"} and rest:
            first, rest = rest[0], []
        if first in self.form.fields:
            self.form.add_error(first, _at_item(rest, sentence))
        else:
            self.form.add_error(None, f"{first.capitalize()}: {sentence}" if first else sentence)

    def refuse(self, sentence: str, code: str) -> bool:
        """Show why the flow would not take it; whether the code speaks of a field, which then bears it."""
        field = {"reason_missing": "reason", "bad_version": "version"}.get(code)
        if field is None and "slug" in code and "slug" in self.form.fields:
            field = "slug"
        self.form.add_error(field, sentence)
        return field is not None


def _at_item(rest: Iterable[str], sentence: str) -> str:
    steps = [f"item {int(step) + 1}" if step.isdigit() else step for step in rest]
    return f"{', '.join(steps).capitalize()}: {sentence}" if steps else sentence


def _fields(document: Document) -> dict[str, Any]:
    plain = document.plain()
    return {
        **{name: value for name, value in plain.items() if name in PostForm.base_fields},
        **plain["scores"],
        **plain["flags"],
        "payload": document.payload.model_dump(mode="json", exclude_defaults=True),
    }


def _parts(document: Document) -> dict[str, list[dict[str, Any]]]:
    plain = document.plain()
    names = {entity["name"] for entity in plain["entities"]}
    known = {(row.name, row.type): row.pk for row in Entity.objects.filter(name__in=names)} if names else {}
    entities = [{"entity": known.get((entity["name"], entity["type"]))} for entity in plain["entities"]]
    return {"checklists": plain["checklists"], "entities": entities, "images": plain["images"]}
