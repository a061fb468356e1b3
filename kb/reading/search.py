"""Turn what somebody typed into the posts that they mean, best first, with the reason for each.

    answer = search("retry kafka time-outs", within=restriction(wanted), limit=20)
    answer.hits[0].card                its stored card, JSON
    answer.hits[0].shown.title         safe HTML with <mark>; also .summary and .passage, of the body
    answer.hits[0].shown.reasons       [Reason("title", ["retry", "time-outs"]), Reason("body", ["Kafka"])]
    answer.hits[0].by                  {"words", "meaning"}: why it is here
    answer.total, answer.is_exact      how many can be reached, and whether there are no more than these
    answer.widened                     few posts have all words, so some of these lack some
    answer.corrections                 [Correction("kafak", "kafka")]: no post has the first
    answer.synonyms                    ["message broker"]: looked for too
    answer.facets                      [FacetCount("stack", "kafka pipelines", 12)] over all that was found
    answer.next                        the cursor of the next page, or ""

The query language is that of kb.words.query. Ranks are BM25F over bounded candidates (kb.reading.ranking).
`fuse` gets the query and these ranks, at most MOST, and gives the ranks that count, at most MOST; cards,
highlights, facets and cursors go by those. Where vectors are kept, it adds what means the same.

A cursor names the last post that was shown and its place, so that a page goes on after that post even when
others moved meanwhile. It raises BadCursor for anything else.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from kb import words
from kb.reading import meaning
from kb.reading.highlights import Shown, show
from kb.reading.ranking import MOST, Ranked, Ranking, Within, rank
from kb.reading.rows import present, rows
from kb.reading.vocabulary import Correction, Understood, understand

LONGEST = 300  # characters of a query
LIMIT = 20
MOST_FACETS = 20  # values of each kind
FACETED = 1000  # posts, the best ones

Fuse = Callable[[words.Query, list[Ranked], Within], list[Ranked]]

_CURSOR = re.compile(r"([0-9]{1,6})-([0-9]{1,18})", re.ASCII)
_PAGE = f"""
    SELECT p.id, p.slug, p.card_json, p.title, p.topic, p.stack, p.tools, p.entities, p.summary, p.html,
           p.published_at
      FROM kb_publication p WHERE p.id = ANY(%s) AND {present("p")}
"""  # noqa: S608
_FACETS = """
    SELECT kind, value, posts FROM (
        SELECT kind, value, count(*) AS posts,
               row_number() OVER (PARTITION BY kind ORDER BY count(*) DESC, value) AS place
          FROM kb_publication p, LATERAL (
              SELECT 'topic', p.topic WHERE p.topic <> '' UNION ALL SELECT 'stack', unnest(p.stack)
              UNION ALL SELECT 'tool', unnest(p.tools) UNION ALL SELECT 'entity', unnest(p.entities)
              UNION ALL SELECT 'difficulty', p.difficulty WHERE p.difficulty <> ''
              UNION ALL SELECT 'code_language', p.code_language WHERE p.code_language <> ''
          ) AS has (kind, value)
         WHERE p.id = ANY(%s) GROUP BY kind, value) AS counted
     WHERE place <= %s ORDER BY kind, place
"""


class BadCursor(ValueError):
    """No page of a search gave this cursor."""


@dataclass(frozen=True, slots=True)
class FacetCount:
    kind: str
    value: str
    posts: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One post: its stored card, its score, and where the words were found."""

    publication: int
    slug: str
    card: str  # JSON
    score: float
    published_at: datetime
    by: frozenset[str]
    shown: Shown


@dataclass(frozen=True, slots=True)
class Answer:
    query: words.Query  # as it was understood
    hits: list[Hit] = field(default_factory=list)
    total: int = 0
    is_exact: bool = True
    widened: bool = False
    corrections: tuple[Correction, ...] = ()
    synonyms: tuple[str, ...] = ()
    facets: list[FacetCount] = field(default_factory=list)
    next: str = ""


def search(
    text: str,
    *,
    within: Within = None,
    limit: int = LIMIT,
    cursor: str = "",
    is_begun: bool = False,
    with_facets: bool = True,
    fuse: Fuse = meaning.fuse,
) -> Answer:
    """The posts that are meant, of those `within`; `is_begun`: the last word may not be typed to its end."""
    after = _read(cursor)
    said = understand(words.query(text[:LONGEST]), is_begun=is_begun)
    ranking = rank(said, within)
    # A word that is not typed to its end means nothing yet.
    ranked = ranking.posts if is_begun else fuse(said.query, ranking.posts, within)
    first = _place_after(after, ranked)
    shown = ranked[first : first + limit]
    last = first + len(shown)
    return Answer(
        query=said.query,
        hits=_hits(said, shown),
        total=len(ranked),
        is_exact=ranking.is_exact,
        widened=ranking.widened,
        corrections=said.corrections,
        synonyms=said.synonyms,
        facets=_facets(ranked) if with_facets else [],
        next=f"{last}-{shown[-1].publication}" if shown and last < len(ranked) else "",
    )


def ranked_for(text: str, within: Within = None) -> Ranking:
    """The ranks alone."""
    return rank(understand(words.query(text[:LONGEST])), within)


def _read(cursor: str) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    match = _CURSOR.fullmatch(cursor)
    if match is None or int(match[1]) > MOST:
        raise BadCursor(cursor)
    return int(match[1]), int(match[2])


def _place_after(after: tuple[int, int], ranked: list[Ranked]) -> int:
    """Where to go on: after the post that was shown last, or at its place where it is gone."""
    place, publication = after
    return next((n for n, one in enumerate(ranked, start=1) if one.publication == publication), place)


def _hits(said: Understood, shown: list[Ranked]) -> list[Hit]:
    found = {row[0]: row for row in rows(_PAGE, [[one.publication for one in shown]])} if shown else {}
    weights = said.worth
    hits = []
    for one in shown:
        if one.publication not in found:
            continue  # withheld since it was ranked
        _, slug, card, title, topic, stack, tools, entities, summary, html, at = found[one.publication]
        fields = {
            "title": title,
            "topic": topic,
            "stack": ", ".join(stack),
            "tools": ", ".join(tools),
            "entities": ", ".join(key.split(":", 1)[1] for key in entities),
            "summary": summary,
        }
        seen = show(fields, html, weights)
        hits.append(Hit(one.publication, slug, card, one.score, at, one.by, seen))
    return hits


def _facets(ranked: list[Ranked]) -> list[FacetCount]:
    ids = [one.publication for one in ranked[:FACETED]]
    return [FacetCount(*row) for row in rows(_FACETS, [ids, MOST_FACETS])] if ids else []
