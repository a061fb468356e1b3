"""The admin's first page: numbers for those who may see posts, a chart and a table for each, few queries."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse

from kb.admin import charts, dashboard
from kb.models import ImportRun, Post, Publication, QueueItem

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def page(client: Client, people: Any) -> Callable[[str], str]:
    def show(who: str) -> str:
        client.force_login(getattr(people, who))
        return client.get(reverse("admin:index")).content.decode()

    return show


def waited(post: Post, *, came: int, left: int | None = None, outcome: str = "", **fields: Any) -> None:
    """The post came to the queue so many days before noon, and left so many before."""
    QueueItem.objects.create(
        post=post,
        since=NOON - timedelta(days=came),
        left_at=None if left is None else NOON - timedelta(days=left),
        outcome=outcome,
        rank=0,
        **fields,
    )


def test_the_first_page_says_of_each_empty_chart_what_would_be_there(page: Callable[[str], str]) -> None:
    shown = page("reviewer")

    assert 'class="kb-chart"' not in shown
    assert re.findall(r'<section class="kb-panel" id="kb-(\w+)">', shown) == [
        *("backlog", "decision", "flags", "freshness", "generators", "imports")
    ]
    assert shown.count('<p class="kb-muted">') >= 6


def test_every_chart_is_one_well_formed_picture_with_a_table_behind_it(
    page: Callable[[str], str], make_post: Any, publish: Any, now: datetime
) -> None:
    post = make_post(payload={"generator": "<b>bold</b>"}, ask_for_review=True)
    publish(post)
    make_post(ask_for_review=True)

    shown = page("reviewer")

    drawn = re.findall(r'<svg class="kb-chart".*?</svg>(?=\s*<details)', shown, re.DOTALL)
    assert len(drawn) == 5
    for picture in drawn:
        tree = ElementTree.fromstring(picture)
        name = tree.attrib["aria-labelledby"].split()
        assert [tree.attrib["role"], tree[0].attrib["id"], tree[1].attrib["id"]] == ["img", *name]
        assert tree[0].text
        assert tree[1].text
    assert shown.count("<summary>As a table</summary>") == 5
    assert "<b>bold" not in shown
    assert " style=" not in shown


@pytest.mark.parametrize(("who", "numbers", "ways"), [("auditor", True, True), ("editor", True, False)])
def test_who_may_see_posts_sees_numbers_and_who_audits_the_ways_on(
    page: Callable[[str], str], who: str, numbers: bool, ways: bool
) -> None:
    shown = page(who)

    assert ("kb-charts" in shown, reverse("admin:kb_audit") in shown) == (numbers, ways)


def test_staff_without_the_right_to_see_posts_get_no_number(
    client: Client, people: Any, make_post: Any
) -> None:
    make_post(ask_for_review=True)
    people.stranger.is_staff = True
    people.stranger.save()
    client.force_login(people.stranger)

    response = client.get(reverse("admin:index"))

    assert response.status_code == 200
    assert "kb-charts" not in response.content.decode()


def test_the_first_page_takes_as_many_queries_for_three_posts_as_for_one(
    client: Client, people: Any, make_post: Any, publish: Any, django_assert_num_queries: Any, now: datetime
) -> None:
    request = type("Request", (), {"user": people.reviewer})()
    people.reviewer.has_perm("kb.view_post")
    for number in range(3):
        publish(make_post(ask_for_review=True))
        make_post(ask_for_review=True)
        ImportRun.objects.create(started_at=now, by=people.administrator)
        if number in {0, 2}:
            with django_assert_num_queries(7):
                dashboard.whole(request)


@pytest.mark.parametrize("number", [1, 3])
def test_the_whole_answer_takes_as_many_queries_for_three_posts_as_for_one(
    client: Client, people: Any, make_post: Any, publish: Any, django_assert_num_queries: Any, number: int
) -> None:
    for _ in range(number):
        publish(make_post(ask_for_review=True))
        make_post(ask_for_review=True)
    client.force_login(people.administrator)

    with django_assert_num_queries(13):
        assert client.get(reverse("admin:index")).status_code == 200


def test_the_backlog_of_each_day_is_what_came_less_what_left(make_post: Any) -> None:
    first, second, third = (make_post() for _ in range(3))
    waited(first, came=200)
    waited(second, came=3, left=1, outcome="approve")
    waited(third, came=100, left=2, outcome="settled")

    rows = dashboard.backlog(NOON).rows

    assert [row[1:] for row in rows[:5]] == [(0, 0, 1), (0, 1, 1), (0, 1, 2), (1, 0, 3), (0, 0, 2)]
    assert len(rows) == 90
    assert rows[-1][3] == 2


def test_time_to_decision_counts_decisions_alone_by_week(make_post: Any) -> None:
    for post, days, outcome in ((make_post(), 1, "approve"), (make_post(), 3, "withdraw")):
        waited(post, came=7 + days, left=7, outcome=outcome)
    waited(make_post(), came=80, left=7, outcome="settled")

    rows = dashboard.time_to_decision(NOON).rows

    assert rows[0] == ("23 Nov 2026", 0, "–", "–")
    assert rows[1] == ("16 Nov 2026", 2, "2 d", "2.8 d")
    assert len(rows) == 13


def test_freshness_is_told_by_the_date_of_the_next_verification(make_post: Any, publish: Any) -> None:
    for days in (-1, 0, 1, 14, 15, None):
        publication = publish(make_post())
        moment = None if days is None else NOON + timedelta(days=days)
        Publication.objects.filter(pk=publication.pk).update(review_by=moment)

    rows = dashboard.freshness(NOON).rows

    assert [row[:2] for row in rows] == [
        ("Fresh", 1),
        ("Due within 14 days", 2),
        ("Overdue", 2),
        ("Not yet known", 1),
    ]


def test_generators_are_told_apart_by_what_the_payload_names(make_post: Any, publish: Any, now: Any) -> None:
    publish(make_post(payload={"generator": "alpha"}))
    publish(make_post(payload={"generator": "x" * 70}))
    publish(make_post())

    rows = dashboard.generators(now).rows

    assert rows == [
        ("Written by people", 1, 0, "0 %"),
        ("alpha", 1, 0, "0 %"),
        ("x" * 60, 1, 0, "0 %"),
    ]


def test_an_import_that_never_finished_is_running_for_an_hour_and_doubtful_after(now: datetime) -> None:
    for minutes, finished in ((30, None), (90, None), (90, now)):
        ImportRun.objects.create(
            started_at=now - timedelta(minutes=minutes),
            finished_at=finished,
            counts={"created": 2, "updated": 0},
        )

    rows = dashboard.imports(now)

    assert [re.sub("<.*?>", "", row["state"]) for row in rows] == [
        "Finished",
        "Broken off, or still running",
        "Running",
    ]
    assert rows[0]["counts"] == "2 created"


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (3, 4), (4.2, 5), (11, 20), (99, 100), (101, 200), (0.03, 0.04)]
)
def test_a_scale_ends_at_a_round_number_and_begins_at_zero(value: float, top: float) -> None:
    assert charts.ceiling(value) == pytest.approx(top)
