"""Turn an address into what is stored there: one query each, nothing parsed."""

from kb.reading.rows import Row, http_date, present, row, rows

NEWEST_SHOWN = 10
MOST_REVISIONS = 50  # beside a post; there is a list of all

# The columns differ, never what may be seen.
_STORED = f"""
    SELECT {{}}, etag, {http_date("greatest(published_at, reviewed_at)")} FROM kb_publication p
     WHERE slug = %s AND {present("p")}
"""  # noqa: S608
_DETAIL = _STORED.format("detail_json")
_META = _STORED.format("meta_json")
_DOCUMENT = f"""
    SELECT document_json, {http_date("approved_at")} FROM kb_publishedrevision r
     WHERE post_slug = %s AND number = %s AND {present("r")}
"""  # noqa: S608
_REVISIONS = f"""
    SELECT number, version, fingerprint, approved_at FROM kb_publishedrevision r
     WHERE post_slug = %s AND {present("r")} ORDER BY number DESC LIMIT {MOST_REVISIONS}
"""  # noqa: S608
_TWO = f"""
    SELECT number, version, fingerprint, document_json FROM kb_publishedrevision r
     WHERE post_slug = %s AND number IN (%s, %s) AND {present("r")}
"""  # noqa: S608
_NAMED = f"""
    SELECT e.key, e.type, e.name, e.slug, e.posts FROM kb_publication p
      JOIN kb_publishedentity e ON e.key = ANY(p.entities)
     WHERE p.slug = %s AND {present("p")} AND {present("e")} ORDER BY e.type, e.name
"""  # noqa: S608
_KEY = f"SELECT key FROM kb_publishedentity e WHERE type = %s AND slug = %s AND {present('e')}"  # noqa: S608
_IS_CARRIED = f"SELECT key FROM kb_publishedchecklist c WHERE key = %s AND {present('c')}"  # noqa: S608
_STATUS = f"""
    SELECT (SELECT posts FROM kb_publishedfacet f WHERE kind = 'all' AND {present("f")}),
           (SELECT count(*) FROM kb_publishedentity e WHERE {present("e")}),
           (SELECT count(*) FROM kb_publishedchecklist c WHERE {present("c")}), c.id, c.at
      FROM (SELECT) one LEFT JOIN LATERAL (SELECT id, at FROM kb_change ORDER BY id DESC LIMIT 1) c ON true
"""  # noqa: S608
_NEWEST = f"""
    ARRAY(SELECT p.card_json FROM kb_publishedtag t JOIN kb_publication p ON p.id = t.publication_id
           WHERE t.facet_id = f.id AND {present("p")}
           ORDER BY t.published_at DESC, t.publication_id DESC LIMIT {NEWEST_SHOWN})
"""  # noqa: S608
_ENTITY = f"""
    SELECT e.key, e.type, e.name, e.slug, e.posts, {_NEWEST} FROM kb_publishedentity e
      JOIN kb_publishedfacet f ON f.kind = 'entity' AND f.value = e.key
     WHERE e.type = %s AND e.slug = %s AND {present("e")}
"""  # noqa: S608
_CHECKLIST = f"""
    SELECT c.key, c.title, c.items, c.posts, {_NEWEST} FROM kb_publishedchecklist c
      JOIN kb_publishedfacet f ON f.kind = 'checklist' AND f.value = c.key
     WHERE c.key = %s AND {present("c")}
"""  # noqa: S608


def detail(slug: str) -> Row | None:
    """The whole post: JSON, ETag, and when somebody last vouched for it, as HTTP writes it."""
    return row(_DETAIL, [slug])


def meta(slug: str) -> Row | None:
    """What the meta box shows: JSON, ETag, and when somebody last vouched for it, as HTTP writes it."""
    return row(_META, [slug])


def document(slug: str, number: int) -> Row | None:
    """An approved revision: the Document as JSON, and when it was approved, as HTTP writes it."""
    return row(_DOCUMENT, [slug, number])


def entity(kind: str, slug: str) -> Row | None:
    """Key, type, name, slug, number of posts, and the cards of the newest ones."""
    return row(_ENTITY, [kind, slug])


def checklist(key: str) -> Row | None:
    """Key, title, items, number of posts, and the cards of the newest ones."""
    return row(_CHECKLIST, [key])


def revisions(slug: str) -> list[Row]:
    """Number, version, fingerprint and moment of the latest approved revisions."""
    return rows(_REVISIONS, [slug])


def two_revisions(slug: str, one: int, other: int) -> dict[int, Row]:
    """By number: version, fingerprint, and the Document as JSON."""
    return {row[0]: row[1:] for row in rows(_TWO, [slug, one, other])}


def entities_of(slug: str) -> list[Row]:
    """Key, type, name, slug and number of posts of what a post names."""
    return rows(_NAMED, [slug])


def entity_key(kind: str, slug: str) -> str | None:
    found = row(_KEY, [kind, slug])
    return found[0] if found else None


def checklist_key(key: str) -> str | None:
    """The key, if somebody may see that checklist."""
    found = row(_IS_CARRIED, [key])
    return found[0] if found else None


def status() -> Row:
    """Numbers of posts, entities and checklists; number and moment of the newest change."""
    return rows(_STATUS)[0]
