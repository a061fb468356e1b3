"""Turn a publication into those that are like it, the likest first, each with its reasons in words.

One query. Candidates come from what it shares with few others (topic, stack, tools, entities), the newest
posts of each, and from its nearest vectors where vectors are kept. A candidate scores the share of what is
rare about the post that it has too, and how close it is in meaning. Rare is what counts: of a hundred
thousand posts about Python no one is like another for that alone.
"""

from dataclasses import dataclass

from kb import meaning
from kb.choices import FacetKind
from kb.reading.meaning import near_sql, stored
from kb.reading.rows import present, rows

MOST = 5
FACETS = 16  # the rarest ones of a post
EACH = 60  # newest posts with one of them
SCORED = 200  # candidates that share most
NEAR = 30  # candidates by meaning
FLOOR = (
    0.2  # of 1 for all that is rare and 1 for the same meaning; below, posts merely have something in common
)
CLOSE = 0.5  # likeness of two vectors from which it is told as a reason
UNLIKE = 0.4  # likeness of two vectors that counts for nothing
DAMPER = 0.6  # of what is rare about a post, so that one common thing is not all there is
KINDS = {FacetKind.TOPIC: 0.8, FacetKind.STACK: 0.7, FacetKind.TOOL: 0.7, FacetKind.ENTITY: 1.0}
REASONS = 3  # of one kind that are named


@dataclass(frozen=True, slots=True)
class Reason:
    """What two posts have in common: its kind ("stack", the entity's type, "meaning") and the values."""

    kind: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"same {self.kind}: {', '.join(self.values)}" if self.values else "close in meaning"


@dataclass(frozen=True, slots=True)
class Similar:
    """A published post: its stored card as JSON, how similar it is from 0 to 2, and why."""

    slug: str
    title: str
    card: str
    score: float
    reasons: tuple[Reason, ...]


# What of the publication `p` may count: kind, value, weight.
_HAS = " UNION ALL ".join(
    f"SELECT '{kind.value}', {value}, {weight}"
    for (kind, weight), value in zip(
        KINDS.items(), ("p.topic", "unnest(p.stack)", "unnest(p.tools)", "unnest(p.entities)"), strict=True
    )
)
_SQL = f"""
WITH post AS MATERIALIZED (
    SELECT p.* FROM kb_publication p WHERE p.slug = %s AND {present("p")}
), own AS MATERIALIZED (
    -- ln(1 + N / n) / ln(1 + N): 1 for what one post has, near 0 for what all have.
    SELECT f.id, f.kind, f.value,
           has.weight * ln(1 + total.posts::float8 / f.posts) / ln(1 + total.posts::float8) AS worth
      FROM post p, LATERAL ({_HAS}) AS has (kind, value, weight)
      JOIN kb_publishedfacet f ON f.kind = has.kind AND f.value = has.value
      JOIN kb_publishedfacet total ON total.kind = '{FacetKind.ALL.value}' AND total.value = ''
     WHERE has.value <> '' AND f.posts > 0
     ORDER BY worth DESC, f.id LIMIT {FACETS}
), sharing AS MATERIALIZED (
    SELECT t.publication_id AS id
      FROM own, LATERAL (
          SELECT publication_id FROM kb_publishedtag t WHERE t.facet_id = own.id
           ORDER BY t.published_at DESC, t.publication_id DESC LIMIT {EACH}
      ) AS t
     GROUP BY 1 ORDER BY sum(own.worth) DESC, 1 DESC LIMIT {SCORED}
), near AS MATERIALIZED ({{near}}
), candidate AS MATERIALIZED (
    SELECT id, max(likeness) AS likeness FROM (
        SELECT id, 0 AS likeness FROM sharing UNION ALL SELECT publication_id, likeness FROM near
    ) AS found WHERE id <> (SELECT id FROM post) GROUP BY id
), scored AS MATERIALIZED (
    SELECT p.id, p.published_at, c.likeness, shared.kinds, shared.keys,
           coalesce(shared.worth, 0) / ((SELECT coalesce(sum(worth), 0) FROM own) + {DAMPER})
           + greatest(0, c.likeness - {UNLIKE}) / {1 - UNLIKE} AS score
      FROM candidate c JOIN kb_publication p USING (id), LATERAL (
          SELECT sum(own.worth) AS worth, array_agg(own.kind ORDER BY own.worth DESC, own.id) AS kinds,
                 array_agg(own.value ORDER BY own.worth DESC, own.id) AS keys
            FROM ({_HAS}) AS has (kind, value, weight) JOIN own USING (kind, value)
      ) AS shared
     WHERE {present("p")}
)
SELECT p.slug, p.title, p.card_json, best.score, best.kinds, best.keys, best.likeness
  FROM post LEFT JOIN LATERAL (
      SELECT * FROM scored WHERE score >= {FLOOR} ORDER BY score DESC, published_at DESC, id DESC LIMIT %s
  ) AS best ON true LEFT JOIN kb_publication p ON p.id = best.id
 ORDER BY best.score DESC, best.published_at DESC, best.id DESC
"""  # noqa: S608  (names and numbers of our own)
_NO_VECTORS = "SELECT NULL::bigint AS publication_id, 0::float8 AS likeness WHERE false"


def similar(slug: str, *, limit: int = MOST) -> list[Similar] | None:
    """At most `limit` posts like this one; None where nothing is published at this slug."""
    found = rows(_SQL.format(near=_near()), [slug, limit])
    if not found:
        return None
    return [
        Similar(near, title, card, float(score), _reasons(kinds or [], keys or [], float(likeness)))
        for near, title, card, score, kinds, keys, likeness in found
        if near is not None
    ]


def _near() -> str:
    """The SQL of the nearest vectors to that of the post."""
    model = meaning.embedder()
    if model is None or not stored():
        return _NO_VECTORS
    own = "(SELECT v.vector FROM kb_publishedvector v JOIN post ON post.id = v.publication_id)"
    return near_sql(model, own, NEAR + 1)


def _reasons(kinds: list[str], keys: list[str], likeness: float) -> tuple[Reason, ...]:
    """What is shared, the rarest first; the same name twice, as stack and as entity, is one."""
    named: dict[str, list[str]] = {}
    known: set[str] = set()
    for kind, key in zip(kinds, keys, strict=True):
        kind, value = key.split(":", 1) if kind == FacetKind.ENTITY else (kind, key)  # noqa: PLW2901
        if value.casefold() not in known and len(named.setdefault(kind, [])) < REASONS:
            named[kind].append(value)
        known.add(value.casefold())
    shared = tuple(Reason(kind, tuple(values)) for kind, values in named.items() if values)
    return (*shared, Reason("meaning")) if likeness >= CLOSE else shared
