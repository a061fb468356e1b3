"""Turn the beginning of a query into what its writer may be after: words, posts by title, and entities."""

from dataclasses import dataclass, field

from kb import words
from kb.reading import vocabulary
from kb.reading.ranking import titled
from kb.reading.rows import present, rows

MOST = 8  # of each kind
LONGEST = 100  # characters

_POSTS = f"""
    SELECT p.slug, p.title FROM unnest(%s::bigint[]) WITH ORDINALITY AS chosen (id, place)
      JOIN kb_publication p USING (id) WHERE {present("p")} ORDER BY place
"""  # noqa: S608
_ENTITIES = f"""
    SELECT type, name, slug, posts FROM kb_publishedentity e
     WHERE lower(name) LIKE %s AND {present("e")} ORDER BY posts DESC, name, type LIMIT %s
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Queries to go on with, posts by slug and title, entities by type, name, slug and number of posts."""

    queries: list[str] = field(default_factory=list)
    posts: list[tuple[str, str]] = field(default_factory=list)
    entities: list[tuple[str, str, str, int]] = field(default_factory=list)


def suggest(typed: str, most: int = MOST) -> Suggestions:
    """What begins with, or is about, what was typed so far."""
    text = typed[:LONGEST].lstrip()
    folded = " ".join(words.fold(text).split())
    if len(folded) < 2:
        return Suggestions()
    before, _, last = text.rpartition(" ")
    queries = [f"{before} {word}".strip() for word in vocabulary.begun_so(words.fold(last), most)]
    found = titled(vocabulary.understand(words.query(text), is_begun=True), most)
    like = folded.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return Suggestions(
        queries=queries,
        posts=[(slug, title) for slug, title in rows(_POSTS, [found])] if found else [],
        entities=[
            (kind, name, slug, posts) for kind, name, slug, posts in rows(_ENTITIES, [f"{like}%", most])
        ],
    )
