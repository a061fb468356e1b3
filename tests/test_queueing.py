"""The queue: the most harmful first, one person at a time, and always what flags and decisions say."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib import import_module
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import connection, connections
from pytest_django.fixtures import Settings as SettingsWrapper

from kb.choices import Severity, State
from kb.document import Document
from kb.errors import Refused
from kb.flow import importing, noticing, queueing, reviewing, revising
from kb.models import Flag, Notice, Post, QueueItem
from kb.sources import jsonl
from tests.test_races import LONG, ROUNDS, at_once

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
HALF_AN_HOUR = timedelta(minutes=30)
A_SECOND = timedelta(seconds=1)


def item_of(post: Post) -> QueueItem:
    return QueueItem.objects.open().get(post=post)


def head_of(post: Post) -> dict[str, Any]:
    post.refresh_from_db()
    assert post.head
    return {"number": post.head.number, "fingerprint": post.head.fingerprint}


def refusal(act: Callable[..., Any], *args: Any, **given: Any) -> str:
    with pytest.raises(Refused) as caught:
        act(*args, **given)
    return caught.value.code


def told(person: User) -> list[str]:
    return list(Notice.objects.filter(user=person, read_at=None).values_list("sentence", flat=True))


@pytest.fixture
def waits(make_post: MakePost) -> Post:
    return make_post(title="Waits", ask_for_review=True)


# --- Claims ---


def test_a_claim_keeps_others_away_for_30_idle_minutes(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)
    before = now + HALF_AN_HOUR - A_SECOND

    assert refusal(queueing.claim, waits, by=people.second_reviewer, at=before) == "claimed"
    assert queueing.take_next(by=people.second_reviewer, at=before) is None

    taken = queueing.take_next(by=people.second_reviewer, at=now + HALF_AN_HOUR)

    assert taken == item_of(waits)
    assert (taken.claimed_by, taken.claimed_at) == (people.second_reviewer, now + HALF_AN_HOUR)


def test_a_refused_claim_says_who_has_it_and_for_how_long(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    with pytest.raises(Refused, match="reviewer has had “Waits” for 12 minutes: wait, or take it over"):
        queueing.claim(waits, by=people.second_reviewer, at=now + timedelta(minutes=12))


def test_a_sign_of_life_keeps_a_claim(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)
    later = now + timedelta(minutes=29)

    alive = queueing.touch(waits, by=people.reviewer, at=later)

    assert alive
    assert item_of(waits).claimer(later + timedelta(minutes=29)) == people.reviewer
    assert item_of(waits).claimed_at == now


def test_a_sign_of_life_brings_no_lost_claim_back(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    too_late = queueing.touch(waits, by=people.reviewer, at=now + HALF_AN_HOUR)
    not_theirs = queueing.touch(waits, by=people.second_reviewer, at=now)

    assert (too_late, not_theirs) == (False, False)
    assert item_of(waits).claim_seen_at == now


def test_every_act_of_the_claimer_is_a_sign_of_life(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)
    later, latest = now + timedelta(minutes=10), now + timedelta(minutes=20)
    flag = {"severity": Severity.ADVISORY, "sentence": "Look."}

    reviewing.raise_flag(waits, **flag, by=people.reviewer, at=later)
    reviewing.raise_flag(waits, **flag, by=people.second_reviewer, at=latest)

    item = item_of(waits)
    assert (item.claimed_by, item.claimed_at, item.claim_seen_at) == (people.reviewer, now, later)


def test_a_released_post_is_there_for_all(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    assert refusal(queueing.release, waits, by=people.second_reviewer, at=now) == "not_yours"
    queueing.release(waits, by=people.reviewer, at=now)

    assert queueing.take_next(by=people.second_reviewer, at=now) == item_of(waits)


def test_who_loses_a_claim_to_another_is_told(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    queueing.take_over(waits, by=people.second_reviewer, at=now)

    assert item_of(waits).claimed_by == people.second_reviewer
    assert told(people.reviewer) == ["second_reviewer took over the review of “Waits”."]
    assert told(people.second_reviewer) == []


def test_nobody_is_told_of_a_claim_that_had_run_out(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    queueing.take_over(waits, by=people.second_reviewer, at=now + HALF_AN_HOUR)

    assert told(people.reviewer) == []


def test_who_is_assigned_a_review_is_told_and_so_is_who_had_it(
    waits: Post, people: Any, now: datetime
) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    queueing.assign(waits, to=people.second_reviewer, by=people.administrator, at=now)

    assert item_of(waits).claimed_by == people.second_reviewer
    assert told(people.second_reviewer) == ["administrator asks you to review “Waits”."]
    assert told(people.reviewer) == ["administrator gave the review of “Waits” to second_reviewer."]


def test_a_notice_is_read_by_its_reader_alone(waits: Post, people: Any, now: datetime) -> None:
    for person in (people.reviewer, people.second_reviewer):
        for sentence in ("One.", "Two."):
            noticing.tell(person, sentence, at=now)
    one = Notice.objects.get(user=people.reviewer, sentence="One.")

    stolen = noticing.read(by=people.second_reviewer, at=now, notice=one)
    counts = [
        noticing.read(by=people.reviewer, at=now, notice=one),
        noticing.read(by=people.reviewer, at=now),
    ]

    assert (stolen, counts) == (0, [1, 1])
    assert (told(people.reviewer), told(people.second_reviewer)) == ([], ["Two.", "One."])


@pytest.mark.parametrize("act", ["claim", "take_over", "take_next"])
def test_who_may_not_review_claims_nothing(waits: Post, people: Any, now: datetime, act: str) -> None:
    args = () if act == "take_next" else (waits,)

    assert refusal(getattr(queueing, act), *args, by=people.second_editor, at=now) == "not_allowed"


def test_a_review_is_assigned_to_nobody_who_may_not_do_it(
    make_post: MakePost, waits: Post, people: Any, now: datetime
) -> None:
    own = make_post(by=people.second_reviewer, ask_for_review=True)
    by = {"by": people.reviewer, "at": now}

    assert refusal(queueing.assign, waits, to=people.editor, **by) == "not_allowed"
    assert refusal(queueing.assign, own, to=people.second_reviewer, **by) == "own_work"


@pytest.mark.parametrize("act", ["claim", "take_over", "release"])
def test_what_does_not_wait_is_not_claimed(make_post: MakePost, people: Any, now: datetime, act: str) -> None:
    draft = make_post()

    assert refusal(getattr(queueing, act), draft, by=people.reviewer, at=now) == "not_waiting"


# --- Take next ---


def test_own_work_is_never_offered(make_post: MakePost, people: Any, now: datetime) -> None:
    post = make_post(by=people.reviewer, ask_for_review=True)
    document = Document.read({**post.document().plain(), "summary": "Shorter."})
    note = revising.ChangeNote("Shorter.")
    revising.save(post, document, base_number=1, by=people.editor, at=now, note=note, ask_for_review=True)

    offered = [queueing.take_next(by=who, at=now) for who in (people.reviewer, people.second_reviewer)]

    assert offered == [None, item_of(post)]


def test_where_one_may_approve_ones_own_work_it_is_offered(
    make_post: MakePost, people: Any, now: datetime, settings: SettingsWrapper
) -> None:
    settings.KB_ALLOW_SELF_APPROVAL = True
    post = make_post(by=people.reviewer, ask_for_review=True)

    assert queueing.take_next(by=people.reviewer, at=now) == item_of(post)


def test_next_is_taken_among_those_that_are_asked_for(
    make_post: MakePost, people: Any, now: datetime
) -> None:
    make_post(title="Grave", body="key AKIAABCDEFGHIJKLMNOP")
    slight = make_post(topic="caching", ask_for_review=True)
    among = QueueItem.objects.filter(post__topic="caching")

    taken = [queueing.take_next(by=people.reviewer, at=now, among=among) for _ in range(2)]

    assert taken == [item_of(slight), None]


@pytest.mark.django_db(transaction=True)
def test_twenty_who_press_at_once_get_twenty_different_posts(
    make_post: MakePost, groups: None, people: Any, now: datetime
) -> None:
    number, password = 20, make_password("pw")
    for place in range(number):
        make_post(title=f"Note {place}", ask_for_review=True)
    reviewers = User.objects.bulk_create(
        User(username=f"reviewer {place}", password=password, is_staff=True) for place in range(number)
    )
    Group.objects.get(name="Reviewers").user_set.add(*reviewers)

    start = Barrier(number)

    def press(who: User) -> QueueItem | None:
        start.wait(LONG)
        try:
            return queueing.take_next(by=who, at=now)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as threads:
        taken = list(threads.map(press, reviewers))

    assert {item.pk for item in taken if item} == set(QueueItem.objects.open().values_list("pk", flat=True))
    assert {item.claimed_by for item in QueueItem.objects.open()} == set(reviewers)


@pytest.mark.django_db(transaction=True)
def test_a_takeover_and_a_flag_at_once_both_come_through(waits: Post, people: Any, now: datetime) -> None:
    def take_over() -> QueueItem:
        return queueing.take_over(waits, by=people.reviewer, at=now)

    def flag() -> Flag:
        flag = {"severity": Severity.ADVISORY, "sentence": "Look."}
        return reviewing.raise_flag(waits, **flag, by=people.administrator, at=now)

    for _ in range(ROUNDS):
        queueing.take_over(waits, by=people.second_reviewer, at=now)

        at_once(take_over, flag)

        assert item_of(waits).claimed_by == people.reviewer
    assert Flag.objects.filter(code="by_hand").count() == ROUNDS


def test_a_claim_made_while_the_post_is_flagged_is_kept(
    waits: Post, people: Any, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = queueing.writers

    def claimed_meanwhile(post: Post) -> set[int]:
        claim = {"claimed_by": people.reviewer, "claimed_at": now, "claim_seen_at": now}
        QueueItem.objects.open().filter(post=post).update(**claim)
        return writers(post)

    monkeypatch.setattr(queueing, "writers", claimed_meanwhile)
    reviewing.raise_flag(waits, severity=Severity.BLOCKING, sentence="No.", by=people.administrator, at=now)

    item = item_of(waits)
    assert (item.claimed_by, item.blocking) == (people.reviewer, 1)


# --- Order ---


def viewed(post: Post, views: int, now: datetime) -> None:
    Post.objects.filter(pk=post.pk).update(view_count=views)
    post.refresh_from_db()
    queueing.refresh(post, at=now)


def test_each_kind_of_harm_has_its_place_in_the_order(
    make_post: MakePost, people: Any, now: datetime
) -> None:
    make_post(title="nothing but a wish", ask_for_review=True)
    make_post(title="low score", scores={"quality": 12}, ask_for_review=True)
    make_post(title="credential", body="key AKIAABCDEFGHIJKLMNOP")
    make_post(title="unsafe markup", body="<script>x</script>", body_format="html")
    read = make_post(title="12,400 views", ask_for_review=True)
    twice = make_post(title="two that block")
    for _ in range(2):
        flag = {"severity": Severity.BLOCKING, "sentence": "No."}
        reviewing.raise_flag(twice, **flag, by=people.reviewer, at=now)
    viewed(read, 12_400, now)

    order = QueueItem.objects.open().by_harm().values_list("post__title", "points")

    assert list(order) == [
        ("credential", 90),
        ("unsafe markup", 70),
        ("two that block", 60),
        ("12,400 views", 40),
        ("low score", 10),
        ("nothing but a wish", 0),
    ]


@pytest.mark.parametrize(("days", "first"), [(9, "low score"), (11, "plain")])
def test_a_point_of_harm_weighs_as_much_as_a_day_of_waiting(
    make_post: MakePost, now: datetime, days: int, first: str
) -> None:
    make_post(title="low score", scores={"quality": 12}, ask_for_review=True)
    plain = item_of(make_post(title="plain", ask_for_review=True))

    plain.since = now - timedelta(days=days)
    plain.save()
    queueing.refresh(plain.post, at=now)

    assert str(QueueItem.objects.open().by_harm()[0].post) == first


# --- The row follows what happens ---


def row_of(post: Post) -> dict[str, Any] | None:
    names = ("since", "codes", "blocking", "points", "readers", "lowest_score", "writers")
    return QueueItem.objects.open().filter(post=post).values(*names).first()


def test_the_row_follows_flags_edits_and_decisions(make_post: MakePost, people: Any, now: datetime) -> None:
    post = make_post(owner="o", rollback_note="r", scores={"clarity": 90})
    by = {"by": people.reviewer, "at": now}
    assert row_of(post) is None

    reviewing.ask_for_review(post, by=people.editor, at=now)
    row = {
        "since": now,
        "codes": ["review_requested"],
        "blocking": 0,
        "points": 0,
        "readers": 0,
        "lowest_score": 90,
        "writers": [people.editor.pk],
    }
    assert row_of(post) == row

    flag = reviewing.raise_flag(post, severity=Severity.BLOCKING, sentence="No.", **by)
    assert row_of(post) == {**row, "codes": ["by_hand", "review_requested"], "blocking": 1, "points": 30}

    reviewing.close_flag(flag, note="Well.", **by)
    assert row_of(post) == row

    document = Document.read({**post.document().plain(), "scores": {"clarity": 20}})
    note = revising.ChangeNote("Honest.")
    later = now + timedelta(days=1)
    revising.save(
        post, document, base_number=1, by=people.second_editor, at=later, note=note, ask_for_review=True
    )
    edited = row_of(post)
    assert edited is not None
    assert sorted(edited.pop("writers")) == [people.editor.pk, people.second_editor.pk]
    assert edited == {
        **{name: value for name, value in row.items() if name != "writers"},
        "since": edited["since"],
        "codes": ["low_score", "review_requested"],
        "points": 10,
        "lowest_score": 20,
    }

    reviewing.request_changes(post, **head_of(post), comment="More.", **by)
    assert row_of(post) is None

    reviewing.ask_for_review(post, by=people.editor, at=later)
    reviewing.approve(post, **head_of(post), **by)
    assert row_of(post) is None
    left = QueueItem.objects.filter(post=post).order_by("pk").values_list("outcome", "left_by", "left_at")
    assert list(left)[-2:] == [
        ("request_changes", people.reviewer.pk, now),
        ("approve", people.reviewer.pk, now),
    ]


def test_a_decision_ends_the_claim(waits: Post, people: Any, now: datetime) -> None:
    queueing.claim(waits, by=people.reviewer, at=now)

    reviewing.request_changes(waits, **head_of(waits), comment="More.", by=people.reviewer, at=now)

    item = QueueItem.objects.get(post=waits)
    assert (item.left_at, item.claimed_by, item.claim_seen_at) == (now, None, None)


def test_what_is_taken_back_waits_since_when_it_did(waits: Post, people: Any, now: datetime) -> None:
    decided = now + timedelta(days=2)
    decision = reviewing.request_changes(
        waits, **head_of(waits), comment="More.", by=people.reviewer, at=decided
    )

    reviewing.take_back(decision, by=people.reviewer, at=decided + A_SECOND)

    assert (item_of(waits).since, "review_requested" in item_of(waits).codes) == (now, True)


def test_a_raised_flag_brings_what_is_published_back(
    make_post: MakePost, publish: Any, people: Any, now: datetime
) -> None:
    post = make_post()
    publish(post)

    flag = {"severity": Severity.BLOCKING, "sentence": "Fails."}
    reviewing.raise_flag(post, **flag, by=people.reviewer, at=now)

    post.refresh_from_db()
    row = row_of(post)
    assert row is not None
    assert (post.state, row["codes"]) == (State.WAITING, ["by_hand", "missing_owner", "missing_rollback"])


def test_the_row_follows_an_import_and_its_view_count(people: Any, now: datetime, tmp_path: Any) -> None:
    def take(body: str, views: int) -> tuple[int, int, bool]:
        document = {"title": "Imported", "body": body, "flags": {"needs_human_review": True}}
        line = {"source": "wiki", "source_id": "1", "view_count": views, "document": document}
        (tmp_path / "notes.jsonl").write_bytes(jsonl.dump(line))
        importing.run([tmp_path], by=people.administrator, at=now)
        item = QueueItem.objects.open().get()
        return item.points, item.readers, "credential" in item.codes

    told = [take("One.", 8), take("One.", 12_400), take("Key AKIAABCDEFGHIJKLMNOP", 9)]

    assert told == [(0, 8, False), (40, 12_400, False), (100, 9, True)]


def test_content_kept_aside_brings_a_post_into_the_queue_whatever_its_views(
    people: Any, publish: Any, now: datetime, tmp_path: Any
) -> None:
    def take(body: str, views: int) -> Post:
        document = {"title": "Imported", "body": body, "owner": "o", "rollback_note": "r"}
        line = {"source": "wiki", "source_id": "1", "view_count": views, "document": document}
        (tmp_path / "notes.jsonl").write_bytes(jsonl.dump(line))
        importing.run([tmp_path], by=people.administrator, at=now)
        return Post.objects.get()

    post = take("One.", 8)
    document = Document.read({**post.document().plain(), "summary": "Ours."})
    note = revising.ChangeNote("Ours.")
    revising.save(post, document, base_number=1, by=people.editor, at=now, note=note)
    publish(post)

    post = take("Two.", 90)

    assert (post.state, item_of(post).codes, item_of(post).readers) == (
        State.WAITING,
        ["import_conflict"],
        90,
    )


# --- The migration ---


def all_rows() -> list[dict[str, Any]]:
    names = ("post", "since", "rank", "points", "blocking", "codes", "readers", "lowest_score", "writers")
    rows = QueueItem.objects.open().order_by("post").values(*names, "outcome", "left_at", "claimed_by")
    return [{**row, "writers": sorted(row["writers"])} for row in rows]


def test_the_migration_fills_the_queue_as_the_flow_does(
    make_post: MakePost, publish: Any, people: Any, now: datetime
) -> None:
    at = now + timedelta(microseconds=700_000)
    posts = [
        make_post(ask_for_review=True),
        make_post(body="key AKIAABCDEFGHIJKLMNOP", scores={"quality": 10, "depth": 90}),
        make_post(body="<script>x</script>", body_format="html", by=people.second_editor),
        make_post(ask_for_review=True, owner="o", rollback_note="r"),
    ]
    published = make_post()
    publish(published)
    document = Document.read({**published.document().plain(), "summary": "New."})
    note = revising.ChangeNote("New.")
    revising.save(
        published, document, base_number=1, by=people.second_editor, at=at, note=note, ask_for_review=True
    )
    for post, views in zip(posts, (9, 99, 998, 999), strict=True):
        viewed(post, views, now)
    Flag.objects.update(raised_at=at)
    for item in QueueItem.objects.open():
        item.since = at
        item.save()
        item.post.refresh_from_db()
        queueing.refresh(item.post, at=at)
    make_post(title="A draft")
    expected = all_rows()

    QueueItem.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("kb.migrations.0007_fill_the_queue").QUEUE)

    assert len(expected) == 5
    assert all_rows() == expected
