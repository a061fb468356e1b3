"""Turn an understood query into publications by BM25F, over candidates that the rarest words choose.

PostgreSQL's own ranks know nothing of rarity, but `ts_rank` of one word, all weights 1, is the sum of 1/i²
over its n places, divided by π²/6. That gives n back, and as vectors are made n is the weighted frequency.
What is scored is bounded: see kb.reading.search for what that means to readers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from kb import words
from kb.reading.restricting import Restriction
from kb.reading.rows import microseconds, present, rows
from kb.reading.vocabulary import Understood

MOST = 1000  # posts that one query can reach
ENOUGH = 50  # posts with all words; below, posts with some of them come too
RANKED = 2000  # candidates whose score is computed
INDEXED = 30_000  # postings that one look into the index may read
WALKED = 6000  # newest posts that are looked at for words that very many posts have
WALKED_WITHIN = 3000  # the same of those within facets and bounds, whose texts lie far apart
FETCHED = 8000  # posts that one look for some of the words may read, of which it keeps the newest
EACH = 400  # posts of one such look or walk
K1, B = 1.4, 0.7  # saturation and weight of length, tuned on public judged collections

Within = Restriction | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """One post among the ranks, and what put it there: "words", "meaning"."""

    publication: int
    score: float
    moment: int  # of publication, in microseconds since 1970
    by: frozenset[str] = frozenset({"words"})


@dataclass(frozen=True, slots=True)
class Ranking:
    posts: list[Ranked]
    is_exact: bool  # nothing was cut off
    widened: bool  # some posts lack some words


@dataclass(frozen=True, slots=True)
class Look:
    """One way to candidates: all posts with this by the index, or those among the newest."""

    tsquery: str
    is_walk: bool = False
    most: int = RANKED
    fetched: int = 4 * INDEXED


def rank(said: Understood, within: Within = None) -> Ranking:
    """The best posts, at most MOST, best first; of equal ones the newest."""
    if not said.clauses:
        return Ranking([], is_exact=True, widened=False)
    everything = len(said.clauses) == len(said.query.clauses)
    posts, is_exact = _scored(said, _strict(said, within) if everything else [], within)
    with_all = len(posts)
    if with_all < ENOUGH and (len(said.clauses) > 1 or not everything):
        posts, is_exact = _scored(said, _wide(said, within), within)
    return Ranking(posts[:MOST], is_exact, widened=len(posts) > with_all)


def titled(said: Understood, most: int) -> list[int]:
    """The newest posts that have all words in their title."""
    if not said.clauses or len(said.clauses) < len(said.query.clauses):
        return []
    clauses = [clause for _, clause in said.clauses]
    rarest = min(sum(map(said.having_marked, clause)) for clause in clauses)
    asked = words.all_of(clauses, said.query.excluded, is_marked=True)
    sql, values = _look(Look(asked, is_walk=rarest > INDEXED // 4, most=most), None)
    return [publication for (publication,) in rows(sql, values)]


def _strict(said: Understood, within: Within) -> list[Look]:
    """Candidates that have all words."""
    posts = [posts for posts, _ in said.clauses]
    clauses = [clause for _, clause in said.clauses]
    asked = words.all_of(clauses, said.query.excluded)
    if _is_small(within):
        return [Look(asked, is_walk=True)]
    if _expected(said, posts) <= INDEXED and posts[0] <= 4 * INDEXED:
        return [Look(asked)]
    marked = words.all_of(clauses, said.query.excluded, is_marked=True)
    in_titles = [min(said.posts, sum(said.having_marked(word) for word in clause)) for clause in clauses]
    if min(in_titles) > 0 and _expected(said, in_titles) <= INDEXED:
        return [Look(marked, most=RANKED // 2), Look(asked, is_walk=True, most=EACH)]
    return [Look(marked, is_walk=True, most=EACH), Look(asked, is_walk=True, most=EACH)]


def _expected(said: Understood, posts: Sequence[int]) -> float:
    """How many posts have all of them, if none of them draws another."""
    expected = float(said.posts)
    for number in posts:
        expected *= number / said.posts
    return expected


def _is_small(within: Within) -> bool:
    """Whether so few posts are within that each is looked at."""
    return within is not None and within.posts is not None and within.posts <= WALKED_WITHIN


def _wide(said: Understood, within: Within) -> list[Look]:
    """Candidates that have some of the words, the rarest first."""
    is_small = _is_small(within)
    if said.posts <= RANKED or is_small:
        asked = words.some_of([clause for _, clause in said.clauses], said.query.excluded)
        return [Look(asked, is_walk=is_small)]
    looks: list[Look] = []
    rare: list[words.Clause] = []
    room = RANKED
    for posts, clause in said.clauses:
        if posts > room:
            break
        rare.append(clause)
        room -= posts
    common = said.clauses[len(rare) :]
    if rare:
        looks.append(Look(words.some_of(rare, said.query.excluded)))
    looks += _several(said, common)
    if common and room >= EACH and common[0][0] <= INDEXED:
        asked = words.all_of([common[0][1]], said.query.excluded)
        looks.append(Look(asked, most=max(EACH, room), fetched=INDEXED))
    if common:
        asked = words.some_of([clause for _, clause in common], said.query.excluded)
        looks.append(Look(asked, is_walk=True, most=EACH))
    return looks


def _several(said: Understood, common: Sequence[tuple[int, words.Clause]]) -> list[Look]:
    """Candidates with three of the four rarest, and with two of the three rarest of these words."""
    looks = []
    for least, of in ((3, 4), (2, 3)):
        groups = list(combinations(common[:of], least))
        expected = sum(_expected(said, [posts for posts, _ in group]) for group in groups)
        if groups and expected <= INDEXED:
            asked = [words.all_of([clause for _, clause in group]) for group in groups]
            looks.append(Look(words.one_of(asked, said.query.excluded), most=EACH, fetched=FETCHED))
    return looks


def _scored(said: Understood, looks: Sequence[Look], within: Within) -> tuple[list[Ranked], bool]:
    if not looks:
        return [], True
    found, values = [], []
    for look in looks:
        sql, given = _look(look, within)
        found.append(f"({sql})")
        values += given
    score, weights = _score(said)
    sql = f"""
        WITH candidate AS MATERIALIZED (
            SELECT DISTINCT publication_id FROM ({" UNION ALL ".join(found)}) AS found
        ), measured AS MATERIALIZED (
            SELECT t.publication_id, t.published_at, {score} AS score
              FROM (SELECT t.publication_id, t.published_at, t.words,
                           {K1} * ({1 - B} + {B} * t.length / %s) AS norm
                      FROM candidate JOIN kb_publishedtext t USING (publication_id) OFFSET 0) AS t
        )
        SELECT publication_id, score, {microseconds("published_at")} FROM measured
         ORDER BY score DESC, published_at DESC, publication_id DESC LIMIT {MOST + 1}
    """  # noqa: S608  (numbers of our own; all else comes as parameters)
    posts = [Ranked(*found) for found in rows(sql, [*values, *weights, max(said.length, 1.0)])]
    walked = any(look.is_walk or look.most < RANKED for look in looks) and not _is_small(within)
    return posts, not walked and len(posts) <= MOST


def _look(look: Look, within: Within) -> tuple[str, list[Any]]:
    if look.is_walk:
        return _walk(look, within)
    inside, values = within.conditions("t") if within else ("", [])
    # Materialised: the planner would rather walk all posts by date than believe that few match.
    sql = f"""
        WITH found AS MATERIALIZED (
            SELECT publication_id, published_at FROM kb_publishedtext t
             WHERE words @@ %s::tsquery AND {present("t")} {inside} LIMIT {look.fetched}
        ) SELECT publication_id FROM found
           ORDER BY published_at DESC, publication_id DESC LIMIT {look.most}
    """  # noqa: S608
    return sql, [look.tsquery, *values]


_TEXT = "SELECT * FROM kb_publishedtext x WHERE x.publication_id = n.publication_id OFFSET 0"


def _walk(look: Look, within: Within) -> tuple[str, list[Any]]:
    """The newest posts, or the newest of those within, as far as they have this."""
    walked = "kb_publishedtext t"
    values: list[Any] = []
    if within:
        newest, values = within.newest(WALKED_WITHIN)
        walked = f"({newest}) AS n CROSS JOIN LATERAL ({_TEXT}) AS t"
    sql = f"""
        SELECT publication_id FROM (
            SELECT t.publication_id, t.published_at, t.words FROM {walked}
             WHERE {present("t")} ORDER BY t.published_at DESC, t.publication_id DESC LIMIT {WALKED} OFFSET 0
        ) AS newest WHERE words @@ %s::tsquery
         ORDER BY published_at DESC, publication_id DESC LIMIT {look.most}
    """  # noqa: S608
    return sql, [*values, look.tsquery]


# 1 - norm / (n + norm) is n / (n + norm), with n named once. See above for n.
_PART = (
    "%s * (1 - t.norm / (t.norm +"
    " round(0.6079271018540267 / (1 - ts_rank('{1,1,1,1}', t.words, %s::tsquery)::float8) - 0.5)))"
)


def _score(said: Understood) -> tuple[str, list[Any]]:
    """The sum over all words that some post has, as SQL over `t.words` and `t.norm`."""
    worth = said.worth
    values = [value for lexeme in worth for value in ((K1 + 1) * worth[lexeme], words.quoted(lexeme))]
    return " + ".join([_PART] * len(worth)), values
