"""Turn published rows into JSON: one class an address, one query an answer."""

import json
from functools import cache
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from rest_framework.exceptions import Throttled
from rest_framework.renderers import JSONRenderer

from kb import document
from kb.api import filters, pagination, problems, shapes
from kb.api.door import ReadView, as_bytes, stored, there
from kb.api.schema import describe
from kb.choices import Scope
from kb.models.publication import (
    Change,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    moment,
)
from kb.reading import export, publications


class Root(ReadView):
    scope = ""

    @describe("root", shapes.Root, "Where everything is.", tag="About")
    def get(self, request):
        self.values()
        names = (
            *("posts", "entities", "checklists", "search", "suggest", "changes", "export"),
            *("document-schema", "schema", "docs"),
        )
        links = {name.replace("-", "_"): reverse(f"api:{name}") for name in names}
        return stored(request, as_bytes({"name": settings.KB_SITE_NAME, "version": "1", "links": links}))


# --- Posts --------------------------------------------------------------------------------------------------
class Posts(ReadView):
    parameters = filters.PostParameters

    def form(self):
        self.filters = filters.PostFilters(self.request.GET, queryset=Publication.reading.all())
        return self.filters.form

    @describe(
        "posts",
        shapes.PostPage,
        "Published posts, newest first.",
        parameters=filters.PostParameters,
        tag="Posts",
    )
    def get(self, request):
        values = self.values()
        found = pagination.page(
            self.filters.qs,
            filters.NEWEST_FIRST,
            ("card_json",),
            cursor=values["cursor"],
            limit=values["limit"],
        )
        cards = [card.encode() for (card,) in found.rows]
        return stored(request, pagination.envelope(request.path, request.GET.dict(), found, cards))


class Post(ReadView):
    @describe("post", shapes.Post, "One published post with its sanitised HTML.", is_one=True, tag="Posts")
    def get(self, request, slug):
        self.values()
        body, etag, at = there(publications.detail(slug))
        return stored(request, body.encode(), etag=etag, at=at)


class Meta(ReadView):
    @describe("meta", shapes.Meta, "What the meta box shows beside a post.", is_one=True, tag="Posts")
    def get(self, request, slug):
        self.values()
        body, etag, at = there(publications.meta(slug))
        return stored(request, body.encode(), etag=etag, at=at)


class Revisions(ReadView):
    parameters = filters.RevisionPage

    @describe(
        "revisions",
        shapes.RevisionPage,
        "The approved revisions of a published post, latest first.",
        parameters=filters.RevisionPage,
        is_one=True,
        tag="Posts",
    )
    def get(self, request, slug):
        values = self.values()
        rows = PublishedRevision.reading.filter(post_slug=slug)
        columns = ("number", "version", "fingerprint", "approved_at")
        found = pagination.page(rows, filters.LATEST_FIRST, columns, **values)
        if not found.rows and not (values["cursor"] and rows.exists()):
            raise Http404
        results = [
            as_bytes(
                {
                    "number": number,
                    "version": version,
                    "fingerprint": fingerprint,
                    "approved_at": moment(approved_at),
                    "url": reverse("api:revision", args=[slug, number]),
                }
            )
            for number, version, fingerprint, approved_at in found.rows
        ]
        return stored(request, pagination.envelope(request.path, request.GET.dict(), found, results))


class Revision(ReadView):
    @describe(
        "revision", shapes.DOCUMENT, "The whole Document of one approved revision.", is_one=True, tag="Posts"
    )
    def get(self, request, slug, number):
        self.values()
        body, at = there(publications.document(slug, number))
        return stored(request, body.encode(), at=at)


# --- What posts are about, and what they ask to do ----------------------------------------------------------
class Entities(ReadView):
    parameters = filters.EntityPage

    @describe(
        "entities",
        shapes.EntityPage,
        "The things that published posts are about, by type and name.",
        parameters=filters.EntityPage,
        tag="Entities",
    )
    def get(self, request):
        values = self.values()
        kind = values.pop("type")
        rows = PublishedEntity.reading.filter(Q(type=kind) if kind else Q())
        columns = ("key", "type", "name", "slug", "posts")
        found = pagination.page(rows, filters.BY_TYPE_AND_NAME, columns, **values)
        results = [as_bytes(_entity(*row)) for row in found.rows]
        return stored(request, pagination.envelope(request.path, request.GET.dict(), found, results))


class Entity(ReadView):
    @describe(
        "entity",
        shapes.EntityWithPosts,
        "One entity, with the newest posts about it.",
        is_one=True,
        tag="Entities",
    )
    def get(self, request, type, slug):  # noqa: A002  (the word of the address)
        self.values()
        if "\x00" in type + slug:
            raise Http404
        *entity, newest = there(publications.entity(type, slug))
        return stored(request, _with_newest(_entity(*entity), newest))


def _entity(key: str, kind: str, name: str, slug: str, posts: int) -> dict[str, object]:
    return {
        "type": kind,
        "name": name,
        "slug": slug,
        "posts": posts,
        "url": reverse("api:entity", args=[kind, slug]),
        "links": {"posts": f"{reverse('api:posts')}?{urlencode({'entity': key})}"},
    }


class Checklists(ReadView):
    parameters = filters.ChecklistPage

    @describe(
        "checklists",
        shapes.ChecklistPage,
        "The checklists that published posts carry; equal lists are one.",
        parameters=filters.ChecklistPage,
        tag="Checklists",
    )
    def get(self, request):
        rows = PublishedChecklist.reading.all()
        columns = ("key", "title", "items", "posts")
        found = pagination.page(rows, filters.BY_TITLE, columns, **self.values())
        results = [as_bytes(_checklist(*row)) for row in found.rows]
        return stored(request, pagination.envelope(request.path, request.GET.dict(), found, results))


class Checklist(ReadView):
    @describe(
        "checklist",
        shapes.ChecklistWithPosts,
        "One checklist, with the newest posts that carry it.",
        is_one=True,
        tag="Checklists",
    )
    def get(self, request, key):
        self.values()
        *checklist, newest = there(publications.checklist(key))
        return stored(request, _with_newest(_checklist(*checklist), newest))


def _checklist(key: str, title: str, items: list[str], posts: int) -> dict[str, object]:
    return {
        "key": key,
        "title": title,
        "items": items,
        "posts": posts,
        "url": reverse("api:checklist", args=[key]),
        "links": {"posts": f"{reverse('api:posts')}?{urlencode({'checklist': key})}"},
    }


def _with_newest(value: dict[str, object], cards: list[str]) -> bytes:
    return as_bytes(value)[:-1] + b',"newest":[' + b",".join(card.encode() for card in cards) + b"]}"


# --- For machines -------------------------------------------------------------------------------------------
class Changes(ReadView):
    scope = Scope.CHANGES
    parameters = filters.ChangePage

    @describe(
        "changes",
        shapes.ChangePage,
        "What was published, updated and withdrawn, in order.",
        more="Ask for `next` again and again, now or in a week: nothing is left out and nothing comes twice.",
        parameters=filters.ChangePage,
        tag="Feed",
    )
    def get(self, request):
        values = self.values()
        since, limit = values["since"] or 0, values["limit"]
        # From that entry on, so that one query also says whether the feed ever came so far.
        rows = list(Change.reading.filter(pk__gte=since).order_by("pk")[: limit + 2])
        if since and not rows:
            raise problems.BadParameters([_beyond(since)])
        rows = [row for row in rows if row.pk > since]
        has_more, rows = len(rows) > limit, rows[:limit]
        query = {**request.GET.dict(), "since": rows[-1].pk if rows else since}
        body = {
            "next": f"{request.path}?{urlencode(query)}",
            "more": has_more,
            "results": [row.entry() for row in rows],
        }
        return stored(request, as_bytes(body))


def _beyond(since: int) -> problems.Fault:
    """Nothing would ever come to who waits there: after a backup was put back, numbers begin anew."""
    return problems.Fault(
        "since",
        "invalid",
        str(since),
        "a number that the feed reached; if a replica is behind, ask again; if a backup of the database was "
        "put back, begin again with an export",
    )


class NDJSONRenderer(JSONRenderer):
    media_type = "application/x-ndjson"


class Export(ReadView):
    scope = Scope.EXPORT
    renderer_classes = [NDJSONRenderer]
    parameters = filters.ExportStart

    @describe(
        "export",
        shapes.LINES,
        "Every published post once, one a line (NDJSON), in the order of their slugs.",
        more='First {"begin": true, "since": N}, then each post as its own address has it, and at the end '
        '{"end": true, "posts": how many}: without that line it broke off. Go on with `after=` and the last '
        "slug that you have whole, then follow the changes from the first `since` on.",
        parameters=filters.ExportStart,
        is_kept=False,
        kinds=[NDJSONRenderer.media_type],
        tag="Feed",
    )
    def get(self, request):
        after = self.values()["after"] or ""
        if request.method == "HEAD":
            return HttpResponse(content_type=NDJSONRenderer.media_type, headers={"Cache-Control": "no-store"})
        lines = export.begin(after)
        if lines is None:
            raise Throttled(wait=export.PAUSE_SECONDS)
        return StreamingHttpResponse(
            lines, content_type=NDJSONRenderer.media_type, headers={"Cache-Control": "no-store"}
        )


class JSONSchemaRenderer(JSONRenderer):
    media_type = "application/schema+json"


class DocumentSchema(ReadView):
    scope = ""
    renderer_classes = [JSONSchemaRenderer, JSONRenderer]

    @describe(
        "document_schema",
        shapes.JSON_SCHEMA,
        "The Document's own JSON Schema.",
        tag="About",
        kinds=("application/schema+json", "application/json"),
    )
    def get(self, request):
        self.values()
        return stored(request, _document_schema(), content_type=self.renderer.media_type)


@cache
def _document_schema() -> bytes:
    return json.dumps(document.json_schema(), ensure_ascii=False, indent=2).encode()
