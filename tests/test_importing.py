"""Importing: a receipt for every record, whole records or none, and nothing over a person's work."""

import io
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from kb.choices import ChangeKind, Origin, Outcome, Severity, State
from kb.document import Document
from kb.errors import Refused
from kb.flow import importing, reviewing, revising
from kb.models import Change, Flag, ImportRun, Post, Publication, Receipt, Revision, SourceRecord
from kb.sources import jsonl
from kb.sources.record import ENVELOPE

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).parent / "data" / "alphanode-note.txt"


class Told(NamedTuple):
    """A receipt without the folder of this run."""

    place: str
    outcome: str
    reason: str = ""
    source_id: str = ""
    slug: str | None = None
    number: int | None = None


class Import:
    """Writes records to a file and imports it; keeps what was told of each."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder, self.now = folder, now
        self.told: list[Told] = []

    def __call__(self, *records: bytes, name: str = "in.jsonl", **options: Any) -> list[Told]:
        path = self.folder / name
        path.write_bytes(b"".join(records))
        return self.paths(path, **options)

    def paths(self, *paths: Path, **options: Any) -> list[Told]:
        self.told = []
        self.run = importing.run(paths, at=self.now, progress=self.keep, **options)
        return self.told

    def keep(self, receipt: Receipt) -> None:
        self.told.append(
            Told(
                receipt.place.removeprefix(f"{self.folder}/"),
                receipt.outcome,
                receipt.reason,
                receipt.source_id,
                receipt.post.slug if receipt.post else None,
                receipt.revision.number if receipt.revision else None,
            )
        )


@pytest.fixture
def take(tmp_path: Path, now: datetime) -> Import:
    return Import(tmp_path, now)


def record(source_id: str = "1", *, source: str = "wiki", title: str = "A note", **given: Any) -> bytes:
    """A line of JSON: the envelope's keys beside the Document, all others in it."""
    envelope = {name: given.pop(name) for name in ENVELOPE if name in given}
    return jsonl.dump(
        {"source": source, "source_id": source_id, **envelope, "document": {"title": title, **given}}
    )


def everything(*without: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables of kb, value for value."""
    models = apps.get_app_config("kb").get_models()
    return {
        model.__name__: list(model.objects.order_by("pk").values())
        for model in models
        if model.__name__ not in without
    }


def edit(post: Post, by: Any, at: datetime, **content: Any) -> Revision:
    post.refresh_from_db()
    assert post.head is not None
    revision = revising.save(
        post,
        Document.read({**post.document().plain(), **content}),
        base_number=post.head.number,
        by=by,
        at=at,
        note=revising.ChangeNote("Corrected."),
    )
    assert revision is not None
    return revision


# --- What becomes of a record ---


def test_each_record_gets_a_receipt(take: Import) -> None:
    told = take(record("1", title="First"), record("2", title="Second"))

    assert told == [
        Told("in.jsonl:1", "created", "", "1", "first", 1),
        Told("in.jsonl:2", "created", "", "2", "second", 1),
    ]
    assert list(take.run.receipts.values_list("place", "outcome", "post__slug", "revision__number")) == [
        (f"{take.folder}/in.jsonl:1", "created", "first", 1),
        (f"{take.folder}/in.jsonl:2", "created", "second", 1),
    ]
    assert take.run.counts == {"created": 2, "updated": 0, "unchanged": 0, "conflict": 0, "rejected": 0}


def test_a_new_record_becomes_a_draft_with_all_that_its_source_says(take: Import, now: datetime) -> None:
    take(
        record(
            title="Tune the pool",
            slug="pool",
            reference="ref-7",
            source_hash="abc",
            source_status="revised",
            source_version="2.3.4",
            source_last_reviewed="2026-01-31",
            view_count=12,
            body="Keep it small.",
        )
    )

    post = Post.objects.values().get()
    head = Revision.objects.get()
    identity = ("slug", "reference", "source", "source_id")
    claims = ("source_hash", "source_status", "source_version", "view_count")
    assert [post[name] for name in identity] == ["pool", "ref-7", "wiki", "1"]
    assert [post[name] for name in claims] == ["abc", "revised", "2.3.4", 12]
    assert str(post["source_last_reviewed"]) == "2026-01-31"
    assert (head.number, head.version, head.origin, head.author, head.source_hash) == (
        1,
        "2.3.4",
        Origin.IMPORT,
        None,
        "abc",
    )
    assert head.document == Document.read({"title": "Tune the pool", "body": "Keep it small."})
    assert (post["state"], post["created_at"], head.import_run) == (State.DRAFT, now, take.run)


@pytest.mark.parametrize("status", ["published", "reviewed", "approved"])
def test_whatever_its_source_says_an_imported_post_is_a_draft(take: Import, status: str) -> None:
    take(record(source_status=status, source_last_reviewed="2026-01-31"))

    assert list(Post.objects.values_list("source_status", "state")) == [(status, State.DRAFT)]
    assert not Publication.objects.exists()


def test_a_record_that_asks_for_review_waits_for_it(take: Import) -> None:
    take(record(flags={"needs_human_review": True}))

    assert Post.objects.get().state == State.WAITING


def test_a_new_record_takes_few_queries(take: Import, django_assert_num_queries: Any) -> None:
    take(record("1"))

    # With 2 of the run itself, and 2 of the savepoint that stands for the record's transaction in a test.
    with django_assert_num_queries(2 + 2 + 15):
        take(record("2", title="Another note"))


def test_the_same_file_twice_changes_nothing(take: Import, now: datetime) -> None:
    take(record("1", title="First", view_count=3), record("2", title="Second", entities=[PYTHON]))
    take(PAGE.read_bytes(), name="page.txt")
    before = everything("ImportRun", "Receipt")
    take.now = now + timedelta(days=1)

    told = take.paths(take.folder)

    assert [receipt.outcome for receipt in told] == [Outcome.UNCHANGED] * 3
    assert [receipt.reason for receipt in told if receipt.place.startswith("in.jsonl")] == ["", ""]
    assert everything("ImportRun", "Receipt") == before


PYTHON = {"name": "python", "type": "stack"}


def test_new_content_of_its_source_updates_a_draft_that_nobody_edited(take: Import, now: datetime) -> None:
    take(record(title="A note", body="Old.", entities=[PYTHON], source_hash="a"))
    take.now = now + timedelta(days=1)

    told = take(record(title="A note", body="New.", tools=["psql"], source_hash="b", source_status="revised"))

    post = Post.objects.get()
    assert told == [Told("in.jsonl:1", "updated", "", "1", "a-note", 2)]
    assert post.document() == Document.read({"title": "A note", "body": "New.", "tools": ["psql"]})
    assert (post.source_hash, post.source_status, post.updated_at) == ("b", "revised", take.now)
    assert post.head
    assert (post.head.parent, post.head.source_hash) == (post.revisions.get(number=1), "b")


def test_a_source_without_a_hash_does_not_bear_that_of_earlier_content(take: Import) -> None:
    take(record(body="Old.", source_hash="a"))

    take(record(body="New."))

    assert [revision.source_hash for revision in Revision.objects.order_by("number")] == ["a", ""]


@pytest.mark.parametrize(
    ("first", "second", "versions"),
    [
        ("1.2.3", "2.0.0", ["1.2.3", "2.0.0"]),
        ("1.2.3", "1.2.3", ["1.2.3", "1.2.4"]),  # proposed: the source forgot to raise it
        ("1.2.3", "0.9.0", ["1.2.3", "1.2.4"]),
        ("", "draft two", ["0.1.0", "0.1.1"]),
    ],
)
def test_a_source_may_raise_the_version_but_not_lower_it(
    take: Import, first: str, second: str, versions: list[str]
) -> None:
    take(record(source_version=first))

    take(record(source_version=second, notes=["added"]))

    assert list(Revision.objects.order_by("number").values_list("version", flat=True)) == versions


def test_a_record_that_comes_twice_in_a_file_updates_what_it_created(take: Import) -> None:
    told = take(record(body="Old."), record(body="New."))

    assert [(receipt.outcome, receipt.number) for receipt in told] == [("created", 1), ("updated", 2)]
    assert Post.objects.get().body == "New."


def test_a_record_without_its_name_in_its_source_is_rejected(take: Import) -> None:
    told = take(record(""), record("2", source=""))

    why = "expected source and source id, to know the record when it comes again; "
    assert told == [
        Told("in.jsonl:1", "rejected", f"source_id: got nothing, {why}fix the source and import again."),
        Told("in.jsonl:2", "rejected", f"source: got nothing, {why}fix the source and import again.", "2"),
    ]
    assert not Post.objects.exists()


def test_bad_records_do_not_stop_the_good_ones_around_them(take: Import) -> None:
    deep = "<div>" * 100
    told = take(
        record("1", title="First"),
        b'{"document": {"title": 7}}\n',
        b"not JSON\n",
        record("4", difficulty="hardish"),
        record("5", body=deep, body_format="html"),
        record("6", title="Last"),
    )

    assert [(receipt.outcome, receipt.source_id) for receipt in told] == [
        ("created", "1"),
        ("rejected", ""),
        ("rejected", ""),
        ("rejected", ""),
        ("rejected", "5"),
        ("created", "6"),
    ]
    assert "document.difficulty: got 'hardish', expected beginner, intermediate or advanced" in told[3].reason
    assert "body: got more than 60 elements inside each other, expected at most 60" in told[4].reason
    assert list(Post.objects.order_by("pk").values_list("title", flat=True)) == ["First", "Last"]


def test_a_taken_address_gets_a_number_and_the_receipt_says_so(take: Import, make_post: Any) -> None:
    make_post(slug="pool")

    told = take(record("1", slug="pool"), record("2", slug="pool"), record("3", title="Pool"))

    reason = "The address “pool” was taken or too long: this post has “{}”."
    assert [(receipt.slug, receipt.reason) for receipt in told] == [
        ("pool-2", reason.format("pool-2")),
        ("pool-3", reason.format("pool-3")),
        ("pool-4", ""),
    ]


def test_a_near_duplicate_is_told_with_the_post_that_has_the_text(take: Import, make_post: Any) -> None:
    text = "Two logins take turns, so that a password can be rotated while all services run as before."
    make_post(title="Rotate a password", slug="rotate", body=text)

    told = take(
        record("1", title="How to rotate", body=f"{text} Now."), record("2", title="Else", body=text[::-1])
    )

    assert [receipt.reason for receipt in told] == [
        "A near duplicate of “Rotate a password” (rotate): 68% of all runs of three words are in both. Its "
        "review page shows what they share.",
        "",
    ]


def test_keys_that_kb_does_not_know_are_named(take: Import) -> None:
    line = json.loads(record())

    told = take(jsonl.dump({**line, "mood": "good", "colour": "red"}))

    assert [receipt.reason for receipt in told] == ["Kept, but not known to kb: mood, colour."]


def test_a_source_that_moves_its_reference_is_told_that_the_post_keeps_its_own(take: Import) -> None:
    take(record(reference="ref-1"))

    told = take(record(reference="ref-2"))

    reason = "The source now names the reference “ref-2”; the post keeps “ref-1”."
    assert told == [Told("in.jsonl:1", "unchanged", reason, "1", "a-note", 1)]
    assert Post.objects.get().reference == "ref-1"


# --- Metrics and claims ---


def test_more_views_reach_readers_without_a_new_revision(take: Import, publish: Any, now: datetime) -> None:
    take(record(view_count=7))
    before = publish(Post.objects.get())
    take.now = now + timedelta(days=1)

    told = take(record(view_count=8))

    after = Publication.objects.get()
    views = [json.loads(text)["view_count"] for text in (after.detail_json, after.card_json, after.meta_json)]
    assert told == [Told("in.jsonl:1", "unchanged", "", "1", "a-note", 1)]
    assert views == [8, 8, 8]
    assert after.etag != before.etag
    assert (after.approval, after.revision, after.published_at) == (before.approval, before.revision, now)
    assert Post.objects.get().updated_at == now
    assert list(Change.objects.values_list("kind", "at")) == [
        (ChangeKind.PUBLISHED, now),
        (ChangeKind.UPDATED, take.now),
    ]


def test_more_views_of_a_draft_are_noted_and_published_nowhere(take: Import) -> None:
    take(record(view_count=7))

    told = take(record(view_count=8))

    assert [receipt.outcome for receipt in told] == ["unchanged"]
    assert Post.objects.get().view_count == 8
    assert not Publication.objects.exists()
    assert not Change.objects.exists()


def test_new_content_with_more_views_leaves_readers_the_approved_content(take: Import, publish: Any) -> None:
    take(record(body="Old.", view_count=7))
    publish(Post.objects.get())

    take(record(body="New.", view_count=8))

    detail = json.loads(Publication.objects.get().detail_json)
    assert (detail["body"], detail["view_count"], detail["revision"]["number"]) == ("Old.", 8, 1)
    assert Post.objects.get().body == "New."


# --- A person edited it ---


def test_an_edited_draft_is_never_overwritten(
    take: Import, people: SimpleNamespace, publish: Any, now: datetime
) -> None:
    take(record(body="From the source."))
    post = Post.objects.get()
    edit(post, people.editor, now, body="From a person.")

    told = take(record(body="From the source, newer."))

    post.refresh_from_db()
    aside = post.revisions.get(number=3)
    flag = Flag.objects.open().get(code="import_conflict")
    assert told == [
        Told(
            "in.jsonl:1",
            "conflict",
            "A person edited “A note” since the last import: the source's content is kept aside as "
            "revision 3. Compare both, edit the post, and close its flag.",
            "1",
            "a-note",
            3,
        )
    ]
    assert post.document() == Document.read({"title": "A note", "body": "From a person."})
    assert (aside.origin, aside.document.body) == (Origin.ASIDE, "From the source, newer.")
    assert (flag.revision.number, flag.severity) == (2, Severity.BLOCKING)
    assert post.head
    assert (post.head.number, post.state) == (2, State.WAITING)
    with pytest.raises(Refused) as refusal:
        publish(post)
    assert refusal.value.code == "open_blocking_flags"


def test_content_that_is_kept_aside_is_kept_once(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    take(record(body="One."))
    edit(Post.objects.get(), people.editor, now, body="Mine.")
    take(record(body="Two."))
    before = everything("ImportRun", "Receipt")

    told = take(record(body="Two."))

    reason = "This content is kept aside since an earlier import, as revision 3."
    assert told == [Told("in.jsonl:1", "unchanged", reason, "1", "a-note", 3)]
    assert everything("ImportRun", "Receipt") == before


def test_other_content_is_kept_aside_as_well_under_one_flag(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    take(record(body="One."))
    edit(Post.objects.get(), people.editor, now, body="Mine.")
    take(record(body="Two."))

    told = take(record(body="Three."))

    assert [(receipt.outcome, receipt.number) for receipt in told] == [("conflict", 4)]
    asides = Revision.objects.filter(origin=Origin.ASIDE).order_by("number")
    assert [(aside.number, aside.document.body) for aside in asides] == [(3, "Two."), (4, "Three.")]
    flag = Flag.objects.open().get(code="import_conflict")
    assert "revision 4" in flag.sentence


def test_what_the_source_said_before_the_edit_is_no_conflict(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    take(record(body="One."))
    edit(Post.objects.get(), people.editor, now, body="Mine.")

    told = take(record(body="One."))

    assert [(receipt.outcome, receipt.reason) for receipt in told] == [("unchanged", "")]
    assert Post.objects.get().body == "Mine."


def test_a_source_that_comes_to_say_what_the_person_wrote_is_no_conflict(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    take(record(body="One."))
    edit(Post.objects.get(), people.editor, now, body="Two.")

    told = take(record(body="Two."))

    assert [(receipt.outcome, receipt.number) for receipt in told] == [("unchanged", 2)]
    assert not Flag.objects.filter(code="import_conflict").exists()


def test_a_conflict_stays_open_when_the_person_edits_on(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    take(record(body="One."))
    post = Post.objects.get()
    edit(post, people.editor, now, body="Mine.")
    take(record(body="Two."))

    edited = edit(post, people.editor, now, body="Mine, better.")

    assert edited.number == 4
    assert Flag.objects.open().filter(revision=edited, code="import_conflict").exists()


def test_restored_content_counts_as_a_persons_edit(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    take(record(body="One."))
    take(record(body="Two."))
    revising.restore(
        Post.objects.get(),
        number=1,
        base_number=2,
        by=people.editor,
        at=now,
        note=revising.ChangeNote("It was better."),
    )

    told = take(record(body="Three."))

    assert [receipt.outcome for receipt in told] == ["conflict"]
    assert Post.objects.get().body == "One."


def test_readers_keep_what_they_have_whatever_an_import_brings(
    take: Import, people: SimpleNamespace, publish: Any, now: datetime
) -> None:
    take(record("1", title="Imported", body="One."), record("2", title="Edited", body="One."))
    imported, edited = Post.objects.order_by("pk")
    publish(imported)
    edit(edited, people.editor, now, body="Mine.")
    publish(edited)
    before = list(Publication.objects.order_by("pk").values())

    told = take(record("1", title="Imported", body="Two."), record("2", title="Edited", body="Two."))

    assert [receipt.outcome for receipt in told] == ["updated", "conflict"]
    assert list(Publication.objects.order_by("pk").values()) == before


# --- Bytes ---


CRLF_PAGE = b"\xef\xbb\xbf" + PAGE.read_bytes().replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("name", "content", "kept"),
    [
        ("in.jsonl", record("1") + record("2"), [record("1")[:-1], record("2")[:-1]]),
        (
            "windows.jsonl",
            b"\xef\xbb\xbf" + record("1").replace(b"\n", b" \r\n") + record("2").replace(b"\n", b"\r\n"),
            [record("1")[:-1] + b" \r", record("2")[:-1] + b"\r"],
        ),
        ("page.txt", PAGE.read_bytes(), [PAGE.read_bytes()]),
        ("windows.txt", CRLF_PAGE, [CRLF_PAGE]),
    ],
)
def test_the_bytes_of_each_record_are_kept_with_their_hash(
    take: Import, name: str, content: bytes, kept: list[bytes]
) -> None:
    take(content, name=name)

    rows = SourceRecord.objects.order_by("revision_id").values_list("content", "sha256")
    assert [(bytes(found), digest) for found, digest in rows] == [
        (part, sha256(part).hexdigest()) for part in kept
    ]


def test_bytes_are_kept_of_updates_and_of_what_is_kept_aside(
    take: Import, people: SimpleNamespace, now: datetime
) -> None:
    lines = [record(body="One."), record(body="Two."), record(body="Three.")]
    take(lines[0])
    take(lines[1])
    edit(Post.objects.get(), people.editor, now, body="Mine.")
    take(lines[2])

    rows = SourceRecord.objects.order_by("revision__number").values_list("revision__number", "content")
    assert [(number, bytes(content)) for number, content in rows] == [
        (number, line[:-1]) for number, line in zip((1, 2, 4), lines, strict=True)
    ]


# --- Files ---


def test_a_folder_brings_all_files_below_it_in_order(take: Import) -> None:
    (take.folder / "b").mkdir()
    (take.folder / "b" / "x.jsonl").write_bytes(record("3", title="Third"))
    (take.folder / "a.jsonl").write_bytes(record("2", title="Second"))
    (take.folder / "A.txt").write_bytes(PAGE.read_bytes())

    told = take.paths(take.folder)

    assert [(receipt.place, receipt.outcome) for receipt in told] == [
        ("A.txt:1", "created"),
        ("a.jsonl:1", "created"),
        ("b/x.jsonl:1", "created"),
    ]
    assert take.run.paths == [str(take.folder)]


def test_the_format_shows_in_the_content_whatever_the_name_says(take: Import) -> None:
    take(record("1", title="A line"), name="note.txt")
    take(PAGE.read_bytes(), name="note.jsonl")

    formats = SourceRecord.objects.order_by("pk").values_list("format", flat=True)
    assert list(formats) == ["jsonl", "alphanode"]


def test_a_forced_format_is_believed(take: Import) -> None:
    told = take(PAGE.read_bytes().splitlines(keepends=True)[0], format="jsonl")

    assert [(receipt.place, receipt.outcome) for receipt in told] == [("in.jsonl:1", "rejected")]
    assert "expected JSON" in told[0].reason


@pytest.mark.parametrize(("content", "got"), [(b"", "an empty file"), (b"Dear diary\n", "'Dear diary\\n'")])
def test_a_file_in_no_known_format_is_rejected(take: Import, content: bytes, got: str) -> None:
    told = take(content, name="in.txt")

    reason = (
        f"got {got}, expected a file in one of the formats jsonl, alphanode; "
        "name the format or leave the file out."
    )
    assert told == [Told("in.txt:1", "rejected", reason)]


def test_no_source_may_pose_as_demo_content_which_can_be_removed(take: Import) -> None:
    told = take(record(source="kb-demo"))

    assert [receipt.outcome for receipt in told] == ["rejected"]
    assert "source: got 'kb-demo', expected another name" in told[0].reason
    assert not Post.objects.exists()


def test_a_broken_first_line_does_not_hide_the_others(take: Import) -> None:
    told = take(b"garbage\n", record("1"), record("2"))

    assert [receipt.outcome for receipt in told] == ["rejected", "created", "created"]


def test_what_is_not_there_or_no_file_is_rejected_and_the_rest_goes_on(take: Import) -> None:
    os.mkfifo(take.folder / "pipe")
    (take.folder / "loop").symlink_to("loop")
    (take.folder / "z.jsonl").write_bytes(record())

    told = take.paths(take.folder / "missing", take.folder / "pipe", take.folder)

    why = "got {}, expected a file that can be read; correct the path or its rights and import again."
    neither = why.format("neither file nor folder")
    assert told == [
        Told("missing", "rejected", why.format("nothing there")),
        Told("pipe", "rejected", neither),
        Told("loop", "rejected", neither),
        Told("pipe", "rejected", neither),
        Told("z.jsonl:1", "created", "", "1", "a-note", 1),
    ]


def test_a_file_that_must_not_be_read_is_rejected(take: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: str, mode: str) -> io.BytesIO:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(importing, "open", closed, raising=False)

    told = take(record())

    reason = (
        "got Permission denied, expected a file that can be read; correct the path or its rights and import "
        "again."
    )
    assert told == [Told("in.jsonl", "rejected", reason)]


class Torn(io.BytesIO):
    """A file on a disk that breaks after the second line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        if self.getvalue()[: self.tell()].count(b"\n") == 2:
            raise OSError(5, "Input/output error")
        return super().readline(size)


def test_a_file_that_breaks_off_keeps_what_was_read_and_says_so(
    take: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(record(str(number), title=f"Note {number}") for number in range(1, 5))
    monkeypatch.setattr(importing, "open", lambda path, mode: Torn(lines), raising=False)

    told = take(lines)

    assert [(receipt.place, receipt.outcome) for receipt in told] == [
        ("in.jsonl:1", "created"),
        ("in.jsonl:2", "created"),
        ("in.jsonl", "rejected"),
    ]
    assert "Input/output error" in told[2].reason


def test_a_name_that_no_text_can_hold_is_imported_and_told_escaped(take: Import) -> None:
    path = os.path.join(os.fsencode(take.folder), b"\xff.jsonl")
    Path(os.fsdecode(path)).write_bytes(record())

    told = take.paths(take.folder)

    assert [(receipt.place, receipt.outcome) for receipt in told] == [("\\udcff.jsonl:1", "created")]


# --- Runs ---


VARIED = (
    record("1", title="Unchanged"),
    record("2", title="To update", body="New."),
    record("3", title="In conflict", body="New."),
    record("4", title="Created", slug="unchanged"),
    record("4", title="Created", slug="unchanged", notes=["and updated"]),
    record("5", difficulty="hardish"),
    record("", title="Nameless"),
)


@pytest.fixture
def earlier(take: Import, people: SimpleNamespace, publish: Any, now: datetime) -> None:
    """Posts of an earlier import, published, and one of them edited since."""
    titles = ("Unchanged", "To update", "In conflict")
    take(*(record(str(number), title=title, view_count=1) for number, title in enumerate(titles, 1)))
    for post in Post.objects.order_by("pk"):
        publish(post)
    edit(Post.objects.get(source_id="3"), people.editor, now, body="Mine.")


@pytest.mark.usefixtures("earlier")
def test_a_dry_run_leaves_nothing_and_tells_what_the_real_run_will(take: Import) -> None:
    before = everything()

    foretold = list(take(*VARIED, dry_run=True))
    after_dry_run, dry = everything(), take.run
    told = take(*VARIED)

    assert [(receipt.outcome, receipt.number) for receipt in told] == [
        ("unchanged", 1),
        ("updated", 2),
        ("conflict", 3),
        ("created", 1),
        ("updated", 2),
        ("rejected", None),
        ("rejected", None),
    ]
    assert foretold == told
    assert after_dry_run == before
    assert (dry.pk, dry.counts) == (None, take.run.counts)


class Killed(BaseException):
    """As a signal would end it: nothing in the flow may catch it."""


@pytest.mark.parametrize("last", [1, 3])
def test_a_run_that_is_killed_keeps_whole_records_and_the_next_one_completes_it(
    take: Import, last: int, now: datetime
) -> None:
    lines = [record(str(number), title=f"Note {number}", checklists=[STEPS]) for number in range(1, 6)]

    def kill(receipt: Receipt) -> None:
        if receipt.source_id == str(last):
            raise Killed

    path = take.folder / "in.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.raises(Killed):
        importing.run([path], at=now, progress=kill)
    broken = ImportRun.objects.get()
    left = [post.document().title for post in Post.objects.order_by("pk")]
    told = take(*lines)

    assert left == [f"Note {number}" for number in range(1, last + 1)]
    assert (broken.counts["created"], broken.finished_at) == (last, None)
    assert broken.receipts.count() == Revision.objects.filter(import_run=broken).count() == last
    assert [receipt.outcome for receipt in told] == ["unchanged"] * last + ["created"] * (5 - last)
    assert Post.objects.count() == SourceRecord.objects.count() == 5


STEPS = {"title": "Steps", "items": ["one", "two"]}


def test_a_run_says_who_when_and_what(take: Import, people: SimpleNamespace, now: datetime) -> None:
    take(record(), by=people.administrator)

    run = ImportRun.objects.get()
    assert (run.by, run.started_at, run.paths) == (
        people.administrator,
        now,
        [str(take.folder / "in.jsonl")],
    )
    assert run.finished_at is not None
    assert run.finished_at >= now
    assert Revision.objects.get().author == people.administrator


@pytest.mark.parametrize("who", ["stranger", "editor", "reviewer"])
def test_who_has_no_right_to_import_is_refused(take: Import, people: SimpleNamespace, who: str) -> None:
    with pytest.raises(Refused, match=rf"^{who} may not import posts") as refusal:
        take(record(), by=getattr(people, who))

    assert refusal.value.code == "not_allowed"
    assert not Post.objects.exists()
    assert not ImportRun.objects.exists()


def test_who_imported_it_does_not_approve_it(take: Import, people: SimpleNamespace, publish: Any) -> None:
    take(record(), by=people.administrator)

    with pytest.raises(Refused) as refusal:
        publish(Post.objects.get(), by=people.administrator)

    assert refusal.value.code == "own_work"


# --- The command ---


Command = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def command(take: Import) -> Command:
    """Exit status and printed lines of `import_posts`, without the folder of this run."""

    def run(*arguments: str, **options: Any) -> tuple[int, list[str]]:
        out = io.StringIO()
        try:
            call_command("import_posts", *arguments, stdout=out, **options)
            status = 0
        except CommandError as error:
            status = error.returncode
            out.write(f"! {error}\n")
        return status, out.getvalue().replace(f"{take.folder}/", "").splitlines()

    return run


@pytest.fixture
def file(take: Import) -> Path:
    path = take.folder / "in.jsonl"
    path.write_bytes(record("1", title="First") + record("2", title="Second"))
    return path


def test_a_run_without_trouble_prints_its_counts_and_ends_with_0(command: Command, file: Path) -> None:
    status, printed = command(str(file))

    pk = ImportRun.objects.get().pk
    assert (status, printed) == (
        0,
        [f"Import {pk}: 2 created, 0 updated, 0 unchanged, 0 conflict, 0 rejected."],
    )


def test_a_record_that_needs_attention_is_named_and_the_run_ends_with_1(command: Command, file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"{\n")

    status, printed = command(str(file), "--format", "jsonl")

    assert status == 1
    assert printed[0].startswith("in.jsonl:3: rejected. got ")
    assert printed[1].endswith(": 2 created, 0 updated, 0 unchanged, 0 conflict, 1 rejected.")
    assert printed[2:] == ["! 1 of 3 records need attention: see the lines above."]


def test_a_conflict_ends_with_1(command: Command, file: Path, people: SimpleNamespace, now: datetime) -> None:
    command(str(file))
    edit(Post.objects.get(source_id="1"), people.editor, now, body="Mine.")
    file.write_bytes(record("1", title="First", body="Theirs."))

    status, printed = command(str(file))

    assert status == 1
    assert printed[0].startswith("in.jsonl:1: conflict. A person edited “First” since the last import")


def test_wrong_usage_ends_with_2(command: Command, file: Path, people: SimpleNamespace) -> None:
    assert command(str(file), "--by", "nobody") == (
        2,
        ["! --by: got 'nobody', expected the name of a user; correct it and run again."],
    )
    assert command(str(file), "--by", "editor") == (
        2,
        ["! editor may not import posts: ask an administrator for that right."],
    )
    assert not Post.objects.exists()


def test_a_user_with_the_right_imports_by_name(command: Command, file: Path, people: SimpleNamespace) -> None:
    status, _ = command(str(file), "--by", "administrator")

    assert (status, ImportRun.objects.get().by) == (0, people.administrator)


def test_a_dry_run_says_that_it_was_one(command: Command, file: Path) -> None:
    status, printed = command(str(file), "--dry-run")

    assert (status, printed) == (
        0,
        ["Dry run, nothing was written: 2 created, 0 updated, 0 unchanged, 0 conflict, 0 rejected."],
    )
    assert not ImportRun.objects.exists()


def test_as_json_each_record_is_an_object_and_the_summary_comes_last(command: Command, file: Path) -> None:
    file.write_bytes(record("1", title="Ménage", slug="menage") + record(""))

    status, printed = command(str(file), "--json")

    assert status == 1
    assert [json.loads(line) for line in printed[:-1]] == [
        {
            "place": "in.jsonl:1",
            "outcome": "created",
            "reason": "",
            "source": "wiki",
            "source_id": "1",
            "slug": "menage",
            "revision": 1,
        },
        {
            "place": "in.jsonl:2",
            "outcome": "rejected",
            "reason": "source_id: got nothing, expected source and source id, to know the record when it "
            "comes again; fix the source and import again.",
            "source": "wiki",
            "source_id": "",
            "slug": None,
            "revision": None,
        },
        {
            "summary": {
                "run": ImportRun.objects.get().pk,
                "dry_run": False,
                "counts": {"created": 1, "updated": 0, "unchanged": 0, "conflict": 0, "rejected": 1},
            }
        },
    ]


def test_an_imported_post_goes_the_whole_way(take: Import, people: SimpleNamespace, now: datetime) -> None:
    take(record(flags={"ai_generated_style": True}, body="Old."))
    post = Post.objects.get()
    edited = edit(post, people.editor, now, body="New.")

    reviewing.approve(post, number=2, fingerprint=edited.fingerprint, by=people.reviewer, at=now)

    post.refresh_from_db()
    publication = Publication.objects.get()
    assert (post.state, json.loads(publication.detail_json)["body"]) == (State.SETTLED, "New.")
    assert json.loads(publication.meta_json)["review"]["ai_involved"] is True
