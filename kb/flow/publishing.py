"""Compile an approved revision into the rows that readers see, and tell the feed.

Nothing else writes publication tables. A publication is a pure function of its revision, of what was said of
its post, of the policies of verification and of the declared volatile metrics: `rebuild` gives the same bytes
again.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from kb.choices import BodyFormat, ChangeKind, FacetKind, Verdict
from kb.document import Checklist, Document, Entity
from kb.flow import indexing, tagging, telling
from kb.models import (
    Change,
    Decision,
    Oversight,
    Post,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    PublishedSpelling,
    PublishedText,
    Revision,
    Verification,
    VerificationPolicy,
)
from kb.models.publication import moment
from kb.render import render, safe_url

_LOCK = 0x6B62  # "kb": one advisory lock of this database, taken by every publisher


@dataclass(frozen=True)
class Rebuilt:
    """How many publications were compiled again, and the names of what came out different."""

    checked: int
    changed: list[str]


@transaction.atomic
def publish(approval: Decision, *, at: datetime) -> Publication:
    """Give readers what this decision approved. The caller holds the post's lock."""
    queue_up()
    revision = approval.revision
    Oversight.objects.filter(post=revision.post_id).update(withheld_at=None)
    before = Publication.objects.filter(post=revision.post_id).first()
    was = tagging.tagged(before)
    publication = _write(approval, before)
    _list_revisions(publication)
    _count(was, publication)
    _tell(ChangeKind.UPDATED if before else ChangeKind.PUBLISHED, publication, at)
    return publication


@transaction.atomic
def retract(post: Post, *, at: datetime) -> None:
    """Take a post away from readers, if they have it."""
    queue_up()
    Oversight.objects.filter(post=post).update(withheld_at=None)
    publication = Publication.objects.filter(post=post).first()
    if publication is None:
        return
    PublishedRevision.objects.filter(post_slug=publication.slug).delete()
    was = tagging.tagged(publication)
    indexing.remove(publication)
    publication.delete()
    _count(was, None)
    telling.tell(Change(kind=ChangeKind.WITHDRAWN, slug=publication.slug, at=at))


@transaction.atomic
def refresh(post: Post, *, at: datetime) -> bool:
    """Bring a changed metric or a new date of verification to readers, and say whether there was one.

    Content and approval stay as they are.
    """
    queue_up()
    publication = Publication.objects.filter(post=post).select_related("approval").first()
    if publication is None:
        return False
    etag, review_by, withhold_at = publication.etag, publication.review_by, publication.withhold_at
    was = tagging.tagged(publication)
    publication = _write(publication.approval, publication)
    if publication.withhold_at != withhold_at:
        _list_revisions(publication)
        _count(was, publication)
    if _is_news(publication, etag, withhold_at):
        _tell(ChangeKind.UPDATED, publication, at)
    return (publication.etag, publication.review_by, publication.withhold_at) != (
        etag,
        review_by,
        withhold_at,
    )


def _is_news(publication: Publication, etag: str, withhold_at: datetime | None) -> bool:
    """Whether somebody who follows the feed may have something else than what readers get from now on.

    Where the clock had a moment to take the post away, it may be gone from a copy before the feed said so.
    """
    return publication.etag != etag or withhold_at not in {None, publication.withhold_at}


def approval_shown(post: Post) -> Decision | None:
    """What readers have or, while the post is withheld for its verification, would have again."""
    publication = Publication.objects.filter(post=post).select_related("approval__revision__post").first()
    if publication:
        return publication.approval
    if not Oversight.objects.filter(post=post, withheld_at__isnull=False).exists():
        return None
    said = Decision.objects.filter(revision__post=post)
    withdrawn = said.filter(verdict=Verdict.WITHDRAW).aggregate(last=Max("pk"))["last"] or 0
    approvals = said.effective().filter(pk__gt=withdrawn)
    return approvals.select_related("revision__post").order_by("-pk").first()


def _tell(kind: ChangeKind, publication: Publication, at: datetime) -> None:
    telling.tell(
        Change(
            kind=kind,
            slug=publication.slug,
            version=publication.version,
            fingerprint=publication.fingerprint,
            at=at,
        )
    )


def rebuild(*, at: datetime | None = None) -> Rebuilt:
    """Compile every publication again; the bytes stay equal unless the code or a row was changed.

    With it go the rows beside it: published revisions, entities, checklists and synonyms. Those that nothing
    accounts for are removed. The feed tells of each post whose answers came out different, at `at` or now.
    """
    checked, changed = 0, _remove_orphans()
    for pk in list(Publication.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            queue_up()
            before = Publication.objects.filter(pk=pk).select_related("approval").first()
            if before is None:
                continue
            was = tagging.tagged(before)
            stored = _stored(before)
            after = _write(before.approval, before)
            _list_revisions(after)
            _count(was, after)
            checked += 1
            if _stored(after) != stored:
                changed.append(after.slug)
            if _is_news(after, stored["etag"], stored["withhold_at"]):
                _tell(ChangeKind.UPDATED, after, at or timezone.now())
    return Rebuilt(checked=checked, changed=changed + _counted_anew())


# Rows that readers see and no publication accounts for.
_ORPHANS = (
    "DELETE FROM kb_publishedrevision r WHERE NOT EXISTS"
    " (SELECT FROM kb_publication p WHERE p.slug = r.post_slug) RETURNING 'revision of ' || post_slug",
    "DELETE FROM kb_publishedentity e WHERE NOT EXISTS"
    " (SELECT FROM kb_publication p WHERE p.entities @> ARRAY[e.key]) RETURNING 'entity ' || key",
    "DELETE FROM kb_publishedchecklist c WHERE NOT EXISTS"
    " (SELECT FROM kb_publication p WHERE p.checklists @> ARRAY[c.key::text]) RETURNING 'checklist ' || key",
)
# What the lists of entities and checklists say, from the facets that were counted anew.
_IN_STEP = """
    UPDATE {table} l SET posts = f.posts, withhold_at = f.withhold_at FROM kb_publishedfacet f
     WHERE f.kind = '{kind}' AND f.value = l.key
       AND (l.posts, l.withhold_at) IS DISTINCT FROM (f.posts, f.withhold_at)
    RETURNING '{kind} ' || key
"""


@transaction.atomic
def _remove_orphans() -> list[str]:
    queue_up()
    return _names(*_ORPHANS)


@transaction.atomic
def _counted_anew() -> list[str]:
    queue_up()
    wrong = tagging.recount() + indexing.recount() + indexing.keep_synonyms()
    tables = {FacetKind.ENTITY: "kb_publishedentity", FacetKind.CHECKLIST: "kb_publishedchecklist"}
    return wrong + _names(*(_IN_STEP.format(table=table, kind=kind.value) for kind, table in tables.items()))


def _names(*statements: str) -> list[str]:
    """Run these and give the names that they return."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            found += [name for (name,) in cursor.fetchall()]
    return found


def _stored(publication: Publication) -> dict[str, Any]:
    """The publication as it is stored, with its revisions and its words."""
    names = [field.attname for field in Publication._meta.concrete_fields]
    revisions = PublishedRevision.objects.filter(post_slug=publication.slug).order_by("number").values()
    return {
        **{name: getattr(publication, name) for name in names},
        "revisions": [{**row, "id": 0} for row in revisions],
        "text": list(PublishedText.objects.filter(pk=publication.pk).values()),
        "spelling": list(PublishedSpelling.objects.filter(pk=publication.pk).values()),
    }


def queue_up() -> None:
    """Open readers' tables to this transaction, one publisher at a time.

    Publishers wait for each other, so that the feed's numbers grow in the order of commits. A trigger refuses
    every write to these tables in a transaction that did not come through here.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s), set_config('kb.publishing', 'on', true)", [_LOCK])


def _write(approval: Decision, before: Publication | None) -> Publication:
    revision = Revision.objects.select_related("post").get(pk=approval.revision_id)
    reviewed = reviewed_at(revision, approval)
    date = reviewed + _interval(revision)
    withheld = Oversight.objects.filter(post=revision.post_id, withhold_when_overdue=True).exists()
    fields = compile_fields(
        revision,
        approval,
        first=_first_approval(revision),
        reviewed_at=reviewed,
        review_by=date,
        withhold_at=date if withheld else None,
    )
    publication = before or Publication(post_id=revision.post_id)
    for name, value in fields.items():
        setattr(publication, name, value)
    publication.save()
    indexing.index(publication)
    return publication


def _first_approval(revision: Revision) -> datetime:
    approvals = Decision.objects.effective().filter(revision__post=revision.post_id)
    return approvals.select_related("schedule").order_by("pk")[0].effective_at


def reviewed_at(revision: Revision, approval: Decision) -> datetime:
    """When somebody last vouched for this content, by approving or by verifying it."""
    verified = Verification.objects.filter(revision__post=revision.post_id, fingerprint=revision.fingerprint)
    last = verified.aggregate(last=Max("at"))["last"]
    return max(last, approval.effective_at) if last else approval.effective_at


def review_by(revision: Revision, approval: Decision) -> datetime:
    """So many days, as the policies say, after somebody last vouched for this content."""
    return reviewed_at(revision, approval) + _interval(revision)


def _interval(revision: Revision) -> timedelta:
    return timedelta(days=VerificationPolicy.objects.for_document(revision.document).days)


def compile_fields(
    revision: Revision,
    approval: Decision,
    *,
    first: datetime,
    reviewed_at: datetime,
    review_by: datetime,
    withhold_at: datetime | None = None,
) -> dict[str, Any]:
    """Every column of the publication, as a pure function of what was approved."""
    document, post = revision.document, revision.post
    html = render(document.body, document.body_format).html
    it = _Approved(document, post, revision, approval, first, review_by, html)
    shared = _shared(it)
    answers = {
        "detail_json": _json(_detail(it, shared)),
        "card_json": _json(_card(it, shared)),
        "meta_json": _json(_meta(it, shared)),
    }
    return {
        "revision_id": revision.pk,
        "approval_id": approval.pk,
        "fingerprint": revision.fingerprint,
        "slug": post.slug,
        "reference": post.reference,
        "number": revision.number,
        "version": revision.version,
        "published_at": approval.effective_at,
        "first_published_at": first,
        "reviewed_at": reviewed_at,
        "review_by": review_by,
        "withhold_at": withhold_at,
        "html": html,
        **answers,
        "etag": hashlib.sha256("\n".join(answers.values()).encode()).hexdigest(),
        "title": document.title,
        "topic": document.topic,
        "summary": document.summary,
        "difficulty": shared["difficulty"] or "",
        "code_language": document.code_language,
        "stack": list(document.stack),
        "tools": list(document.tools),
        "entities": list(dict.fromkeys(entity_key(entity) for entity in document.entities)),
        "checklists": list(dict.fromkeys(checklist_key(checklist) for checklist in document.checklists)),
        "reading_time": document.reading_time,
        **document.scores.model_dump(),
        "ai_involved": document.ai_involved,
    }


@dataclass(frozen=True, slots=True)
class _Approved:
    """All that an answer is made of."""

    document: Document
    post: Post
    revision: Revision
    approval: Decision
    first: datetime
    review_by: datetime
    html: str


def _shared(it: _Approved) -> dict[str, Any]:
    """What several answers hold under the same name."""
    document, plain = it.document, it.document.plain()
    return {
        "slug": it.post.slug,
        "title": document.title,
        "topic": document.topic,
        "summary": document.summary,
        "stack": plain["stack"],
        "tools": plain["tools"],
        "code_language": document.code_language,
        "difficulty": plain["difficulty"],
        "reading_time": document.reading_time,
        "view_count": it.post.view_count,
        "reference": it.post.reference,
        "flags": plain["flags"],
        "images": [image for image in plain["images"] if safe_url(image["url"])],
        "payload": plain["payload"],
        "notes": plain["notes"],
        "owner": document.owner,
        "expected_result": document.expected_result,
        "rollback_note": document.rollback_note,
        "review": {
            "reviewed": True,
            "at": moment(it.approval.at),
            "version": it.revision.version,
            "fingerprint": it.approval.fingerprint,
            "ai_involved": document.ai_involved,
            "review_by": _day(it.review_by),
        },
    }


def _meta(it: _Approved, shared: dict[str, Any]) -> dict[str, Any]:
    document = it.document
    renamed = {key: value for key, value in shared.items() if key != "images"}
    return {
        **renamed,
        "ai_outline": [point.model_dump() for point in document.outline],
        "ai_brief": document.brief,
        "score": document.scores.model_dump(),
        "revision": {
            "status": "published",
            "version": it.revision.version,
            "last_reviewed": _day(it.approval.at),
        },
        "hash": it.revision.source_hash,
        "checklist": [item for checklist in document.checklists for item in checklist.items],
        "entities": [entity.model_dump() for entity in document.entities],
        "image_sources": shared["images"],
    }


def _card(it: _Approved, shared: dict[str, Any]) -> dict[str, Any]:
    document = it.document
    same = ("slug", "title", "topic", "summary", "difficulty", "code_language", "stack", "tools")
    return {
        **{name: shared[name] for name in (*same, "reading_time", "view_count")},
        "url": _address(it.post.slug),
        "entities": [entity.model_dump() for entity in document.entities],
        "scores": document.scores.model_dump(),
        "ai_involved": document.ai_involved,
        "version": it.revision.version,
        "published_at": moment(it.approval.effective_at),
        "review_by": _day(it.review_by),
    }


def _detail(it: _Approved, shared: dict[str, Any]) -> dict[str, Any]:
    document, revision = it.document, it.revision
    address = _address(it.post.slug)
    return {
        **shared,
        "url": address,
        "html": it.html,
        "body": _body(document, it.html),
        "body_format": document.body_format.value,
        "outline": [point.model_dump() for point in document.outline],
        "brief": document.brief,
        "scores": document.scores.model_dump(),
        "checklists": [checklist.model_dump(mode="json") for checklist in document.checklists],
        "entities": [
            {
                **entity.model_dump(),
                "url": f"/api/v1/entities/{quote(entity.type, safe='')}/{entity_slug(entity.name)}/",
            }
            for entity in document.entities
        ],
        "revision": {
            "number": revision.number,
            "version": revision.version,
            "fingerprint": revision.fingerprint,
        },
        "published_at": moment(it.approval.effective_at),
        "first_published_at": moment(it.first),
        "links": {"meta": f"{address}meta/", "revisions": f"{address}revisions/"},
    }


def _address(slug: str) -> str:
    return f"/api/v1/posts/{slug}/"


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def entity_key(entity: Entity) -> str:
    return f"{entity.type}:{entity.name}"


_PLAIN = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")
# A plain name that ends so could be made to meet another name's address.
_LIKE_HASHED = re.compile(r"(^| )[0-9a-f]{16}$")


def entity_slug(name: str) -> str:
    """The entity's part of its address: the name where that is plain, else with a piece of its hash."""
    if _PLAIN.fullmatch(name) and not _LIKE_HASHED.search(name) and len(name) <= 80:
        return name.replace(" ", "-")
    return f"{slugify(name)[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}".lstrip("-")


def checklist_key(checklist: Checklist) -> str:
    """SHA-256 of title and items: equal lists are the same list."""
    return hashlib.sha256(json.dumps([checklist.title, *checklist.items]).encode()).hexdigest()


def _list_revisions(publication: Publication) -> None:
    """Bring the post's published revisions in step with its approvals.

    A withdrawal takes along all that was approved before it; a request for changes takes nothing away.
    """
    said = Decision.objects.filter(revision__post=publication.post_id)
    withdrawn = said.filter(verdict=Verdict.WITHDRAW).aggregate(last=Max("pk"))["last"] or 0
    approvals = (
        said.effective()
        .filter(pk__gt=withdrawn)
        .select_related("revision")
        .order_by("revision_id", "-pk")
        .distinct("revision_id")
    )
    rows = [
        PublishedRevision(
            revision=decision.revision,
            post_slug=publication.slug,
            number=decision.revision.number,
            version=decision.revision.version,
            fingerprint=decision.fingerprint,
            approved_at=decision.at,
            document_json=_json(_readable(decision.revision)),
            withhold_at=publication.withhold_at,
        )
        for decision in approvals
    ]
    listed = [row.revision_id for row in rows]
    PublishedRevision.objects.filter(post_slug=publication.slug).exclude(revision__in=listed).delete()
    PublishedRevision.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["revision"],
        update_fields=[
            *("post_slug", "number", "version", "fingerprint", "approved_at", "document_json", "withhold_at")
        ],
    )


def _readable(revision: Revision) -> dict[str, Any]:
    """A Document without markup that was removed or addresses that readers must not follow."""
    document = revision.document
    plain = document.plain()
    plain["body"] = _body(document, render(document.body, document.body_format).html)
    plain["images"] = [image for image in plain["images"] if safe_url(image["url"])]
    return plain


def _body(document: Document, html: str) -> str:
    """Markdown as written; of HTML only what the sanitiser left, for somebody will show it as it is."""
    return document.body if document.body_format == BodyFormat.MARKDOWN else html


def _count(was: tagging.Tagged | None, after: Publication | None) -> None:
    """Bring tags and facets, and the lists of entities and checklists, in step with a publication."""
    counts = tagging.retag(was, tagging.tagged(after))
    _list_entities({value: of for (kind, value), of in counts.items() if kind == FacetKind.ENTITY})
    _list_checklists(
        {value: of for (kind, value), of in counts.items() if kind == FacetKind.CHECKLIST}, after
    )


def _list_entities(counts: dict[str, tagging.Count]) -> None:
    PublishedEntity.objects.filter(key__in=[key for key, of in counts.items() if not of.posts]).delete()
    rows = []
    for key, of in counts.items():
        kind, name = key.split(":", 1)
        if of.posts:
            rows.append(
                PublishedEntity(
                    key=key,
                    type=kind,
                    name=name,
                    slug=entity_slug(name),
                    posts=of.posts,
                    withhold_at=of.withhold_at,
                )
            )
    PublishedEntity.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["type", "name", "slug", "posts", "withhold_at"],
    )


def _list_checklists(counts: dict[str, tagging.Count], after: Publication | None) -> None:
    PublishedChecklist.objects.filter(key__in=[key for key, of in counts.items() if not of.posts]).delete()
    known = {checklist_key(c): c for c in after.revision.document.checklists} if after and counts else {}
    PublishedChecklist.objects.bulk_create(
        [
            PublishedChecklist(
                key=key,
                title=checklist.title,
                items=list(checklist.items),
                posts=counts[key].posts,
                withhold_at=counts[key].withhold_at,
            )
            for key, checklist in known.items()
            if key in counts
        ],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["title", "items", "posts", "withhold_at"],
    )
    for key, of in counts.items():
        if of.posts and key not in known:
            PublishedChecklist.objects.filter(key=key).update(posts=of.posts, withhold_at=of.withhold_at)
