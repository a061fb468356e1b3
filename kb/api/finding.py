"""Turn what a reader types into ranked posts, or into what they may be about to type, as JSON."""

from django.urls import reverse
from django.utils.http import urlencode

from kb.api import filters, shapes
from kb.api.door import ReadView, as_bytes, stored
from kb.api.parameters import Parameters, Text, Truth, WholeNumber
from kb.api.problems import BadParameters, Fault
from kb.api.schema import describe
from kb.reading import suggesting
from kb.reading.restricting import restriction
from kb.reading.search import LIMIT, LONGEST, Answer, BadCursor, Hit, search

MOST = 100  # of one page


class Limit(WholeNumber):
    def __init__(self) -> None:
        super().__init__(least=1, most=MOST, label=f"How many at most, {LIMIT} unless told.")

    def clean(self, value: str) -> int:
        return super().clean(value) or LIMIT


class SearchPage(Parameters):
    q = Text(
        required=True,
        max_length=LONGEST,
        label="What to look for: words, a “phrase in quotes”, a minus before what must not be there, OR "
        "between alternatives, a star after the beginning of a word.",
        help_text=f"1 to {LONGEST} characters",
    )
    begun = Truth(label="Whether the last word may be just the beginning of one, as while somebody types.")
    facets = Truth(label="Whether to count what was found by topic, stack and so on; true unless told.")
    cursor = Text(
        max_length=40,
        label="Where to go on: part of the address in `next`.",
        help_text="the value in `next` of an earlier answer, unchanged",
    )
    limit = Limit()


class SearchFilters(filters.PostFilters):
    """Those of the list of posts: they restrict what is searched."""

    q = None

    class Meta:
        form = SearchPage


SearchParameters = filters.form_of(SearchFilters)


class Search(ReadView):
    parameters = SearchParameters

    @describe(
        "search",
        shapes.SearchPage,
        "Posts by what they say, best first, with the reason for each.",
        more="All words are required while enough posts have them; `widened` says when some posts lack some. "
        "A word that no post has is replaced by the nearest that one has: see `corrections`.",
        parameters=SearchParameters,
        tag="Finding",
    )
    def get(self, request):
        values = self.values()
        asked = filters.wanted({name: value for name, value in values.items() if name != "q"})
        try:
            answer = search(
                values["q"],
                within=restriction(asked),
                limit=values["limit"],
                cursor=values["cursor"],
                is_begun=bool(values["begun"]),
                with_facets=values["facets"] is not False,
            )
        except BadCursor:
            expected = str(self.parameters.base_fields["cursor"].help_text)
            raise BadParameters([Fault("cursor", "invalid", repr(values["cursor"]), expected)]) from None
        return stored(request, _page(request, answer))


def _page(request, answer: Answer) -> bytes:
    following = {**request.GET.dict(), "cursor": answer.next}
    facets: dict[str, list[dict[str, object]]] = {}
    for facet in answer.facets:
        facets.setdefault(facet.kind, []).append({"value": facet.value, "posts": facet.posts})
    head = {
        "next": f"{request.path}?{urlencode(following)}" if answer.next else None,
        "total": answer.total,
        "total_is_exact": answer.is_exact,
        "widened": answer.widened,
        "corrections": [{"typed": it.typed, "used": it.used} for it in answer.corrections],
        "synonyms": list(answer.synonyms),
        "facets": facets,
    }
    results = b",".join(map(_hit, answer.hits))
    return as_bytes(head)[:-1] + b',"results":[' + results + b"]}"


def _hit(hit: Hit) -> bytes:
    shown = hit.shown
    found = {
        "score": round(hit.score, 4),
        "by": sorted(hit.by),
        "title": shown.title,
        "summary": shown.summary,
        "passage": shown.passage,
        "reasons": [{"field": reason.field, "words": reason.words} for reason in shown.reasons],
    }
    return b'{"post":' + hit.card.encode() + b"," + as_bytes(found)[1:]


class SuggestPage(Parameters):
    q = Text(
        required=True,
        max_length=suggesting.LONGEST,
        label="What is typed so far.",
        help_text=f"1 to {suggesting.LONGEST} characters",
    )


class Suggest(ReadView):
    parameters = SuggestPage

    @describe(
        "suggest",
        shapes.Suggestions,
        "What somebody who typed this may be after: queries, posts by title, entities.",
        parameters=SuggestPage,
        tag="Finding",
    )
    def get(self, request):
        found = suggesting.suggest(self.values()["q"])
        body = {
            "queries": found.queries,
            "posts": [
                {"slug": slug, "title": title, "url": reverse("api:post", args=[slug])}
                for slug, title in found.posts
            ],
            "entities": [
                {"type": kind, "name": name, "posts": posts, "url": reverse("api:entity", args=[kind, slug])}
                for kind, name, slug, posts in found.entities
            ],
        }
        return stored(request, as_bytes(body))
