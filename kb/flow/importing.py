"""Turn source records into drafts; the same record twice changes nothing, no person's edit is overwritten."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

from django.db import DataError, IntegrityError, OperationalError, transaction

from kb import likeness, sources
from kb.choices import Origin, Outcome
from kb.errors import KbError, Problem, Refused, SourceError
from kb.flow import permitting, publishing, queueing, revising
from kb.models import ImportRun, Likeness, Post, Receipt, Revision
from kb.models.post import DEMO_SOURCE
from kb.sources import Record

MAX_REASON = 10_000  # characters
NEAR_DUPLICATE = 0.6  # of all runs of three words: from here on an import tells it
MAX_TRIES = 20  # of one record whose address others keep taking
DEADLOCK = "40P01"  # SQLSTATE

# What a source says beside the content. It may change without a new revision.
CLAIMS = ("source_hash", "source_status", "source_version", "source_last_reviewed", "view_count")


class _Run(NamedTuple):
    """What its records share."""

    row: ImportRun
    at: datetime
    dry: bool


class Settled(NamedTuple):
    outcome: Outcome
    reason: str
    post: Post
    revision: Revision | None


def run(
    paths: Iterable[str | os.PathLike[str]],
    *,
    format: str | None = None,  # noqa: A002
    by: Any = None,
    at: datetime,
    dry_run: bool = False,
    progress: Callable[[Receipt], None] | None = None,
) -> ImportRun:
    """Import files, and all files below folders. Each record is one transaction with a receipt of its own.

    `progress` gets each receipt as it is written. A dry run tells the same and leaves nothing behind; its
    run has no pk. With a user it raises Refused `not_allowed` without the right to import; None is the
    command line.
    """
    if by is not None:
        permitting.require(by, "kb.import_post")
    given = [_name(os.fspath(path)) for path in paths]
    this = ImportRun(by=by, paths=given, started_at=at)
    records = _records([os.fspath(path) for path in paths], format)
    if not dry_run:
        _take_all(records, _Run(this, at, dry=False), progress)
        return this
    # As one transaction, so that a record meets what the records before it would have left.
    with transaction.atomic():
        _take_all(records, _Run(this, at, dry=True), progress)
        transaction.set_rollback(True)
    this.pk = None
    return this


def _take_all(
    records: Iterable[Record | SourceError],
    this: _Run,
    progress: Callable[[Receipt], None] | None,
) -> None:
    began = monotonic()
    this.row.counts = {outcome.value: 0 for outcome in Outcome}
    this.row.save(force_insert=True)
    try:
        for record in records:
            receipt = _take(record, this)
            this.row.counts[receipt.outcome] += 1
            if progress:
                progress(receipt)
        this.row.finished_at = this.at + timedelta(seconds=monotonic() - began)
    finally:
        if not transaction.get_connection().needs_rollback:
            this.row.save(update_fields=["counts", "finished_at"])


def _take(record: Record | SourceError, this: _Run) -> Receipt:
    if isinstance(record, SourceError):
        return _rejected(this, record.place, _sentences(record.problems))
    try:
        return _settle(record, this)
    except SourceError as error:
        reason = _sentences(error.problems)
    except KbError as error:
        reason = str(error)
    except (DataError, IntegrityError) as error:
        first = str(error).partition("\n")[0]
        reason = f"The database refused it: {first}. Correct the source and import again."
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != DEADLOCK:
            raise
        reason = "Somebody else was writing just there, each waiting for the other. Import again."
    return _rejected(this, record.place, reason, source=record.source, source_id=record.source_id)


def _settle(record: Record, this: _Run) -> Receipt:
    if not record.source or not record.source_id:
        field = "source_id" if record.source else "source"
        raise SourceError(
            record.place,
            [Problem(field, "nothing", "source and source id, to know the record when it comes again")],
        )
    if record.source == DEMO_SOURCE:
        expected = "another name: the demo content bears this one, and can be removed with its history"
        raise SourceError(record.place, [Problem("source", repr(record.source), expected)])
    for _ in range(MAX_TRIES - 1):
        try:
            return _settle_once(record, this)
        except Refused as refusal:
            # Another import wrote the record or took its address just now: the next time it is seen.
            if refusal.code != "slug_taken":
                raise
    return _settle_once(record, this)


@transaction.atomic
def _settle_once(record: Record, this: _Run) -> Receipt:
    post = _locked(record)
    settled = _create(record, this) if post is None else _compare(post, record, this)
    return Receipt.objects.create(
        run=this.row,
        place=record.place,
        source=record.source,
        source_id=record.source_id,
        outcome=settled.outcome,
        reason=_storable(
            " ".join(filter(None, (settled.reason, _about_unknown(record), _about_near(settled))))
        ),
        post=settled.post,
        revision=settled.revision,
    )


def _locked(record: Record) -> Post | None:
    # Without a join, as in reviewing.lock: after a wait it would give the rows from before the wait.
    known = Post.objects.select_for_update().filter(source=record.source, source_id=record.source_id)
    return known.first()


def _create(record: Record, this: _Run) -> Settled:
    post = revising.import_new(record, run=this.row, at=this.at)
    reason = ""
    if record.slug and post.slug != record.slug:
        reason = f"The address “{record.slug}” was taken or too long: this post has “{post.slug}”."
    return Settled(Outcome.CREATED, reason, post, post.head)


def _compare(post: Post, record: Record, this: _Run) -> Settled:
    views = post.view_count
    settled = _unchanged(post, record)
    if settled is None and post.head and post.head.origin == Origin.IMPORT:
        revision = revising.import_update(post, record, run=this.row, at=this.at)
        settled = Settled(Outcome.UPDATED, "", post, revision)
    elif settled is None:
        revision = revising.keep_aside(post, record, run=this.row, at=this.at)
        reason = (
            f"A person edited “{post}” since the last import: the source's content is kept aside as "
            f"revision {revision.number}. Compare both, edit the post, and close its flag."
        )
        settled = Settled(Outcome.CONFLICT, reason, post, revision)
    _note_claims(post, record, this.at)
    # A dry run would keep all publishers waiting to its end.
    if views != record.view_count and not this.dry and hasattr(post, "publication"):
        publishing.refresh(post, at=this.at)
    if record.reference != post.reference:
        moved = f"The source now names the reference “{record.reference}”; the post keeps “{post.reference}”."
        settled = settled._replace(reason=f"{settled.reason} {moved}".strip())
    return settled


def _unchanged(post: Post, record: Record) -> Settled | None:
    """Whether the source says what it said last time, or what the post says anyway."""
    fingerprint = record.document.fingerprint
    if post.head is None or post.head.fingerprint == fingerprint:
        return Settled(Outcome.UNCHANGED, "", post, post.head) if post.head else None
    if post.head.origin == Origin.IMPORT:
        return None
    imported = post.revisions.filter(origin__in=[Origin.IMPORT, Origin.ASIDE]).order_by("-number")
    for revision in imported.defer("canonical").iterator():
        if revision.fingerprint == fingerprint:
            return Settled(Outcome.UNCHANGED, _known_since(revision), post, revision)
        if revision.origin == Origin.IMPORT:
            break
    return None


def _known_since(revision: Revision) -> str:
    if revision.origin == Origin.ASIDE:
        return f"This content is kept aside since an earlier import, as revision {revision.number}."
    return ""


def _note_claims(post: Post, record: Record, at: datetime) -> None:
    claims = {name: getattr(record, name) for name in CLAIMS}
    if any(getattr(post, name) != value for name, value in claims.items()):
        Post.objects.filter(pk=post.pk).update(**claims)
        for name, value in claims.items():
            setattr(post, name, value)
        # As it is by now: what came before gave it another head or state.
        queueing.refresh(Post.objects.get(pk=post.pk), at=at)


def _about_unknown(record: Record) -> str:
    if not record.unknown:
        return ""
    return f"Kept, but not known to kb: {', '.join(record.unknown)}."


def _about_near(settled: Settled) -> str:
    """Which post has the same text already, for whoever decides on the two."""
    if settled.outcome not in {Outcome.CREATED, Outcome.UPDATED} or settled.revision is None:
        return ""
    likest = (
        Post.objects.filter(pk__in=Likeness.objects.likest(settled.post, 1)).select_related("head").first()
    )
    if likest is None or likest.head is None:
        return ""
    share = likeness.similarity(settled.revision.document, likest.head.document)
    if share < NEAR_DUPLICATE:
        return ""
    return (
        f"A near duplicate of “{likest}” ({likest.slug}): {share:.0%} of all runs of three words are in "
        "both. Its review page shows what they share."
    )


def _rejected(this: _Run, place: str, reason: str, *, source: str = "", source_id: str = "") -> Receipt:
    return Receipt.objects.create(
        run=this.row,
        place=_storable(place),
        source=source,
        source_id=source_id,
        outcome=Outcome.REJECTED,
        reason=_storable(reason),
    )


def _sentences(problems: Iterable[Problem]) -> str:
    return " ".join(str(problem) for problem in problems)


def _storable(text: str) -> str:
    """As PostgreSQL takes it: names of keys and files may hold anything."""
    whole = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return whole if len(whole) <= MAX_REASON else f"{whole[:MAX_REASON]} …"


def _name(path: str) -> str:
    return _storable(path)


# --- Files ---


def _records(paths: Iterable[str], format: str | None) -> Iterator[Record | SourceError]:  # noqa: A002
    for path in paths:
        for file in _files(path):
            if isinstance(file, SourceError):
                yield file
            else:
                yield from _in_file(file, format)


def _in_file(path: str, format: str | None) -> Iterator[Record | SourceError]:  # noqa: A002
    try:
        with open(path, "rb") as stream:
            yield from sources.read(stream, _name(path), format=format)
    except OSError as error:
        yield _unreadable(path, error)


def _files(path: str) -> Iterator[str | SourceError]:
    """The file itself, or all below the folder, sorted. Pipes and devices could wait for ever: not opened."""
    if os.path.isfile(path):
        yield path
        return
    if not os.path.isdir(path):
        yield _unreadable(path, "nothing there" if not os.path.lexists(path) else "neither file nor folder")
        return
    failures: list[OSError] = []
    for folder, below, names in os.walk(path, onerror=failures.append):
        below.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            yield file if os.path.isfile(file) else _unreadable(file, "neither file nor folder")
        while failures:
            yield _unreadable(failures[0].filename or path, failures.pop(0))
    for failure in failures:
        yield _unreadable(failure.filename or path, failure)


def _unreadable(path: str, why: OSError | str) -> SourceError:
    got = why if isinstance(why, str) else (why.strerror or type(why).__name__)
    problem = Problem(
        "", got, "a file that can be read", retry="correct the path or its rights and import again"
    )
    return SourceError(_name(path), [problem])
