"""What programs read beside the pages: Atom, sitemap, robots, llms.txt and Markdown; approved posts alone."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client

from kb.flow import reviewing
from kb.models import Post, Publication
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]
ATOM = "{http://www.w3.org/2005/Atom}"
MAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def posts(begin_with: BeginWith, make_post: MakePost, publish: Publish, people: Any, now: Any) -> None:
    """One that is published, one that was withdrawn, and a draft."""

    def make() -> None:
        publish(
            make_post(
                slug="read-me",
                title="Read *me* <now>",
                body="## Why\n\nBecause.",
                summary="A summary\nof two lines.",
                topic="backend",
                stack=["Go"],
                checklists=[{"title": "", "items": ["Do it."]}],
            )
        )
        gone = make_post(slug="gone", title="Gone")
        publish(gone)
        reviewing.withdraw(gone, by=people.reviewer, at=now, comment="wrong")
        make_post(slug="draft", title="Draft")

    begin_with(make)


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response.content
    return response.content.decode()


@pytest.mark.usefixtures("posts")
def test_markdown_is_the_approved_text_with_who_vouches_for_it(client: Client) -> None:
    fingerprint = Publication.objects.get(slug="read-me").fingerprint

    assert text(client, "/posts/read-me/markdown/").split("\n\n") == [
        r"# Read \*me\* \<now\>",
        "> A summary of two lines.",
        "## Why",
        "Because.",
        "## Checklist",
        "- [ ] Do it.",
        "---",
        "Source: <http://testserver/posts/read-me/>, version 0.1.0, reviewed by a person on 2026-11-23."
        f" SHA-256 of the content: `{fingerprint}`\n",
    ]


@pytest.mark.usefixtures("posts")
@pytest.mark.parametrize("slug", ["gone", "draft", "never-there"])
def test_markdown_of_what_is_not_published_is_not_there(client: Client, slug: str) -> None:
    assert client.get(f"/posts/{slug}/markdown/").status_code == 404


@pytest.mark.usefixtures("posts")
def test_the_feed_holds_published_posts_alone(client: Client) -> None:
    feed = ElementTree.fromstring(text(client, "/feed.atom"))

    entries = feed.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}id") for entry in entries] == ["http://testserver/posts/read-me/"]
    assert [tag.get("term") for tag in entries[0].findall(f"{ATOM}category")] == ["backend", "Go"]


def test_a_control_character_does_not_break_the_feed(
    client: Client, make_post: MakePost, publish: Publish
) -> None:
    publish(make_post(title="A\x0bB", summary="C\x1bD"))

    feed = ElementTree.fromstring(text(client, "/feed.atom"))

    assert feed.findtext(f"{ATOM}entry/{ATOM}title") == "AB"


@pytest.mark.usefixtures("posts")
def test_llms_txt_lists_published_posts_as_markdown(client: Client) -> None:
    lines = text(client, "/llms.txt").partition("## Newest posts\n\n")[2].splitlines()

    assert lines == [
        "- [Read \\*me\\* \\<now\\>](http://testserver/posts/read-me/markdown/): A summary of two lines."
    ]


@pytest.mark.usefixtures("posts")
def test_crawlers_are_kept_out_unless_told_otherwise(client: Client) -> None:
    assert text(client, "/robots.txt") == "User-agent: *\nDisallow: /\n"
    assert client.get("/sitemap.xml").status_code == 404
    assert '<meta name="robots" content="noindex">' in text(client, "/")


@pytest.mark.usefixtures("posts")
def test_crawlers_find_published_posts_where_they_are_let_in(client: Client, settings: Any) -> None:
    settings.KB_INDEXING = True

    assert "Sitemap: http://testserver/sitemap.xml" in text(client, "/robots.txt")
    assert "noindex" not in text(client, "/")
    index = ElementTree.fromstring(text(client, "/sitemap.xml"))
    parts = [part.text for part in index.iter(f"{MAP}loc")]
    found = [
        place.text
        for part in parts
        for place in ElementTree.fromstring(text(client, str(part))).iter(f"{MAP}loc")
    ]
    assert found == ["http://testserver/posts/read-me/"]
    assert client.get("/sitemap-999.xml").status_code == 404


@pytest.mark.usefixtures("posts")
def test_where_reading_needs_a_login_crawlers_find_nothing(client: Client, settings: Any) -> None:
    settings.KB_INDEXING, settings.KB_READ_ACCESS = True, "authenticated"

    assert text(client, "/robots.txt") == "User-agent: *\nDisallow: /\n"
    for place in ("/feed.atom", "/llms.txt", "/sitemap.xml", "/posts/read-me/markdown/"):
        assert client.get(place).status_code == 302
