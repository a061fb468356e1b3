"""Upkeep: what follows from the passing of time, once and no more, however often it runs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from kb.choices import ChangeKind
from kb.errors import Refused
from kb.flow import maintaining, publishing, queueing, reviewing, verifying
from kb.flow.maintaining import Done, upkeep
from kb.models import Change, Flag, Likeness, Post, Publication, Upkeep, VerificationPolicy
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)

Publish = Callable[..., Publication]
MakePost = Callable[..., Post]


@pytest.fixture
def posts(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> list[Post]:
    def make() -> None:
        for post in [make_post(topic=topic) for topic in ("databases", "networks", "databases / backups")]:
            publish(post)

    begin_with(make)
    return list(Post.objects.order_by("pk"))


def dates() -> list[datetime | None]:
    return list(Publication.objects.order_by("pk").values_list("review_by", flat=True))


def forget_dates() -> None:
    """Leave publications as an older kb compiled them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('kb.publishing', 'on', true)")
    Publication.objects.update(review_by=None)


def test_a_run_with_nothing_to_do_changes_nothing(posts: list[Post], now: datetime) -> None:
    assert upkeep(at=now) == Done()
    before = list(Publication.objects.order_by("pk").values())

    assert upkeep(at=now + DAY) == Done()

    assert list(Publication.objects.order_by("pk").values()) == before
    assert Upkeep.objects.get().ran_at == now + DAY


def test_what_an_older_kb_compiled_gets_its_date(posts: list[Post], now: datetime) -> None:
    forget_dates()

    assert upkeep(at=now) == Done(dated=3)
    assert dates() == [now + 90 * DAY] * 3
    assert upkeep(at=now) == Done()


def test_a_policy_reaches_what_is_published_in_bounded_steps(
    posts: list[Post], people: SimpleNamespace, now: datetime
) -> None:
    upkeep(at=now)
    verifying.write_policy(VerificationPolicy(topic="databases", days=30), by=people.administrator)

    runs = [upkeep(at=now, most=2) for _ in range(3)]

    assert runs == [Done(dated=1), Done(dated=1), Done()]
    assert dates() == [now + 30 * DAY, now + 90 * DAY, now + 30 * DAY]
    assert Upkeep.objects.get().done_to is None
    assert publishing.rebuild().changed == []


def test_another_default_reaches_what_is_published(posts: list[Post], now: datetime) -> None:
    upkeep(at=now)
    with override_settings(KB_VERIFY_DAYS=10):
        done = upkeep(at=now)

        assert done == Done(dated=3)
        assert dates() == [now + 10 * DAY] * 3


def test_what_is_overdue_is_flagged_once(posts: list[Post], people: SimpleNamespace, now: datetime) -> None:
    upkeep(at=now)
    early = upkeep(at=now + 90 * DAY - timedelta(seconds=1))
    first, second = (upkeep(at=now + 90 * DAY, most=2) for _ in range(2))
    third = upkeep(at=now + 91 * DAY)

    assert (early, first, second, third) == (Done(), Done(flagged=2), Done(flagged=1), Done())
    assert Flag.objects.open().filter(code=queueing.OVERDUE).count() == 3


def test_what_is_set_so_is_withheld_and_comes_back_verified(
    posts: list[Post], people: SimpleNamespace, now: datetime
) -> None:
    post = posts[1]
    upkeep(at=now)
    verifying.set_withholding(post, on=True, by=people.reviewer, at=now)

    done = upkeep(at=now + 90 * DAY)
    left = Publication.objects.count()
    fingerprint = post.head.fingerprint if post.head else ""
    verifying.verify(post, published=fingerprint, checked="All.", by=people.reviewer, at=now + 91 * DAY)

    assert done == Done(flagged=3, withheld=1)
    assert left == 2
    assert list(Change.objects.values_list("kind", flat=True))[-2:] == [
        *(ChangeKind.WITHDRAWN, ChangeKind.PUBLISHED)
    ]
    assert upkeep(at=now + 91 * DAY) == Done()


def test_what_was_approved_for_later_is_published_at_its_time(
    make_post: MakePost, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    assert post.head
    seen = {"number": 1, "fingerprint": post.head.fingerprint}
    reviewing.approve(post, **seen, by=people.reviewer, at=now, publish_at=now + DAY)

    runs = [upkeep(at=now + days * DAY) for days in (0, 1, 2)]

    assert runs == [Done(), Done(published=1), Done()]
    assert Publication.objects.get(post=post).review_by == now + 91 * DAY


def test_missing_likenesses_are_made(posts: list[Post], now: datetime) -> None:
    before = list(Likeness.objects.order_by("pk").values())
    Likeness.objects.all().delete()

    runs = [upkeep(at=now, most=2) for _ in range(3)]

    assert runs == [Done(hashed=2), Done(hashed=1), Done()]
    assert list(Likeness.objects.order_by("pk").values()) == before


def test_a_post_that_fails_holds_up_no_other(
    posts: list[Post], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = verifying.flag_overdue

    def flag(post: Post, *, at: datetime) -> Flag | None:
        if post == posts[0]:
            raise Refused("Not this one.", code="gone")
        return act(post, at=at)

    upkeep(at=now)
    monkeypatch.setattr(verifying, "flag_overdue", flag)

    assert upkeep(at=now + 90 * DAY) == Done(flagged=2, failed=["note-1: Not this one."])


# --- The command ---


def run(**options: Any) -> str:
    out = StringIO()
    call_command("upkeep", stdout=out, stderr=out, **options)
    return out.getvalue()


def test_the_command_says_what_it_did(posts: list[Post]) -> None:
    forget_dates()

    assert run() == "Upkeep: 3 got a new date.\n"
    assert run() == "Upkeep: nothing to do.\n"


def test_the_command_ends_with_status_1_if_something_failed(
    posts: list[Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintaining, "upkeep", lambda at: Done(flagged=1, failed=["note-1: no"]))

    with pytest.raises(CommandError, match="1 failed"):
        run()


def test_of_two_runs_at_once_one_does_nothing(posts: list[Post], now: datetime) -> None:
    parts = connection.get_connection_params()
    parts = {name: parts[name] for name in ("dbname", "user", "host", "port", "password") if parts.get(name)}
    with psycopg.connect(**parts) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [maintaining._LOCK])
        meanwhile, said = upkeep(at=now), run()
        # Not by its end: the server learns of that a little later.
        other.execute("SELECT pg_advisory_unlock_all()")

    assert meanwhile is None
    assert said == "Upkeep: another run is at it; nothing done.\n"
    assert upkeep(at=now) == Done()


@pytest.mark.parametrize("text", ["0", "-1", "86401", "often", ""])
def test_a_time_between_runs_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="expected a number of seconds"):
        call_command("upkeep", f"--every={text}")
