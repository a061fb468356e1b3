"""Turn published rows into JSON: one class an address, one query an answer."""

import hashlib
import json
from functools import cache
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from rest_framework.exceptions import Throttled
from rest_framework.renderers import JSONRenderer

from kb import diff, document
from kb.api import filters, pagination, problems, shapes
from kb.api.door import ReadView, as_bytes, has, stored, there
from kb.api.entities import entity_json
from kb.api.listing import posts
from kb.api.schema import describe
from kb.api.selecting import part, pick, with_expanded
from kb.choices import Scope
from kb.document import Document
from kb.models.publication import Change, PublishedRevision, moment
from kb.reading import export, publications


class Root(ReadView):
    scope = ""

    @describe("root", shapes.Root, "Where everything is.", tag="About")
    def get(self, request):
        self.values()
        names = (
            *("posts", "entities", "checklists", "facets", "search", "suggest", "changes", "export"),
            "status",
            *("document-schema", "schema", "docs"),
        )
        links = {name.replace("-", "_"): reverse(f"api:{name}") for name in names}
        return stored(request, as_bytes({"name": settings.KB_SITE_NAME, "version": "1", "links": links}))


# --- Posts --------------------------------------------------------------------------------------------------
class Posts(ReadView):
    parameters = filters.PostParameters

    @describe(
        "posts",
        shapes.PostPage,
        "Published posts, newest first.",
        more="A parameter that is repeated asks for posts with any of its values. Ask for `next` to go on.",
        parameters=filters.PostParameters,
        tag="Posts",
    )
    def get(self, request):
        values = self.values()
        return posts(request, values, filters.wanted(values))


class Post(ReadView):
    parameters = filters.PostSelection

    @describe(
        "post",
        shapes.Post,
        "One published post with its sanitised HTML.",
        parameters=filters.PostSelection,
        is_one=True,
        tag="Posts",
    )
    def get(self, request, slug):
        values = self.values()
        body, etag, changed_at = there(publications.detail(slug))
        expanded = {name: EXPANDED[name](slug) for name in values["expand"]}
        return shown(request, body, values["selected"], expanded, etag=etag, changed_at=changed_at)


class Meta(ReadView):
    parameters = filters.MetaSelection

    @describe(
        "meta",
        shapes.Meta,
        "What the meta box shows beside a post.",
        parameters=filters.MetaSelection,
        is_one=True,
        tag="Posts",
    )
    def get(self, request, slug):
        selected = self.values()["selected"]
        body, etag, changed_at = there(publications.meta(slug))
        return shown(request, body, selected, {}, etag=etag, changed_at=changed_at)


def shown(request, body, selected, expanded, *, etag, changed_at):
    """A stored answer with its own ETag; what was made of it has one of its own."""
    if selected is None and not expanded:
        return stored(request, body.encode(), etag=etag, changed_at=changed_at)
    # What was put beside the post has moments of its own.
    changed_at = "" if expanded else changed_at
    return stored(request, with_expanded(part(body, selected), expanded), changed_at=changed_at)


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
        selected = values.pop("selected")
        rows = PublishedRevision.reading.filter(post_slug=slug)
        columns = ("number", "version", "fingerprint", "approved_at")
        found = pagination.page(rows, filters.LATEST_FIRST, columns, **values)
        if not found.rows and not (values["cursor"] and rows.exists()):
            raise Http404
        results = [as_bytes(pick(_revision(slug, *row), selected)) for row in found.rows]
        return stored(request, pagination.envelope(request.path, request.GET, found, results))


def _revision(slug, number, version, fingerprint, approved_at):
    return {
        "number": number,
        "version": version,
        "fingerprint": fingerprint,
        "approved_at": moment(approved_at),
        "url": reverse("api:revision", args=[slug, number]),
    }


# What can be put beside a post: one more query each.
EXPANDED = {
    "meta": lambda slug: there(publications.meta(slug))[0].encode(),
    "revisions": lambda slug: as_bytes([_revision(slug, *row) for row in publications.revisions(slug)]),
    "entities": lambda slug: as_bytes([entity_json(*row) for row in publications.entities_of(slug)]),
}


class Revision(ReadView):
    @describe(
        "revision", shapes.DOCUMENT, "The whole Document of one approved revision.", is_one=True, tag="Posts"
    )
    def get(self, request, slug, number):
        self.values()
        body, changed_at = there(publications.document(slug, number))
        return stored(request, body.encode(), changed_at=changed_at)


class Diff(ReadView):
    """Made anew each time, but for a reader who has it: the ETag is that of the two Documents."""

    FORM = "1"  # another one when the diff of the same Documents looks otherwise

    @describe(
        "diff",
        shapes.Diff,
        "What changed from one approved revision of a post to another.",
        is_one=True,
        tag="Posts",
    )
    def get(self, request, slug, number, to):
        self.values()
        found = publications.two_revisions(slug, number, to)
        (*_, before), (*_, after) = one, two = there(found.get(number)), there(found.get(to))
        etag = hashlib.sha256("\n".join([self.FORM, before, after]).encode()).hexdigest()
        if has(request, etag):
            return stored(request, b"", etag=etag)
        changes = diff.to_json(diff.diff(Document.read(json.loads(before)), Document.read(json.loads(after))))
        body = {
            "from": _name(number, *one),
            "to": _name(to, *two),
            "parts": [part for part in changes["parts"] if part["changes"]],
        }
        return stored(request, as_bytes(body), etag=etag)


def _name(number, version, fingerprint, document):
    return {"number": number, "version": version, "fingerprint": fingerprint}


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
