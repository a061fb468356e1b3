"""Compile an approved revision into the rows that readers see, and tell the feed.

Nothing else writes publication tables. A publication is a pure function of its revision, of the approvals of
its post and of the declared volatile metrics: `rebuild` gives the same bytes again.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from django.contrib.postgres.search import CombinedSearchVector, SearchVector
from django.db import connection, transaction
from django.db.models import Value
from django.utils.text import slugify

from kb.choices import ChangeKind, Verdict
from kb.document import Checklist, Document, Entity
from kb.models import (
    Change,
    Decision,
    Post,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    Revision,
)
from kb.render import render, safe_url, words

_LOCK = 0x6B62  # "kb": one lock of the whole cluster's lock space, taken by every publisher
# PostgreSQL stops at 1 MiB for one tsvector.
_SEARCHED = 500_000


@dataclass(frozen=True)
class Rebuilt:
    """How many publications were compiled again, and the slugs of those that came out different."""

    checked: int
    changed: list[str]


@transaction.atomic
def publish(approval: Decision, *, at: datetime) -> Publication:
    """Give readers what this decision approved. The caller holds the post's lock."""
    _queue_up()
    revision = approval.revision
    before = Publication.objects.filter(post=revision.post_id).first()
    publication = _write(approval, before)
    _list_revisions(publication)
    _count(before, publication)
    Change.objects.create(
        kind=ChangeKind.UPDATED if before else ChangeKind.PUBLISHED,
        slug=publication.slug,
        version=publication.version,
        fingerprint=publication.fingerprint,
        at=at,
    )
    return publication


@transaction.atomic
def retract(post: Post, *, at: datetime) -> None:
    """Take a post away from readers, if they have it."""
    _queue_up()
    publication = Publication.objects.filter(post=post).first()
    if publication is None:
        return
    PublishedRevision.objects.filter(post_slug=publication.slug).delete()
    publication.delete()
    _count(publication, None)
    Change.objects.create(kind=ChangeKind.WITHDRAWN, slug=publication.slug, at=at)


@transaction.atomic
def refresh_metrics(post: Post, *, at: datetime) -> None:
    """Bring a changed volatile metric to readers. Content and approval stay as they are."""
    _queue_up()
    publication = Publication.objects.filter(post=post).select_related("approval").first()
    if publication is None:
        return
    etag = publication.etag
    publication = _write(publication.approval, publication)
    if publication.etag != etag:
        Change.objects.create(
            kind=ChangeKind.UPDATED,
            slug=publication.slug,
            version=publication.version,
            fingerprint=publication.fingerprint,
            at=at,
        )


def rebuild() -> Rebuilt:
    """Compile every publication again; the bytes stay equal unless the code or a row was changed."""
    checked, changed = 0, []
    for pk in list(Publication.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            _queue_up()
            before = Publication.objects.filter(pk=pk).select_related("approval").first()
            if before is None:
                continue
            stored = _stored(before)
            after = _write(before.approval, before)
            _list_revisions(after)
            _count(before, after)
            checked += 1
            if _stored(after) != stored:
                changed.append(after.slug)
    return Rebuilt(checked=checked, changed=changed)


def _stored(publication: Publication) -> dict[str, Any]:
    names = [field.attname for field in Publication._meta.concrete_fields if field.name != "search"]
    return {name: getattr(publication, name) for name in names}


def _queue_up() -> None:
    """Publishers wait for each other, so that the feed's numbers grow in the order of commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _write(approval: Decision, before: Publication | None) -> Publication:
    revision = Revision.objects.select_related("post").get(pk=approval.revision_id)
    fields = compile_fields(revision, approval, first=_first_approval(revision))
    publication = before or Publication(post_id=revision.post_id)
    for name, value in fields.items():
        setattr(publication, name, value)
    publication.search = _search(revision.document, fields["html"])
    publication.save()
    publication.search = None
    return publication


def _first_approval(revision: Revision) -> datetime:
    approvals = Decision.objects.approvals().filter(revision__post=revision.post_id)
    return approvals.order_by("pk").values_list("at", flat=True)[0]


def compile_fields(revision: Revision, approval: Decision, *, first: datetime) -> dict[str, Any]:
    """Every column of the publication but the search column, as a pure function of what was approved."""
    document, post = revision.document, revision.post
    html = render(document.body, document.body_format).html
    shared = _shared(document, post, revision, approval)
    answers = {
        "detail_json": _json(_detail(document, post, revision, approval, shared, html, first)),
        "card_json": _json(_card(document, post, revision, approval, shared)),
        "meta_json": _json(_meta(document, revision, approval, shared)),
    }
    return {
        "revision_id": revision.pk,
        "approval_id": approval.pk,
        "fingerprint": revision.fingerprint,
        "slug": post.slug,
        "reference": post.reference,
        "number": revision.number,
        "version": revision.version,
        "published_at": approval.at,
        "first_published_at": first,
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


def _shared(document: Document, post: Post, revision: Revision, approval: Decision) -> dict[str, Any]:
    """What several answers hold under the same name."""
    plain = document.plain()
    return {
        "slug": post.slug,
        "title": document.title,
        "topic": document.topic,
        "summary": document.summary,
        "stack": plain["stack"],
        "tools": plain["tools"],
        "code_language": document.code_language,
        "difficulty": plain["difficulty"],
        "reading_time": document.reading_time,
        "view_count": post.view_count,
        "reference": post.reference,
        "flags": plain["flags"],
        "images": [image for image in plain["images"] if safe_url(image["url"])],
        "payload": plain["payload"],
        "notes": plain["notes"],
        "owner": document.owner,
        "expected_result": document.expected_result,
        "rollback_note": document.rollback_note,
        "review": {
            "reviewed": True,
            "at": _moment(approval.at),
            "version": revision.version,
            "fingerprint": approval.fingerprint,
            "ai_involved": document.ai_involved,
        },
    }


def _meta(
    document: Document, revision: Revision, approval: Decision, shared: dict[str, Any]
) -> dict[str, Any]:
    renamed = {key: value for key, value in shared.items() if key != "images"}
    return {
        **renamed,
        "ai_outline": [point.model_dump() for point in document.outline],
        "ai_brief": document.brief,
        "score": document.scores.model_dump(),
        "revision": {
            "status": "published",
            "version": revision.version,
            "last_reviewed": approval.at.date().isoformat(),
        },
        "hash": revision.source_hash,
        "checklist": [item for checklist in document.checklists for item in checklist.items],
        "entities": [entity.model_dump() for entity in document.entities],
        "image_sources": shared["images"],
    }


def _card(
    document: Document, post: Post, revision: Revision, approval: Decision, shared: dict[str, Any]
) -> dict[str, Any]:
    same = ("slug", "title", "topic", "summary", "difficulty", "code_language", "stack", "tools")
    return {
        **{name: shared[name] for name in (*same, "reading_time", "view_count")},
        "url": _address(post.slug),
        "entities": [entity.model_dump() for entity in document.entities],
        "scores": document.scores.model_dump(),
        "ai_involved": document.ai_involved,
        "version": revision.version,
        "published_at": _moment(approval.at),
    }


def _detail(
    document: Document,
    post: Post,
    revision: Revision,
    approval: Decision,
    shared: dict[str, Any],
    html: str,
    first: datetime,
) -> dict[str, Any]:
    address = _address(post.slug)
    return {
        **shared,
        "url": address,
        "html": html,
        "body": document.body,
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
        "published_at": _moment(approval.at),
        "first_published_at": _moment(first),
        "links": {"meta": f"{address}meta/", "revisions": f"{address}revisions/"},
    }


def _address(slug: str) -> str:
    return f"/api/v1/posts/{slug}/"


def _moment(at: datetime | date) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _search(document: Document, html: str) -> CombinedSearchVector:
    weighted = {
        "A": document.title,
        "B": " ".join(
            (document.topic, *document.stack, *document.tools, *(e.name for e in document.entities))
        ),
        "C": " ".join((document.summary, document.brief, *(point.text for point in document.outline))),
        "D": words(html)[:_SEARCHED],
    }
    vectors = [
        SearchVector(Value(text), weight=weight, config="english") for weight, text in weighted.items()
    ]
    return vectors[0] + vectors[1] + vectors[2] + vectors[3]


def entity_key(entity: Entity) -> str:
    return f"{entity.type}:{entity.name}"


def entity_slug(name: str) -> str:
    """The entity's part of its address: the name itself where that is plain, else with a piece of its hash."""
    if re.fullmatch(r"[a-z0-9]+( [a-z0-9]+)*", name) and len(name) <= 80:
        return name.replace(" ", "-")
    return f"{slugify(name)[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def checklist_key(checklist: Checklist) -> str:
    """SHA-256 of title and items: equal lists are the same list."""
    return hashlib.sha256(json.dumps([checklist.title, *checklist.items]).encode()).hexdigest()


def _list_revisions(publication: Publication) -> None:
    """Bring the post's published revisions in step with its approvals: the last word on each counts."""
    last_words = (
        Decision.objects.filter(revision__post=publication.post_id)
        .select_related("revision")
        .order_by("revision_id", "-pk")
        .distinct("revision_id")
    )
    approved = {word.revision_id: word for word in last_words if word.verdict == Verdict.APPROVE}
    PublishedRevision.objects.filter(post_slug=publication.slug).exclude(revision__in=approved).delete()
    for decision in approved.values():
        PublishedRevision.objects.update_or_create(
            revision=decision.revision,
            defaults={
                "post_slug": publication.slug,
                "number": decision.revision.number,
                "version": decision.revision.version,
                "fingerprint": decision.fingerprint,
                "approved_at": decision.at,
                "document_json": _json(_readable(decision.revision.document)),
            },
        )


def _readable(document: Document) -> dict[str, Any]:
    """A Document without addresses that readers must not follow."""
    plain = document.plain()
    plain["images"] = [image for image in plain["images"] if safe_url(image["url"])]
    return plain


def _count(before: Publication | None, after: Publication | None) -> None:
    """Bring the lists of entities and checklists in step for what either side names."""
    _count_entities({key for side in (before, after) if side for key in side.entities})
    _count_checklists({key for side in (before, after) if side for key in side.checklists}, after)


def _count_entities(keys: Iterable[str]) -> None:
    for key in sorted(keys):
        posts = Publication.objects.filter(entities__contains=[key]).count()
        if not posts:
            PublishedEntity.objects.filter(key=key).delete()
            continue
        kind, name = key.split(":", 1)
        PublishedEntity.objects.update_or_create(
            key=key, defaults={"type": kind, "name": name, "slug": entity_slug(name), "posts": posts}
        )


def _count_checklists(keys: Iterable[str], after: Publication | None) -> None:
    known = {checklist_key(c): c for c in after.revision.document.checklists} if after else {}
    for key in sorted(keys):
        posts = Publication.objects.filter(checklists__contains=[key]).count()
        if not posts:
            PublishedChecklist.objects.filter(key=key).delete()
        elif key in known:
            PublishedChecklist.objects.update_or_create(
                key=key, defaults={"title": known[key].title, "items": list(known[key].items), "posts": posts}
            )
        else:
            PublishedChecklist.objects.filter(key=key).update(posts=posts)
