"""The changes feed: nothing skipped or out of order; whoever follows it has exactly what is published."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier, Event
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client

from kb.choices import ChangeKind
from kb.document import Document
from kb.flow import demonstrating, maintaining, publishing, reviewing, revising, verifying
from kb.flow.revising import ChangeNote
from kb.management import demo
from kb.models import Change, Post, Publication

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]
LONG = 30  # seconds: who takes longer waits for ever
DAY = timedelta(days=1)


class Consumer:
    """Somebody who knows what is published from the feed alone."""

    def __init__(self, limit: int = 200) -> None:
        self.client = Client()
        self.address = f"/api/v1/changes/?limit={limit}"
        self.has: dict[str, str] = {}  # slug to fingerprint
        self.told: list[int] = []

    def follow(self) -> None:
        """Ask until nothing is left for now."""
        more = True
        while more:
            feed = self.client.get(self.address).json()
            for entry in feed["results"]:
                self.take(**entry)
            self.address, more = feed["next"], feed["more"]

    def take(self, *, number: int, kind: str, slug: str, fingerprint: str, **rest: Any) -> None:
        self.told.append(number)
        if kind == ChangeKind.WITHDRAWN:
            self.has.pop(slug, None)
        else:
            self.has[slug] = fingerprint


def published() -> dict[str, str]:
    return dict(Publication.reading.order_by().values_list("slug", "fingerprint"))


def in_threads(*acts: Callable[[], None]) -> None:
    """Run all at once, each with connections of its own; raise what one of them raises."""
    start = Barrier(len(acts))

    def run(act: Callable[[], None]) -> None:
        try:
            start.wait(LONG)
            act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as threads:
        for running in [threads.submit(run, act) for act in acts]:
            running.result(LONG)


@pytest.fixture(autouse=True)
def everybody_reads(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


# --- Many at once ---


def test_a_consumer_beside_many_publishers_skips_nothing_and_ends_with_what_is_published(
    make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    posts = [make_post() for _ in range(6)]
    consumers, ended = [Consumer(limit=limit) for limit in (1, 200)], Event()

    def work(own: list[Post]) -> None:
        for round_ in range(3):
            for post in own:
                publish(post)
                Post.objects.filter(pk=post.pk).update(view_count=round_)
                publishing.refresh(post, at=now)
                if (round_ + post.pk) % 2:
                    reviewing.withdraw(post, by=people.administrator, at=now, comment="wrong")
                post.refresh_from_db()
                document = Document.read({**post.document().plain(), "title": f"{post} {round_}"})
                revising.save(
                    post,
                    document,
                    base_number=post.head.number,
                    by=people.editor,
                    at=now,
                    note=ChangeNote("again"),
                )

    def roll_back() -> None:
        # Takes numbers that nobody ever sees.
        for post in posts:
            with transaction.atomic():
                publishing.retract(post, at=now)
                transaction.set_rollback(True)

    def consume(consumer: Consumer) -> None:
        while not ended.wait(0.01):
            consumer.follow()
        consumer.follow()

    def publish_all() -> None:
        try:
            in_threads(*(lambda part=posts[n::3]: work(part) for n in range(3)), roll_back)
        finally:
            ended.set()

    in_threads(publish_all, *(lambda one=consumer: consume(one) for consumer in consumers))

    numbers = list(Change.objects.order_by("pk").values_list("pk", flat=True))
    assert len(numbers) >= 45
    assert [consumer.told for consumer in consumers] == [numbers] * 2
    assert [consumer.has for consumer in consumers] == [published()] * 2


def test_a_number_is_seen_by_nobody_before_all_smaller_ones(
    make_post: MakePost, publish: Publish, now: datetime
) -> None:
    first, second = make_post(slug="first"), make_post(slug="second")
    told, go = Event(), Event()
    seen: list[list[str]] = []

    def slow() -> None:
        with transaction.atomic():
            publish(first)
            told.set()
            go.wait(LONG)

    def quick() -> None:
        told.wait(LONG)
        publish(second)
        go.set()  # it did not wait

    def watch() -> None:
        told.wait(LONG)
        with connection.cursor() as cursor:
            waiting = 0
            while not (waiting or go.is_set()):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
                    " AND datname = current_database()"
                )
                waiting = cursor.fetchone()[0]
        seen.append(list(Change.objects.values_list("slug", flat=True)))
        go.set()

    in_threads(slow, quick, watch)

    seen.append(list(Change.objects.values_list("slug", flat=True)))
    assert seen == [[], ["first", "second"]]


# --- What else changes what readers have ---


def test_a_post_that_the_clock_took_away_comes_back_in_the_feed(
    make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    publish(post)
    consumer = Consumer()
    verifying.set_withholding(post, on=True, by=people.reviewer, at=now)
    with transaction.atomic():
        publishing.queue_up()
        Publication.objects.update(withhold_at=now - DAY)  # gone by the clock; upkeep has not come by yet
    consumer.follow()
    consumer.has = published()  # as an export would have begun it

    verifying.set_withholding(post, on=False, by=people.reviewer, at=now)
    consumer.follow()

    assert consumer.has == published() == {post.slug: post.head.fingerprint}


def test_upkeep_tells_what_the_clock_took_away(
    make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    post, other = make_post(), make_post()
    publish(post)
    publish(other)
    verifying.set_withholding(post, on=True, by=people.reviewer, at=now)
    consumer = Consumer()
    consumer.follow()

    maintaining.upkeep(at=now + 100 * DAY)
    consumer.follow()

    assert consumer.has == published() == {other.slug: other.head.fingerprint}


def test_compiling_again_tells_of_what_came_out_different_alone(
    make_post: MakePost, publish: Publish, now: datetime
) -> None:
    post, other = make_post(), make_post()
    publish(post)
    publish(other)
    with transaction.atomic():
        publishing.queue_up()
        Publication.objects.filter(post=post).update(detail_json="{}", etag="0" * 64)
    before = Change.objects.count()

    publishing.rebuild(at=now)
    publishing.rebuild(at=now)

    told = Change.objects.order_by("pk").values_list("kind", "slug", "at")[before:]
    assert list(told) == [(ChangeKind.UPDATED, post.slug, now)]


def test_demo_content_comes_and_goes_in_the_feed(people: SimpleNamespace, now: datetime) -> None:
    cast = demonstrating.Cast(people.editor, people.reviewer, people.administrator)
    demonstrating.seed(demo.notes()[:12], cast=cast, at=now)
    consumer = Consumer()

    consumer.follow()
    with_demo, there = consumer.has.copy(), published()
    demonstrating.remove(at=now)
    consumer.follow()

    assert with_demo == there != {}
    assert consumer.has == published() == {}


# --- Places in the feed ---


@pytest.fixture
def feed(make_post: MakePost, publish: Publish) -> Iterator[list[int]]:
    for _ in range(3):
        publish(make_post())
    return list(Change.objects.order_by("pk").values_list("pk", flat=True))


def test_any_place_that_the_feed_reached_leads_on(client: Client, feed: list[int]) -> None:
    first, second, last = feed

    def numbers(since: int) -> list[int]:
        return [entry["number"] for entry in client.get(f"/api/v1/changes/?since={since}").json()["results"]]

    assert [numbers(since) for since in (0, first - 1 or 0, first, second, last)] == [
        feed,
        feed,
        [second, last],
        [last],
        [],
    ]


def test_a_place_that_the_feed_never_reached_is_refused_for_nothing_would_come(
    client: Client, feed: list[int]
) -> None:
    for since in (feed[-1] + 1, 2**63 - 1):
        response = client.get(f"/api/v1/changes/?since={since}")

        assert response.status_code == 400
        assert "begin again with an export" in response.json()["detail"]
        assert response.json()["parameter"] == "since"
