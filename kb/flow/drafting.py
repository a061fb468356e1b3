"""Turn what somebody types into a private copy that waits for their save, and the save into a revision.

A copy is its writer's alone: nothing of it is content, and none changes a status, a flag, a count or the
queue.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.formats import date_format

from kb.document import Document
from kb.errors import Refused
from kb.flow import flagging, permitting, revising
from kb.flow.revising import ChangeNote, Proposal
from kb.models import Post, Revision, WorkingCopy

SEEN_FOR = timedelta(hours=24)  # after which an unsaved copy is no sign that somebody works on the post
MAX_FIELDS = 5_000
MAX_CHARACTERS = 4_000_000
_LOCK = 0x6B62_0002  # "kb", of the checks


@transaction.atomic
def keep(
    post: Post | None,
    fields: Mapping[str, str],
    *,
    base_number: int | None,
    seen: datetime | None,
    by: Any,
    at: datetime,
) -> WorkingCopy:
    """Keep the fields of the form in the writer's private copy; None as post: of a new one.

    `seen` is the `updated_at` of the copy that the form goes on from, None if it knows of none: a second tab
    never writes over the first. Raises Refused `not_allowed`, `nothing_typed`, `too_large`, `bad_text` or
    `another_copy`.
    """
    permitting.require(by, "kb.change_post" if post else "kb.add_post")
    _require_storable(fields)
    copy = WorkingCopy.objects.select_for_update().filter(user=by, post=post).first()
    _require_same(copy, seen)
    copy = copy or WorkingCopy(user=by, post=post, started_at=at)
    copy.fields, copy.base_number, copy.updated_at = dict(fields), base_number, at
    try:
        with transaction.atomic():
            copy.save()
    except IntegrityError:
        raise Refused("Another tab of yours kept its text just now.", code="another_copy") from None
    return copy


@transaction.atomic
def discard(post: Post | None, *, seen: datetime | None, by: Any) -> None:
    """Throw one's own copy away. Raises Refused `another_copy` when it is not the one that was seen."""
    copy = WorkingCopy.objects.select_for_update().filter(user=by, post=post).first()
    if copy:
        _require_same(copy, seen)
        copy.delete()


def of(user: Any, post: Post | None) -> WorkingCopy | None:
    """What this person typed into the post's form and did not save."""
    return WorkingCopy.objects.select_related("post__head").filter(user=user, post=post).first()


def others(post: Post, *, by: Any, at: datetime) -> list[WorkingCopy]:
    """Who else has unsaved changes: whose and since when, never what."""
    copies = WorkingCopy.objects.filter(post=post, updated_at__gt=at - SEEN_FOR).exclude(user=by)
    return list(copies.select_related("user").defer("fields").order_by("-updated_at"))


@transaction.atomic
def create(
    document: Document,
    *,
    slug: str,
    by: Any,
    at: datetime,
    note: ChangeNote,
    version: str,
    ask_for_review: bool,
) -> Post:
    """Write a new post as `revising.create` does; the private copy of it has served."""
    post = revising.create(
        document, slug=slug, by=by, at=at, note=note, version=version, ask_for_review=ask_for_review
    )
    WorkingCopy.objects.filter(user=by, post=None).delete()
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
    version: str,
    ask_for_review: bool,
) -> Revision | None:
    """Save as `revising.save` does; the private copy of it has served."""
    revision = revising.save(
        post,
        document,
        base_number=base_number,
        by=by,
        at=at,
        note=note,
        version=version,
        ask_for_review=ask_for_review,
    )
    WorkingCopy.objects.filter(user=by, post=post).delete()
    return revision


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a save would bring: flags, and the next version; None where nothing changed."""

    findings: list[tuple[flagging.Rule, flagging.Finding]]
    proposal: Proposal | None


def foresee(post: Post | None, document: Document) -> Outlook:
    """Say what saving this would bring, and save nothing. Raises InvalidDocument if it cannot be compiled."""
    head = post.head if post else None
    findings = flagging.inspect(document)
    if head and head.fingerprint == document.fingerprint:
        return Outlook(findings, None)
    before, version = (head.document, head.version) if head else (None, "")
    return Outlook(findings, revising.propose(before, document, version))


def takes_turn(by: Any) -> bool:
    """Whether this person may have a text compiled now: one at a time each, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, by.pk % 2**31])
        return bool(cursor.fetchone()[0])


def _require_storable(fields: Mapping[str, str]) -> None:
    if not fields:
        raise Refused("There is nothing to keep: the form came without its fields.", code="nothing_typed")
    size = sum(len(name) + len(value) for name, value in fields.items())
    if len(fields) > MAX_FIELDS or size > MAX_CHARACTERS:
        raise Refused(
            f"Unsaved text is kept up to {MAX_CHARACTERS:,} characters; this is {size:,}. "
            "Save a draft, or shorten it.",
            code="too_large",
        )
    for name, value in fields.items():
        if "\x00" in value:
            raise Refused(f"The field “{name}” holds a NUL character: remove it.", code="bad_text")


def _require_same(copy: WorkingCopy | None, seen: datetime | None) -> None:
    kept = copy.updated_at if copy else None
    if kept == seen:
        return
    if kept is None:
        raise Refused("The unsaved changes were saved or discarded in another tab.", code="another_copy")
    moment = date_format(timezone.localtime(kept), "j F, H:i")
    raise Refused(
        f"Other unsaved changes of yours, of {moment}, are kept already, perhaps by another tab.",
        code="another_copy",
    )
