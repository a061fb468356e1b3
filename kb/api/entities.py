"""Turn what posts are about, ask to do and have in common into JSON: entities, checklists, facets."""

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Lower
from django.http import Http404
from django.urls import reverse

from kb.api import access, filters, pagination, shapes
from kb.api.door import ReadView, as_bytes, stored, there
from kb.api.listing import posts
from kb.api.schema import describe
from kb.api.selecting import pick
from kb.choices import FacetKind
from kb.models.publication import PublishedChecklist, PublishedEntity, moment
from kb.reading import meaning, publications
from kb.reading.facets import facets


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
        keyset = filters.BY_POSTS if values.pop("ordering") == "-posts" else filters.BY_TYPE_AND_NAME
        selected, kinds, begin = (values.pop(name) for name in ("selected", "type", "q"))
        rows = PublishedEntity.reading.filter(Q(type__in=kinds) if kinds else Q())
        if begin:
            rows = rows.annotate(lowered=Lower("name")).filter(lowered__startswith=begin.lower())
        columns = ("key", "type", "name", "slug", "posts")
        found = pagination.page(rows, keyset, columns, **values)
        results = [as_bytes(pick(entity_json(*row), selected)) for row in found.rows]
        return stored(request, pagination.envelope(request.path, request.GET, found, results))


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
        *entity, newest = there(publications.entity(*_plain(type, slug)))
        return stored(request, _with_newest(entity_json(*entity), newest))


class EntityPosts(ReadView):
    parameters = filters.PostParameters

    @describe(
        "entity_posts",
        shapes.PostPage,
        "The posts about one entity, newest first.",
        parameters=filters.PostParameters,
        is_one=True,
        tag="Entities",
    )
    def get(self, request, type, slug):  # noqa: A002  (the word of the address)
        values = self.values()
        key = there(publications.entity_key(*_plain(type, slug)))
        return posts(request, values, filters.wanted(values, (FacetKind.ENTITY.value, key)))


def _plain(*parts: str) -> tuple[str, ...]:
    if "\x00" in "".join(parts):
        raise Http404
    return parts


def entity_json(key: str, kind: str, name: str, slug: str, posts: int) -> dict[str, object]:
    return {
        "type": kind,
        "name": name,
        "slug": slug,
        "posts": posts,
        "url": reverse("api:entity", args=[kind, slug]),
        "links": {"posts": reverse("api:entity-posts", args=[kind, slug])},
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
        values = self.values()
        selected = values.pop("selected")
        rows = PublishedChecklist.reading.all()
        columns = ("key", "title", "items", "posts")
        found = pagination.page(rows, filters.BY_TITLE, columns, **values)
        results = [as_bytes(pick(_checklist(*row), selected)) for row in found.rows]
        return stored(request, pagination.envelope(request.path, request.GET, found, results))


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


class ChecklistPosts(ReadView):
    parameters = filters.PostParameters

    @describe(
        "checklist_posts",
        shapes.PostPage,
        "The posts that carry one checklist, newest first.",
        parameters=filters.PostParameters,
        is_one=True,
        tag="Checklists",
    )
    def get(self, request, key):
        values = self.values()
        there(publications.checklist_key(key))
        return posts(request, values, filters.wanted(values, (FacetKind.CHECKLIST.value, key)))


def _checklist(key: str, title: str, items: list[str], posts: int) -> dict[str, object]:
    return {
        "key": key,
        "title": title,
        "items": items,
        "posts": posts,
        "url": reverse("api:checklist", args=[key]),
        "links": {"posts": reverse("api:checklist-posts", args=[key])},
    }


def _with_newest(value: dict[str, object], cards: list[str]) -> bytes:
    return as_bytes(value)[:-1] + b',"newest":[' + b",".join(card.encode() for card in cards) + b"]}"


class Facets(ReadView):
    parameters = filters.FacetParameters

    @describe(
        "facets",
        shapes.Facets,
        "What posts have in common, with how many have it: the values that most have first.",
        more="Without filters the counts are kept and always exact. With filters they are counted over the "
        "newest posts that fit, `counted` says how many; `exact` says whether these were all.",
        parameters=filters.FacetParameters,
        tag="Posts",
    )
    def get(self, request):
        values = self.values()
        found = facets(values["kind"] or filters.FACETS, values["limit"], filters.wanted(values))
        body = {
            "posts": {"value": found.posts.value, "exact": found.posts.exact},
            "counted": found.counted,
            "exact": found.exact,
            "facets": {
                kind: [{"value": value, "posts": number} for value, number in values]
                for kind, values in found.values.items()
            },
        }
        return stored(request, as_bytes(body))


class Status(ReadView):
    @describe("status", shapes.Status, "What is published here, in numbers, and how it is read.", tag="About")
    def get(self, request):
        self.values()
        number_of_posts, entities, checklists, change, at = publications.status()
        body = {
            "version": settings.KB_VERSION,
            "read_access": "authenticated" if access.is_closed() else "public",
            "posts": number_of_posts or 0,
            "entities": entities,
            "checklists": checklists,
            "newest_change": {"number": change, "at": moment(at)} if change else None,
            "search_by_meaning": {"on": not (why_not := meaning.why_not()), "why_not": why_not},
        }
        # Settings and the clock change this answer too, so no moment is that of its last change.
        return stored(request, as_bytes(body))
