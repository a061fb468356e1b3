"""Turn judged queries into how well searches find what was meant: hit@1, MRR and nDCG@10.

    python -m tests.benchmarks.finding

The queries of tests/data/judged.jsonl are asked over the demo notes and synthesised posts, in a database of
their own. Grades go from 0 to 3: 3 is what was meant. A query about a stack and a problem gives 3 to posts
about both, 1 to those about one of them. Beside it stands what PostgreSQL alone would find.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log2
from pathlib import Path
from statistics import mean
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from kb import meaning
from kb.choices import Verdict
from kb.document import Document
from kb.flow import embedding, indexing, publishing
from kb.management import demo
from kb.models import Decision, Post, Publication, Revision
from kb.reading.search import ranked_for, search
from kb.sources import synthesis
from tests.benchmarks.desk import use_own_database
from tests.benchmarks.filling import switch

JUDGED = Path(__file__).parent.parent / "data" / "judged.jsonl"
SYNTHESISED = 80
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DEPTH = 10

Find = Callable[[str], Sequence[str]]  # a query to slugs, best first


@dataclass(frozen=True)
class Judged:
    kind: str
    query: str
    grades: dict[str, int]


@dataclass(frozen=True)
class Figures:
    queries: int
    hit: float  # share of queries whose first post has the best grade
    mrr: float  # mean of 1/place of the first post with the best grade
    ndcg: float  # of the first ten

    def __str__(self) -> str:
        return f"{self.queries:>8}{self.hit:>8.3f}{self.mrr:>8.3f}{self.ndcg:>8.3f}"


def documents() -> Iterator[tuple[str, Document]]:
    """What is searched, by slug."""
    yield from ((note.record.slug, note.record.document) for note in demo.notes())
    chance = synthesis.Chance()
    for number in range(1, SYNTHESISED + 1):
        record = synthesis.post(number, 1, chance)
        yield record["slug"], Document.read(record["document"])


def publish(found: Iterable[tuple[str, Document]], reviewer: Any) -> None:
    """Publish these by the same compile step as every approval, in bulk: the guards of the tables sleep."""
    with transaction.atomic(), connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name.startswith("kb_")]
        switch(cursor, "DISABLE", tables)
        for number, (slug, document) in enumerate(found):
            at = BEGIN + number * timedelta(minutes=5)
            post = Post.objects.create(slug=slug, title=document.title, created_at=at, updated_at=at)
            canonical = document.canonical()
            fingerprint = hashlib.sha256(canonical).hexdigest()
            revision = Revision.objects.create(
                post=post,
                number=1,
                version="1.0.0",
                origin="import",
                canonical=canonical.decode(),
                fingerprint=fingerprint,
                created_at=at,
            )
            approval = Decision.objects.create(
                revision=revision, fingerprint=fingerprint, verdict=Verdict.APPROVE, reviewer=reviewer, at=at
            )
            fields = publishing.compile_fields(revision, approval, first=at, reviewed_at=at, review_by=at)
            indexing.index(Publication.objects.create(post=post, **fields))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        switch(cursor, "ENABLE", tables)


def judged(known: dict[str, Document]) -> list[Judged]:
    """The queries, with the grades of what there is. Raises KeyError for a grade of a post that is not."""
    rows = [json.loads(line) for line in JUDGED.read_text(encoding="utf-8").splitlines()]
    return [Judged(row["kind"], row["query"], _grades(row, known)) for row in rows]


def _grades(row: dict[str, Any], known: dict[str, Document]) -> dict[str, int]:
    if "grades" in row:
        unknown = row["grades"].keys() - known.keys()
        if unknown:
            raise KeyError(f"{row['query']}: no post {', '.join(sorted(unknown))}")
        return dict(row["grades"])
    wanted = {row["stack"], row["problem"]}
    shared = {slug: len(wanted.intersection(it.topic.split(" / "))) for slug, it in known.items()}
    return {slug: 3 if number == 2 else 1 for slug, number in shared.items() if number}


def measure(queries: Iterable[Judged], find: Find) -> dict[str, Figures]:
    """By kind of query, and "all"."""
    measured: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for one in queries:
        found = list(find(one.query))
        best = max(one.grades.values())
        place = next((n for n, slug in enumerate(found, 1) if one.grades.get(slug) == best), 0)
        figures = (float(place == 1), 1 / place if place else 0.0, ndcg(found, one.grades))
        measured[one.kind].append(figures)
        measured["all"].append(figures)
    columns = {kind: zip(*rows, strict=True) for kind, rows in measured.items()}
    return {kind: Figures(len(measured[kind]), *map(mean, of)) for kind, of in columns.items()}


def ndcg(found: Sequence[str], grades: dict[str, int]) -> float:
    """Normalised discounted cumulated gain of the first ten, by Järvelin and Kekäläinen (2002)."""

    def gain(graded: Iterable[int]) -> float:
        return sum(grade / log2(place + 1) for place, grade in enumerate(graded, 1))

    ideal = gain(sorted(grades.values(), reverse=True)[:DEPTH])
    return gain(grades.get(slug, 0) for slug in found[:DEPTH]) / ideal


def by_kb(query: str) -> list[str]:
    best = [one.publication for one in ranked_for(query).posts[:DEPTH]]
    slugs = dict(Publication.objects.filter(pk__in=best).values_list("pk", "slug"))
    return [slugs[pk] for pk in best]


def by_words_and_meaning(query: str) -> list[str]:
    return [hit.slug for hit in search(query, limit=DEPTH, with_facets=False).hits]


def by_postgresql(query: str) -> list[str]:
    """Any word, ranked by ts_rank over title, summary and text: what the database offers by itself."""
    asked = "replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery"
    vector = (
        "setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', summary), 'B')"
        " || to_tsvector('english', regexp_replace(html, '<[^>]*>', ' ', 'g'))"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT slug FROM kb_publication WHERE {vector} @@ {asked}"
            f" ORDER BY ts_rank({vector}, {asked}) DESC, id LIMIT {DEPTH}",
            [query, query],
        )
        return [slug for (slug,) in cursor.fetchall()]


def main() -> None:
    from django.contrib.auth.models import User

    use_own_database(keep=False)
    call_command("migrate", verbosity=0)
    known = dict(documents())
    publish(known.items(), User.objects.create_user("reviewer"))
    queries = judged(known)
    print(f"{len(known)} posts\n{'':<14}{'':<12}{'queries':>8}{'hit@1':>8}{'MRR':>8}{'nDCG@10':>8}")
    ways: dict[str, Find] = {"kb": by_kb, "ts_rank": by_postgresql}
    settings.KB_SEMANTIC = "auto"
    if model := meaning.embedder():
        embedding.set_up()
        sum(embedding.fill(model))
        embedding.index(model)
        ways["kb, meaning"] = by_words_and_meaning
    for name, find in ways.items():
        for kind, figures in measure(queries, find).items():
            print(f"{name:<14}{kind:<12}{figures}")


if __name__ == "__main__":
    main()
