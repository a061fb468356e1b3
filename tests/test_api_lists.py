"""What readers may choose of an answer, what posts have in common, and how two revisions differ."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from kb import diff
from kb.document import Document
from kb.flow import publishing, reviewing, revising
from kb.models import Post, Publication, Revision
from kb.reading import facets, listing
from tests.conftest import BeginWith
from tests.test_api import FULL

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[[Post], Publication]
V1 = "/api/v1"
EARLY = "'0001-01-01T00:00:00+09:00'"  # in UTC there is no such moment


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def full(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> Publication:
    begin_with(lambda: publish(make_post(slug="full", **FULL)))
    return Publication.objects.get()


def get(client: Client, address: str) -> Any:
    response = client.get(V1 + address)
    assert response.status_code == 200, response.content
    return response.json()


def fault(client: Client, address: str) -> tuple[str, str, str, str | None]:
    response = client.get(V1 + address)
    assert response.status_code == 400, response.content
    (found,) = response.json()["errors"]
    return found["parameter"], found["code"], found["got"], found["nearest"]


def slugs(client: Client, address: str) -> list[str]:
    return [card["slug"] for card in get(client, address)["results"]]


# --- Choosing -----------------------------------------------------------------------------------------------
def test_a_reader_chooses_fields_in_the_order_in_which_they_are_stored(
    client: Client, full: Publication
) -> None:
    detail = json.loads(full.detail_json)

    chosen = client.get(f"{V1}/posts/full/?fields=title,slug,html&omit=html")
    brief = get(client, "/posts/full/?brief=true&fields=owner")

    assert chosen.content == b'{"slug":"full","title":"Measure first, \xe2\x80\x9cthen\xe2\x80\x9d change"}'
    names = ("difficulty", "owner", "published_at", "reading_time", "review", "slug", "summary", "title")
    assert brief == {name: detail[name] for name in (*names, "topic", "url")}
    assert get(client, "/posts/full/?omit=html,body") == {
        name: value for name, value in detail.items() if name not in {"html", "body"}
    }


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("/posts/?fields=slug,title", {"slug", "title"}),
        ("/entities/?fields=slug,posts", {"slug", "posts"}),
        ("/entities/?brief=true", {"type", "name", "slug", "posts", "url"}),
        ("/checklists/?omit=items,links", {"key", "title", "posts", "url"}),
        ("/posts/full/revisions/?fields=number", {"number"}),
        ("/entities/stack/python-services/posts/?fields=title", {"title"}),
    ],
)
def test_every_list_shows_the_chosen_fields(
    client: Client, full: Publication, address: str, names: set[str]
) -> None:
    assert [set(row) for row in get(client, address)["results"]][:1] == [names]


def test_each_choice_has_an_etag_of_its_own(client: Client, full: Publication) -> None:
    addresses = ["", "?fields=title", "?fields=slug", "?expand=meta", "?brief=false"]

    tags = [client.get(f"{V1}/posts/full/{query}").headers["ETag"] for query in addresses]

    assert len({*tags}) == 4
    assert tags[4] == tags[0]  # nothing was chosen: the stored answer
    again = client.get(f"{V1}/posts/full/?fields=title", headers={"If-None-Match": tags[1]})
    assert (again.status_code, again.headers["Last-Modified"]) == (304, "Mon, 23 Nov 2026 12:00:00 GMT")


def test_what_belongs_to_a_post_comes_along_on_request(
    client: Client, full: Publication, make_post: MakePost, publish: Publish
) -> None:
    publish(make_post(entities=FULL["entities"][:1]))
    make_post(entities=FULL["entities"])

    post = get(client, "/posts/full/?fields=slug&expand=meta,revisions,entities")
    cards = client.get(f"{V1}/posts/?expand=meta&tool=ruff").json()["results"]

    assert post == {
        "slug": "full",
        "expanded": {
            "meta": json.loads(full.meta_json),
            "revisions": get(client, "/posts/full/revisions/")["results"],
            "entities": get(client, "/entities/")["results"],
        },
    }
    assert [entity["posts"] for entity in post["expanded"]["entities"]] == [1, 2]
    assert cards == [{**json.loads(full.card_json), "expanded": {"meta": json.loads(full.meta_json)}}]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/posts/full/?fields=titel", ("fields", "invalid", "'titel'", "title")),
        ("/posts/full/?omit=title,", ("omit", "invalid", "''", None)),
        ("/posts/full/?fields=title&fields=slug", ("fields", "repeated", "2 values", None)),
        ("/posts/full/?expand=metas", ("expand", "invalid", "'metas'", "meta")),
        ("/posts/?expand=revisions", ("expand", "invalid", "'revisions'", None)),
        ("/posts/full/meta/?expand=meta", ("expand", "unknown", "an unknown parameter", None)),
        ("/posts/full/meta/?fields=html", ("fields", "invalid", "'html'", None)),
        ("/posts/?brief=1", ("brief", "invalid", "'1'", None)),
        ("/posts/?ordering=titel", ("ordering", "invalid", "'titel'", "title")),
        ("/posts/?count=all", ("count", "invalid", "'all'", None)),
        ("/posts/?difficulty=x&difficulty=advance", ("difficulty", "invalid", "'x'", None)),
        ("/posts/?difficulty=advance", ("difficulty", "invalid", "'advance'", "advanced")),
        ("/posts/?stack=a&stack=", ("stack", "empty", "an empty value", None)),
        ("/posts/?stack__all=a,,b", ("stack__all", "invalid", "an empty value", None)),
        ("/posts/?tool=" + "&tool=".join(map(str, range(21))), ("tool", "invalid", "21 values", None)),
        ("/posts/?updated__gte=2026-13-01", ("updated__gte", "invalid", "'2026-13-01'", None)),
        ("/posts/?updated__lte=9999-12-31", ("updated__lte", "invalid", "'9999-12-31'", None)),
        ("/posts/?reviewed__lte=2026-11-23T12:00", ("reviewed__lte", "invalid", "'2026-11-23T12:00'", None)),
        ("/posts/?reviewed__lte=0001-01-01T00:00:00%2B09:00", ("reviewed__lte", "invalid", EARLY, None)),
        ("/posts/?quality_min=3", ("quality_min", "unknown", "an unknown parameter", "quality__lte")),
        ("/facets/?kind=topics", ("kind", "invalid", "'topics'", "topic")),
        ("/facets/?quality__gte=x", ("quality__gte", "invalid", "'x'", None)),
        ("/entities/?ordering=posts", ("ordering", "invalid", "'posts'", "-posts")),
    ],
)  # fmt: skip
def test_what_is_not_there_to_choose_is_named_with_the_nearest(
    client: Client, full: Publication, address: str, told: tuple[str, str, str, str | None]
) -> None:
    assert fault(client, address) == told


# --- Filters ------------------------------------------------------------------------------------------------
@pytest.fixture
def shelf(begin_with: BeginWith, make_post: MakePost, publish: Publish, now: datetime) -> None:
    """Three posts, a week from one to the next, and a draft that is like all of them."""

    def make() -> None:
        stacks = {"one": ["a", "b"], "two": ["b", "c, d"], "three": ["c, d"]}
        for number, (slug, stack) in enumerate(stacks.items()):
            scores = {"quality": 50 * (number % 2)}
            publish(make_post(slug=slug, title=slug.title(), stack=stack, tools=["x"], scores=scores))
            moment = now + timedelta(weeks=number)
            with transaction.atomic():
                publishing.queue_up()
                Publication.objects.filter(slug=slug).update(
                    reviewed_at=moment, review_by=datetime.now(UTC) + timedelta(days=10 * number - 5)
                )
        make_post(slug="draft", stack=["a", "b", "c, d"], tools=["x"])

    begin_with(make)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("stack=a&stack=c, d", "three two one"),
        ("stack=a&stack=a", "one"),
        ("stack__all=a,b", "one"),
        ("stack__all=b&stack__all=c\\, d", "two"),
        ("stack__all=a,b&stack=c, d", ""),
        ("stack=b&tool__all=x&tool=y&tool=x", "two one"),
        ("reviewed__gte=2026-11-30", "three two"),
        ("reviewed__lte=2026-11-30", "two one"),
        ("reviewed__gte=2026-11-30T12:00:00Z&reviewed__lte=2026-11-30T14:00:00%2B02:00", "two"),
        ("reviewed__lte=2026-11-30t11:59:59.999z", "one"),
        ("updated__gte=2026-11-23&updated__lte=2026-11-23&stack=b", "two one"),
        ("updated__gte=2026-11-24", ""),
        ("freshness=overdue", "one"),
        ("freshness=due", "two"),
        ("freshness=fresh", "three"),
        ("ordering=published_at", "one two three"),
        ("ordering=-reviewed_at", "three two one"),
        ("ordering=-quality", "two three one"),
        ("ordering=title&tool=x", "one three two"),
    ],
)
def test_filters_and_orders_find_what_they_say(client: Client, shelf: None, query: str, found: str) -> None:
    assert " ".join(slugs(client, f"/posts/?{query}")) == found


def test_a_cursor_of_other_filters_or_another_order_is_refused(client: Client, shelf: None) -> None:
    following = get(client, "/posts/?tool=x&limit=1&fields=slug")["next"].removeprefix(V1)

    assert slugs(client, f"{following}&count=none") == ["two"]
    for other in (
        following.replace("tool=x", "tool=y"),
        following.replace("tool=x&", ""),
        f"{following}&ordering=published_at",
        following.replace("tool=x", "ordering=title"),
    ):
        assert fault(client, other)[:2] == ("cursor", "invalid")


def test_a_count_is_told_as_it_was_asked_for(client: Client, shelf: None) -> None:
    ways = ("", "&count=estimate", "&count=exact", "&count=none")

    counts = [get(client, f"/posts/?limit=1&stack=a&stack=b{way}")["count"] for way in ways]

    guess = {"value": 3, "exact": False}
    assert counts == [guess, guess, {"value": 2, "exact": True}, None]


def test_what_cannot_be_counted_in_time_says_so(
    client: Client, shelf: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTING", 20)
    monkeypatch.setattr(listing._Query, "count_sql", lambda query: "SELECT count(*) FROM pg_sleep(5)")

    response = client.get(f"{V1}/posts/?limit=1&quality__gte=0&count=exact")

    assert (response.status_code, response.json()["code"]) == (503, "count_too_slow")
    assert response.json()["retry"] is False
    assert client.get(f"{V1}/posts/").status_code == 200


# --- Entities, checklists, facets, status -------------------------------------------------------------------
def test_entities_are_found_by_type_and_beginning_and_ordered_by_posts(
    client: Client, make_post: MakePost, publish: Publish
) -> None:
    many = {"type": "tool", "name": "Git"}
    for entity in ({"type": "area", "name": "gitlab"}, {"type": "stack", "name": "100%_git"}):
        publish(make_post(entities=[many, entity]))
    make_post(entities=[{"type": "tool", "name": "gitea"}])
    asked = (
        "q=GI",
        "q=100%25_",
        "q=1%25",
        "q=[g",
        "type=area&type=stack",
        "ordering=-posts&limit=1",
        "q=gite",
    )

    names = {query: [row["name"] for row in get(client, f"/entities/?{query}")["results"]] for query in asked}

    assert names == {
        "q=GI": ["gitlab", "Git"],
        "q=100%25_": ["100%_git"],
        "q=1%25": [],
        "q=[g": [],
        "type=area&type=stack": ["gitlab", "100%_git"],
        "ordering=-posts&limit=1": ["Git"],
        "q=gite": [],
    }


def test_the_posts_of_an_entity_and_of_a_checklist_are_lists_as_any_other(
    client: Client, make_post: MakePost, publish: Publish
) -> None:
    shared = {"entities": FULL["entities"], "checklists": FULL["checklists"]}
    publish(make_post(slug="one", stack=["a"], **shared))
    publish(make_post(slug="two", stack=["b"], **shared))
    publish(make_post(slug="other"))
    make_post(slug="draft", stack=["a"], **shared)
    (checklist,) = get(client, "/checklists/")["results"]

    for links in (get(client, "/entities/stack/python-services/")["links"], checklist["links"]):
        address = links["posts"].removeprefix(V1)
        assert slugs(client, address) == ["two", "one"]
        assert slugs(client, f"{address}?stack=a") == ["one"]
        assert slugs(client, get(client, f"{address}?limit=1")["next"].removeprefix(V1)) == ["one"]


@pytest.mark.parametrize(
    "path",
    ["entities/area/drafted/posts/", "checklists/{}/posts/", "entities/a/b%00/posts/", "checklists/x/posts/"],
)
def test_there_is_no_list_of_posts_where_only_drafts_would_be(
    client: Client, make_post: MakePost, path: str
) -> None:
    post = make_post(entities=[{"type": "area", "name": "drafted"}], checklists=FULL["checklists"])
    key = publishing.checklist_key(post.document().checklists[0])

    response = client.get(f"{V1}/{path.format(key)}")

    assert (response.status_code, response.json()["detail"]) == (404, "There is nothing here.")


def test_facets_count_what_is_published(client: Client, shelf: None, make_post: MakePost) -> None:
    make_post(topic="drafts")

    found = get(client, "/facets/?kind=stack&kind=tool&kind=topic&limit=2")

    assert found == {
        "posts": {"value": 3, "exact": True},
        "counted": 3,
        "exact": True,
        "facets": {
            "stack": [{"value": "b", "posts": 2}, {"value": "c, d", "posts": 2}],
            "tool": [{"value": "x", "posts": 3}],
            "topic": [],
        },
    }
    assert list(get(client, "/facets/")["facets"]) == [
        *("topic", "stack", "tool", "entity", "checklist", "difficulty", "code_language", "ai_involved")
    ]


def test_facets_of_what_fits_are_counted_over_the_newest(
    client: Client, shelf: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "/facets/?kind=stack&kind=ai_involved&stack=b"
    whole = get(client, query)
    monkeypatch.setattr(facets, "COUNTED", 1)

    newest = get(client, query)

    assert whole == {
        "posts": {"value": 2, "exact": True},
        "counted": 2,
        "exact": True,
        "facets": {
            "stack": [
                {"value": "b", "posts": 2},
                {"value": "a", "posts": 1},
                {"value": "c, d", "posts": 1},
            ],
            "ai_involved": [{"value": "false", "posts": 2}],
        },
    }
    assert (newest["counted"], newest["exact"], newest["posts"]) == (1, False, {"value": 2, "exact": True})
    assert newest["facets"]["stack"] == [{"value": "b", "posts": 1}, {"value": "c, d", "posts": 1}]


def test_facets_that_meet_among_the_newest_are_counted_there_alone_and_say_so(
    client: Client, shelf: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "/facets/?kind=stack&stack=b&tool=x"
    monkeypatch.setattr(facets, "ENOUGH", 1)
    monkeypatch.setattr(listing, "FEW", 0)
    monkeypatch.setattr(listing, "WINDOW", 1)

    newest = get(client, query)
    monkeypatch.setattr(facets, "ENOUGH", 3)
    every = get(client, query)

    assert (newest["counted"], newest["exact"], newest["posts"]["exact"]) == (1, False, False)
    assert (every["counted"], every["exact"], every["posts"]) == (2, True, {"value": 2, "exact": True})


def test_status_tells_what_is_published_and_nothing_of_drafts(
    client: Client, full: Publication, make_post: MakePost, settings: Any
) -> None:
    before = client.get(f"{V1}/status/")
    make_post(entities=[{"type": "area", "name": "drafted"}], checklists=[{"title": "", "items": ["x"]}])

    status = client.get(f"{V1}/status/")

    assert status.json() == {
        "version": settings.KB_VERSION,
        "read_access": "public",
        "posts": 1,
        "entities": 2,
        "checklists": 1,
        "newest_change": {
            "number": get(client, "/changes/")["results"][-1]["number"],
            "at": "2026-11-23T12:00:00Z",
        },
        "search_by_meaning": {"on": False, "why_not": "KB_SEMANTIC is off: set it to auto"},
    }
    assert (status.content, status.headers["ETag"]) == (before.content, before.headers["ETag"])


def test_the_status_of_nothing_is_told_too(client: Client) -> None:
    status = get(client, "/status/")

    assert (status["posts"], status["newest_change"]) == (0, None)
    assert get(client, "/facets/?kind=topic")["posts"] == {"value": 0, "exact": True}


# --- Differences --------------------------------------------------------------------------------------------
@pytest.fixture
def thrice(
    begin_with: BeginWith, make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> list[Document]:
    """Revisions 1 and 3 were approved, 2 and 4 never."""

    def make() -> None:
        post = make_post(slug="thrice", title="One", summary="Same.")
        publish(post)
        for number, title in enumerate(("Two", "Three", "Four"), 1):
            post.refresh_from_db()
            changed = post.document().model_copy(update={"title": title, "body": f"Text {title}."})
            note = revising.ChangeNote("because")
            revising.save(post, changed, base_number=number, by=people.editor, at=now, note=note)
            if number == 2:
                publish(post)

    begin_with(make)
    return [revision.document for revision in Revision.objects.order_by("number")]


def test_a_diff_tells_what_changed_between_two_approved_revisions(
    client: Client, thrice: list[Document]
) -> None:
    one, _, three, _ = thrice

    found = get(client, "/posts/thrice/revisions/1/diff/3/")

    assert [found[name]["fingerprint"] for name in ("from", "to")] == [one.fingerprint, three.fingerprint]
    assert found["parts"] == [
        part for part in diff.to_json(diff.diff(one, three))["parts"] if part["changes"]
    ]
    assert [change["path"] for part in found["parts"] for change in part["changes"]] == [["title"], ["body"]]
    assert get(client, "/posts/thrice/revisions/3/diff/3/")["parts"] == []


def test_a_diff_that_a_reader_has_is_not_made_again(
    client: Client, thrice: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get(f"{V1}/posts/thrice/revisions/1/diff/3/")
    monkeypatch.setattr(diff, "diff", None)

    again = client.get(
        f"{V1}/posts/thrice/revisions/1/diff/3/", headers={"If-None-Match": first.headers["ETag"]}
    )

    assert (again.status_code, again.headers["ETag"]) == (304, first.headers["ETag"])


@pytest.mark.parametrize(
    "pair", ["1/diff/2", "2/diff/1", "3/diff/4", "1/diff/9", "0/diff/1", f"1/diff/{9**30}"]
)
def test_there_is_no_diff_with_what_nobody_approved(
    client: Client, thrice: list[Document], make_post: MakePost, pair: str
) -> None:
    make_post(slug="draft")

    answers = [client.get(f"{V1}/posts/{slug}/revisions/{pair}/") for slug in ("thrice", "draft", "none")]

    assert {answer.status_code for answer in answers} == {404}
    assert len({json.dumps({**answer.json(), "request_id": ""}) for answer in answers}) == 1


def test_a_withdrawn_post_has_no_diff_any_more(
    client: Client, thrice: list[Document], people: SimpleNamespace, now: datetime
) -> None:
    address = f"{V1}/posts/thrice/revisions/1/diff/3/"
    held = {"If-None-Match": client.get(address).headers["ETag"]}
    reviewing.withdraw(Post.objects.get(), by=people.administrator, at=now, comment="wrong")

    assert client.get(address, headers=held).status_code == 404
