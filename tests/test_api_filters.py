"""Lists: what a parameter may say, what it does, and how pages follow each other."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, connections
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import ClientCursor

from kb.api import parameters
from kb.api.filters import BY_TYPE_AND_NAME
from kb.flow import reviewing
from kb.models import Post, Publication
from kb.reading.keyset import EPOCH, Cursor
from kb.reading.listing import NEWEST, Wanted, listed
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

PLACE = (
    "the value in `next` or `previous` of an earlier answer, unchanged, with the same filters and ordering"
)
MakePost = Callable[..., Post]
Publish = Callable[[Post], Publication]


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def shelf(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> None:
    """Two unlike published posts, and a draft that is like both."""

    def make() -> None:
        lamp: dict[str, Any] = {
            "title": "Lamps and wires",
            "body": "Red copper wires.",
            "topic": "lighting",
            "stack": ["brass", "glass"],
            "tools": ["pliers"],
            "code_language": "python",
            "difficulty": "beginner",
            "reading_time": 5,
            "scores": {"quality": 0, "freshness": 20, "depth": 30, "clarity": 40},
            "entities": [{"type": "area", "name": "hall: upper"}],
            "checklists": [{"title": "Safety", "items": ["switch off"]}],
        }
        desk: dict[str, Any] = {
            "title": "Desks and drawers",
            "body": "Oak wires nothing.",
            "topic": "wood",
            "stack": ["oak"],
            "tools": ["saw"],
            "code_language": "sql",
            "difficulty": "advanced",
            "reading_time": 50,
            "scores": {"quality": 100, "freshness": 90, "depth": 80, "clarity": 70},
            "payload": {"generator": "a machine"},
            "entities": [{"type": "area", "name": "study"}],
        }
        publish(make_post(slug="lamp", **lamp))
        publish(make_post(slug="desk", **desk))
        make_post(slug="draft", **{**lamp, **desk, "stack": ["brass", "oak"], "tools": ["pliers", "saw"]})

    begin_with(make)


def slugs(client: Client, query: str) -> list[str]:
    response = client.get(f"/api/v1/posts/?{query}")
    assert response.status_code == 200, response.content
    return [card["slug"] for card in response.json()["results"]]


def refused(client: Client, address: str) -> list[dict[str, Any]]:
    response = client.get(address)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.json()["errors"]


# --- What filters do ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "desk lamp"),
        ("topic=lighting", "lamp"),
        ("topic=Lighting", ""),
        ("stack=glass", "lamp"),
        ("stack=oak", "desk"),
        ("stack=gla", ""),
        ("tool=saw", "desk"),
        ("entity=area:hall: upper", "lamp"),
        ("entity=area:study", "desk"),
        ("entity=study:area", ""),
        ("difficulty=beginner", "lamp"),
        ("difficulty=intermediate", ""),
        ("code_language=sql", "desk"),
        ("quality__gte=0", "desk lamp"),
        ("quality__gte=1", "desk"),
        ("quality__lte=0", "lamp"),
        ("quality__gte=0&quality__lte=100", "desk lamp"),
        ("freshness__gte=50", "desk"),
        ("freshness__lte=50", "lamp"),
        ("depth__gte=50", "desk"),
        ("depth__lte=50", "lamp"),
        ("clarity__gte=50", "desk"),
        ("clarity__lte=50", "lamp"),
        ("reading_time__gte=6", "desk"),
        ("reading_time__lte=5", "lamp"),
        ("reading_time__gte=5&reading_time__lte=50", "desk lamp"),
        ("ai_involved=true", "desk"),
        ("ai_involved=false", "lamp"),
        ("q=wires", "desk lamp"),
        ("q=wires copper", "lamp"),
        ("q=wire", "desk lamp"),
        ('q="red copper"', "lamp"),
        ('q="copper red"', ""),
        ("q=wires -oak", "lamp"),
        ("q=copper or drawers", "desk lamp"),
        ("q=%", ""),
        ("q='%20) %26 | ! :* <->", ""),
        ("stack=brass&difficulty=beginner&q=lamps&quality__lte=10", "lamp"),
        ("stack=brass&difficulty=advanced", ""),
    ],
)
def test_a_list_holds_what_every_parameter_asks_for(
    client: Client, shelf: None, query: str, found: str
) -> None:
    assert slugs(client, query) == found.split()


def test_a_checklist_finds_the_posts_that_carry_it(client: Client, shelf: None) -> None:
    (row,) = client.get("/api/v1/checklists/").json()["results"]

    assert slugs(client, f"checklist={row['key']}") == ["lamp"]
    assert slugs(client, f"checklist={'0' * 64}") == []


# --- What is refused ----------------------------------------------------------------------------------------
def test_a_misspelt_parameter_is_named_with_the_nearest_right_one(client: Client) -> None:
    response = client.get("/api/v1/posts/?topik=x&limit=5")

    problem = response.json()
    names = (
        "cursor, limit, fields, omit, brief, expand, ordering, count, q, topic, stack, stack__all, tool, "
        "tool__all, entity, entity__all, checklist, difficulty, code_language, ai_involved, freshness, "
        "quality__gte, quality__lte, freshness__gte, freshness__lte, depth__gte, depth__lte, clarity__gte, "
        "clarity__lte, reading_time__gte, reading_time__lte, reviewed__gte, reviewed__lte, updated__gte, "
        "updated__lte"
    )
    sentence = f"topik: got an unknown parameter, expected one of {names}. Did you mean topic?"
    assert response.status_code == 400
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "unknown_parameter",
        "detail": sentence,
        "parameter": "topik",
        "errors": [
            {
                "parameter": "topik",
                "code": "unknown",
                "got": "an unknown parameter",
                "expected": f"one of {names}",
                "nearest": "topic",
                "detail": sentence,
            }
        ],
        "retry": False,
        "request_id": response.headers["X-Request-ID"],
    }


def test_of_many_misspelt_parameters_no_more_are_looked_at_than_are_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr(parameters, "nearest", lambda name, names: looked_at.append(name))

    response = client.get("/api/v1/posts/?" + "&".join(f"stak{n}=x" for n in range(500)))

    told = [fault["parameter"] for fault in response.json()["errors"]]
    assert told == looked_at == [f"stak{n}" for n in range(20)]


@pytest.mark.parametrize(
    ("query", "got", "expected"),
    [
        ("limit=abc", "'abc'", "a whole number from 1 to 200"),
        ("limit=0", "'0'", "a whole number from 1 to 200"),
        ("limit=201", "'201'", "a whole number from 1 to 200"),
        ("limit=-1", "'-1'", "a whole number from 1 to 200"),
        ("limit=5.0", "'5.0'", "a whole number from 1 to 200"),
        ("limit=%2B5", "'+5'", "a whole number from 1 to 200"),
        ("limit=１０", "'１０'", "a whole number from 1 to 200"),
        ("limit=" + "9" * 5000, "'" + "9" * 60 + "…'", "a whole number from 1 to 200"),
        ("quality__gte=101", "'101'", "a whole number from 0 to 100"),
        ("quality__lte=high", "'high'", "a whole number from 0 to 100"),
        ("reading_time__gte=1e3", "'1e3'", "a whole number from 0 to 10000"),
        ("difficulty=hardish", "'hardish'", "beginner, intermediate or advanced"),
        ("ai_involved=yes", "'yes'", "true or false"),
        ("entity=python", "'python'", "type:name, such as stack:python services"),
        ("entity=:python", "':python'", "type:name, such as stack:python services"),
        ("checklist=abc", "'abc'", "the key of a checklist, 64 hex digits"),
        ("topic=a%00b", "'a\\x00b'", "1 to 500 characters"),
        ("q=%00", "'\\x00'", "1 to 200 characters"),
        ("q=" + "x" * 201, "'" + "x" * 60 + "…'", "1 to 200 characters"),
        ("stack=" + "x" * 501, "'" + "x" * 60 + "…'", "1 to 500 characters"),
        ("code_language=" + "x" * 61, "'" + "x" * 60 + "…'", "1 to 60 characters"),
        ("cursor=x", "'x'", PLACE),
        ("q=saw&q=axe", "2 values", "one value"),
        ("limit=1&limit=1", "2 values", "one value"),
        ("topic=", "an empty value", "1 to 500 characters, or no such parameter"),
        ("topic=%20%0A", "an empty value", "1 to 500 characters, or no such parameter"),
        ("limit=", "an empty value", "a whole number from 1 to 200, or no such parameter"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(client: Client, query: str, got: str, expected: str) -> None:
    (fault,) = refused(client, f"/api/v1/posts/?{query}")

    name = query.partition("=")[0]
    assert (fault["parameter"], fault["got"], fault["expected"]) == (name, got, expected)
    assert fault["nearest"] is None
    assert fault["detail"] == f"{name}: got {got}, expected {expected}."


def test_everything_that_is_wrong_is_told_at_once(client: Client) -> None:
    faults = refused(client, "/api/v1/posts/?page=2&limit=0&quality=80&format=json")

    assert {fault["parameter"]: (fault["code"], fault["nearest"]) for fault in faults} == {
        "page": ("unknown", None),
        "quality": ("unknown", "quality__lte"),
        "format": ("unknown", None),
        "limit": ("invalid", None),
    }


@pytest.mark.parametrize("name", ["%00", "%FF%FE", "x" * 5000, "a b", "<script>", "constructor", ""])
def test_any_name_that_is_not_known_is_refused(client: Client, name: str) -> None:
    (fault,) = refused(client, f"/api/v1/posts/?{name}=1")

    assert (fault["code"], len(fault["parameter"]) <= 61) == ("unknown", True)


def test_a_flood_of_parameters_gets_a_short_answer(client: Client) -> None:
    query = "&".join(f"x{number}=1" for number in range(1000))

    assert len(refused(client, f"/api/v1/posts/?{query}")) == 20
    too_many = client.get("/api/v1/posts/?" + "&".join(f"x{number}=1" for number in range(6000)))
    assert (too_many.status_code, too_many.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "posts/none/",
        "posts/none/meta/",
        "posts/none/revisions/",
        "posts/none/revisions/1/",
        "entities/",
        "entities/a/b/",
        "checklists/",
        "checklists/x/",
        "changes/",
        "document-schema/",
        "schema/",
        "docs/",
    ],
)
def test_no_address_takes_a_parameter_that_it_does_not_know(client: Client, path: str) -> None:
    accept = {"Accept": "*/*"}

    assert client.get(f"/api/v1/{path}?frob=1", headers=accept).json()["parameter"] == "frob"


@pytest.mark.parametrize("since", ["-1", "abc", "", "9" * 19, "1.5", "%00"])
def test_a_place_in_the_feed_is_a_number(client: Client, since: str) -> None:
    (fault,) = refused(client, f"/api/v1/changes/?since={since}")

    assert fault["expected"].startswith("the number of the last entry that you have, or 0")


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "!",
        "====",
        "é",
        "A" * 3999,
        "A" * 4001,
        encoded({}),
        encoded([]),
        encoded([0, "", 1]),
        encoded([0, "", 1, 1, 1]),
        encoded([0, 1, 1]),
        encoded([0, "0123abcd", 1, 1]),
        encoded([2, "", 1, 1]),
        encoded([True, "", 1, 1]),
        encoded([0, "", "1", 1]),
        encoded([0, "", 1, None]),
        encoded([0, "", 1, 1.5]),
        encoded([0, "", -1, 1]),
        encoded([0, "", 10**30, 1]),
        encoded([0, "", 1, 2**63]),
        encoded([0, "", 1, [[]]]),
        base64.urlsafe_b64encode(b'[0,"",NaN,1]').decode(),
        base64.urlsafe_b64encode(b'[0,"",' + b"9" * 2900 + b",1]").decode(),
        base64.urlsafe_b64encode(b"[" * 2900).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_made_up_cursor_is_refused(client: Client, cursor: str) -> None:
    (fault,) = refused(client, f"/api/v1/posts/?cursor={quote(cursor)}")

    assert (fault["parameter"], fault["code"]) == ("cursor", "invalid")


@pytest.mark.parametrize("values", [["a\x00", "b", 1], ["\ud800", "b", 1], [1, 1, 1], ["a", "b"]])
def test_a_made_up_cursor_of_entities_is_refused(client: Client, values: list[Any]) -> None:
    assert len(refused(client, f"/api/v1/entities/?cursor={encoded([0, '', *values])}")) == 1


def test_the_cursor_of_another_list_is_refused(client: Client) -> None:
    cursor = str(Cursor(("stack", "python", 3)))

    assert client.get(f"/api/v1/entities/?cursor={cursor}").status_code == 200
    assert len(refused(client, f"/api/v1/posts/?cursor={cursor}")) == 1


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_text_at_all_breaks_the_reading_of_cursors(text: str) -> None:
    for keyset in (NEWEST, BY_TYPE_AND_NAME):
        try:
            Cursor.read(text, keyset)
        except ValueError:
            continue


@given(st.integers(0, 10**15), st.integers(0, 2**63 - 1), st.booleans())
def test_a_cursor_survives_its_journey(micros: int, pk: int, backwards: bool) -> None:
    cursor = Cursor((EPOCH + timedelta(microseconds=micros), pk), backwards)

    assert Cursor.read(str(cursor), NEWEST) == cursor


# --- Pages --------------------------------------------------------------------------------------------------
def walk(client: Client, address: str | None, direction: str) -> list[list[dict[str, Any]]]:
    pages = []
    while address:
        body = client.get(address).json()
        pages.append(body["results"])
        address = body[direction]
    return pages


@pytest.fixture
def seven(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> list[str]:
    """Seven posts of one moment, as a bulk import approves them; newest first."""

    def make() -> None:
        for number in range(7):
            entity = {"type": "odd" if number % 2 else "even", "name": f"n{number}"}
            checklist = {"title": "", "items": [f"item {number}"]}
            publish(
                make_post(slug=f"p{number}", entities=[entity], checklists=[checklist], reading_time=number)
            )

    begin_with(make)
    return [f"p{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (200, [7])])
def test_pages_follow_each_other_without_gap_or_overlap(
    client: Client, seven: list[str], limit: int, sizes: list[int]
) -> None:
    pages = walk(client, f"/api/v1/posts/?limit={limit}", "next")

    assert [len(cards) for cards in pages] == sizes
    assert [card["slug"] for cards in pages for card in cards] == seven


def test_pages_lead_back_to_the_first(client: Client, seven: list[str]) -> None:
    first = client.get("/api/v1/posts/?limit=3").json()
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()

    back = walk(client, third["previous"], "previous")

    assert back == [second["results"], first["results"]]
    assert (first["previous"], third["next"]) == (None, None)
    assert walk(client, third["previous"], "next") == [second["results"], third["results"]]


def test_pages_keep_the_filters(client: Client, seven: list[str]) -> None:
    pages = walk(client, "/api/v1/posts/?limit=2&reading_time__lte=4&q=note", "next")

    assert [card["slug"] for cards in pages for card in cards] == seven[2:]


def test_what_is_published_or_withdrawn_meanwhile_shifts_nothing(
    client: Client,
    seven: list[str],
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    now: datetime,
) -> None:
    first = client.get("/api/v1/posts/?limit=3").json()
    publish(make_post(slug="new"))
    last_shown = Post.objects.get(slug=first["results"][-1]["slug"])
    reviewing.withdraw(last_shown, by=people.administrator, at=now, comment="wrong")

    second = client.get(first["next"]).json()

    assert [card["slug"] for card in second["results"]] == seven[3:6]


@pytest.mark.parametrize(
    ("path", "name", "names"),
    [
        ("entities/?limit=2", "name", ["n0", "n2", "n4", "n6", "n1", "n3", "n5"]),
        ("entities/?limit=2&type=odd", "name", ["n1", "n3", "n5"]),
        ("changes/?limit=7", "slug", ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]),
    ],
)
def test_every_list_comes_in_pages(
    client: Client, seven: list[str], path: str, name: str, names: list[str]
) -> None:
    forth = walk(client, f"/api/v1/{path}", "next") if "changes" not in path else []
    rows = [row for rows in forth for row in rows] or client.get(f"/api/v1/{path}").json()["results"]

    assert [row[name] for row in rows] == names


def test_checklists_of_one_title_come_in_pages_too(client: Client, seven: list[str]) -> None:
    pages = walk(client, "/api/v1/checklists/?limit=3", "next")

    keys = [row["key"] for rows in pages for row in rows]
    assert keys == sorted(keys)
    assert len(set(keys)) == 7


def test_a_page_deep_in_the_list_is_found_by_its_index(client: Client, seven: list[str]) -> None:
    publication = Publication.objects.get(slug="p3")
    place = Cursor((publication.published_at, publication.pk))
    (captured,) = statements(lambda: listed(Wanted(), cursor=place, limit=2))

    with connection.cursor() as db:
        # Seven rows cost as much by any index, and next to nothing to sort.
        off = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
        db.execute("; ".join(f"SET {way} = off" for way in off))
        db.execute(f"EXPLAIN {captured}")
        plan = "\n".join(line for (line,) in db.fetchall())
        db.execute("; ".join(f"RESET {way}" for way in off))

    assert "Index Cond: (ROW(published_at, id) < ROW(" in plan
    assert "using kb_publication_newest" in plan


def statements(ask: Callable[[], Any]) -> list[str]:
    """The SQL that this asks the readers' alias, with its values in place."""
    captured: list[str] = []

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        with connection.connection.cursor() as cursor:
            captured.append(ClientCursor(cursor.connection).mogrify(sql, params))
        return execute(sql, params, many, context)

    connection.ensure_connection()
    with connections["reading"].execute_wrapper(keep):
        ask()
    return captured
