"""Turn what somebody typed into the publications that mean it, whatever their words, and both ranks into one.

One query, by the index of pgvector. Everything here gives nothing, and says why in `why_not`, where there is
neither the extra `semantic` nor a column with vectors; the model is loaded by the first search of a process.

What the numbers are from: five public judged collections (Cranfield, CACM, NPL, NFCorpus twice), nDCG@10.
Words alone 0.414 on average; fused by 1 / (10 + rank), vectors counting 0.4, 0.424; as done here, 0.430. A
vector says little below 0.3, and questions about something else altogether rarely find a post above 0.4.
"""

from collections.abc import Mapping, Sequence
from time import monotonic

from kb import meaning, words
from kb.meaning import Embedder
from kb.reading.ranking import MOST, Ranked, Within
from kb.reading.rows import Row, microseconds, present, row, rows

FLOOR = 0.3  # cosine: below, likeness says nothing
ALONE = 0.4  # below, a post that has none of the words is not shown
NEAR = 200
WEIGHT = 0.6  # of the best vector against the best by words
PATIENCE = 60.0  # seconds after which to look again whether there are vectors

_COLUMN = """
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('kb_publishedvector')
                    AND attname = 'vector' AND NOT attisdropped)
"""
_WITHOUT = "SELECT publication_id FROM kb_publishedtext WHERE words @@ %s::tsquery"


class _Stored:
    """Whether the database keeps vectors: asked until it does, at most once a minute."""

    is_there = False
    asked_at = float("-inf")

    def __call__(self) -> bool:
        if not self.is_there and monotonic() - self.asked_at > PATIENCE:
            found = row(_COLUMN)
            self.is_there, self.asked_at = bool(found and found[0]), monotonic()
        return self.is_there


stored = _Stored()


def why_not() -> str:
    """Why nothing is found by meaning; "" where it is."""
    return meaning.why_not() or ("" if stored() else "no vectors are kept: run manage.py meaning")


def near_sql(model: Embedder, target: str, most: int) -> str:
    """SELECT publication_id, published_at, likeness of the publications nearest to the SQL of a vector.

    The outer FROM item lets the index look far enough, and comes first: the inner one asks for its value.
    The name of the model stands as text, as in the index's condition.
    """
    size = int(model.dimensions)
    name = model.name.replace("'", "''").replace("%", "%%")
    return f"""
        SELECT n.publication_id, p.published_at, n.likeness
          FROM (SELECT set_config('hnsw.ef_search', '{most}', true)::int AS most OFFSET 0) AS look,
               LATERAL (
                   SELECT v.publication_id, v.fingerprint,
                          1 - ((v.vector::halfvec({size})) <=> {target}::halfvec({size})) AS likeness
                     FROM kb_publishedvector v WHERE v.model = '{name}' AND look.most > 0
                    ORDER BY (v.vector::halfvec({size})) <=> {target}::halfvec({size}) LIMIT {most}
               ) AS n
          JOIN kb_publication p ON p.id = n.publication_id AND p.fingerprint = n.fingerprint
           AND {present("p")}
    """  # noqa: S608  (numbers and names of our own)


def nearest(
    text: str,
    *,
    limit: int = NEAR,
    floor: float = FLOOR,
    within: Within = None,
    excluded: words.Clause = (),
) -> list[Row]:
    """(publication, moment as Ranked has it, likeness) of at most `limit`, the nearest first.

    None is below the floor or has an excluded word.
    """
    model = meaning.embedder()
    if model is None or not text.strip() or not stored():
        return []
    vector = meaning.of_query(model, text)
    if not any(vector):
        return []
    literal = f"[{','.join(f'{value:.5g}' for value in vector)}]"
    chosen, values = within.conditions("near") if within else ("", [])
    if excluded:
        chosen += f" AND publication_id IN ({_WITHOUT})"
        values.append(words.all_of((), excluded))
    sql = f"""
        WITH asked AS MATERIALIZED (SELECT %s::halfvec AS vector)
        SELECT publication_id, {microseconds("published_at")}, likeness
          FROM ({near_sql(model, "(SELECT vector FROM asked)", limit)}) AS near
         WHERE likeness >= %s {chosen} ORDER BY likeness DESC, published_at DESC, publication_id DESC
    """  # noqa: S608
    return rows(sql, [literal, floor, *values])


def fuse(query: words.Query, ranked: Sequence[Ranked], within: Within = None) -> list[Ranked]:
    """The ranks by words and by meaning as one: at most MOST, best first, of equal ones the newest."""
    asked = " ".join(clause[0].text for clause in query.clauses)
    near = nearest(asked, within=within, excluded=query.excluded)
    if not near:
        return list(ranked)
    likeness = {publication: like for publication, _, like in near}
    by_words = {one.publication: one.score for one in ranked}
    moments = {publication: at for publication, at, _ in near}
    moments |= {one.publication: one.moment for one in ranked}
    close = {publication for publication, like in likeness.items() if like >= ALONE}
    found = [
        Ranked(
            publication,
            score,
            moments[publication],
            frozenset(by for by, those in (("words", by_words), ("meaning", close)) if publication in those),
        )
        for publication, score in fused(by_words, likeness).items()
    ]
    return sorted(found, key=lambda one: (one.score, one.moment, one.publication), reverse=True)[:MOST]


def fused(by_words: Mapping[int, float], near: Mapping[int, float]) -> dict[int, float]:
    """One score for each publication that is found by its words, or is near enough without any of them.

    Each counts by its share of the best of its kind. Those that are not near count as the last of the near.
    """
    best = max(by_words.values(), default=0.0) or 1.0
    nearest, last = max(near.values(), default=1.0), min(near.values(), default=0.0)
    found = by_words.keys() | {one for one, likeness in near.items() if likeness >= ALONE}
    return {one: by_words.get(one, 0.0) / best + WEIGHT * near.get(one, last) / nearest for one in found}
