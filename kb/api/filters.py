"""Turn the parameters of a list into what it holds and in which order."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django import forms
from django_filters import FilterSet
from django_filters.filters import Filter

from kb.api import shapes
from kb.api.pagination import LimitField, Paged
from kb.api.parameters import All, Choice, Moment, Parameters, Several, Text, Truth, WholeNumber
from kb.api.selecting import selection
from kb.choices import DUE_WITHIN, Difficulty, FacetKind
from kb.choices import Truth as State
from kb.models.publication import Publication
from kb.reading.keyset import LAST_ID, Keyset
from kb.reading.listing import ORDERS, Bound, Facet, Wanted

BY_TYPE_AND_NAME = Keyset({"type": str, "name": str, "id": int})
BY_POSTS = Keyset({"posts": int, "id": int}, descending=True)
BY_TITLE = Keyset({"title": str, "key": str})
LATEST_FIRST = Keyset({"number": int}, descending=True)
FACETS = [kind.value for kind in FacetKind if kind != FacetKind.ALL]


class PostPage(selection(shapes.Card, expand=("meta",)), Paged):
    ordering = Choice(words=list(ORDERS), label="In which order, -published_at unless told.")
    count = Choice(
        words=["estimate", "exact", "none"],
        label="How many there are in all: an estimate unless told, counted one by one, or not told at all.",
    )

    def order(self) -> Keyset:
        return ORDERS[self.cleaned_data.get("ordering") or "-published_at"]


class EntityPage(selection(shapes.Entity), Paged):
    type = Several(
        Text(max_length=60, label="Only entities of this type.", help_text="a type such as stack or area")
    )
    q = Text(max_length=200, label="Only entities whose name begins so, in upper or lower case.")
    ordering = Choice(
        words=["name", "-posts"], label="By type and name unless told, or those that most posts name first."
    )

    def order(self) -> Keyset:
        return BY_POSTS if self.cleaned_data.get("ordering") == "-posts" else BY_TYPE_AND_NAME


class ChecklistPage(selection(shapes.Checklist), Paged):
    keyset = BY_TITLE


class RevisionPage(selection(shapes.Revision), Paged):
    keyset = LATEST_FIRST


class PostSelection(selection(shapes.Post, expand=("meta", "revisions", "entities"))):
    """What is shown of one post."""


MetaSelection = selection(shapes.Meta)


class FacetPage(Parameters):
    kind = Several(Choice(words=FACETS, label="Only facets of this kind."))
    limit = LimitField()


class ChangePage(Parameters):
    since = WholeNumber(
        most=LAST_ID,
        label="Only what came after the entry with this number; 0 or nothing: from the beginning.",
        help_text="the number of the last entry that you have, or 0",
    )
    limit = LimitField()


class ExportStart(Parameters):
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


# --- Filters ------------------------------------------------------------------------------------------------
@dataclass
class Asked:
    """What filters gather."""

    facets: list[tuple[Facet, ...]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    words: str = ""


class PostFilter(Filter):
    """One parameter: its field, and what it adds to what is asked for. Nothing of it reaches the ORM."""

    def __init__(self, parameter: forms.Field) -> None:
        super().__init__(label=parameter.label)
        self._field = parameter

    @property
    def field(self) -> forms.Field:
        return self._field

    def add(self, asked: Asked, value: Any) -> None:
        raise NotImplementedError


class AnyFacet(PostFilter):
    """Posts that have at least one of these values."""

    def __init__(self, kind: FacetKind, one: forms.Field) -> None:
        super().__init__(Several(one))
        self.kind = kind

    def add(self, asked, value) -> None:
        asked.facets.append(tuple((self.kind.value, each) for each in value))


class AllFacets(PostFilter):
    """Posts that have every one of these values."""

    def __init__(self, kind: FacetKind, one: forms.Field) -> None:
        super().__init__(All(one))
        self.kind = kind

    def add(self, asked, value) -> None:
        asked.facets += [((self.kind.value, each),) for each in value]


class TruthFacet(PostFilter):
    def __init__(self, kind: FacetKind, label: str) -> None:
        super().__init__(Truth(label=label))
        self.kind = kind

    def add(self, asked, value) -> None:
        asked.facets.append(((self.kind.value, "true" if value else "false"),))


class NumberBound(PostFilter):
    def __init__(self, column: str, sign: str, most: int, label: str) -> None:
        super().__init__(WholeNumber(most=most, label=label))
        self.column, self.sign = column, sign

    def add(self, asked, value) -> None:
        asked.bounds.append(Bound(self.column, self.sign, value))


class MomentBound(PostFilter):
    def __init__(self, column: str, sign: str, label: str) -> None:
        super().__init__(Moment(upto=sign == "<=", label=label))
        self.column, self.sign = column, sign

    def add(self, asked, value) -> None:
        moment, left_out = value
        asked.bounds.append(Bound(self.column, "<" if left_out else self.sign, moment))


class StateFilter(PostFilter):
    """By the date until which somebody vouches for a post, and the clock."""

    def __init__(self) -> None:
        label = "Only posts that are vouched for, due for verification, or overdue."
        super().__init__(Choice(words=[state.value for state in State], label=label))

    def add(self, asked, value) -> None:
        now = datetime.now(UTC)
        if value != State.OVERDUE:
            asked.bounds.append(Bound("review_by", ">", now if value == State.DUE else now + DUE_WITHIN))
        if value != State.FRESH:
            asked.bounds.append(Bound("review_by", "<=", now + DUE_WITHIN if value == State.DUE else now))


class WordsFilter(PostFilter):
    def __init__(self) -> None:
        label = "Only posts with all these words; a phrase in quotes, a minus before a word excludes it, OR."
        super().__init__(Text(max_length=200, label=label))

    def add(self, asked, value) -> None:
        asked.words = value


def _texts(label: str) -> Text:
    return Text(max_length=500, label=label)


def _least(column: str, most: int, what: str) -> NumberBound:
    return NumberBound(column, ">=", most, f"{what} of at least this.")


def _most(column: str, most: int, what: str) -> NumberBound:
    return NumberBound(column, "<=", most, f"{what} of at most this.")


class PostFilters(FilterSet):
    """All that is named has to hold. Words are compared exactly, upper and lower case included."""

    q = WordsFilter()
    topic = AnyFacet(FacetKind.TOPIC, _texts("Only posts on one of these topics."))
    stack = AnyFacet(FacetKind.STACK, _texts("Only posts with one of these in their stack."))
    stack__all = AllFacets(FacetKind.STACK, _texts("Only posts with all of these in their stack."))
    tool = AnyFacet(FacetKind.TOOL, _texts("Only posts that need one of these tools."))
    tool__all = AllFacets(FacetKind.TOOL, _texts("Only posts that need all of these tools."))
    entity = AnyFacet(FacetKind.ENTITY, EntityKey(label="Only posts about one of these entities."))
    entity__all = AllFacets(FacetKind.ENTITY, EntityKey(label="Only posts about all of these entities."))
    checklist = AnyFacet(
        FacetKind.CHECKLIST, ChecklistKey(label="Only posts that carry one of these checklists.")
    )
    difficulty = AnyFacet(
        FacetKind.DIFFICULTY,
        Choice(words=[level.value for level in Difficulty], label="Only posts of one of these difficulties."),
    )
    code_language = AnyFacet(
        FacetKind.CODE_LANGUAGE, Text(max_length=60, label="Only posts with code in one of these languages.")
    )
    ai_involved = TruthFacet(
        FacetKind.AI_INVOLVED, "Only posts in which a machine had a hand, or only the others."
    )
    freshness = StateFilter()
    quality__gte = _least("quality", 100, "A quality score")
    quality__lte = _most("quality", 100, "A quality score")
    freshness__gte = _least("freshness", 100, "A freshness score")
    freshness__lte = _most("freshness", 100, "A freshness score")
    depth__gte = _least("depth", 100, "A depth score")
    depth__lte = _most("depth", 100, "A depth score")
    clarity__gte = _least("clarity", 100, "A clarity score")
    clarity__lte = _most("clarity", 100, "A clarity score")
    reading_time__gte = _least("reading_time", 10_000, "Minutes to read")
    reading_time__lte = _most("reading_time", 10_000, "Minutes to read")
    reviewed__gte = MomentBound("reviewed_at", ">=", "Last vouched for then or later.")
    reviewed__lte = MomentBound("reviewed_at", "<=", "Last vouched for then or earlier.")
    updated__gte = MomentBound("published_at", ">=", "Approved as it is then or later.")
    updated__lte = MomentBound("published_at", "<=", "Approved as it is then or earlier.")

    class Meta:
        form = PostPage


class FacetFilters(PostFilters):
    class Meta:
        form = FacetPage


def form_of(filters: type[FilterSet]) -> type[Parameters]:
    """The same form for the documentation."""
    return filters(queryset=Publication.reading.none()).get_form_class()


PostParameters = form_of(PostFilters)
FacetParameters = form_of(FacetFilters)


def wanted(values: Mapping[str, Any], *more: Facet) -> Wanted:
    """What checked values ask for, of what has these facets."""
    asked = Asked([(facet,) for facet in more])
    for name, one in PostFilters.base_filters.items():
        if (value := values.get(name)) not in (None, "", ()):
            one.add(asked, value)
    return Wanted(tuple(asked.facets), tuple(asked.bounds), asked.words)
