"""Two at once: one wins and the other is told, and nothing is lost or published unseen."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction

from kb.choices import ChangeKind, Origin, Severity, State, Verdict
from kb.document import Document
from kb.errors import Refused
from kb.flow import importing, publishing, reviewing, revising
from kb.flow.revising import ChangeNote
from kb.models import (
    Change,
    Decision,
    Entity,
    Flag,
    Post,
    Publication,
    PublishedEntity,
    Receipt,
    Revision,
)
from kb.sources import jsonl

pytestmark = pytest.mark.django_db(transaction=True)

MakePost = Callable[..., Post]
ROUNDS = 4
LONG = 20  # seconds: a thread that takes longer waits for ever


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act gave, or its refusal; all start together, each with a connection of its own.

    Anything else that an act raises is raised here.
    """
    start = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            start.wait(LONG)
            return act()
        except Refused as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as threads:
        running = [threads.submit(run, act) for act in acts]
        return [thread.result(LONG) for thread in running]


def while_locked(post: Post, *acts: Callable[[], Any]) -> list[Any]:
    """As `at_once`, but all acts are stuck at the post's lock before any of them gets it."""
    stuck, go = Event(), Event()
    through: list[bool] = []

    def hold() -> None:
        with transaction.atomic():
            reviewing.lock(post)
            stuck.set()
            go.wait(LONG)

    def watch() -> None:
        stuck.wait(LONG)
        while waiting() + len(through) < len(acts):
            go.wait(0.002)
        go.set()

    def after(act: Callable[[], Any]) -> Callable[[], Any]:
        def begin() -> Any:
            stuck.wait(LONG)
            try:
                return act()
            finally:
                through.append(True)

        return begin

    return at_once(*(after(act) for act in acts), hold, watch)[: len(acts)]


def waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def codes(outcomes: list[Any]) -> list[str]:
    """For each the code of its refusal, or "ok"; sorted."""
    return sorted(outcome.code if isinstance(outcome, Refused) else "ok" for outcome in outcomes)


@pytest.fixture
def approving(people: SimpleNamespace, now: datetime) -> Callable[..., Callable[[], Any]]:
    def act(post: Post, by: Any = None) -> Callable[[], Any]:
        seen = Revision.objects.get(pk=Post.objects.get(pk=post.pk).head_id)
        return lambda: reviewing.approve(
            post, number=seen.number, fingerprint=seen.fingerprint, by=by or people.reviewer, at=now
        )

    return act


@pytest.fixture
def saving(people: SimpleNamespace, now: datetime) -> Callable[..., Callable[[], Any]]:
    def act(
        post: Post, *, by: Any = None, base_number: int | None = None, **content: Any
    ) -> Callable[[], Any]:
        post = Post.objects.get(pk=post.pk)
        assert post.head
        base = post.head.number if base_number is None else base_number
        document = Document.read({**post.document().plain(), **content})
        return lambda: revising.save(
            post,
            document,
            base_number=base,
            by=by or people.editor,
            at=now,
            note=ChangeNote("Corrected."),
        )

    return act


def unapproved() -> list[str]:
    """Slugs of publications whose content no approval of their own post names."""
    return [
        publication.slug
        for publication in Publication.objects.all()
        if not Decision.objects.approvals()
        .filter(revision__post=publication.post_id, fingerprint=publication.fingerprint)
        .exists()
        or Document.read({**publication.revision.document.plain(), "title": publication.title}).fingerprint
        != publication.fingerprint
    ]


# --- Reviewers and editors ---


def test_of_two_approvers_one_decides_and_the_other_is_told(
    make_post: MakePost, people: SimpleNamespace, approving: Any
) -> None:
    for _ in range(ROUNDS):
        post = make_post()

        outcomes = while_locked(
            post, approving(post, people.reviewer), approving(post, people.second_reviewer)
        )

        assert codes(outcomes) == ["already_decided", "ok"]
        assert Decision.objects.filter(revision__post=post).count() == 1
        assert Change.objects.filter(slug=post.slug).count() == 1


def test_an_author_gets_past_no_lock_to_approve_their_own_work(
    make_post: MakePost, people: SimpleNamespace, approving: Any, saving: Any
) -> None:
    for number in range(ROUNDS):
        own, mixed = make_post(by=people.reviewer), make_post()

        of_own = while_locked(own, approving(own, people.reviewer), approving(own, people.second_reviewer))
        while_locked(mixed, saving(mixed, by=people.reviewer, title=f"Own {number}"), approving(mixed))

        assert codes(of_own) in (["ok", "own_work"], ["already_decided", "ok"])
        assert Decision.objects.get(revision__post=own).reviewer == people.second_reviewer
        assert not Publication.objects.filter(title=f"Own {number}").exists()


def test_what_was_frozen_withstands_everybody_who_writes_at_once(
    make_post: MakePost, publish: Callable[..., Publication], saving: Any
) -> None:
    def refused(act: Callable[[], Any]) -> Callable[[], bool]:
        def run() -> bool:
            try:
                with transaction.atomic():
                    act()
            except IntegrityError as error:
                return "kb_what_was_frozen_stays" in str(error)
            return False

        return run

    for number in range(ROUNDS):
        post = make_post()
        publish(post)
        revisions, decisions = post.revisions.all(), Decision.objects.filter(revision__post=post)
        before = [list(rows.values()) for rows in (revisions, decisions)]

        outcomes = at_once(
            refused(lambda rows=revisions: rows.update(reason="Another.")),
            refused(lambda rows=revisions: rows._raw_delete("default")),
            refused(lambda rows=decisions: rows.update(comment="Another.")),
            refused(lambda rows=decisions: rows._raw_delete("default")),
            saving(post, title=f"Next {number}"),
        )

        assert outcomes[:4] == [True] * 4
        kept = [revisions.exclude(pk=outcomes[4].pk), decisions]
        assert [list(rows.values()) for rows in kept] == before


def test_an_approval_and_a_request_for_changes_come_one_after_the_other(
    make_post: MakePost, people: SimpleNamespace, approving: Any, now: datetime
) -> None:
    for _ in range(ROUNDS):
        post = make_post()
        head = post.head
        assert head

        while_locked(
            post,
            approving(post),
            lambda post=post, head=head: reviewing.request_changes(
                post,
                number=1,
                fingerprint=head.fingerprint,
                by=people.second_reviewer,
                at=now,
                comment="Say how.",
            ),
        )

        post.refresh_from_db()
        last = Decision.objects.filter(revision__post=post).latest("pk")
        said = {Verdict.APPROVE: State.SETTLED, Verdict.REQUEST_CHANGES: State.CHANGES_REQUESTED}
        assert post.state == said[Verdict(last.verdict)]


def test_an_approval_never_publishes_what_was_saved_meanwhile(
    make_post: MakePost, approving: Any, saving: Any
) -> None:
    for number in range(ROUNDS):
        post = make_post(title="Seen")

        approved, saved = while_locked(post, approving(post), saving(post, title=f"Unseen {number}"))

        post.refresh_from_db()
        assert isinstance(saved, Revision)
        assert (post.head, post.state) == (saved, State.DRAFT)
        titles = list(Publication.objects.filter(post=post).values_list("title", flat=True))
        assert titles == ([] if isinstance(approved, Refused) else ["Seen"])
        assert codes([approved]) in (["ok"], ["changed"])
    assert unapproved() == []


def test_of_two_editors_one_saves_and_the_other_loses_nothing(
    make_post: MakePost, people: SimpleNamespace, saving: Any
) -> None:
    for _ in range(ROUNDS):
        post = make_post(entities=[{"name": "python", "type": "stack"}])

        outcomes = while_locked(
            post,
            saving(post, by=people.editor, title="By one", checklists=[{"items": ["one"]}]),
            saving(post, by=people.second_editor, title="By two", checklists=[{"items": ["two"]}]),
        )

        post.refresh_from_db()
        assert codes(outcomes) == ["conflict", "ok"]
        won = next(outcome for outcome in outcomes if isinstance(outcome, Revision))
        assert (post.head, won.number, post.document()) == (won, 2, won.document)
        assert post.revisions.count() == 2
        lost = next(outcome for outcome in outcomes if isinstance(outcome, Refused))
        assert str(won.author) in str(lost)


def test_of_two_restores_one_wins(
    make_post: MakePost, people: SimpleNamespace, saving: Any, now: datetime
) -> None:
    def restoring(post: Post, by: Any) -> Callable[[], Any]:
        return lambda: revising.restore(
            post, number=1, base_number=2, by=by, at=now, note=ChangeNote("It was right.")
        )

    for _ in range(ROUNDS):
        post = make_post()
        saving(post, title="Another")()

        outcomes = while_locked(post, restoring(post, people.editor), restoring(post, people.second_editor))

        assert codes(outcomes) == ["conflict", "ok"]
        assert list(post.revisions.order_by("number").values_list("number", "origin")) == [
            (1, Origin.PERSON),
            (2, Origin.PERSON),
            (3, Origin.RESTORE),
        ]


def test_a_flag_is_closed_by_one_of_two(make_post: MakePost, people: SimpleNamespace, now: datetime) -> None:
    def closing(flag: Flag, by: Any) -> Callable[[], Any]:
        return lambda: reviewing.close_flag(flag, by=by, at=now, note=f"Seen by {by}.")

    for _ in range(ROUNDS):
        post = make_post()
        flag = reviewing.raise_flag(
            post, severity=Severity.BLOCKING, sentence="Wrong.", by=people.reviewer, at=now
        )

        outcomes = while_locked(post, closing(flag, people.reviewer), closing(flag, people.second_reviewer))

        flag.refresh_from_db()
        post.refresh_from_db()
        assert codes(outcomes) == ["already_closed", "ok"]
        assert flag.closing_note == f"Seen by {flag.closed_by}."
        assert post.state == State.DRAFT


def test_a_blocking_flag_and_an_approval_never_stand_side_by_side_unsaid(
    make_post: MakePost, people: SimpleNamespace, approving: Any, now: datetime
) -> None:
    for _ in range(ROUNDS):
        post = make_post()

        approved, _flag = while_locked(
            post,
            approving(post),
            lambda post=post: reviewing.raise_flag(
                post, severity=Severity.BLOCKING, sentence="Wrong.", by=people.second_reviewer, at=now
            ),
        )

        post.refresh_from_db()
        assert codes([approved]) in (["ok"], ["open_blocking_flags"])
        assert Publication.objects.filter(post=post).exists() == isinstance(approved, Decision)
        assert post.state == State.WAITING


def test_a_withdrawal_and_an_approval_leave_readers_what_was_said_last(
    make_post: MakePost, people: SimpleNamespace, publish: Any, approving: Any, saving: Any, now: datetime
) -> None:
    for _ in range(ROUNDS):
        post = make_post()
        publish(post)
        saving(post, title="Another")()

        outcomes = while_locked(
            post,
            approving(post),
            lambda post=post: reviewing.withdraw(
                post, by=people.second_reviewer, at=now, comment="Outdated."
            ),
        )

        post.refresh_from_db()
        assert codes(outcomes) == ["ok", "ok"]
        last = Decision.objects.filter(revision__post=post).latest("pk").verdict
        assert Publication.objects.filter(post=post).exists() == (last == Verdict.APPROVE)
        told = Change.objects.filter(slug=post.slug).latest("pk").kind
        assert (told == ChangeKind.WITHDRAWN) == (last == Verdict.WITHDRAW)


# --- Imports ---


class Source:
    """A file of one record after the other."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder, self.now, self.numbers = folder, now, count(1)

    def importing(
        self,
        *given: tuple[str, dict[str, Any]],
        dry_run: bool = False,
        progress: Callable[[Receipt], None] | None = None,
    ) -> Callable[[], list[Receipt]]:
        path = self.folder / f"{next(self.numbers)}.jsonl"
        path.write_bytes(
            b"".join(
                jsonl.dump({"source": "wiki", "source_id": source_id, **envelope(record)})
                for source_id, record in given
            )
        )

        def act() -> list[Receipt]:
            told: list[Receipt] = []

            def keep(receipt: Receipt) -> None:
                told.append(receipt)
                if progress:
                    progress(receipt)

            importing.run([path], at=self.now, progress=keep, dry_run=dry_run)
            return told

        return act


def envelope(record: dict[str, Any]) -> dict[str, Any]:
    beside = {name: record[name] for name in ("view_count", "slug") if name in record}
    return {**beside, "document": {name: value for name, value in record.items() if name not in beside}}


@pytest.fixture
def source(tmp_path: Path, now: datetime) -> Source:
    return Source(tmp_path, now)


def outcomes_of(runs: list[list[Receipt]]) -> list[str]:
    return sorted(str(receipt.outcome) for told in runs for receipt in told)


def test_two_imports_of_a_new_record_make_one_post(source: Source) -> None:
    for number in range(ROUNDS):
        record = (str(number), {"title": f"Note {number}"})

        runs = at_once(source.importing(record), source.importing(record))

        assert outcomes_of(runs) == ["created", "unchanged"]
    assert Post.objects.count() == Revision.objects.count() == ROUNDS


def test_two_imports_of_new_content_update_once_and_see_no_conflict(source: Source) -> None:
    for number in range(ROUNDS):
        source.importing((str(number), {"title": f"Note {number}"}))()
        post = Post.objects.get(source_id=str(number))
        record = (str(number), {"title": f"Note {number}", "body": "New."})

        runs = while_locked(post, source.importing(record), source.importing(record))

        assert outcomes_of(runs) == ["unchanged", "updated"]
        assert post.revisions.count() == 2
    assert not Flag.objects.filter(code="import_conflict").exists()


def test_an_import_never_overwrites_what_a_person_saves_meanwhile(source: Source, saving: Any) -> None:
    for number in range(ROUNDS):
        source.importing((str(number), {"title": f"Note {number}"}))()
        post = Post.objects.get(source_id=str(number))

        told, saved = while_locked(
            post,
            source.importing((str(number), {"title": f"Note {number}", "body": "From the source."})),
            saving(post, body="From a person."),
        )

        post.refresh_from_db()
        bodies = [revision.document.body for revision in post.revisions.order_by("number")]
        if isinstance(saved, Refused):
            assert (outcomes_of([told]), codes([saved])) == (["updated"], ["conflict"])
            assert bodies == ["", "From the source."]
        else:
            assert outcomes_of([told]) == ["conflict"]
            assert bodies == ["", "From a person.", "From the source."]
            assert (post.head, post.body) == (saved, "From a person.")


def test_new_records_that_want_one_address_all_get_one(source: Source) -> None:
    runs = at_once(
        *(
            source.importing(*((f"{run}-{number}", {"title": "Pool"}) for number in range(4)))
            for run in range(4)
        )
    )

    assert outcomes_of(runs) == ["created"] * 16
    assert set(Post.objects.values_list("slug", flat=True)) == {
        "pool",
        *(f"pool-{number}" for number in range(2, 17)),
    }


def test_a_dry_run_holds_up_no_publisher_of_other_posts(
    source: Source, publish: Any, make_post: MakePost, approving: Any
) -> None:
    source.importing(("1", {"title": "Counted", "view_count": 1}))()
    publish(Post.objects.get())
    approve = approving(make_post())
    reached, go = Event(), Event()

    def pause(receipt: Receipt) -> None:
        reached.set()
        go.wait(LONG)

    def approve_meanwhile() -> Any:
        reached.wait(LONG)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '500ms'")
            return approve()
        finally:
            go.set()

    _, approved = at_once(
        source.importing(("1", {"title": "Counted", "view_count": 2}), dry_run=True, progress=pause),
        approve_meanwhile,
    )

    assert codes([approved]) == ["ok"]


def test_two_dry_runs_that_wait_for_each_other_both_end(source: Source) -> None:
    records = [(name, {"title": f"Note {name}", "slug": name}) for name in ("a", "b")]
    both = Barrier(2)

    def meet(receipt: Receipt) -> None:
        if both.n_waiting < 2 and not met.is_set():
            both.wait(LONG)
            met.set()

    met = Event()
    runs = at_once(
        source.importing(*records, dry_run=True, progress=meet),
        source.importing(*records[::-1], dry_run=True, progress=meet),
    )

    assert outcomes_of(runs) == ["created", "created", "created", "rejected"]
    assert "Import again." in next(
        receipt.reason for told in runs for receipt in told if receipt.outcome == "rejected"
    )


# --- Publishers ---


def test_posts_that_name_the_same_new_entities_are_written_and_published_at_once(
    people: SimpleNamespace, publish: Any, now: datetime
) -> None:
    def writing(number: int, order: int) -> Callable[[], Any]:
        names = [f"entity {number}-{part}" for part in range(6)][::order]
        document = Document.read(
            {
                "title": f"Note {number} order {order % 7}",
                "entities": [{"name": name, "type": "stack"} for name in names],
            }
        )

        def act() -> Publication:
            post = revising.create(document, by=people.editor, at=now, note=ChangeNote("New."))
            return publish(post)

        return act

    for number in range(ROUNDS):
        outcomes = at_once(writing(number, 1), writing(number, -1), writing(number, 2))
        assert codes(outcomes) == ["ok", "ok", "ok"]

    counted = PublishedEntity.objects.values_list("name", "posts")
    assert dict(counted) == {
        f"entity {number}-{part}": 2 if part % 2 else 3 for number in range(ROUNDS) for part in range(6)
    }
    assert Entity.objects.count() == 6 * ROUNDS


def test_a_reader_of_the_feed_who_asks_for_what_came_last_misses_nothing(
    make_post: MakePost, people: SimpleNamespace, approving: Any, now: datetime
) -> None:
    posts = [make_post() for _ in range(3 * ROUNDS)]
    done = Event()
    left = count(1)

    def publishing_some(acts: list[Callable[[], Any]], some: list[Post]) -> Callable[[], None]:
        def run() -> None:
            try:
                for act, post in zip(acts, some, strict=True):
                    act()
                    reviewing.withdraw(post, by=people.reviewer, at=now, comment="Outdated.")
            finally:
                if next(left) == 3:
                    done.set()

        return run

    def reading() -> list[int]:
        seen: list[int] = []
        while True:
            last_round = done.is_set()
            after = seen[-1] if seen else 0
            seen += Change.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
            if last_round:
                return seen

    thirds = [posts[at::3] for at in range(3)]
    *_, seen = at_once(
        *(publishing_some([approving(post) for post in some], some) for some in thirds), reading
    )

    assert seen == list(Change.objects.order_by("pk").values_list("pk", flat=True))
    assert len(seen) == 6 * ROUNDS


def test_compiling_again_and_publishing_get_along(
    make_post: MakePost, publish: Any, approving: Any, saving: Any
) -> None:
    posts = [make_post(entities=[{"name": "python", "type": "stack"}]) for _ in range(6)]
    for post in posts:
        publish(post)
        saving(post, title="Another", entities=[])()

    rebuilt, *_ = at_once(publishing.rebuild, *(approving(post) for post in posts[:3]))

    assert (rebuilt.checked, rebuilt.changed) == (6, [])
    assert PublishedEntity.objects.get().posts == 3
    assert publishing.rebuild().changed == []
    assert unapproved() == []


@pytest.fixture(autouse=True)
def ends_with_nobody_waiting() -> Iterator[None]:
    yield
    assert waiting() == 0
