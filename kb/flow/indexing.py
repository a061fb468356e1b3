"""Turn a publication into what searches look at: its words, and how many publications have each of them.

Words are counted by what comes and goes, so that publishing costs the same at a million posts; `recount`
counts them all. Synonyms are few, and compiled as a whole. kb.flow.publishing calls this within its own
transaction and lock.
"""

import json
from collections import Counter
from collections.abc import Iterable
from html import unescape
from typing import Any

from django.db import connection

from kb import words
from kb.models import Publication, PublishedSynonym, Synonym
from kb.render import words as text_of


def index(publication: Publication) -> None:
    """Bring the words of this publication, and the counts of what it has or had, in step with it."""
    made = words.vector(texts(publication))
    with connection.cursor() as cursor:
        before, spelt, length = _held(cursor, publication.pk)
        cursor.execute(
            _KEEP,
            [
                *(publication.pk, publication.published_at, publication.withhold_at),
                *(made.length, made.literal),
            ],
        )
        cursor.execute(_SPELL, [publication.pk, sorted(made.words)])
        _count(cursor, _TERMS, made.lexemes, before)
        _count(cursor, _WORDS, made.words, spelt)
        _total(cursor, int(length is None), made.length - (length or 0))


def remove(publication: Publication) -> None:
    """Forget the words of a publication that is about to go."""
    with connection.cursor() as cursor:
        before, spelt, length = _held(cursor, publication.pk)
        if length is None:
            return
        cursor.execute("DELETE FROM kb_publishedtext WHERE publication_id = %s", [publication.pk])
        cursor.execute("DELETE FROM kb_publishedspelling WHERE publication_id = %s", [publication.pk])
        _count(cursor, _TERMS, (), before)
        _count(cursor, _WORDS, (), spelt)
        _total(cursor, -1, -length)


def texts(publication: Publication) -> tuple[str, str, str, str]:
    """What kb.words weighs: title; topic, stack, tools, entities; summary, brief, outline; body."""
    detail = json.loads(publication.detail_json)
    names = [key.split(":", 1)[1] for key in publication.entities]
    return (
        publication.title,
        "\n".join((publication.topic, *publication.stack, *publication.tools, *names)),
        "\n".join((publication.summary, detail["brief"], *(point["text"] for point in detail["outline"]))),
        # With a space before each tag: the ends of two paragraphs are two words.
        unescape(text_of(publication.html.replace("<", " <"))),
    )


def recount() -> list[str]:
    """Count every word anew, and give the names of what was wrong."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for statement in _RECOUNT:
            cursor.execute(statement)
            found += [name for (name,) in cursor.fetchall()]
    return list(dict.fromkeys(found))


def keep_synonyms() -> list[str]:
    """Bring what searches look for too in step with the groups in use, and give the names of what was not."""
    wanted = _synonyms()
    stored = dict(PublishedSynonym.objects.values_list("lexemes", "words"))
    gone = sorted(stored.keys() - wanted.keys())
    changed = sorted(key for key, others in wanted.items() if stored.get(key) != others)
    PublishedSynonym.objects.filter(pk__in=gone).delete()
    PublishedSynonym.objects.bulk_create(
        [PublishedSynonym(lexemes=key, words=wanted[key]) for key in changed],
        update_conflicts=True,
        unique_fields=["lexemes"],
        update_fields=["words"],
    )
    return [f"synonym {key}" for key in (*gone, *changed)]


def _synonyms() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in Synonym.objects.current().order_by("pk"):
        for word, others in group.expansions().items():
            known = found.setdefault(words.key(word), [])
            known += [other for other in others if other not in known]
    return found


_HELD = """
    SELECT tsvector_to_array(t.words), s.words, t.length
      FROM kb_publishedtext t JOIN kb_publishedspelling s USING (publication_id) WHERE publication_id = %s
"""
_KEEP = """
    INSERT INTO kb_publishedtext AS had (publication_id, published_at, withhold_at, length, words)
    VALUES (%s, %s, %s, %s, %s::tsvector)
    ON CONFLICT (publication_id) DO UPDATE
       SET published_at = EXCLUDED.published_at, withhold_at = EXCLUDED.withhold_at,
           length = EXCLUDED.length, words = EXCLUDED.words
     WHERE (had.published_at, had.withhold_at, had.length, had.words) IS DISTINCT FROM
           (EXCLUDED.published_at, EXCLUDED.withhold_at, EXCLUDED.length, EXCLUDED.words)
"""
_SPELL = """
    INSERT INTO kb_publishedspelling AS had (publication_id, words) VALUES (%s, %s)
    ON CONFLICT (publication_id) DO UPDATE SET words = EXCLUDED.words WHERE had.words <> EXCLUDED.words
"""
# The word, and it without any one of its letters: kb.words.near says the same.
_NEAR = """
    ARRAY(SELECT new.word UNION SELECT overlay(new.word PLACING '' FROM at FOR 1)
            FROM generate_series(1, char_length(new.word)) AS at ORDER BY 1)
"""
# In the order of their names, so that two who count at once would not wait for each other.
_TERMS = (
    """
    INSERT INTO kb_publishedterm AS had (lexeme, posts)
    SELECT * FROM unnest(%s::text[], %s::int[]) AS new (word, posts) ORDER BY 1
    ON CONFLICT (lexeme) DO UPDATE SET posts = had.posts + EXCLUDED.posts
    """,
    "DELETE FROM kb_publishedterm WHERE lexeme = ANY(%s) AND posts <= 0",
)
_WORDS = (
    f"""
    INSERT INTO kb_publishedword AS had (word, posts, near)
    SELECT new.word, new.posts, {_NEAR} FROM unnest(%s::text[], %s::int[]) AS new (word, posts) ORDER BY 1
    ON CONFLICT (word) DO UPDATE SET posts = had.posts + EXCLUDED.posts
    """,  # noqa: S608  (our own names)
    "DELETE FROM kb_publishedword WHERE word = ANY(%s) AND posts <= 0",
)
_TOTAL = """
    INSERT INTO kb_publishedtotals AS had (id, posts, length) VALUES (1, %s, %s)
    ON CONFLICT (id) DO UPDATE SET posts = had.posts + EXCLUDED.posts, length = had.length + EXCLUDED.length
"""
_RECOUNT = (
    """
    WITH counted AS MATERIALIZED (SELECT word, ndoc FROM ts_stat('SELECT words FROM kb_publishedtext')),
    gone AS (
        DELETE FROM kb_publishedterm t WHERE NOT EXISTS (SELECT FROM counted WHERE word = t.lexeme)
        RETURNING lexeme),
    changed AS (
        INSERT INTO kb_publishedterm AS had (lexeme, posts) SELECT word, ndoc FROM counted
        ON CONFLICT (lexeme) DO UPDATE SET posts = EXCLUDED.posts WHERE had.posts <> EXCLUDED.posts
        RETURNING lexeme)
    SELECT 'term ' || lexeme FROM gone UNION ALL SELECT 'term ' || lexeme FROM changed
    """,
    f"""
    WITH counted AS MATERIALIZED (
        SELECT word, count(*) AS posts FROM kb_publishedspelling s, unnest(s.words) AS word GROUP BY word),
    gone AS (
        DELETE FROM kb_publishedword w WHERE NOT EXISTS (SELECT FROM counted c WHERE c.word = w.word)
        RETURNING word),
    changed AS (
        INSERT INTO kb_publishedword AS had (word, posts, near)
        SELECT new.word, new.posts, {_NEAR} FROM counted AS new
        ON CONFLICT (word) DO UPDATE SET posts = EXCLUDED.posts WHERE had.posts <> EXCLUDED.posts
        RETURNING word)
    SELECT 'word ' || word FROM gone UNION ALL SELECT 'word ' || word FROM changed
    """,  # noqa: S608
    """
    INSERT INTO kb_publishedtotals AS had (id, posts, length)
    SELECT 1, count(*), coalesce(sum(length), 0) FROM kb_publishedtext
     -- With nothing to count, no row says the same as one of zeros.
    HAVING count(*) > 0 OR EXISTS (SELECT FROM kb_publishedtotals)
    ON CONFLICT (id) DO UPDATE SET posts = EXCLUDED.posts, length = EXCLUDED.length
     WHERE (had.posts, had.length) IS DISTINCT FROM (EXCLUDED.posts, EXCLUDED.length)
    RETURNING 'totals of words'
    """,
)


def _held(cursor: Any, publication: int) -> tuple[frozenset[str], frozenset[str], int | None]:
    """Lexemes, words as spelt and length that are stored; None where nothing is."""
    cursor.execute(_HELD, [publication])
    for lexemes, spelt, length in cursor.fetchall():
        return frozenset(lexemes), frozenset(spelt), length
    return frozenset(), frozenset(), None


def _count(cursor: Any, how: tuple[str, str], after: Iterable[str], before: Iterable[str]) -> None:
    """One more of what is there now, one less of what was."""
    posts = Counter(after)
    posts.subtract(before)
    changed = sorted(name for name, number in posts.items() if number)
    if changed:
        count, clean = how
        cursor.execute(count, [changed, [posts[name] for name in changed]])
        cursor.execute(clean, [[name for name in changed if posts[name] < 0]])


def _total(cursor: Any, posts: int, length: int) -> None:
    if posts or length:
        cursor.execute(_TOTAL, [posts, length])
