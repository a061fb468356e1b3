"""Turn a number of synthetic posts into rows, quickly: every list that the desk shows has something to count.

A new table takes part when `Rows.of` yields its rows too.
"""

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest import mock

from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.db.models import DateTimeField, Field, JSONField, Model

from kb import likeness, words
from kb.choices import Origin, Outcome, ReportKind, State, Verdict
from kb.document import Document
from kb.flow import flagging, indexing, publishing, queueing
from kb.models import (
    Checklist,
    ChecklistItem,
    Comment,
    Criteria,
    Decision,
    Entity,
    Flag,
    Image,
    ImportRun,
    Likeness,
    Notice,
    Oversight,
    Post,
    PostEntity,
    Publication,
    PublishedSpelling,
    PublishedText,
    QueueItem,
    Receipt,
    Report,
    Revision,
    Schedule,
    SourceRecord,
    Tick,
    Verification,
)
from kb.models.post import SAME_NAME
from kb.render import render
from kb.sources import synthesis

BATCH = 1000  # posts in one go
BODIES = 1000  # different ones: rendering each of them takes minutes
DIFFERENT = 10_000  # posts; the others repeat them under other names
APART = timedelta(minutes=5)  # from one post to the next
A_RUN = 5000  # posts
# In the order in which the rows name each other; of the rest a few rows are enough.
REPEATED = (
    *(Post, Revision, Likeness, Checklist, ChecklistItem, PostEntity, Image, SourceRecord, Receipt, Flag),
    *(Decision, QueueItem, Publication, PublishedText, PublishedSpelling, Tick, Schedule, Oversight),
    *(Verification, Report, Comment, Notice),
)
CRITERIA = {"name": "Every note", "version": 1, "items": ["It was tried.", "The way back works."]}
CHANGES = ("Say what is measured.", "Name the way back.", "Drop what no longer holds.")


class Rows:
    """The rows of one post after the other, with ids of our own, so that each names the others unsaved."""

    def __init__(self, people: list[User], posts: int, revisions_each: int):
        self.people = people
        # The newest are of today: what the first page counts by day and week has something to count.
        self.start = datetime.now(UTC) - posts * APART - timedelta(days=2)
        self.revisions_each = revisions_each
        self.chance = synthesis.Chance()
        self.bodies: dict[int, str] = {}
        self.hashed: dict[int, list[int]] = {}
        self.entities: dict[tuple[str, str], Entity] = {}
        self.last: dict[type[Model], int] = defaultdict(int)
        self.run: ImportRun | None = None

    def new(self, model: type[Any], **values: Any) -> Any:
        self.last[model] += 1
        return model(pk=self.last[model], **values)

    def of(self, number: int) -> Iterator[Model]:
        record = synthesis.post(number, 1, self.chance)
        content = record.pop("document")
        content["body"] = self.bodies.setdefault(number % BODIES, content["body"])
        document = Document.read(content)
        at = self.start + number * APART
        if self.run is None or number % A_RUN == 0:
            counts = {Outcome.CREATED: A_RUN}
            self.run = self.new(
                ImportRun, started_at=at, finished_at=at + timedelta(minutes=9), counts=counts
            )
            yield self.run
        post = self.new(Post, **record, created_at=at, updated_at=at)
        revisions, document = self.revisions(post, document, at)
        put(document, post)
        post.head = revisions[-1]
        # What rules find in a body takes half of all time, and is nothing here.
        rules = list(flagging.inspect(document.model_copy(update={"body": CHANGES[0]})))
        post.state = State.WAITING if rules else State.DRAFT
        post.edited_by = revisions[-1].author
        yield post
        yield from revisions
        yield Likeness(post=post, fingerprint=revisions[-1].fingerprint, bands=self.bands(number, document))
        yield from self.parts(post, document)
        yield from self.flags(post, rules)
        if rules:
            yield self.queue_item(post, [rule.code for rule, _ in rules])
        yield from self.came(post, revisions[0])
        yield from self.said(post, revisions[-1])
        if number % 3 == 0:
            yield from self.publication(post, revisions[-2:][0])

    def bands(self, number: int, document: Document) -> list[int]:
        if number % BODIES not in self.hashed:
            self.hashed[number % BODIES] = likeness.bands(document)
        return self.hashed[number % BODIES]

    def queue_item(self, post: Post, codes: list[str], **left: Any) -> QueueItem:
        points = sum(queueing.POINTS.get(code, 0) for code in codes) + post.pk % 90
        since = left.pop("since", post.created_at)
        return self.new(
            QueueItem,
            post=post,
            since=since,
            codes=sorted(codes),
            points=points,
            rank=points * queueing.DAY - int(since.timestamp()),
            readers=post.view_count or 0,
            writers=[post.edited_by_id] if post.edited_by_id else [],
            **left,
        )

    def revisions(self, post: Post, document: Document, at: datetime) -> tuple[list[Revision], Document]:
        """The document as imported, then edited by one person after the other; and the last of them."""
        found: list[Revision] = []
        for number in range(1, self.revisions_each + 1):
            if number > 1:
                body = document.body.replace(". ", f". {CHANGES[number % 3]} ", number)
                document = document.model_copy(update={"body": body, "brief": f"Draft {number}."})
            author = self.people[(post.pk + number) % len(self.people)] if number > 1 else None
            canonical = document.canonical()
            found.append(
                self.new(
                    Revision,
                    post=post,
                    number=number,
                    version=f"0.{number}.0",
                    origin=Origin.PERSON if author else Origin.IMPORT,
                    author=author,
                    parent=found[-1] if found else None,
                    canonical=canonical.decode(),
                    fingerprint=hashlib.sha256(canonical).hexdigest(),
                    import_run=None if author else self.run,
                    reason=CHANGES[number % 3] if author else "",
                    created_at=at + timedelta(hours=number),
                )
            )
        return found, document

    def parts(self, post: Post, document: Document) -> Iterator[Model]:
        for position, checklist in enumerate(document.checklists):
            row = self.new(Checklist, post_id=post.pk, position=position, title=checklist.title)
            yield row
            for place, text in enumerate(checklist.items):
                yield self.new(ChecklistItem, checklist_id=row.pk, position=place, text=text)
        for position, named in enumerate(document.entities):
            key = (named.type, named.name)
            if key not in self.entities:
                self.entities[key] = self.new(Entity, type=named.type, name=named.name)
                yield self.entities[key]
            entity = self.entities[key].pk
            yield self.new(PostEntity, post_id=post.pk, entity_id=entity, position=position)
        for position, image in enumerate(document.images):
            yield self.new(Image, post_id=post.pk, position=position, **image.model_dump())

    def flags(self, post: Post, rules: list[tuple[Any, Any]]) -> Iterator[Model]:
        for rule, finding in rules:
            yield self.new(
                Flag,
                revision=post.head,
                code=rule.code,
                severity=rule.severity,
                sentence=finding.sentence,
                evidence=[{"field": it.field, "excerpt": it.excerpt} for it in finding.evidence],
                raised_at=post.created_at,
            )

    def publication(self, post: Post, revision: Revision) -> Iterator[Model]:
        decision = self.new(
            Decision,
            revision=revision,
            fingerprint=revision.fingerprint,
            verdict=Verdict.APPROVE,
            reviewer=self.people[(post.pk + revision.number + 1) % len(self.people)],
            at=revision.created_at + timedelta(days=1),
        )
        yield decision
        yield self.queue_item(
            post,
            [],
            since=revision.created_at,
            left_at=decision.at,
            left_by=decision.reviewer,
            outcome="approve",
        )
        due = decision.at + timedelta(days=90)
        fields = publishing.compile_fields(
            revision, decision, first=decision.at, reviewed_at=decision.at, review_by=due
        )
        publication = self.new(Publication, post=post, **fields)
        yield publication
        yield from self.words(publication)
        yield from self.kept(post, decision, due)

    def words(self, publication: Publication) -> Iterator[Model]:
        """What searches look at; how many have each word is counted at the end."""
        made = words.vector(indexing.texts(publication))
        moments = {name: getattr(publication, name) for name in ("published_at", "withhold_at")}
        yield PublishedText(publication=publication, length=made.length, words=made.literal, **moments)
        yield PublishedSpelling(publication=publication, words=sorted(made.words))

    def came(self, post: Post, revision: Revision) -> Iterator[Model]:
        """What an import leaves."""
        place = f"notes.jsonl, line {post.pk}"
        content = revision.canonical[:500].encode()
        yield self.new(SourceRecord, revision=revision, format="jsonl", place=place, content=content)
        yield self.new(
            Receipt, run=self.run, place=place, outcome=Outcome.CREATED, post=post, revision=revision
        )

    def said(self, post: Post, revision: Revision) -> Iterator[Model]:
        """What people say of a draft, each of them to the next one."""
        person, other = (self.people[(post.pk + step) % len(self.people)] for step in (2, 3))
        if post.pk % 5 == 0:
            done = {"resolved_at": revision.created_at, "resolved_by": other} if post.pk % 10 else {}
            words = {"field": "title", "quote": post.title[:9], "text": CHANGES[post.pk % 3]}
            yield self.new(Comment, revision=revision, by=person, at=revision.created_at, **words, **done)
            sentence = f"{person} commented on “{post}”."
            read = revision.created_at if post.pk % 10 else None
            yield self.new(
                Notice, user=other, at=revision.created_at, sentence=sentence, post=post, read_at=read
            )

    def kept(self, post: Post, decision: Decision, due: datetime) -> Iterator[Model]:
        """What belongs to a decision and to what it published."""
        revision, at = decision.revision, decision.at
        if post.pk % 4 == 0:
            ticked = Criteria(pk=1)
            yield from (self.new(Tick, decision=decision, criteria=ticked, item=item) for item in range(2))
        if post.pk % 10 == 0:
            yield self.new(
                Schedule, decision=decision, publish_at=at, ended_at=at, outcome=Schedule.PUBLISHED
            )
        if post.pk % 20 == 0:
            yield Oversight(post=post, set_by=decision.reviewer)
            said = {"by": decision.reviewer, "at": min(due, datetime.now(UTC)), "checked": "Ran it again."}
            yield self.new(Verification, revision=revision, fingerprint=revision.fingerprint, **said)
        if post.pk % 50 == 0:
            kind = ReportKind.values[post.pk % len(ReportKind)]
            yield self.new(Report, revision=revision, kind=kind, sentence=CHANGES[0], sender="someone", at=at)


def put(document: Document, post: Post) -> None:
    """Write the draft's own columns, as kb.flow.revising does."""
    plain = document.plain()
    columns = {name: plain[name] for name in SAME_NAME} | plain["scores"] | plain["flags"]
    for name, value in {**columns, "difficulty": plain["difficulty"] or ""}.items():
        setattr(post, name, value)


def fill(posts: int, revisions: int) -> None:
    """Write everything in one transaction, in which the guards of the tables sleep."""
    made = min(posts, DIFFERENT)
    rows = Rows(make_people(), made, max(1, round(revisions / posts)))
    with transaction.atomic(), connection.cursor() as cursor, remembering():
        tables = [table for table in connection.introspection.table_names(cursor) if table.startswith("kb_")]
        switch(cursor, "DISABLE", tables)
        copy(cursor, Criteria, [rows.new(Criteria, **CRITERIA, made_at=rows.start)])
        for first in range(1, made + 1, BATCH):
            batch = defaultdict(list)
            for number in range(first, min(first + BATCH, made + 1)):
                for row in rows.of(number):
                    batch[type(row)].append(row)
            for model, found in batch.items():
                copy(cursor, model, found)
            tell(f"{min(first + BATCH - 1, made):>9,} of {made:,} different posts")
        for model in REPEATED:
            repeat(cursor, model, rows.last, range(1, posts // made), made * APART)
            tell(f"{posts // made} times {model._meta.verbose_name_plural:<30}")
        indexing.recount()
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        switch(cursor, "ENABLE", tables)
        for model, last in rows.last.items():
            times = posts // made if model in REPEATED else 1
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [model._meta.db_table, last * times]
            )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def repeat(
    cursor: Any, model: type[Model], last: dict[type[Model], int], times: range, apart: timedelta
) -> None:
    """Write all rows of a table again, as of other posts that came earlier; the database does it fastest."""
    columns = {field.column: again(field, last) for field in model._meta.concrete_fields}
    cursor.execute(
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
        f" FROM {model._meta.db_table}, generate_series(%(first)s, %(last)s) AS again",
        {"first": times.start, "last": times.stop - 1, "apart": apart},
    )


def again(field: Field, last: dict[type[Model], int]) -> str:
    """What a column says in the row that repeats another one."""
    named = field.model if field.primary_key and not field.is_relation else field.related_model
    if named in REPEATED:
        return f"{field.column} + again * {last.get(named, 0)}"
    if isinstance(field, DateTimeField):
        return f"{field.column} - again * %(apart)s"
    if field.name in {"slug", "source_id"}:
        return f"{field.column} || '-' || again"
    if field.name == "rank":
        return f"{field.column} + again * extract(epoch FROM %(apart)s)::bigint"
    return f'"{field.column}"'


_render = cache(render)
_text_of = cache(indexing.text_of)
_tokens = words.tokens
_known_tokens = cache(lambda text: list(_tokens(text)))


@contextmanager
def remembering() -> Iterator[None]:
    """Render the same body, and take it apart, once; titles and names differ."""
    with ExitStack() as stack:
        for module in (publishing, flagging):
            stack.enter_context(mock.patch.object(module, "render", _render))
        stack.enter_context(mock.patch.object(indexing, "text_of", _text_of))
        stack.enter_context(mock.patch.object(words, "tokens", _tokens_of))
        yield


def _tokens_of(text: str) -> Iterable[words.Token]:
    return _known_tokens(text) if len(text) > 2000 else _tokens(text)


def switch(cursor: Any, how: str, tables: Iterable[str]) -> None:
    for table in tables:
        cursor.execute(f"ALTER TABLE {table} {how} TRIGGER USER")


def copy(cursor: Any, model: type[Model], rows: list[Model]) -> None:
    fields = model._meta.concrete_fields
    columns = ", ".join(field.column for field in fields)
    names = [field.attname for field in fields]
    prepared = [(place, field) for place, field in enumerate(fields) if isinstance(field, JSONField)]
    with cursor.copy(f"COPY {model._meta.db_table} ({columns}) FROM STDIN") as out:
        for row in rows:
            values = [getattr(row, name) for name in names]
            # What psycopg adapts by itself need not go through Django.
            for place, field in prepared:
                values[place] = field.get_db_prep_save(values[place], connection)
            out.write_row(values)


def make_people() -> list[User]:
    people = [User.objects.create_user(f"person-{number}", is_staff=True) for number in range(8)]
    for person in people:
        person.groups.set(Group.objects.filter(name="Administrators"))
    return people


def tell(text: str) -> None:
    print(f"\r{text}", end="", file=sys.stderr, flush=True)
