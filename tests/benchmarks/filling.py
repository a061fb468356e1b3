"""Turn a number of synthetic posts into rows, quickly: every list that the desk shows has something to count.

A new table takes part when `Rows.of` yields its rows too.
"""

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest import mock

from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.db.models import Model

from kb import likeness
from kb.choices import Origin, State, Verdict
from kb.document import Document
from kb.flow import flagging, publishing, queueing
from kb.models import (
    Checklist,
    ChecklistItem,
    Decision,
    Entity,
    Flag,
    Image,
    Likeness,
    Post,
    PostEntity,
    Publication,
    QueueItem,
    Revision,
)
from kb.models.post import SAME_NAME
from kb.sources import synthesis

BATCH = 1000  # posts in one go
BODIES = 2000  # different ones: rendering each of 100,000 would take minutes more
START = datetime(2024, 1, 1, tzinfo=UTC)
CHANGES = ("Say what is measured.", "Name the way back.", "Drop what no longer holds.")


class Rows:
    """The rows of one post after the other, with ids of our own, so that each names the others unsaved."""

    def __init__(self, people: list[User], revisions_each: int):
        self.people = people
        self.revisions_each = revisions_each
        self.chance = synthesis.Chance()
        self.bodies: dict[int, str] = {}
        self.hashed: dict[int, list[int]] = {}
        self.entities: dict[tuple[str, str], Entity] = {}
        self.last: dict[type[Model], int] = defaultdict(int)

    def new(self, model: type[Any], **values: Any) -> Any:
        self.last[model] += 1
        return model(pk=self.last[model], **values)

    def of(self, number: int) -> Iterator[Model]:
        record = synthesis.post(number, 1, self.chance)
        content = record.pop("document")
        content["body"] = self.bodies.setdefault(number % BODIES, content["body"])
        document = Document.read(content)
        at = START + timedelta(minutes=5 * number)
        post = self.new(Post, **record, created_at=at, updated_at=at)
        revisions, document = self.revisions(post, document, at)
        self.put(document, post)
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
                    reason=CHANGES[number % 3] if author else "",
                    created_at=at + timedelta(hours=number),
                )
            )
        return found, document

    def put(self, document: Document, post: Post) -> None:
        """Write the draft's own columns, as kb.flow.revising does."""
        plain = document.plain()
        columns = {name: plain[name] for name in SAME_NAME} | plain["scores"] | plain["flags"]
        for name, value in {**columns, "difficulty": plain["difficulty"] or ""}.items():
            setattr(post, name, value)

    def parts(self, post: Post, document: Document) -> Iterator[Model]:
        for position, checklist in enumerate(document.checklists):
            row = self.new(Checklist, post=post, position=position, title=checklist.title)
            yield row
            for place, text in enumerate(checklist.items):
                yield self.new(ChecklistItem, checklist=row, position=place, text=text)
        for position, named in enumerate(document.entities):
            key = (named.type, named.name)
            if key not in self.entities:
                self.entities[key] = self.new(Entity, type=named.type, name=named.name)
                yield self.entities[key]
            yield self.new(PostEntity, post=post, entity=self.entities[key], position=position)
        for position, image in enumerate(document.images):
            yield self.new(Image, post=post, position=position, **image.model_dump())

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
        fields = publishing.compile_fields(revision, decision, first=decision.at, review_by=due)
        yield self.new(Publication, post=post, search="", **fields)


def fill(posts: int, revisions: int) -> None:
    """Write everything in one transaction, in which the guards of the tables sleep."""
    rows = Rows(make_people(), max(1, round(revisions / posts)))
    with transaction.atomic(), connection.cursor() as cursor, remembering():
        tables = [table for table in connection.introspection.table_names(cursor) if table.startswith("kb_")]
        switch(cursor, "DISABLE", tables)
        for first in range(1, posts + 1, BATCH):
            batch = defaultdict(list)
            for number in range(first, min(first + BATCH, posts + 1)):
                for row in rows.of(number):
                    batch[type(row)].append(row)
            for model, found in batch.items():
                copy(cursor, model, found)
            tell(f"{min(first + BATCH - 1, posts):>9,} of {posts:,} posts")
        # The search column is made by the database.
        cursor.execute("UPDATE kb_publication SET search = to_tsvector('english', title || ' ' || summary)")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        switch(cursor, "ENABLE", tables)
        for model, last in rows.last.items():
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [model._meta.db_table, last]
            )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


@contextmanager
def remembering() -> Iterator[None]:
    """Render the same body once."""
    render = cache(publishing.render)
    with mock.patch.object(publishing, "render", render), mock.patch.object(flagging, "render", render):
        yield


def switch(cursor: Any, how: str, tables: Iterable[str]) -> None:
    for table in tables:
        cursor.execute(f"ALTER TABLE {table} {how} TRIGGER USER")


def copy(cursor: Any, model: type[Model], rows: list[Model]) -> None:
    fields = model._meta.concrete_fields
    columns = ", ".join(field.column for field in fields)
    with cursor.copy(f"COPY {model._meta.db_table} ({columns}) FROM STDIN") as out:
        for row in rows:
            out.write_row(
                [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
            )


def make_people() -> list[User]:
    people = [User.objects.create_user(f"person-{number}", is_staff=True) for number in range(8)]
    for person in people:
        person.groups.set(Group.objects.filter(name="Administrators"))
    return people


def tell(text: str) -> None:
    print(f"\r{text}", end="", file=sys.stderr, flush=True)
