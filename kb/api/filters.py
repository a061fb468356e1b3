"""Turn the parameters of a list into the rows that it shows."""

import re
from datetime import datetime

from django import forms
from django_filters import FilterSet
from django_filters.filters import Filter

from kb.api.pagination import LAST_ID, CursorField, Keyset, LimitField
from kb.api.parameters import Choice, Text, Truth, WholeNumber
from kb.choices import Difficulty
from kb.models.publication import Publication, PublicationQuerySet

NEWEST_FIRST = Keyset({"published_at": datetime, "id": int}, descending=True)
BY_TYPE_AND_NAME = Keyset({"type": str, "name": str, "id": int})
BY_TITLE = Keyset({"title": str, "key": str})
LATEST_FIRST = Keyset({"number": int}, descending=True)


class PostPage(forms.Form):
    cursor = CursorField(NEWEST_FIRST)
    limit = LimitField()


class EntityPage(forms.Form):
    cursor = CursorField(BY_TYPE_AND_NAME)
    limit = LimitField()
    type = Text(max_length=60, label="Only entities of this type.", help_text="a type such as stack or area")


class ChecklistPage(forms.Form):
    cursor = CursorField(BY_TITLE)
    limit = LimitField()


class RevisionPage(forms.Form):
    cursor = CursorField(LATEST_FIRST)
    limit = LimitField()


class ChangePage(forms.Form):
    since = WholeNumber(
        most=LAST_ID,
        label="Only what came after the entry with this number; 0 or nothing: from the beginning.",
        help_text="the number of the last entry that you have, or 0",
    )
    limit = LimitField()


class ExportStart(forms.Form):
    after = forms.RegexField(
        r"^[-a-zA-Z0-9_]+$",
        required=False,
        max_length=200,
        label="Where to go on after an export that broke off: the slug in the last whole line that you have.",
        help_text="the slug of a post",
    )


class EntityKey(Text):
    def __init__(self, **kwargs) -> None:
        super().__init__(max_length=561, help_text="type:name, such as stack:python services", **kwargs)

    def to_python(self, value):
        text = super().to_python(value)
        if text and not re.fullmatch(r".+:.+", text):
            raise forms.ValidationError("no type")
        return text


class ChecklistKey(Text):
    def __init__(self, **kwargs) -> None:
        super().__init__(max_length=64, help_text="the key of a checklist, 64 hex digits", **kwargs)

    def to_python(self, value):
        text = super().to_python(value)
        if text and not re.fullmatch(r"[0-9a-f]{64}", text):
            raise forms.ValidationError("no key")
        return text


class TextFilter(Filter):
    field_class = Text


class NumberFilter(Filter):
    field_class = WholeNumber


class ChoiceFilter(Filter):
    field_class = Choice


class TruthFilter(Filter):
    field_class = Truth


class MemberFilter(TextFilter):
    """Rows whose array holds the value."""

    def filter(self, qs, value):
        return qs.filter(**{f"{self.field_name}__contains": [value]}) if value else qs


class EntityFilter(Filter):
    field_class = EntityKey

    def filter(self, qs, value):
        return qs.about(value) if value else qs


class ChecklistFilter(MemberFilter):
    field_class = ChecklistKey


class WordsFilter(TextFilter):
    def filter(self, qs, value):
        return qs.found_by(value) if value else qs


def _least(name: str, most: int, what: str) -> NumberFilter:
    return NumberFilter(name, "gte", most=most, label=f"{what} of at least this.")


def _most(name: str, most: int, what: str) -> NumberFilter:
    return NumberFilter(name, "lte", most=most, label=f"{what} of at most this.")


class PostFilters(FilterSet):
    """All that is named has to hold. Words are compared exactly, upper and lower case included."""

    q = WordsFilter(
        max_length=200,
        label="Only posts with all these words; a phrase in quotes, a minus before a word excludes it, OR.",
    )
    topic = TextFilter(max_length=500, label="Only posts on this topic.")
    stack = MemberFilter("stack", max_length=500, label="Only posts with this in their stack.")
    tool = MemberFilter("tools", max_length=500, label="Only posts that need this tool.")
    entity = EntityFilter(label="Only posts about this entity.")
    checklist = ChecklistFilter("checklists", label="Only posts that carry this checklist.")
    difficulty = ChoiceFilter(
        words=[level.value for level in Difficulty], label="Only posts of this difficulty."
    )
    code_language = TextFilter(max_length=60, label="Only posts with code in this language.")
    ai_involved = TruthFilter(label="Only posts in which a machine had a hand, or only the others.")
    reading_time_min = _least("reading_time", 10_000, "Minutes to read")
    reading_time_max = _most("reading_time", 10_000, "Minutes to read")
    quality_min = _least("quality", 100, "A quality score")
    quality_max = _most("quality", 100, "A quality score")
    freshness_min = _least("freshness", 100, "A freshness score")
    freshness_max = _most("freshness", 100, "A freshness score")
    depth_min = _least("depth", 100, "A depth score")
    depth_max = _most("depth", 100, "A depth score")
    clarity_min = _least("clarity", 100, "A clarity score")
    clarity_max = _most("clarity", 100, "A clarity score")

    class Meta:
        form = PostPage

    def filter_queryset(self, queryset: PublicationQuerySet) -> PublicationQuerySet:
        for name, one in self.filters.items():
            queryset = one.filter(queryset, self.form.cleaned_data[name])
        return queryset


# The same form for the documentation.
PostParameters = PostFilters(queryset=Publication.reading.none()).get_form_class()
