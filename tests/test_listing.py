"""One page in one query, by whichever way is short: the same publications as looking at each of them."""

import operator
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb.document import Document
from kb.flow import publishing, reviewing, revising, tagging
from kb.models import Publication
from kb.reading import listing
from kb.reading.keyset import Cursor
from kb.reading.listing import ORDERS, Bound, Estimate, Wanted, counted, listed
from kb.reading.rows import TooSlow, rows, within
from tests.conftest import empty_the_tables, make_groups

pytestmark = pytest.mark.django_db(databases=["default", "reading"])

Rows = list[Publication]

START = datetime(2026, 1, 1, tzinfo=UTC)
SIGNS = {">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt}
SCORES = ("quality", "freshness", "depth", "clarity")
LEVELS = ("beginner", "intermediate", None)
FACETS = [
    *(("stack", value) for value in ("a", "b", "c", "nowhere")),
    *(("tool", value) for value in ("x", "y")),
    *(("entity", value) for value in ("area:odd", "area:even", "area:three")),
    *(("topic", value) for value in ("t0", "t1")),
    ("difficulty", "beginner"),
    ("ai_involved", "true"),
    ("ai_involved", "false"),
]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[Rows]:
    """Fourteen unlike posts, of equal moments and titles, some without scores; one is withheld."""
    with django_db_blocker.unblock():
        try:
            yield make_world()
        finally:
            empty_the_tables()


def make_world() -> Rows:
    if not Group.objects.filter(name="Reviewers").exists():
        make_groups()
    editor, reviewer = (User.objects.create_user(name) for name in ("editor", "reviewer"))
    editor.groups.add(Group.objects.get(name="Editors"))
    reviewer.groups.add(Group.objects.get(name="Reviewers"))
    note = revising.ChangeNote("written for a test")
    for number in range(14):
        document = Document.read({"body": "Text.", **content(number)})
        post = revising.create(document, slug=f"p{number}", by=editor, at=START, note=note)
        reviewing.approve(post, number=1, fingerprint=post.head.fingerprint, by=reviewer, at=START)
    found = list(Publication.objects.order_by("pk"))
    for number, row in enumerate(found):
        row.published_at = START + timedelta(days=number // 2)
        row.reviewed_at = None if number == 5 else START + timedelta(days=20 - number % 5)
        row.review_by = None if number == 6 else START + timedelta(days=number * 7)
        row.withhold_at = {3: START, 4: datetime(2999, 1, 1, tzinfo=UTC)}.get(number)
    with transaction.atomic():
        publishing.queue_up()
        columns = ["published_at", "reviewed_at", "review_by", "withhold_at"]
        Publication.objects.bulk_update(found, columns)
        tagging.recount()
    return found


def content(number: int) -> dict[str, Any]:
    entities = ["odd" if number % 2 else "even", *(["three"] if number % 3 == 0 else [])]
    return {
        "title": f"Title {number % 4}",
        "topic": f"t{number % 3}",
        "stack": ["a", "b", "c"][number % 3 :],
        "tools": ["x"] if number % 4 else ["x", "y"],
        "difficulty": LEVELS[number % 3],
        "reading_time": number % 5 or None,
        "scores": {name: (number * 31 + place) % 7 * 10 for place, name in enumerate(SCORES) if number % 6},
        "entities": [{"type": "area", "name": name} for name in entities],
        "payload": {"generator": "a machine"} if number % 2 else {},
    }


numbers = st.builds(
    Bound, st.sampled_from([*SCORES, "reading_time"]), st.sampled_from([">=", "<="]), st.integers(0, 60)
)
moments = st.builds(
    Bound,
    st.sampled_from(["published_at", "reviewed_at", "review_by"]),
    st.sampled_from(list(SIGNS)),
    st.integers(-1, 30).map(lambda days: START + timedelta(days=days)),
)
wanted = st.builds(
    Wanted,
    st.lists(st.lists(st.sampled_from(FACETS), min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    st.one_of(st.just(()), st.lists(numbers | moments, max_size=2).map(tuple)),
)


def test_any_combination_gives_what_looking_at_each_would_forwards_and_backwards(
    world: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    @given(wanted, st.sampled_from(list(ORDERS)), st.sampled_from([1, 3, 20]), st.sampled_from([0, 3, 1000]))
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def holds(asked: Wanted, order: str, limit: int, few: int) -> None:
        monkeypatch.setattr(listing, "FEW", few)
        monkeypatch.setattr(listing, "WINDOW", 3)
        expected = naive(world, asked, order)
        pages = list(walk(asked, order, limit))

        assert [pk for page in pages for pk in page] == expected
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert counted(asked) == len(expected)
        seen.update({few} if len(expected) > limit else ())

    holds()

    assert seen == {0, 3, 1000}


def walk(asked: Wanted, order: str, limit: int) -> Iterator[list[int]]:
    """Every page on, and on the way each looks back at the one before."""
    cursor, before = None, None
    while True:
        found = listed(asked, order=order, cursor=cursor, limit=limit, columns=("id",))
        page = [pk for (pk,) in found.page.rows]
        assert (found.page.previous is None) == (before is None)
        if found.page.previous is not None:
            back = listed(asked, order=order, cursor=found.page.previous, limit=limit, columns=("id",))
            assert [pk for (pk,) in back.page.rows] == before
        if cursor is None and found.page.next is None:
            assert found.count == Estimate(len(page), exact=True)
        yield page
        cursor, before = found.page.next, page
        if cursor is None:
            return


def naive(world: Rows, asked: Wanted, order: str) -> list[int]:
    found = [row for row in world if fits(row, asked)]
    found.sort(key=lambda row: keys(row, order), reverse=order.startswith("-"))
    return [row.pk for row in found]


def fits(row: Publication, asked: Wanted) -> bool:
    if row.withhold_at and row.withhold_at < datetime.now(UTC):
        return False
    values = [(getattr(row, bound.column), bound) for bound in asked.bounds]
    return all(row.facets() & set(group) for group in asked.facets) and all(
        value is not None and SIGNS[bound.sign](value, bound.value) for value, bound in values
    )


def keys(row: Publication, order: str) -> tuple[Any, ...]:
    return {
        "published_at": (row.published_at, row.pk),
        "reviewed_at": (row.reviewed_at or row.published_at, row.pk),
        "quality": (row.quality or 0, row.published_at, row.pk),
        "title": (row.title, row.pk),
    }[order.removeprefix("-")]


# --- How many -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "sure", "about", "counts"),
    [
        (Wanted(), True, 14, 13),
        (Wanted(((("stack", "c"),),)), True, 14, 13),
        (Wanted(((("entity", "area:odd"),),)), True, 7, 6),
        (Wanted(((("stack", "a"), ("stack", "b")),)), False, 14, 9),  # five of them have both
        (Wanted(((("stack", "b"),), (("entity", "area:odd"),))), False, 5, 4),
        (Wanted((), (Bound("quality", ">=", 30),)), False, 7, 7),
    ],
)
def test_what_one_facet_counts_is_sure_and_the_rest_an_estimate(
    world: Rows, monkeypatch: pytest.MonkeyPatch, asked: Wanted, sure: bool, about: int, counts: int
) -> None:
    assert listed(asked, limit=1).count == Estimate(
        about, exact=False
    )  # for one is withheld that still counts
    assert counted(asked) == counts

    monkeypatch.setattr(listing, "_WITHHELD", "SELECT 1 WHERE false")
    assert listed(asked, limit=1).count == Estimate(about, exact=sure)


def test_a_place_after_the_last_post_says_nothing_of_their_number(world: Rows) -> None:
    found = listed(Wanted(), cursor=Cursor((START - timedelta(days=1), 1)), limit=5)

    assert (found.page.rows, found.count.exact) == ([], False)


def test_a_statement_may_take_only_so_long() -> None:
    with pytest.raises(TooSlow), within(50):
        rows("SELECT pg_sleep(5)")


# --- The way ------------------------------------------------------------------------------------------------
def test_facets_are_walked_along_the_key_of_their_tags(world: Rows) -> None:
    asked = Wanted(((("stack", "a"),), (("tool", "x"),)), ())
    query = listing._Query(asked, listing.NEWEST, None, 3, ("card_json",))
    sql = query.sql()

    with connection.cursor() as db:
        db.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
        db.execute(f"EXPLAIN {sql}", query.values)
        plan = "\n".join(line for (line,) in db.fetchall())
        db.execute("RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort")

    assert "Index Only Scan Backward using kb_publishedtag_pkey" in plan
    # By whichever index begins with it: of so few rows all cost the same.
    assert re.search(r"Index Cond: \(id = \S*publication_id\)", plan)
