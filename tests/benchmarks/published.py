"""Turn a number of synthetic posts into published ones, in bulk: a million within minutes, on all cores.

Each row is what kb.flow.publishing would write: `rebuild_publications --check` finds no difference. A few
texts repeat; titles, topics, entities and scores do not, and some are named far more often than others.
"""

import gc
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model

from kb import words
from kb.choices import ChangeKind, FacetKind, Origin, State, Verdict
from kb.document import Document, Scores
from kb.document import Entity as Named
from kb.flow import indexing, publishing, tagging
from kb.models import (
    Change,
    Checklist,
    ChecklistItem,
    Decision,
    Entity,
    Image,
    Post,
    PostEntity,
    Publication,
    PublishedChecklist,
    PublishedFacet,
    PublishedRevision,
    PublishedSpelling,
    PublishedTag,
    PublishedText,
    Revision,
)
from kb.sources import synthesis
from tests.benchmarks import database
from tests.benchmarks.filling import BODIES, copy, make_people, put, remembering, switch, tell

CHUNK = 2000  # posts of one task
APART = timedelta(minutes=5)  # from one post to the next
# Their rows are written here; what else refers to a post stays empty.
FILLED: tuple[type[Model], ...] = (
    *(Post, Revision, Decision, Publication, PublishedRevision, Change),
    *(Entity, PostEntity, Checklist, ChecklistItem, Image, PublishedFacet, PublishedTag),
    *(PublishedText, PublishedSpelling),
)
PARTS = {
    "kb_postentity": "id, post_id, entity_id, position",
    "kb_image": "id, post_id, position, source, url, caption",
    "kb_checklist": "id, post_id, position, title",
    "kb_checklistitem": "id, checklist_id, position, text",
}
OF_A_POST = 100  # rows of one kind at most: so far apart are the ids of two posts' rows


@dataclass(frozen=True)
class Vocabulary:
    """Names, of which the nth is used in 1/n of all cases (Zipf)."""

    names: list[str]
    weights: list[float] = field(repr=False)

    def some(self, chance: random.Random, least: int, most: int) -> list[str]:
        found = chance.choices(self.names, cum_weights=self.weights, k=chance.randint(least, most))
        return list(dict.fromkeys(found))


def vocabulary(name: str, size: int) -> Vocabulary:
    names = [f"{name} {number}" for number in range(1, size + 1)]
    return Vocabulary(names, list(accumulate(1 / number for number in range(1, size + 1))))


TOPICS = vocabulary("operations / topic", 2000)
STACKS = vocabulary("stack", 300)
TOOLS = vocabulary("tool", 1000)
LANGUAGES = vocabulary("language", 40)
ENTITIES = {
    "stack": STACKS,
    "tool": TOOLS,
    "area": vocabulary("area", 500),
    "problem": vocabulary("problem", 5000),
    "component": vocabulary("component", 20_000),
}


class PublishedRows:
    """The rows of posts that have one revision, approved at once. Ids follow from a post's number."""

    def __init__(self, people: list[User], start: datetime) -> None:
        self.people, self.start = people, start
        self.entities = {key: row.pk for key, row in vocabulary_rows().items()}
        self.chance = synthesis.Chance()
        self.texts: dict[int, tuple[dict[str, Any], Document]] = {}
        self.interval = timedelta(days=settings.KB_VERIFY_DAYS)

    def of(self, number: int, record: dict[str, Any], document: Document) -> Iterator[Model]:
        at = self.start + number * APART
        author, reviewer = (self.people[(number + step) % len(self.people)] for step in (0, 1))
        post = Post(pk=number, **record, state=State.SETTLED, created_at=at, updated_at=at, edited_by=author)
        put(document, post)
        canonical = document.canonical()
        revision = Revision(
            pk=number,
            post=post,
            number=1,
            version="1.0.0",
            origin=Origin.PERSON,
            author=author,
            reason="Written down.",
            canonical=canonical.decode(),
            fingerprint=hashlib.sha256(canonical).hexdigest(),
            created_at=at,
        )
        post.head = revision
        decision = Decision(
            pk=number,
            revision=revision,
            fingerprint=revision.fingerprint,
            verdict=Verdict.APPROVE,
            reviewer=reviewer,
            at=at + timedelta(hours=1),
        )
        decision._state.fields_cache["schedule"] = None  # known without a query for each
        yield from (post, revision, decision)
        yield from self.shown(revision, decision, document)

    def parts(self, number: int, document: Document) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Table and row of what belongs to the draft, as plain values: there are many of them."""
        first = number * OF_A_POST
        for place, named in enumerate(document.entities):
            yield "kb_postentity", (first + place, number, self.entities[named.type, named.name], place)
        for place, image in enumerate(document.images):
            yield "kb_image", (first + place, number, place, image.source, image.url, image.caption)
        item = first
        for place, checklist in enumerate(document.checklists):
            yield "kb_checklist", (first + place, number, place, checklist.title)
            for at, text in enumerate(checklist.items):
                yield "kb_checklistitem", (item, first + place, at, text)
                item += 1

    def content(self, number: int) -> tuple[dict[str, Any], Document]:
        """A post's own columns and its Document: one of a few texts, under values of its own."""
        text = number % BODIES
        if text not in self.texts:
            made = synthesis.post(text, 1, self.chance)
            self.texts[text] = made, Document.read(made.pop("document"))
        record, document = self.texts[text]
        chance = random.Random(number)
        stack = STACKS.some(chance, 1, 3)
        several = {"stack": stack, "tools": TOOLS.some(chance, 1, 5)}
        names = [("stack", stack[0]), *self.names(chance)]
        own = {
            **several,
            "title": f"{document.title}, case {number}",
            "topic": TOPICS.some(chance, 1, 1)[0],
            "code_language": LANGUAGES.some(chance, 1, 1)[0],
            "scores": Scores(**{name: chance.randint(0, 100) for name in Scores.model_fields}),
            "entities": tuple(Named(type=kind, name=name) for kind, name in names),
        }
        own |= {name: tuple(values) for name, values in several.items()}
        record = {
            **record,
            **{name: f"{record[name]}-{number}" for name in ("slug", "reference", "source_id")},
            "view_count": int(10 ** (6 * chance.random())),
        }
        return record, document.model_copy(update=own)

    def names(self, chance: random.Random) -> Iterator[tuple[str, str]]:
        for kind, most in {"area": 2, "problem": 1, "tool": 1, "component": 2}.items():
            yield from ((kind, name) for name in ENTITIES[kind].some(chance, 1, most))

    def shown(self, revision: Revision, decision: Decision, document: Document) -> Iterator[Model]:
        """What publishing writes, but for what is counted in the end."""
        # With the Document at hand: reading it from its canonical form would take most of the time.
        known: Any = SimpleNamespace(
            **{name: getattr(revision, name) for name in ("pk", "post", "number", "version", "fingerprint")},
            source_hash=revision.source_hash,
            document=document,
        )
        at = decision.at
        fields = publishing.compile_fields(
            known, decision, first=at, reviewed_at=at, review_by=at + self.interval
        )
        publication = Publication(pk=revision.pk, post=revision.post, **fields)
        yield publication
        yield PublishedRevision(
            pk=revision.pk,
            post_slug=publication.slug,
            revision=revision,
            number=revision.number,
            version=revision.version,
            fingerprint=revision.fingerprint,
            approved_at=at,
            document_json=publishing._json(publishing._readable(known)),
        )
        yield Change(
            pk=revision.pk,
            kind=ChangeKind.PUBLISHED,
            slug=publication.slug,
            version=revision.version,
            fingerprint=revision.fingerprint,
            at=at,
        )


@dataclass(frozen=True)
class Task:
    """Posts to write, in a process that knows nothing else."""

    database: str
    people: list[int]
    start: datetime
    first: int
    last: int


def fill(posts: int, *, processes: int = 1) -> None:
    """Write these posts into empty tables; keys and indexes are made, and so checked, afterwards."""
    people = make_people()
    start = datetime.now(UTC) - (posts + 12) * APART
    name = connection.settings_dict["NAME"]
    keys = [person.pk for person in people]
    tasks = [
        Task(name, keys, start, first, min(first + CHUNK, posts + 1) - 1)
        for first in range(1, posts + 1, CHUNK)
    ]
    with bare([model._meta.db_table for model in FILLED]):
        with transaction.atomic(), connection.cursor() as cursor:
            copy(cursor, Entity, list(vocabulary_rows().values()))
        for done, _ in enumerate(carried_out(tasks, processes), start=1):
            tell(f"{min(done * CHUNK, posts):>9,} of {posts:,} posts")
        with transaction.atomic():
            publishing.queue_up()
            tell(f"{'tags and counts':<30}")
            tagging.recount()
            tell(f"{'words':<30}")
            indexing.recount()
    list_entities_and_checklists()
    reset_sequences()


def carried_out(tasks: list[Task], processes: int) -> Iterator[None]:
    if processes == 1:
        yield from map(write, tasks)
        return
    # Spawned, not forked: a connection must not be shared.
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(write, tasks)


def write(task: Task) -> None:
    if connection.settings_dict["NAME"] != task.database:
        database.point_at(task.database)
    rows = known_rows(task)
    batch: dict[type[Model], list[Model]] = defaultdict(list)
    parts: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    gc.disable()  # it would look at all these rows again and again
    with remembering():
        for number in range(task.first, task.last + 1):
            record, document = rows.content(number)
            for row in rows.of(number, record, document):
                batch[type(row)].append(row)
            for table, values in rows.parts(number, document):
                parts[table].append(values)
        add_words(batch)
    gc.enable()
    with transaction.atomic(), connection.cursor() as cursor:
        # The tables' guards look at one row after the other; what they guard was made right.
        for model, found in batch.items():
            copy(cursor, model, found)
        for table, lines in parts.items():
            with cursor.copy(f"COPY {table} ({PARTS[table]}) FROM STDIN") as out:
                for values in lines:
                    out.write_row(values)


_rows: dict[tuple[str, datetime], PublishedRows] = {}


def known_rows(task: Task) -> PublishedRows:
    """One for all tasks of a process: the texts are rendered once."""
    key = (task.database, task.start)
    if key not in _rows:
        people = User.objects.in_bulk(task.people)
        _rows[key] = PublishedRows([people[pk] for pk in task.people], task.start)
    return _rows[key]


def vocabulary_rows() -> dict[tuple[str, str], Entity]:
    names = [(kind, name) for kind, known in ENTITIES.items() for name in known.names]
    return {key: Entity(pk=pk, type=key[0], name=key[1]) for pk, key in enumerate(names, start=1)}


@contextmanager
def bare(tables: list[str]) -> Iterator[None]:
    """Take keys, indexes and triggers from these tables, and give them back, which checks every row."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(_CONSTRAINTS, [tables, tables])
        constraints = cursor.fetchall()
        cursor.execute(_INDEXES, [tables])
        indexes = cursor.fetchall()
        for table, constraint, _ in constraints:
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}"')
        for index, _ in indexes:
            cursor.execute(f"DROP INDEX {index}")
        switch(cursor, "DISABLE", tables)
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        # Keys before the foreign ones that name them.
        for table, constraint, definition in reversed(constraints):
            tell(f"{constraint:<60}")
            cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{constraint}" {definition}')
        for index, definition in indexes:
            tell(f"{index:<60}")
            cursor.execute(definition)
        switch(cursor, "ENABLE", tables)
        cursor.execute("RESET maintenance_work_mem")


# Foreign keys first.
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
     WHERE contype IN ('f', 'p', 'u') AND conrelid = ANY(%s::regclass[])
        OR contype = 'f' AND confrelid = ANY(%s::regclass[])
     ORDER BY contype <> 'f', conname
"""
_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
     WHERE indrelid = ANY(%s::regclass[])
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
"""


def add_words(batch: dict[type[Model], list[Model]]) -> None:
    """What searches look at, beside each publication."""
    for one in batch[Publication]:
        made = words.vector(indexing.texts(one))
        moments = {"published_at": one.published_at, "withhold_at": one.withhold_at}
        batch[PublishedText].append(
            PublishedText(publication=one, length=made.length, words=made.literal, **moments)
        )
        batch[PublishedSpelling].append(PublishedSpelling(publication=one, words=sorted(made.words)))


def list_entities_and_checklists() -> None:
    """Write the lists that publishing keeps beside the facets."""
    counts: dict[str, dict[str, tagging.Count]] = defaultdict(dict)
    kinds = (FacetKind.ENTITY, FacetKind.CHECKLIST)
    for facet in PublishedFacet.objects.filter(kind__in=kinds):
        counts[facet.kind][facet.value] = tagging.Count(facet.posts, facet.withhold_at)
    texts = (Document.read(synthesis.post(text, 1, synthesis.Chance())["document"]) for text in range(BODIES))
    known = {publishing.checklist_key(one): one for text in texts for one in text.checklists}
    with transaction.atomic():
        publishing.queue_up()
        publishing._list_entities(counts[FacetKind.ENTITY])
        PublishedChecklist.objects.bulk_create(
            PublishedChecklist(key=key, title=known[key].title, items=list(known[key].items), posts=of.posts)
            for key, of in counts[FacetKind.CHECKLIST].items()
        )


def reset_sequences() -> None:
    with connection.cursor() as cursor:
        for model in FILLED:
            if model not in {PublishedTag, PublishedText, PublishedSpelling}:
                table = model._meta.db_table
                last = f"(SELECT max(id) + 1 FROM {table})"
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})")
