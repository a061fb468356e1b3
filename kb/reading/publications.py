"""Turn an address into what is stored there: one query each, nothing parsed."""

from kb.reading.rows import Row, present, row

NEWEST_SHOWN = 10

# The columns differ, never what may be seen.
_STORED = f"SELECT {{}}, etag, published_at FROM kb_publication p WHERE slug = %s AND {present('p')}"  # noqa: S608
_DETAIL = _STORED.format("detail_json")
_META = _STORED.format("meta_json")
_DOCUMENT = f"""
    SELECT document_json, approved_at FROM kb_publishedrevision r
     WHERE post_slug = %s AND number = %s AND {present("r")}
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
    """The whole post: JSON, ETag, and when it was published."""
    return row(_DETAIL, [slug])


def meta(slug: str) -> Row | None:
    """What the meta box shows: JSON, ETag, and when it was published."""
    return row(_META, [slug])


def document(slug: str, number: int) -> Row | None:
    """An approved revision: the Document as JSON, and when it was approved."""
    return row(_DOCUMENT, [slug, number])


def entity(kind: str, slug: str) -> Row | None:
    """Key, type, name, slug, number of posts, and the cards of the newest ones."""
    return row(_ENTITY, [kind, slug])


def checklist(key: str) -> Row | None:
    """Key, title, items, number of posts, and the cards of the newest ones."""
    return row(_CHECKLIST, [key])
