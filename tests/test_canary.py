"""No byte of what nobody approved reaches a reader: canaries in every field, and every address walked.

The walk is done four times over the same knowledge base: before the drafts are written, with drafts in every
unpublished state, once all of them are published (so that the walk is known to find what there is to find),
and after all of them were withdrawn. With the drafts, each answer has to be the one from before, to the byte.
"""

import base64
import json
import logging
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
import pytest
from django.db import ProgrammingError, connection, connections, transaction
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver

from kb.api.filters import PostFilters
from kb.choices import Origin, Severity, State
from kb.document import Checklist, Document
from kb.flow import publishing
from kb.models import Decision, Flag, Post, Publication, Revision
from kb.words import near
from tests.canaries import DRAFTED, MARK, SHARED_CHECKLIST, Words, World, full
from tests.conftest import empty_the_tables

pytestmark = pytest.mark.django_db(databases=["default", "reading"])

NOBODY = "there-never-was-such-a-post"


# --- What is asked for ---
class Ask(NamedTuple):
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.method, self.path, *map(": ".join, self.headers)])


class Answer(NamedTuple):
    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        return "\n".join([self.status, *map(": ".join, self.headers), self.body.decode("utf-8", "replace")])


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Every route that the resolver knows, but the admin's."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        elif route != "admin/":
            yield from routes(entry, route)


_PART = re.compile(r"<(?:\w+:)?(\w+)>")


def addresses(world: World) -> dict[str, list[str]]:
    """Every readers' route with all that is worth asking it for: a draft's first, nobody's last."""
    slugs = [*(story.slug for story in world.stories), "gone", "retracted", "withheld", NOBODY]
    documents = [story.last for story in world.stories]
    entities = dict.fromkeys(entity for document in documents for entity in document.entities)
    keys = dict.fromkeys(publishing.checklist_key(c) for document in documents for c in document.checklists)
    values: dict[tuple[str, ...], list[tuple[str, ...]]] = {
        (): [()],
        ("slug",): [(slug,) for slug in slugs],
        ("slug", "number"): [(slug, number) for number in "1234" for slug in slugs],
        ("slug", "number", "to"): [
            (slug, *pair) for pair in (("1", "1"), ("1", "2"), ("2", "1")) for slug in slugs
        ],
        ("type", "slug"): [
            *((e.type, publishing.entity_slug(e.name)) for e in entities),
            ("stack", "nothing"),
        ],
        ("number",): [("1",)],
        ("key",): [(key,) for key in [*keys, "0" * 64]],
    }
    found = {}
    for route in routes():
        if "(?:" in route:  # any other address of the API
            found[route] = ["/api/v1/drafts/", f"/api/v1/posts/{slugs[0]}/draft/"]
            continue
        parts = tuple(_PART.findall(route))
        assert parts in values, f"no values for the parts of {route}: add some to addresses()"
        form = "/" + _PART.sub("{}", route)
        found[route] = [form.format(*(quote(part, safe="") for part in value)) for value in values[parts]]
    return found


def each(world: World) -> list[Ask]:
    """A GET of every address."""
    paths = [path for paths in addresses(world).values() for path in paths]
    more = ["/healthz", "/readyz", "/sitemap.xml", "/feed/", "/preview/"]
    return [Ask("GET", path) for path in paths + more]


def oddly(world: World) -> list[Ask]:
    """Methods, headers and forms for three addresses of each route: a draft, a published post, nothing."""
    fingerprint = world.stories[0].last.fingerprint
    moment = DRAFTED.strftime("%a, %d %b %Y %H:%M:%S GMT")
    held = (("If-None-Match", f'W/"{fingerprint}"'), ("If-Modified-Since", moment), ("Range", "bytes=0-20"))
    headers = [
        (("Accept", "text/html"),),
        (("Accept", f"text/{MARK}"), ("X-Requested-With", "XMLHttpRequest")),
        (("If-None-Match", "*"), ("Accept-Language", "de")),
        held,
        (("If-Match", f'"{fingerprint}"'), ("If-Unmodified-Since", moment), ("Accept", "?")),
    ]
    found = []
    for paths in addresses(world).values():
        few = dict.fromkeys([*paths[:2], paths[-1]])
        found += [Ask("GET", path, some) for path in few for some in headers]
        methods = ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
        found += [Ask(method, path) for path in few for method in methods]
        found += [Ask("GET", paths[0].rstrip("/") or "/"), Ask("GET", f"{paths[0]}?{MARK}=1")]
    return found


def searches(world: World) -> list[Ask]:
    """What finds each draft's post once it is published: search, and every filter by a value of its own."""
    found = []
    titles = [
        word
        for word, place in world.words.places.items()
        if place in {f"{s.name}, title" for s in world.stories}
    ]
    for title in titles:
        found += [(path, {"q": title}) for path in ("/api/v1/posts/", "/search/", "/api/v1/search/")]
        found.append(("/api/v1/suggest/", {"q": title}))
    for document in (story.last for story in world.stories):
        entity, checklist = document.entities[0], document.checklists[0]
        values = {
            "topic": document.topic,
            "stack": document.stack[0],
            "tool": document.tools[0],
            "entity": publishing.entity_key(entity),
            "checklist": publishing.checklist_key(checklist),
            "code_language": document.code_language,
        }
        values |= {f"{name}__all": values[name].replace(",", "\\,") for name in ("stack", "tool", "entity")}
        found += [("/api/v1/posts/", {name: value}) for name, value in values.items()]
        found.append(("/api/v1/entities/", {"type": entity.type}))
    values = {"tool": "uvicorn", "difficulty": "advanced", "ai_involved": "true", "freshness": "overdue"}
    bounds = {
        name: ("2999-01-01" if "__lte" in name else "2020-01-01")
        if name.startswith(("reviewed", "updated"))
        else ("99" if "__lte" in name else "12")
        for name in PostFilters.base_filters
        if name.endswith(("__gte", "__lte"))
    }
    found += [("/api/v1/posts/", {name: value}) for name, value in (values | bounds).items()]
    return [Ask("GET", f"{path}?{urlencode(query)}") for path, query in found]


def queries(world: World) -> list[Ask]:
    """Searches for every word there is, filters that say nothing or nonsense, and places in lists."""
    words = [word for word in world.words.places if not word.isdigit()]
    found: list[tuple[str, dict[str, Any]]] = []
    for path, room in (("/api/v1/posts/", 200), ("/search/", 300), ("/api/v1/search/", 300)):
        length = len(max(words, key=len)) + len(" OR ")
        many = room // length
        found += [(path, {"q": " OR ".join(words[at : at + many])}) for at in range(0, len(words), many)]
    shared = publishing.checklist_key(Checklist.model_validate(SHARED_CHECKLIST))
    values = {"q": "python services", "stack": "python services", "entity": "stack:python services"}
    found += [("/api/v1/posts/", {name: value}) for name, value in {**values, "checklist": shared}.items()]
    found += [("/api/v1/posts/", {name: "?"}) for name in PostFilters.base_filters]
    return [Ask("GET", f"{path}?{urlencode(query)}") for path, query in [*found, *places(world)]]


def places(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Places in lists, as if drafts had one: from their keys and moments, and from their words."""
    drafted = (DRAFTED - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    for pk in (1, next_pk(Post) + 1, 10**6):
        for moment in (drafted, drafted + 10**9, 0):
            yield "/", {"before": f"{moment}-{pk}"}
            for backwards in (0, 1):
                yield "/api/v1/posts/", {"cursor": cursor(backwards, "", moment, pk), "limit": 2}
    for story in world.stories[:4]:
        entity, checklist = story.last.entities[0], story.last.checklists[0]
        yield "/entities/", {"after": publishing.entity_key(entity)}
        for backwards in (0, 1):
            yield (
                "/api/v1/entities/",
                {"cursor": cursor(backwards, "", entity.type, entity.name, 10**6), "limit": 1},
            )
            place = cursor(backwards, "", checklist.title, publishing.checklist_key(checklist))
            yield "/api/v1/checklists/", {"cursor": place, "limit": 1}
            yield f"/api/v1/posts/{story.slug}/revisions/", {"cursor": cursor(backwards, "", 2)}
    for since in (0, 1, 10, next_pk(Decision), 10**9):
        yield "/api/v1/changes/", {"since": since, "limit": 3}


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def next_pk(model: Any) -> int:
    return (model.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1


# --- What is answered ---
Visit = tuple[str, str]
Walk = dict[Visit, dict[Ask, Answer]]
OPEN, CLOSED, INSIDE = ("public", "anonymous"), ("authenticated", "anonymous"), ("authenticated", "stranger")

_TOKEN = re.compile(rb'(name="csrfmiddlewaretoken" value=")[^"]+')
# Of the moment or the request: the log-in form says that it expired as it was sent.
_OWN = {"x-request-id", "date", "expires"}


def walk(world: World, wanted: dict[Visit, Iterable[Ask]]) -> Walk:
    answers: Walk = {}
    for (access, visitor), asks in wanted.items():
        client = Client()
        if visitor == "stranger":
            client.force_login(world.stranger)
        with override_settings(KB_READ_ACCESS=access):
            answers[access, visitor] = {ask: send(client, ask) for ask in asks}
    return answers


def send(client: Client, ask: Ask) -> Answer:
    """The whole answer but for what is another each time: request id, moment, and tokens against forgery."""
    cookies = client.cookies.copy()
    response = client.generic(ask.method, ask.path, headers=dict(ask.headers))
    client.cookies = cookies  # each time as if for the first time
    request_id = response.headers.get("X-Request-ID", "-").encode()
    body = _TOKEN.sub(rb"\1-", response.getvalue().replace(request_id, b"-"))
    headers = sorted((name, value) for name, value in response.headers.items() if name.lower() not in _OWN)
    headers += [("Set-Cookie", name) for name in sorted(response.cookies)]
    return Answer(f"{response.status_code} {response.reason_phrase}", tuple(headers), body)


@override_settings(KB_READ_ACCESS="public")
def conditional(world: World) -> list[tuple[Ask, Answer, Answer]]:
    """Ask for drafts as if one had seen them already, and for nobody's post in the same way."""
    found = []
    client = Client()
    for story in (story for story in world.stories if story.is_hidden):
        head = world.post(story.slug).head
        approval = Decision(revision=head, fingerprint=head.fingerprint, at=head.created_at)
        moments = {
            "first": head.created_at,
            "reviewed_at": head.created_at,
            "review_by": publishing.review_by(head, approval),
        }
        etag = publishing.compile_fields(head, approval, **moments)["etag"]
        for name, value in (
            ("If-None-Match", f'"{etag}"'),
            ("If-None-Match", f'W/"{head.fingerprint}", *'),
            ("If-None-Match", "*"),
            ("If-Match", f'"{etag}"'),
            ("If-Modified-Since", head.created_at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
        ):
            for form in ("", "meta/", "revisions/", f"revisions/{head.number}/"):
                asked = [
                    Ask("GET", f"/api/v1/posts/{slug}/{form}", ((name, value),))
                    for slug in (story.slug, NOBODY)
                ]
                found.append((asked[0], *(send(client, ask) for ask in asked)))
    return found


def selectable(alias: str, words: Words, schemas: str = "%") -> dict[str, set[str]]:
    """Every relation of these schemas that this connection may read, with the canaries in it."""
    found = {}
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 't')"
            " AND has_schema_privilege(n.oid, 'USAGE') AND n.nspname LIKE %s ORDER BY 1",
            [schemas],
        )
        relations = [relation for (relation,) in cursor.fetchall()]
    for relation in relations:
        try:
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                # Joined there, so that what the server tells of running queries holds no canary by itself.
                cursor.execute(
                    f"SELECT found FROM (SELECT ROW(t.*)::text AS found FROM {relation} t) s WHERE found"
                    " LIKE ('%kan' || 'ari%') OR found LIKE ('%2021-03' || '-04%')"
                    " OR found ~ '[1-9][0-9]{14}'"
                )
                rows = cursor.fetchall()
        except ProgrammingError as error:
            if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
                raise
            continue
        found[relation] = set().union(*(words.in_text(text) for (text,) in rows))
    return found


# --- What was seen, once for all tests of this module ---
@dataclass
class Seen:
    world: World
    before: Walk
    drafted: Walk
    states: dict[str, str]
    origins: set[str]
    severities: set[str]
    refused: list[tuple[Ask, Answer, Answer]]
    readable: dict[str, set[str]]  # relation to canaries that the role kb_reading can SELECT there
    owned: set[str]  # canaries that the owner's role finds by the same queries
    published: dict[Ask, Answer]
    withdrawn: dict[Ask, Answer]
    left: int  # publications, at the end

    def leaks(self, answers: dict[Ask, Answer], known: Set[str] = frozenset()) -> dict[str, list[str]]:
        """Requests, with the places of the canaries that are in the answer and were not in the request."""
        words = self.world.words
        return {
            str(ask): words.named(found)
            for ask, answer in answers.items()
            if (found := words.in_text(answer.text) - known - words.in_text(str(ask)))
        }


@pytest.fixture(scope="module")
def seen(django_db_setup: None, django_db_blocker: Any) -> Iterator[Seen]:
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("kb.access"), "disabled", True)
        patch.setattr(logging.getLogger("django"), "disabled", True)
        try:
            yield look_at_all()
        finally:
            empty_the_tables()


def look_at_all() -> Seen:
    world = World()
    world.publish_what_readers_have()
    simple = each(world)
    asked = {
        OPEN: list(dict.fromkeys([*simple, *oddly(world), *searches(world), *queries(world)])),
        CLOSED: simple,
        INSIDE: simple,
    }
    before = walk(world, asked)

    world.write_drafts()
    drafted = walk(world, asked)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # what the planner notes of values is readable too, for those who may
    seen = Seen(
        world,
        before,
        drafted,
        states={story.name: world.post(story.slug).state for story in world.stories},
        origins=set(Revision.objects.values_list("origin", flat=True)),
        severities=set(Flag.objects.values_list("severity", flat=True)),
        refused=conditional(world),
        readable=selectable("reading", world.words),
        owned=set().union(*selectable("default", world.words, "public").values()),
        published={},
        withdrawn={},
        left=-1,
    )

    asked = {OPEN: [*simple, *searches(world)]}
    world.publish_everything()
    seen.published = walk(world, asked)[OPEN]
    world.withdraw_everything()
    seen.withdrawn = walk(world, asked)[OPEN]
    seen.left = Publication.objects.count()
    return seen


# --- Tests ---
def test_every_field_of_a_document_carries_a_canary() -> None:
    assert set(full(Words(), "-")) == set(Document.model_fields)


def test_there_is_a_post_in_every_unpublished_state(seen: Seen) -> None:
    expected = {story.name: story.state for story in seen.world.stories}

    assert seen.states == expected
    assert set(seen.states.values()) == {State.DRAFT, State.WAITING, State.CHANGES_REQUESTED}
    assert seen.origins == set(Origin)
    assert seen.severities == set(Severity)


@pytest.mark.parametrize("visit", [OPEN, CLOSED, INSIDE], ids=" ".join)
def test_every_route_of_the_readers_is_walked(seen: Seen, visit: Visit) -> None:
    walked = {ask.path for ask in seen.drafted[visit] if ask.method == "GET"}
    known = addresses(seen.world)

    assert {path for paths in known.values() for path in paths} <= walked
    assert {"", "posts/<slug:slug>/", "robots.txt", "api/v1/posts/<slug:slug>/", "api/v1/docs/"} <= set(known)


@pytest.mark.parametrize("visit", [OPEN, CLOSED, INSIDE], ids=" ".join)
def test_no_answer_changes_when_drafts_are_written(seen: Seen, visit: Visit) -> None:
    before, after = seen.before[visit], seen.drafted[visit]

    changed = {str(ask): (before[ask], after[ask]) for ask in before if before[ask] != after[ask]}

    assert changed == {}


@pytest.mark.parametrize("visit", [OPEN, CLOSED, INSIDE], ids=" ".join)
def test_no_answer_holds_a_canary_that_the_request_did_not_bring(seen: Seen, visit: Visit) -> None:
    assert seen.leaks(seen.before[visit]) == {}
    assert seen.leaks(seen.drafted[visit]) == {}


def test_only_search_fields_and_places_repeat_what_a_request_brought(seen: Seen) -> None:
    """An echo is no leak, but worth knowing."""
    repeating = {
        (ask.path.partition("?")[0] if "?" in ask.path else "an address", answer.status[:3])
        for ask, answer in seen.drafted[OPEN].items()
        if seen.world.words.in_text(answer.text)
    }

    assert repeating == {
        ("/search/", "200"),  # the words in the search box
        ("/entities/", "200"),  # the place to come back to after signing in
        ("an address", "301"),  # the same address with a slash at its end
    }


@pytest.mark.parametrize("visit", [OPEN, CLOSED, INSIDE], ids=" ".join)
def test_a_draft_answers_as_a_post_that_never_was(seen: Seen, visit: Visit) -> None:
    answers = seen.drafted[visit]
    pairs = [
        (ask, answer, answers[other], story.slug)
        for ask, answer in answers.items()
        for story in seen.world.stories
        if story.is_hidden and f"/posts/{story.slug}/" in ask.path
        if (other := ask._replace(path=ask.path.replace(story.slug, NOBODY))) in answers
    ]

    differing = [
        str(ask) for ask, answer, other, slug in pairs if elsewhere(answer, slug) != elsewhere(other, NOBODY)
    ]

    assert len({ask.path for ask, *_ in pairs}) == 15 * sum(story.is_hidden for story in seen.world.stories)
    assert differing == []


def elsewhere(answer: Answer, slug: str) -> Answer:
    """Whoever must log in is told the address to go back to, as the request named it; the body names none."""
    headers = ((name, value.replace(slug, "-")) for name, value in answer.headers)
    return answer._replace(headers=tuple(headers))


def test_knowing_a_drafts_tag_or_moment_brings_nothing(seen: Seen) -> None:
    differing = [str(ask) for ask, answer, other in seen.refused if answer != other]

    assert differing == []
    assert {answer.status for _, answer, _ in seen.refused} == {"404 Not Found"}


def test_the_readers_role_can_select_no_canary_anywhere(seen: Seen) -> None:
    words = seen.world.words
    # Until upkeep takes it away the row is there: what was approved once, and no door shows it any more.
    withheld = {canary for canary, place in words.places.items() if place.startswith("withheld, ")}
    # Its words too, and what is left of them without a letter, by which mistyped ones are corrected.
    withheld = {slip for canary in withheld for slip in near(canary)}
    leaks = {
        relation: words.named(found - withheld)
        for relation, found in seen.readable.items()
        if found - withheld
    }

    assert "public.kb_publication" in seen.readable
    assert "public.kb_post" not in seen.readable
    assert leaks == {}


def test_the_owners_role_finds_the_canaries_by_the_same_queries(seen: Seen) -> None:
    words = seen.world.words

    assert words.named(words.public - seen.owned) == []


def test_the_walk_finds_every_word_once_its_post_is_published(seen: Seen) -> None:
    words = seen.world.words
    found: set[str] = set()
    for ask, answer in seen.published.items():
        found |= words.in_text(answer.text) - words.in_text(str(ask))

    assert words.named(words.public - found) == []


def test_every_search_and_filter_finds_its_post_once_it_is_published(seen: Seen) -> None:
    asked = [ask for ask in seen.published if "?" in ask.path]
    names = {parameter for ask in asked for parameter in dict(parse_qsl(ask.path.partition("?")[2]))}

    found_nothing = [str(ask) for ask in asked if seen.published[ask].body == seen.drafted[OPEN][ask].body]

    assert names == {*PostFilters.base_filters, "type"}
    assert found_nothing == []


def test_what_people_say_among_themselves_is_never_published(seen: Seen) -> None:
    """Notes, comments, flags, names of people, what a source claims, removed markup, revisions in between."""
    assert seen.leaks(seen.published, seen.world.words.public) == {}


def test_nothing_but_its_address_in_the_feed_is_left_of_a_withdrawn_post(seen: Seen) -> None:
    words = seen.world.words
    slugs = {word for word, place in words.places.items() if place.endswith(", slug")}
    feed = {ask: answer for ask, answer in seen.withdrawn.items() if ask.path == "/api/v1/changes/"}
    rest = {ask: answer for ask, answer in seen.withdrawn.items() if ask not in feed}

    assert seen.left == 0
    assert seen.leaks(feed, slugs) == {}
    assert seen.leaks(rest) == {}
