"""Turn a query and the facets that a reader chose into the page of what was found."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils.timesince import timesince

from kb.choices import FacetKind
from kb.reading.listing import Wanted
from kb.reading.restricting import Restriction, restriction
from kb.reading.search import LONGEST, Answer, BadCursor, FacetCount, Hit, search
from kb.site.access import for_readers, refuse_hidden
from kb.site.views import page

PAGE = 20
FEW = 6  # values of a facet that show before “more”
LONGEST_VALUE = 600
MOST_CHOSEN = 12

# In the order of the page.
KINDS = {
    FacetKind.TOPIC.value: "Topic",
    FacetKind.STACK.value: "Stack",
    FacetKind.TOOL.value: "Tools",
    FacetKind.ENTITY.value: "About",
    FacetKind.DIFFICULTY.value: "Difficulty",
    FacetKind.CODE_LANGUAGE.value: "Code",
}
FIELDS = {
    "title": "title",
    "topic": "topic",
    "stack": "stack",
    "tools": "tools",
    "entities": "subjects",
    "summary": "summary",
    "body": "text",
}


@dataclass(frozen=True)
class Choice:
    """A value to narrow the list by, or one that narrows it and can be let go."""

    value: str
    kind: str
    posts: int | None
    address: str
    is_chosen: bool

    @property
    def text(self) -> str:
        if self.kind == FacetKind.ENTITY:
            return self.value.split(":", 1)[-1]
        return self.value.capitalize() if self.kind == FacetKind.DIFFICULTY else self.value


@dataclass(frozen=True)
class Group:
    """What can be chosen of one kind; the rest stands behind “more”."""

    kind: str
    title: str
    first: list[Choice]
    rest: list[Choice]


@dataclass(frozen=True)
class Found:
    """One post as the page shows it."""

    post: dict[str, Any]
    published_at: datetime
    title: str
    summary: str
    excerpt: str
    because: list[str] = field(default_factory=list)

    @property
    def age(self) -> str:
        return f"{timesince(self.published_at, depth=1)} ago"


@dataclass(frozen=True)
class Asked:
    """What stands in the address."""

    words: str
    chosen: list[tuple[str, str]]
    cursor: str

    def address(self, chosen: list[tuple[str, str]] | None = None, **more: str) -> str:
        values = self.chosen if chosen is None else chosen
        return f"?{urlencode([('q', self.words), *values, *more.items()])}"

    def within(self) -> Restriction | None:
        return restriction(Wanted(facets=tuple((one,) for one in self.chosen)))


@for_readers
def search_page(request: HttpRequest) -> HttpResponse:
    asked = _asked(request)
    if not asked.words:
        return page(request, "search", asked=asked, words="")
    try:
        answer = search(asked.words, within=asked.within(), limit=PAGE, cursor=asked.cursor)
    except BadCursor:
        raise BadRequest(
            "The parameter “cursor” names no place in this list. Start again at its first page."
        ) from None
    return page(
        request,
        "search",
        asked=asked,
        words=asked.words,
        answer=answer,
        found=[_found(hit) for hit in answer.hits],
        groups=list(_groups(answer.facets, asked)),
        chosen=[_choice(FacetCount(*one, posts=0), asked) for one in asked.chosen],
        everything=asked.address(chosen=[]),
        following=asked.address(cursor=answer.next) if answer.next else "",
        first=asked.address(),
        instead=_instead(answer),
    )


def _asked(request: HttpRequest) -> Asked:
    words = refuse_hidden("q", request.GET.get("q", ""), LONGEST).strip()
    chosen = [
        (kind, refuse_hidden(kind, value, LONGEST_VALUE))
        for kind in KINDS
        for value in request.GET.getlist(kind)
    ]
    if len(chosen) > MOST_CHOSEN:
        raise BadRequest(f"More than {MOST_CHOSEN} facets are chosen. Let some of them go.")
    return Asked(words, chosen, request.GET.get("cursor", ""))


def _groups(facets: list[FacetCount], asked: Asked) -> Any:
    by_kind = {kind: list(found) for kind, found in groupby(facets, key=lambda facet: facet.kind)}
    for kind, title in KINDS.items():
        choices = [_choice(facet, asked) for facet in by_kind.get(kind, [])]
        # One value that all have narrows nothing.
        if len(choices) > 1 or any(choice.is_chosen for choice in choices):
            yield Group(kind, title, choices[:FEW], choices[FEW:])


def _choice(facet: FacetCount, asked: Asked) -> Choice:
    one = (facet.kind, facet.value)
    is_chosen = one in asked.chosen
    others = [other for other in asked.chosen if other != one]
    address = asked.address(others if is_chosen else [*others, one])
    return Choice(facet.value, facet.kind, facet.posts, address, is_chosen)


def _found(hit: Hit) -> Found:
    excerpt = "" if "<mark>" in hit.shown.summary else hit.shown.passage
    because = [
        f"{FIELDS.get(reason.field, reason.field)}: {', '.join(reason.words[:4])}"
        for reason in hit.shown.reasons[:4]
    ]
    if "meaning" in hit.by:
        because.append("close in meaning")
    return Found(json.loads(hit.card), hit.published_at, hit.shown.title, hit.shown.summary, excerpt, because)


def _instead(answer: Answer) -> str:
    """What was looked for instead of words that no post has."""
    return ", ".join(f"“{one.used}” instead of “{one.typed}”" for one in answer.corrections)
