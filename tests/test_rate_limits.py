"""Rate limits: never more than is allowed, over threads and processes; told on each answer; open in doubt."""

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from kb.api import limits
from kb.api.limits import Limiter
from kb.api.views import Posts
from kb.flow import issuing, maintaining, metering
from kb.models import RateWindow

NOW = 1_795_521_600.0  # the first second of a minute


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since 1970, as the limiter sees them."""
    now = [NOW]
    monkeypatch.setattr(limits.time, "time", lambda: now[0])
    return now


def served(limiter: Limiter, limit: int, requests: int, reader: str = "token 1") -> int:
    return sum(not limiter.spend("token", reader, limit).is_over for _ in range(requests))


# --- Counting -----------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_a_reader_gets_exactly_the_limit_in_a_minute_and_as_much_in_the_next(
    clock: list[float], limit: int
) -> None:
    limiter = Limiter()

    first = served(limiter, limit, 2 * limit)
    clock[0] += 60
    second = served(limiter, limit, 2 * limit)

    assert (first, second) == (limit, limit)


@pytest.mark.django_db
def test_readers_do_not_share_a_minute(clock: list[float]) -> None:
    limiter = Limiter()

    assert served(limiter, 5, 9, "token 1") == served(limiter, 5, 9, "address 192.0.2.1") == 5


@pytest.mark.django_db
def test_two_processes_share_a_minute_and_lose_little(clock: list[float]) -> None:
    processes = [Limiter(), Limiter()]

    got = sum(served(processes[turn % 2], 200, 1) for turn in range(600))

    assert got == 200


@pytest.mark.django_db(transaction=True)
def test_threads_of_three_processes_never_get_more_than_the_limit(clock: list[float]) -> None:
    processes = [Limiter(), Limiter(), Limiter()]
    start = threading.Barrier(6)

    def read(number: int) -> int:
        start.wait()
        try:
            return served(processes[number % 3], 300, 150)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        got = sum(threads.map(read, range(6)))

    assert got == 300


@pytest.mark.django_db
def test_most_requests_ask_the_database_nothing(
    clock: list[float], django_assert_max_num_queries: Any
) -> None:
    limiter = Limiter()

    with django_assert_max_num_queries(12):
        assert served(limiter, 6000, 3000) == 3000


@pytest.mark.django_db
def test_who_is_over_the_limit_costs_no_query_more(
    clock: list[float], django_assert_num_queries: Any
) -> None:
    limiter = Limiter()
    served(limiter, 10, 11)

    with django_assert_num_queries(0):
        assert served(limiter, 10, 500) == 0


def test_zero_counts_nobody() -> None:
    assert Limiter().spend("token", "token 1", 0) is None


@pytest.mark.django_db
def test_a_clock_that_is_set_back_gives_nothing_twice(clock: list[float]) -> None:
    limiter = Limiter()
    served(limiter, 10, 20)

    clock[0] -= 300

    assert served(limiter, 10, 20) == 0


@pytest.mark.django_db
def test_the_table_names_nobody(clock: list[float]) -> None:
    Limiter().spend("address", "address 192.0.2.1", 10)

    (row,) = RateWindow.objects.all()

    assert re.fullmatch("[0-9a-f]{64}", row.key)
    assert (row.minute, row.taken) == (NOW // 60, 1)


@pytest.mark.django_db
def test_upkeep_drops_minutes_that_are_over(clock: list[float]) -> None:
    Limiter().spend("address", "address 192.0.2.1", 10)
    at = datetime.fromtimestamp(NOW, UTC)

    assert maintaining.upkeep(at=at).is_nothing
    kept = RateWindow.objects.count()
    assert maintaining.upkeep(at=at + timedelta(minutes=6)).is_nothing

    assert (kept, RateWindow.objects.count()) == (1, 0)


# --- When nobody can count ----------------------------------------------------------------------------------
def test_reading_goes_on_while_the_database_does_not_answer(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def fail(*args: Any) -> int:
        asked.append(args)
        raise OperationalError("gone")

    limiter = Limiter()
    monkeypatch.setattr(metering, "take", fail)

    with caplog.at_level(logging.WARNING, "kb.api.limits"):
        standings = [limiter.spend("token", "token 1", 5) for _ in range(50)]

    assert [(one.left, one.is_over) for one in standings] == [(None, False)] * 50
    assert standings[0].headers() == {"RateLimit-Policy": '"token";q=5;w=60'}
    assert len(asked) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Requests are not counted: the database does not answer: gone"
    ]


@pytest.mark.django_db
def test_counting_begins_again_when_the_database_is_back(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter, ticks = Limiter(), [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: ticks[0])
    with monkeypatch.context() as broken:
        broken.setattr(metering, "take", lambda *args: (_ for _ in ()).throw(OperationalError("gone")))
        limiter.spend("token", "token 1", 5)

    still = limiter.spend("token", "token 1", 5)
    ticks[0] += limits.PATIENCE
    again = limiter.spend("token", "token 1", 5)

    assert (still.left, again.left) == (None, 4)


# --- At the API ---------------------------------------------------------------------------------------------
POSTS = "/api/v1/posts/"


@pytest.fixture
def limited(clock: list[float], settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everybody may read, three times a minute from one address and five with a token or login."""
    monkeypatch.setattr(limits, "limiter", Limiter())
    settings.KB_READ_ACCESS = "public"
    settings.KB_API_RATE_ADDRESS, settings.KB_API_RATE_TOKEN = 3, 5
    return settings


def told(response: Any) -> tuple[int, str | None, str | None]:
    return (
        response.status_code,
        response.headers.get("RateLimit-Policy"),
        response.headers.get("RateLimit"),
    )


@pytest.mark.django_db(databases=["default", "reading"])
def test_who_spent_the_minute_is_told_when_to_ask_again(
    client: Client, limited: Any, clock: list[float]
) -> None:
    clock[0] += 20

    answers = [client.get(POSTS) for _ in range(4)]

    policy = '"address";q=3;w=60'
    assert [told(answer) for answer in answers] == [
        (200, policy, '"address";r=2;t=40'),
        (200, policy, '"address";r=1;t=40'),
        (200, policy, '"address";r=0;t=40'),
        (429, policy, '"address";r=0;t=40'),
    ]
    problem = answers[3].json()
    assert problem | {"request_id": ""} == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "code": "too_many_requests",
        "detail": "Your address may ask 3 times a minute, and has. Ask again in 40 s.",
        "retry": True,
        "request_id": "",
    }
    assert answers[3].headers["Retry-After"] == "40"
    assert answers[3].headers["Cache-Control"] == "no-store"
    assert client.head(POSTS).content == b""
    clock[0] += 40
    assert client.get(POSTS).status_code == 200


@pytest.mark.django_db(databases=["default", "reading"])
def test_every_kind_of_answer_tells_where_its_reader_stands(
    client: Client, limited: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited.KB_API_RATE_ADDRESS = 1000
    etag = client.get(POSTS).headers["ETag"]
    client.raise_request_exception = False
    asked = {
        304: client.get(POSTS, headers={"If-None-Match": etag}),
        204: client.options(POSTS),
        200: client.head(POSTS),
        301: client.get("/api/v1/posts"),
        400: client.get(f"{POSTS}?colour=red"),
        401: client.get(POSTS, headers={"Authorization": "Bearer no"}),
        404: client.get("/api/v1/posts/none/"),
        405: client.post(POSTS),
        406: client.get(POSTS, headers={"Accept": "text/css"}),
        413: client.post(POSTS, headers={"Content-Length": str(2**40)}),
    }
    monkeypatch.setattr(Posts, "get", lambda *args, **kwargs: 1 / 0)
    asked[500] = client.get(POSTS)

    assert {status: answer.status_code for status, answer in asked.items()} == {each: each for each in asked}
    left = [re.fullmatch(r'"address";r=(\d+);t=60', answer.headers["RateLimit"]) for answer in asked.values()]
    assert [int(found[1]) for found in left if found] == [998 - number for number in range(len(asked))]


@pytest.mark.django_db(databases=["default", "reading"])
def test_a_token_and_a_person_have_minutes_of_their_own(client: Client, limited: Any, people: Any) -> None:
    at = datetime.now(UTC)
    _, token = issuing.issue("x", owner=people.editor, scopes=["read"], expires_at=None, at=at)
    for _ in range(4):
        spent = client.get(POSTS)

    with_token = client.get(POSTS, headers={"Authorization": f"Bearer {token}"})
    guess = client.get(POSTS, headers={"Authorization": "Bearer kb_guess"})
    limited.KB_READ_ACCESS = "authenticated"
    client.force_login(people.stranger)
    with_login = client.get(POSTS)

    assert told(spent)[0] == 429
    assert told(with_token) == (200, '"token";q=5;w=60', '"token";r=4;t=60')
    assert told(with_login) == (200, '"person";q=5;w=60', '"person";r=4;t=60')
    # Whose token is none is whoever is at the address.
    assert told(guess)[0] == 429


@pytest.mark.django_db(databases=["default", "reading"])
def test_another_address_has_a_minute_of_its_own(client: Client, limited: Any) -> None:
    for _ in range(4):
        spent = client.get(POSTS)

    assert (spent.status_code, client.get(POSTS, REMOTE_ADDR="192.0.2.9").status_code) == (429, 200)


@pytest.mark.django_db(databases=["default", "reading"])
def test_without_limits_nothing_is_counted_or_said(
    client: Client, limited: Any, django_assert_num_queries: Any
) -> None:
    limited.KB_API_RATE_ADDRESS = 0

    with django_assert_num_queries(0):
        answers = [told(client.get(POSTS)) for _ in range(9)]

    assert answers == [(200, None, None)] * 9


@pytest.mark.django_db(databases=["default", "reading"])
def test_pages_are_not_counted(client: Client, limited: Any) -> None:
    assert [told(client.get("/")) for _ in range(9)] == [(200, None, None)] * 9
