"""Turn a draft into what its reviewer wants beside it: what it is like, where it is from, who wrote what."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from django.contrib.postgres.search import SearchRank
from django.db.models import F, Func, IntegerField

from kb import words
from kb.choices import Origin
from kb.diff import LABELS
from kb.document import Document
from kb.likeness import Passage, passages, similarities
from kb.models import Likeness, Post, Publication, Revision, SourceRecord
from kb.models.publication import TsQuery

MAX_SOURCE = 200_000  # characters of a source record on the page
MOST_NEAR = 5
MOST_COMPARED = 150_000  # characters of other posts
LEAST_ALIKE = 0.3  # below, two texts merely share a turn of phrase
PASSAGES = 3  # of each near duplicate
MOST_PASSAGE = 400  # characters
MOST_SIMILAR = 5
MOST_CANDIDATES = 200  # posts that are ranked
MOST_WORDS = 12  # of title, topic and entities, to search by
MOST_REVISIONS = 50
MOST_BYTES = 2_000_000  # of the revisions that are read to tell who wrote what


@dataclass(frozen=True, slots=True)
class Near:
    """Another post with much of the same text, and what both say in the same words, the longest first."""

    post: Post
    percent: int
    passages: list[Passage]
    more: int  # passages beyond those


@dataclass(frozen=True, slots=True)
class Written:
    """What one revision brought of what stands there now."""

    revision: Revision
    who: str
    fields: list[str]


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who wrote what, the newest first, as far as the newest revisions tell."""

    parts: list[Written]
    older: list[str]  # fields that have been as they are since the oldest that was read, or before
    back_to: int  # number of the oldest that was read


def near(post: Post, document: Document) -> list[Near]:
    """The posts whose newest text is most like this one, the likest first."""
    likest = Likeness.objects.likest(post, MOST_NEAR)
    posts = Post.objects.filter(pk__in=likest).select_related("head", "publication")
    posts = posts.only("title", "slug", "head__canonical", "publication__version")
    others = list(_compared(sorted(posts, key=lambda other: likest.index(other.pk))))
    alike = similarities(document, [other.head.document for other in others])
    found = [
        _near(document, other, round(100 * share))
        for other, share in zip(others, alike, strict=True)
        if share >= LEAST_ALIKE
    ]
    return sorted(found, key=lambda one: -one.percent)


def _near(document: Document, other: Post, percent: int) -> Near:
    shared = passages(document, other.head.document)
    shown = [
        replace(one, text=shorten(one.text, MOST_PASSAGE, placeholder=" …")) for one in shared[:PASSAGES]
    ]
    return Near(other, percent, shown, len(shared) - len(shown))


def _compared(posts: Iterable[Post]) -> Iterator[Post]:
    """The first ones, as far as they are quickly compared in full; one in any case."""
    total = 0
    for place, post in enumerate(posts):
        total += len(post.head.canonical)
        if place and total > MOST_COMPARED:
            return
        yield post


def similar(post: Post, document: Document) -> list[Publication]:
    """Published posts about the same things, by the words of title, topic and entities."""
    about = " ".join([document.title, document.topic, *(entity.name for entity in document.entities)])
    asked = list(dict.fromkeys(token.lexeme for token in words.tokens(about)))[:MOST_WORDS]
    if not asked:
        return []
    query = TsQuery(" | ".join(map(words.quoted, asked)))
    # Without an order: of very common words only some of the posts are ranked, and the page stays quick.
    some = Publication.objects.filter(text__words=query).exclude(post=post).values("pk")[:MOST_CANDIDATES]
    ranked = Publication.objects.filter(pk__in=some).only("slug", "title", "topic", "version", "post_id")
    return list(ranked.order_by(SearchRank(F("text__words"), query).desc(), "pk")[:MOST_SIMILAR])


def source(post: Post) -> dict[str, Any] | None:
    """The newest source record, as text."""
    record = (
        SourceRecord.objects.filter(revision__post=post)
        .select_related("revision")
        .defer("revision__canonical")
        .order_by("-revision__number")
        .first()
    )
    if record is None:
        return None
    text = bytes(record.content).decode("utf-8", "replace")
    return {"record": record, "text": text[:MAX_SOURCE], "cut": max(0, len(text) - MAX_SOURCE)}


def written(post: Post) -> Authorship:
    """Who gave each field of the newest revision its value, by the last revisions' own content."""
    newest, *older = _read(post)
    now = json.loads(newest.canonical)
    last = dict.fromkeys(now, newest)
    same = set(now)
    for revision in older:
        then = json.loads(revision.canonical)
        same = {field for field in same if field in then and then[field] == now[field]}
        last |= dict.fromkeys(same, revision)
    oldest = [newest, *older][-1]
    told = {field: last[field] for field in LABELS if field in now}
    unknown = set() if oldest.parent_id is None else {field for field in told if told[field] == oldest}
    parts = [
        Written(revision, _who(revision), [LABELS[field] for field in told if told[field] == revision])
        for revision in (newest, *older)
        if revision in told.values() and (revision != oldest or not unknown)
    ]
    return Authorship(parts, [LABELS[field] for field in told if field in unknown], oldest.number)


def _read(post: Post) -> list[Revision]:
    """The newest revisions, the draft first, within MOST_REVISIONS and MOST_BYTES."""
    drafts = Revision.objects.filter(post=post).exclude(origin=Origin.ASIDE).order_by("-number")
    size = Func(F("canonical"), function="octet_length", output_field=IntegerField())
    within = list(_within(drafts.values_list("pk", size)[:MOST_REVISIONS]))
    return list(drafts.filter(pk__in=within).select_related("author"))


def _within(sizes: Any) -> Iterator[int]:
    total = 0
    for place, (pk, size) in enumerate(sizes):
        total += size
        if place and total > MOST_BYTES:
            return
        yield pk


def _who(revision: Revision) -> str:
    """The person; of an import the generator, if it named itself, and the run."""
    if revision.origin != Origin.IMPORT:
        return str(revision.author)
    generator = json.loads(revision.canonical).get("payload", {}).get("generator", "")
    run = f"import run {revision.import_run_id}" if revision.import_run_id else "an import"
    return f"{generator}, {run}" if generator else run.capitalize()
