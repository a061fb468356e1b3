"""Turn the questions that editors ask of the list of posts into its filters.

What there is to choose from costs the same however many posts there are.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Least
from django.http import HttpRequest

from kb.choices import Difficulty, Severity, State
from kb.flow import flagging, reviewing
from kb.models import Flag, Post

SAMPLE = 1_000  # posts, the last edited first, that choices of an open list are taken of
MOST = 25  # choices of an open list; the search box finds the rest
# What raises flags: rules, people, readers and the clock.
CODES = sorted({*flagging.WORDS, reviewing.REVIEW_REQUESTED, "by_hand"})


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(State.choices)

    def queryset(self, request: HttpRequest, posts: QuerySet) -> QuerySet | None:
        return posts.filter(state=self.value()) if self.value() else None


class PublishedFilter(admin.SimpleListFilter):
    title = "what readers have"
    parameter_name = "published"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Published"), ("no", "Not published")]

    def queryset(self, request: HttpRequest, posts: QuerySet) -> QuerySet | None:
        return {"yes": posts.published, "no": posts.unpublished}.get(self.value() or "", lambda: None)()


class FlagFilter(admin.SimpleListFilter):
    """Open flags of the newest revision, by gravity or by what raised them."""

    title = "open flag"
    parameter_name = "flag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("any", "Any"),
            (Severity.BLOCKING.value, "Any that blocks"),
            *((code, words_of_flag(code)) for code in CODES),
        ]

    def queryset(self, request: HttpRequest, posts: QuerySet) -> QuerySet | None:
        match self.value():
            case None:
                return None
            case "any":
                heads = Flag.objects.open().values("revision")
                return posts.filter(head__in=heads)
            case Severity.BLOCKING.value:
                return posts.filter(head__in=Flag.objects.open().blocking().values("revision"))
            case code:
                return posts.filter(head__in=Flag.objects.open().filter(code=code).values("revision"))


def words_of_flag(code: str) -> str:
    return flagging.WORDS.get(code) or code.replace("_", " ").capitalize()


class _CommonValues(admin.SimpleListFilter):
    """The values that the last edited posts have most often, and the one that is chosen."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = Post.objects.order_by("-updated_at", "-pk").values_list(self.parameter_name, flat=True)
        counted = Counter(filter(None, newest[:SAMPLE]))
        values = [value for value, _ in counted.most_common(MOST)]
        chosen = request.GET.get(self.parameter_name)
        if chosen and chosen not in values:
            values.append(chosen)
        return [(value, value) for value in values]

    def queryset(self, request: HttpRequest, posts: QuerySet) -> QuerySet | None:
        return posts.filter(**{self.parameter_name: self.value()}) if self.value() else None


class TopicFilter(_CommonValues):
    title = "topic"
    parameter_name = "topic"


class SourceFilter(_CommonValues):
    title = "source"
    parameter_name = "source"


class NamedValuesFilter(admin.AllValuesFieldListFilter):
    """All values of a column; to have none is one, and its link needs words."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or "None"}


class DifficultyFilter(admin.SimpleListFilter):
    title = "difficulty"
    parameter_name = "difficulty"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((level.value, level.value.capitalize()) for level in Difficulty), ("none", "Not said")]

    def queryset(self, request: HttpRequest, posts: QuerySet) -> QuerySet | None:
        if not self.value():
            return None
        return posts.filter(difficulty="" if self.value() == "none" else self.value())


class ScoreFilter(admin.SimpleListFilter):
    """By the lowest of the four scores: a chain breaks at its weakest link."""

    title = "lowest score"
    parameter_name = "score"
    BANDS = {"0-49": (0, 49), "50-69": (50, 69), "70-84": (70, 84), "85-100": (85, 100)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        yield from ((band, f"{low} to {high}") for band, (low, high) in self.BANDS.items())
        yield "none", "No scores"

    def queryset(self, request: HttpRequest, posts: QuerySet) -> QuerySet | None:
        if not self.value():
            return None
        posts = posts.annotate(lowest_score=Least("quality", "freshness", "depth", "clarity"))
        if self.value() == "none":
            return posts.filter(lowest_score__isnull=True)
        band = self.BANDS.get(self.value() or "")
        return posts.filter(lowest_score__range=band) if band else posts.none()
