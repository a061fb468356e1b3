"""Turn an edited or imported Document into the working draft and a frozen revision of it.

Identical content makes no revision. A form says which revision it started from: who comes second is refused
and loses nothing.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import count, pairwise
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from kb import likeness, words
from kb.choices import Bump, Origin, State
from kb.document import Document
from kb.errors import Conflict, Refused
from kb.flow import flagging, permitting, queueing, reviewing, scheduling
from kb.flow.reviewing import head, lock
from kb.models import (
    Checklist,
    ChecklistItem,
    Entity,
    Image,
    ImportRun,
    Likeness,
    Post,
    PostEntity,
    PostText,
    Revision,
    SourceRecord,
)
from kb.models.post import SAME_NAME
from kb.sources.record import Record

FIRST_VERSION = "0.1.0"
_PART = "(0|[1-9][0-9]{0,8})"
_VERSION = re.compile(rf"{_PART}\.{_PART}\.{_PART}")  # semver.org, without suffixes
MAX_SLUG = 200


@dataclass(frozen=True, slots=True)
class ChangeNote:
    """Why a person changed a post, and what they touched to make it true."""

    reason: str
    files_touched: str = ""
    command_used: str = ""
    metric_improved: str = ""


class Proposal(NamedTuple):
    version: str
    bump: Bump
    reason: str


class Frozen(NamedTuple):
    """Where a revision comes from; the rest follows from its Document."""

    origin: Origin
    at: datetime
    author: Any = None
    note: ChangeNote = ChangeNote("")
    run: ImportRun | None = None
    source_hash: str | None = None  # None: that of the revision before


@transaction.atomic
def create(
    document: Document,
    *,
    slug: str = "",
    by: Any,
    at: datetime,
    note: ChangeNote,
    version: str = FIRST_VERSION,
    ask_for_review: bool = False,
    source: str = "",
    source_id: str = "",
) -> Post:
    """Write a new post and freeze its first revision.

    Raises Refused `not_allowed`, `reason_missing`, `bad_version`, `bad_slug` or `slug_taken`, and
    InvalidDocument when the body cannot be compiled.
    """
    permitting.require(by, "kb.add_post")
    _require_reason(note)
    _require_version(version, above="")
    post = _insert(document, _slug(slug, document.title), at=at, source=source, source_id=source_id)
    _freeze(post, document, version, Frozen(Origin.PERSON, at, by, note))
    if ask_for_review:
        reviewing.ask_for_review(post, by=by, at=at)
        post.refresh_from_db(fields=["state"])
    return post


@transaction.atomic
def save(
    post: Post,
    document: Document,
    *,
    base_number: int,
    by: Any,
    at: datetime,
    note: ChangeNote,
    version: str = "",
    ask_for_review: bool = False,
) -> Revision | None:
    """Write the draft and freeze it; None if the content is what it was.

    Raises Conflict when another revision came since `base_number`, Refused `not_allowed`,
    `reason_missing` or `bad_version`, and InvalidDocument when the body cannot be compiled.
    """
    permitting.require(by, "kb.change_post")
    post = _locked(post, base_number)
    revision = _save(post, document, version, Frozen(Origin.PERSON, at, by, note))
    if ask_for_review and (revision or post.state in {State.DRAFT, State.CHANGES_REQUESTED}):
        reviewing.ask_for_review(post, by=by, at=at)
    return revision


@transaction.atomic
def restore(
    post: Post, *, number: int, base_number: int, by: Any, at: datetime, note: ChangeNote
) -> Revision | None:
    """Make an old revision's content the draft again, as a new revision. Raises as `save` does."""
    permitting.require(by, "kb.change_post")
    post = _locked(post, base_number)
    old = post.revisions.filter(number=number).first()
    if old is None:
        raise Refused(f"“{post}” has no revision {number}.", code="no_such_revision")
    return _save(post, old.document, "", Frozen(Origin.RESTORE, at, by, note, source_hash=old.source_hash))


@transaction.atomic(savepoint=False)
def import_new(record: Record, *, run: ImportRun, at: datetime) -> Post:
    """Write a post from a source record that kb does not know yet. It is a draft."""
    post = _insert(
        record.document,
        _free_slug(record.slug or slugify(record.document.title) or "note"),
        at=at,
        source=record.source,
        source_id=record.source_id,
        reference=record.reference,
        **_claims(record),
    )
    version = record.source_version if _VERSION.fullmatch(record.source_version) else FIRST_VERSION
    revision = _freeze(post, record.document, version, _imported(record, run, at))
    _keep_bytes(revision, record)
    return post


@transaction.atomic
def import_update(post: Post, record: Record, *, run: ImportRun, at: datetime) -> Revision:
    """Bring a post that no person edited up to its source. The caller compared the fingerprints.

    Raises Conflict when another revision came since the caller read the post.
    """
    post = _locked(post, head(post).number)
    for name, value in _claims(record).items():
        setattr(post, name, value)
    version = record.source_version
    if not (_VERSION.fullmatch(version) and _key(version) > _key(head(post).version)):
        version = propose(head(post).document, record.document, head(post).version).version
    _write(post, record.document, at)
    revision = _freeze(post, record.document, version, _imported(record, run, at))
    _keep_bytes(revision, record)
    return revision


@transaction.atomic
def keep_aside(post: Post, record: Record, *, run: ImportRun, at: datetime) -> Revision:
    """Keep imported content beside a person's edit: a revision that is not the draft, and a blocking flag."""
    post = lock(post)
    frozen = _imported(record, run, at)._replace(origin=Origin.ASIDE)
    version = record.source_version if _VERSION.fullmatch(record.source_version) else head(post).version
    aside = _insert_revision(post, record.document, version, frozen)
    _keep_bytes(aside, record)
    flagging.conflict(head(post), aside=aside, at=at)
    queueing.settle(post, at=at)
    return aside


def propose(before: Document | None, after: Document, version: str) -> Proposal:
    """Propose the next version from what changed, with the reason in words."""
    if before is None:
        return Proposal(FIRST_VERSION, Bump.MINOR, "first revision")
    bump, reason = _bump(before, after)
    major, minor, patch = _key(version)
    raised = {
        Bump.MAJOR: f"{major + 1}.0.0",
        Bump.MINOR: f"{major}.{minor + 1}.0",
        Bump.PATCH: f"{major}.{minor}.{patch + 1}",
    }
    return Proposal(raised[bump], bump, reason)


def _bump(before: Document, after: Document) -> tuple[Bump, str]:
    if before.stack != after.stack or before.topic != after.topic:
        return Bump.MAJOR, "the note is about something else: topic or stack changed"
    if _share_kept(before.body, after.body) < 0.5:
        return Bump.MAJOR, "more than half of the text is new"
    instructions = ("checklists", "expected_result", "rollback_note", "tools")
    if any(getattr(before, name) != getattr(after, name) for name in instructions):
        return Bump.MINOR, "what a reader has to do changed"
    if _share_kept(before.body, after.body) < 0.95:
        return Bump.MINOR, "part of the text is new"
    return Bump.PATCH, "small corrections or metadata"


def _share_kept(before: str, after: str) -> float:
    """How much two texts have in common, 0 to 1, by pairs of words: takes time as they are long, no more."""
    old, new = (Counter(pairwise(("", *text.split()))) for text in (before, after))
    total = old.total() + new.total()
    return 2 * (old & new).total() / total if total else 1.0


def _key(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def _require_reason(note: ChangeNote) -> None:
    if not note.reason.strip():
        raise Refused("Say in the change note why you changed this.", code="reason_missing")


def _require_version(version: str, *, above: str) -> None:
    if not _VERSION.fullmatch(version):
        raise Refused(
            f"Version: got “{version}”, expected three numbers such as 1.2.0; correct it and save again.",
            code="bad_version",
        )
    if above and _key(version) <= _key(above):
        raise Refused(
            f"Version: got “{version}”, expected more than {above}, the version before; "
            "raise it and save again.",
            code="bad_version",
        )


def _slug(slug: str, title: str) -> str:
    if slug and (slugify(slug) != slug or len(slug) > MAX_SLUG):
        raise Refused(
            f"Address: got “{slug[:MAX_SLUG]}”, expected small letters, digits and hyphens, "
            f"at most {MAX_SLUG} characters; correct it and save again.",
            code="bad_slug",
        )
    return slug or _free_slug(slugify(title) or "note")


def _free_slug(slug: str) -> str:
    """This slug, or with the first free number behind it; shortened where it is too long."""
    slug = slug[:MAX_SLUG]
    if not Post.objects.filter(slug=slug).exists():
        return slug
    stem = slug[: MAX_SLUG - 20]
    taken = set(Post.objects.filter(slug__startswith=f"{stem}-").values_list("slug", flat=True))
    return next(found for number in count(2) if (found := f"{stem}-{number}") not in taken)


def _locked(post: Post, base_number: int) -> Post:
    post = lock(post)
    newest = head(post)
    if newest.number != base_number:
        who = newest.author or "an import"
        raise Conflict(
            f"“{post}” was changed by {who} since you opened it. Nothing of yours was saved or lost: "
            "compare, then save again.",
            base_number=base_number,
            current_number=newest.number,
        )
    return post


def _save(post: Post, document: Document, version: str, frozen: Frozen) -> Revision | None:
    before = head(post)
    if document.fingerprint == before.fingerprint:
        return None
    _require_reason(frozen.note)
    if version:
        _require_version(version, above=before.version)
    else:
        version = propose(before.document, document, before.version).version
    _write(post, document, frozen.at)
    return _freeze(post, document, version, frozen)


def _insert(document: Document, slug: str, *, at: datetime, **identity: Any) -> Post:
    post = Post(slug=slug, created_at=at, updated_at=at, **identity)
    _copy(document, post)
    try:
        with transaction.atomic():
            post.save(force_insert=True)
    except IntegrityError:
        raise Refused(
            f"Another post already has the address “{slug}” or the same source record; "
            "choose another address.",
            code="slug_taken",
        ) from None
    _write_parts(post, document)
    return post


def _write(post: Post, document: Document, at: datetime) -> None:
    """Make the draft tables say what the Document says."""
    _copy(document, post)
    post.updated_at = at
    post.save()
    post.checklists.all().delete()
    post.post_entities.all().delete()
    post.images.all().delete()
    _write_parts(post, document)


def _copy(document: Document, post: Post) -> None:
    plain = document.plain()
    for name in SAME_NAME:
        setattr(post, name, plain[name])
    post.difficulty = plain["difficulty"] or ""
    for name, value in {**plain["scores"], **plain["flags"]}.items():
        setattr(post, name, value)


def _write_parts(post: Post, document: Document) -> None:
    for position, checklist in enumerate(document.checklists):
        row = Checklist.objects.create(post=post, position=position, title=checklist.title)
        ChecklistItem.objects.bulk_create(
            ChecklistItem(checklist=row, position=number, text=text)
            for number, text in enumerate(checklist.items)
        )
    entities = _entities({(entity.type, entity.name) for entity in document.entities})
    PostEntity.objects.bulk_create(
        PostEntity(post=post, position=position, entity=entities[entity.type, entity.name])
        for position, entity in enumerate(document.entities)
    )
    Image.objects.bulk_create(
        Image(post=post, position=position, **image.model_dump())
        for position, image in enumerate(document.images)
    )


def _entities(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Entity]:
    """The rows with these types and names; made where they are missing."""
    found = _known_entities(wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        # In one order for all, so that two who name the same new entities never wait in a ring.
        rows = [Entity(type=kind, name=name) for kind, name in missing]
        Entity.objects.bulk_create(rows, ignore_conflicts=True)
        found = _known_entities(wanted)
    return found


def _known_entities(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Entity]:
    if not wanted:
        return {}
    rows = Entity.objects.filter(type__in={kind for kind, _ in wanted}, name__in={name for _, name in wanted})
    return {(row.type, row.name): row for row in rows}


def _freeze(post: Post, document: Document, version: str, frozen: Frozen) -> Revision:
    revision = _insert_revision(post, document, version, frozen)
    if post.head:
        scheduling.lapse(post, by=frozen.author, at=frozen.at)
    post.head, post.edited_by = revision, frozen.author
    note_likeness(post)
    note_words(post)
    flagging.run(revision, at=frozen.at)
    queueing.settle(post, by=frozen.author, at=frozen.at, also=["head", "edited_by"])
    return revision


def note_likeness(post: Post) -> Likeness:
    """Keep the hashes of the newest revision by which near duplicates are found."""
    newest = head(post)
    bands = likeness.bands(newest.document)
    row = Likeness(post=post, fingerprint=newest.fingerprint, bands=bands, method=likeness.METHOD)
    # One statement, whether there is a row or not.
    Likeness.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["post"],
        update_fields=["fingerprint", "bands", "method"],
    )
    return row


def note_words(post: Post) -> PostText:
    """Keep the words of the newest revision by which the list of posts is searched."""
    document = head(post).document
    names = [entity.name for entity in document.entities]
    texts = (
        f"{document.title}\n{post.slug}\n{post.reference}",
        "\n".join((document.topic, *document.stack, *document.tools, *names)),
        "\n".join((document.summary, document.brief, *(point.text for point in document.outline))),
        document.body,
    )
    row = PostText(post=post, words=words.vector(texts).literal)
    PostText.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["post"], update_fields=["words"]
    )
    return row


def _insert_revision(post: Post, document: Document, version: str, frozen: Frozen) -> Revision:
    canonical = document.canonical()
    return Revision.objects.create(
        post=post,
        number=_next_number(post),
        version=version,
        origin=frozen.origin,
        author=frozen.author,
        parent=post.head,
        canonical=canonical.decode(),
        fingerprint=hashlib.sha256(canonical).hexdigest(),
        source_hash=_source_hash(post, frozen),
        reason=frozen.note.reason.strip(),
        files_touched=frozen.note.files_touched.strip(),
        command_used=frozen.note.command_used.strip(),
        metric_improved=frozen.note.metric_improved.strip(),
        import_run=frozen.run,
        created_at=frozen.at,
    )


def _next_number(post: Post) -> int:
    if post.head is None:
        return 1
    # Not the head's: what an import brought may lie aside, with a higher one.
    return post.revisions.order_by("-number").values_list("number", flat=True)[0] + 1


def _source_hash(post: Post, frozen: Frozen) -> str:
    if frozen.source_hash is not None:
        return frozen.source_hash
    return post.head.source_hash if post.head else ""


def _imported(record: Record, run: ImportRun, at: datetime) -> Frozen:
    return Frozen(Origin.IMPORT, at, run.by, run=run, source_hash=record.source_hash)


def _claims(record: Record) -> dict[str, Any]:
    """What the source says about the post, beside its content."""
    return {
        "source_hash": record.source_hash,
        "source_status": record.source_status,
        "source_version": record.source_version,
        "source_last_reviewed": record.source_last_reviewed,
        "view_count": record.view_count,
    }


def _keep_bytes(revision: Revision, record: Record) -> None:
    SourceRecord.objects.create(
        revision=revision,
        format=record.format,
        place=record.place,
        content=record.content,
        sha256=hashlib.sha256(record.content).hexdigest(),
    )
