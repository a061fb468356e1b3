"""Turn what a publication has in common with others into rows that lists walk and counts are read from.

Facets are counted by what comes and goes, never anew, so that publishing costs the same at a million posts;
`recount` counts them all. kb.flow.publishing calls this within its own transaction and lock.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from kb.choices import FacetKind
from kb.models import Publication

Facet = tuple[str, str]  # kind and value


@dataclass(frozen=True)
class Tagged:
    """What the tags of one publication were made of, when it was as it then was."""

    publication: int
    published_at: datetime
    withhold_at: datetime | None
    facets: frozenset[Facet]


@dataclass(frozen=True)
class Count:
    """How many publications have a facet, and when the last of them is withheld, if all of them are."""

    posts: int
    withhold_at: datetime | None


def tagged(publication: Publication | None) -> Tagged | None:
    """What to remember before a publication changes."""
    if publication is None:
        return None
    return Tagged(
        publication.pk, publication.published_at, publication.withhold_at, frozenset(publication.facets())
    )


def retag(before: Tagged | None, after: Tagged | None) -> dict[Facet, Count]:
    """Bring tags and facets from one state of a publication to the next; give the counts that changed."""
    if before == after:
        return {}
    named = sorted((before.facets if before else frozenset()) | (after.facets if after else frozenset()))
    posts = Counter(after.facets if after else ())
    posts.subtract(before.facets if before else ())
    staying = Counter(after.facets if after and after.withhold_at is None else ())
    staying.subtract(before.facets if before and before.withhold_at is None else ())
    with connection.cursor() as cursor:
        _add(cursor, named, posts, staying)
        ids = _ids(cursor, named)
        if before:
            keys = [ids[facet] for facet in before.facets if facet in ids]
            cursor.execute(_UNTAG, [keys, before.published_at, before.publication])
        if after:
            keys = [ids[facet] for facet in sorted(after.facets)]
            cursor.execute(_TAG, [after.published_at, after.publication, keys])
        cursor.execute(_DATE, [list(ids.values())])
        return _counts(cursor, named)


# In the order of their names, so that two who count at once would not wait for each other.
_ADD = """
    INSERT INTO kb_publishedfacet AS had (kind, value, posts, staying)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::int[]) AS new (kind, value, posts, staying)
     WHERE new.posts <> 0 OR new.staying <> 0 ORDER BY 1, 2
    ON CONFLICT (kind, value) DO UPDATE
       SET posts = had.posts + EXCLUDED.posts, staying = had.staying + EXCLUDED.staying
"""
_UNTAG = """
    DELETE FROM kb_publishedtag WHERE facet_id = ANY(%s) AND published_at = %s AND publication_id = %s
"""
_TAG = """
    INSERT INTO kb_publishedtag (published_at, publication_id, facet_id)
    SELECT %s, %s, facet FROM unnest(%s::bigint[]) AS facet
    ON CONFLICT DO NOTHING
"""
# Where nothing stays, it is the last date among the few posts that are left.
_DATE = """
    UPDATE kb_publishedfacet f SET withhold_at = CASE WHEN staying = 0 THEN
        (SELECT max(p.withhold_at) FROM kb_publishedtag t JOIN kb_publication p ON p.id = t.publication_id
          WHERE t.facet_id = f.id) END
     WHERE id = ANY(%s) AND (staying = 0 OR withhold_at IS NOT NULL)
"""
_FACETS = """
    FROM kb_publishedfacet JOIN unnest(%s::text[], %s::text[]) AS named (kind, value) USING (kind, value)
"""


def _add(cursor: Any, named: list[Facet], posts: Counter[Facet], staying: Counter[Facet]) -> None:
    columns = ([posts[facet] for facet in named], [staying[facet] for facet in named])
    cursor.execute(_ADD, [*_columns(named), *columns])


def _ids(cursor: Any, named: list[Facet]) -> dict[Facet, int]:
    cursor.execute(f"SELECT kind, value, id {_FACETS}", _columns(named))
    return {(kind, value): key for kind, value, key in cursor.fetchall()}


def _counts(cursor: Any, named: list[Facet]) -> dict[Facet, Count]:
    """What is left of these facets; those that nothing has any more are removed."""
    cursor.execute(f"SELECT kind, value, posts, withhold_at {_FACETS}", _columns(named))
    found = {(kind, value): Count(*rest) for kind, value, *rest in cursor.fetchall()}
    cursor.execute(
        "DELETE FROM kb_publishedfacet f USING unnest(%s::text[], %s::text[]) AS named (kind, value)"
        " WHERE f.kind = named.kind AND f.value = named.value AND posts <= 0",
        _columns(named),
    )
    return {facet: found.get(facet, Count(0, None)) for facet in named}


def _columns(named: list[Facet]) -> list[list[str]]:
    return [[kind for kind, _ in named], [value for _, value in named]]


# What the columns of a publication p say, as PublishedFacet names it.
_HAS = "LATERAL ({}) AS has (kind, value)".format(
    " UNION ".join(
        f"SELECT '{kind.value}', {value} WHERE {test}"
        for kind, (value, test) in {
            FacetKind.ALL: ("''", "true"),
            FacetKind.TOPIC: ("p.topic", "p.topic <> ''"),
            FacetKind.STACK: ("unnest(p.stack)", "true"),
            FacetKind.TOOL: ("unnest(p.tools)", "true"),
            FacetKind.ENTITY: ("unnest(p.entities)", "true"),
            FacetKind.CHECKLIST: ("unnest(p.checklists)", "true"),
            FacetKind.DIFFICULTY: ("p.difficulty", "p.difficulty <> ''"),
            FacetKind.CODE_LANGUAGE: ("p.code_language", "p.code_language <> ''"),
            FacetKind.AI_INVOLVED: ("p.ai_involved::text", "true"),
        }.items()
    )
)
# Tags of what is not there, tags that lack, then what is counted wrong.
_RECOUNT = (
    f"""
    DELETE FROM kb_publishedtag t WHERE NOT EXISTS
        (SELECT FROM kb_publishedfacet f, kb_publication p, {_HAS}
          WHERE f.id = t.facet_id AND p.id = t.publication_id AND p.published_at = t.published_at
            AND (has.kind, has.value) = (f.kind, f.value))
    RETURNING 'tag of publication ' || publication_id
    """,  # noqa: S608  (our own names)
    f"""
    INSERT INTO kb_publishedfacet (kind, value, posts, staying)
    SELECT DISTINCT has.kind, has.value, 0, 0 FROM kb_publication p, {_HAS} ON CONFLICT DO NOTHING
    RETURNING 'facet ' || kind || ' ' || value
    """,  # noqa: S608
    f"""
    INSERT INTO kb_publishedtag (facet_id, published_at, publication_id)
    SELECT f.id, p.published_at, p.id FROM kb_publication p, {_HAS}
      JOIN kb_publishedfacet f ON (f.kind, f.value) = (has.kind, has.value) ON CONFLICT DO NOTHING
    RETURNING 'tag of publication ' || publication_id
    """,  # noqa: S608
    """
    WITH counted AS (
        SELECT f.id, count(p.id) AS posts, count(p.id) FILTER (WHERE p.withhold_at IS NULL) AS staying,
               max(p.withhold_at) AS last
          FROM kb_publishedfacet f LEFT JOIN kb_publishedtag t ON t.facet_id = f.id
          LEFT JOIN kb_publication p ON p.id = t.publication_id GROUP BY f.id)
    UPDATE kb_publishedfacet f SET posts = c.posts, staying = c.staying,
           withhold_at = CASE WHEN c.staying = 0 THEN c.last END
      FROM counted c WHERE c.id = f.id AND (f.posts, f.staying, f.withhold_at) IS DISTINCT FROM
           (c.posts, c.staying, CASE WHEN c.staying = 0 THEN c.last END)
    RETURNING 'facet ' || kind || ' ' || value
    """,
    "DELETE FROM kb_publishedfacet WHERE posts = 0 RETURNING 'facet ' || kind || ' ' || value",
)


def recount() -> list[str]:
    """Count every facet anew, and give the names of what was wrong."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for statement in _RECOUNT:
            cursor.execute(statement)
            found += [name for (name,) in cursor.fetchall()]
    return list(dict.fromkeys(found))
