"""Readers' pages: what they show, to whom, and that nothing unpublished shows through."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connections
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kb.article import article, may_show
from kb.flow import reviewing
from kb.models import Post, Publication
from kb.site import listing as lists
from kb.site import searching

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]

FULL = {
    "title": "Rotate database passwords",
    "body": "## Before\n\nTwo logins.\n\n## During\n\nSwitch.\n\n## After\n\nDrop the old one.",
    "topic": "secrets / postgresql",
    "summary": "Two logins take turns.",
    "owner": "Platform team",
    "expected_result": "No service holds a dead password.",
    "rollback_note": "Switch back to the first login.",
    "entities": [{"name": "postgresql", "type": "stack"}, {"name": "C++ & more", "type": "code language"}],
    "flags": {"ai_generated_style": True},
}


@pytest.fixture
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


@pytest.fixture
def published(make_post: MakePost, publish: Publish) -> Callable[..., Publication]:
    return lambda **content: publish(make_post(**content))


@pytest.fixture
def reading() -> Callable[[], CaptureQueriesContext]:
    return lambda: CaptureQueriesContext(connections["reading"])


def page(response: HttpResponse) -> str:
    """The page without what differs in every answer."""
    text = response.content.decode()
    return text.replace(response.headers.get("X-Request-ID", "-"), "ID")


def titles(text: str) -> list[str]:
    return re.findall(r'<h2><a href="[^"]*">(.*?)</a></h2>', text)


def link(text: str, words: str) -> str:
    found = re.search(rf'href="([^"]*)">{words}<', text)
    return found[1].replace("&amp;", "&") if found else ""


# --- Lists --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("public")
class TestLists:
    def test_a_site_without_posts_says_how_they_get_here(self, client: Client) -> None:
        text = page(client.get("/"))

        assert "Nothing is published yet." in text
        assert "as soon as a reviewer has approved it" in text

    def test_older_links_walk_through_all_posts_once_even_if_approved_at_one_moment(
        self, client: Client, published: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lists, "PAGE", 2)
        for n in range(5):
            published(title=f"Post {n}")

        seen, place = [], "/"
        while place:
            text = page(client.get(place))
            seen.append(titles(text))
            place = link(text, "Older posts")

        assert seen == [["Post 4", "Post 3"], ["Post 2", "Post 1"], ["Post 0"]]

    def test_a_full_last_page_has_no_older_link(
        self, client: Client, published: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lists, "PAGE", 2)
        for n in range(2):
            published(title=f"Post {n}")

        assert "Older posts" not in page(client.get("/"))

    def test_search_finds_words_of_the_article_in_any_form_and_marks_them(
        self, client: Client, published: Any
    ) -> None:
        published(title="Passwords", summary="How to.", body="Two logins are **rotating** every week.")
        published(title="Something else")

        text = page(client.get("/search/?q=rotate"))

        assert titles(text) == ["Passwords"]
        assert "Two logins are <mark>rotating</mark> every week." in text
        assert "text: rotating" in text

    def test_search_keeps_its_words_and_facets_on_further_pages(
        self, client: Client, published: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(searching, "PAGE", 1)
        for n in range(2):
            published(title=f"Query & plan {n}", stack=["Go"])
        published(title="Query & plan", stack=["Rust"])

        first = page(client.get("/search/", {"q": "query & plan", "stack": "Go"}))
        second = page(client.get("/search/" + link(first, "Further posts")))

        assert titles(first) == ["<mark>Query</mark> &amp; <mark>plan</mark> 1"]
        assert titles(second) == ["<mark>Query</mark> &amp; <mark>plan</mark> 0"]
        assert "Further posts" not in second

    def test_facets_narrow_what_was_found_and_can_be_let_go(self, client: Client, published: Any) -> None:
        published(title="Zebra one", stack=["Go"], difficulty="beginner")
        published(title="Zebra two", stack=["Go", "Rust"], difficulty="advanced")

        text = page(client.get("/search/?q=zebra"))
        narrowed = page(client.get("/search/?q=zebra&stack=Rust&difficulty=advanced"))

        assert 'href="?q=zebra&amp;stack=Rust"' in text
        assert titles(narrowed) == ["<mark>Zebra</mark> two"]
        assert 'href="?q=zebra&amp;difficulty=advanced" rel="nofollow">Rust' in narrowed
        assert 'href="?q=zebra" rel="nofollow">Let all go' in narrowed

    def test_a_misspelt_word_finds_what_was_meant_and_says_so(self, client: Client, published: Any) -> None:
        published(title="Kubernetes upgrades")

        text = page(client.get("/search/?q=kuberntes"))

        assert titles(text) == ["<mark>Kubernetes</mark> upgrades"]
        assert "Looked for “kubernetes” instead of “kuberntes”" in text

    def test_facets_that_find_nothing_offer_a_way_out(self, client: Client, published: Any) -> None:
        published(title="Zebra")

        text = page(client.get("/search/?q=zebra&stack=Go"))

        assert "and what you chose" in text
        assert 'href="?q=zebra">Search everywhere' in text

    def test_the_former_address_of_searching_leads_to_the_new_one(self, client: Client) -> None:
        assert client.get("/?q=a+b").headers["Location"] == "/search/?q=a+b"

    def test_a_search_without_results_repeats_the_words_and_helps(
        self, client: Client, published: Any
    ) -> None:
        published(title="Something else")

        text = page(client.get("/search/?q=<b>zebra"))

        assert "No post has <strong>&lt;b&gt;zebra</strong>." in text
        assert "drafts are not searched" in text

    def test_markup_in_what_was_found_stays_text(self, client: Client, published: Any) -> None:
        hostile = "<img src=x onerror=alert(1)> zebra \x02<script>\x03"
        published(title=hostile, summary=hostile, body=f"`{hostile}`")
        published(title="Zebra", summary="Nothing.", body="`<script>alert(1)</script>` zebra")

        text = page(client.get("/search/?q=zebra"))

        assert len(titles(text)) == 2
        assert "<img" not in text
        assert "<script>" not in text
        assert "&lt;script&gt;" in text
        assert text.count("<mark>") == text.count("</mark>") > 0
        assert "\x02" not in text

    def test_an_entity_shows_the_posts_about_it(self, client: Client, published: Any) -> None:
        published(title="Mine", entities=[{"name": "C++ & more", "type": "code language"}])
        published(title="Other", entities=[{"name": "python", "type": "code language"}])

        index = page(client.get("/entities/"))
        place = re.search(r'href="(/entities/[^"]*)">C\+\+ &amp; more', index)

        assert place
        text = page(client.get(place[1]))
        assert titles(text) == ["Mine"]
        assert "1 post, newest first" in text

    def test_entities_are_listed_by_type_page_by_page(
        self, client: Client, published: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kb.site.views.ENTITIES", 2)
        published(entities=[{"name": name, "type": "stack"} for name in ("a", "b & c", "d")])

        first = page(client.get("/entities/"))
        second = page(client.get("/entities/" + link(first, "Further entities")))

        assert re.findall(r'<a class="chip" href="[^"]*">(.*?) <span>', first) == ["a", "b &amp; c"]
        assert re.findall(r'<a class="chip" href="[^"]*">(.*?) <span>', second) == ["d"]
        assert "Further entities" not in second

    def test_no_entities_say_how_they_get_here(self, client: Client) -> None:
        assert "No published post names an entity yet." in page(client.get("/entities/"))

    @pytest.mark.parametrize("posts", [1, 3])
    def test_each_page_takes_a_fixed_number_of_queries_and_none_of_drafts(
        self, client: Client, published: Any, reading: Any, posts: int
    ) -> None:
        for _ in range(posts):
            slug = published(**FULL).slug
        expected = {
            "/": 1,
            "/search/?q=login": 4,
            f"/posts/{slug}/": 2,  # the post, and what is like it
            "/entities/": 1,
            "/entities/stack/postgresql/": 2,
            "/embed/": 1,
        }

        asked = {}
        for place in expected:
            with reading() as queries, CaptureQueriesContext(connections["default"]) as others:
                assert client.get(place).status_code == 200
            asked[place] = len([q for q in queries if "kb_" in q["sql"]])
            assert len(others) == 0

        assert asked == expected


# --- A post -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("public")
class TestPost:
    def test_the_page_holds_article_review_line_care_and_box(self, client: Client, published: Any) -> None:
        publication = published(**FULL, slug="rotate")

        text = page(client.get("/posts/rotate/"))

        assert "<title>Rotate database passwords · kb</title>" in text
        assert text.count("<h1") == 1
        assert "<p>Two logins.</p>" in text
        line = " ".join(re.sub(r"<[^>]+>", "", text).split())
        assert (
            f"Reviewed by a person: exactly this content, version {publication.version}, 23 November 2026"
            in line
        )
        assert "AI was involved" in line
        for words in (
            "Platform team",
            "No service holds a dead password.",
            "Switch back to the first login.",
        ):
            assert words in text
        assert '<kb-meta-box src="/api/v1/posts/rotate/meta/">' in text
        assert 'href="/entities/code%20language/' in text

    def test_its_entities_lead_to_their_pages(self, client: Client, published: Any) -> None:
        published(**FULL, slug="rotate")

        places = re.findall(r'class="chip" href="([^"]*)"', page(client.get("/posts/rotate/")))

        assert [client.get(place).status_code for place in places] == [200, 200]

    def test_sections_are_listed_with_links_to_them(self, client: Client, published: Any) -> None:
        published(**FULL, slug="rotate")

        text = page(client.get("/posts/rotate/"))

        assert re.findall(r'<li><a href="#([^"]*)">(.*?)</a>', text) == [
            ("before", "Before"),
            ("during", "During"),
            ("after", "After"),
        ]
        assert '<h2 id="during">During</h2>' in text

    def test_a_post_without_ai_bears_no_label_and_no_empty_panel(
        self, client: Client, published: Any
    ) -> None:
        published(slug="plain")

        text = page(client.get("/posts/plain/"))

        assert "AI was involved" not in text
        assert "Owner, expected result and rollback" not in text

    @pytest.mark.parametrize(
        ("hosts", "shown"), [((), False), (("other.example",), False), (("pictures.example",), True)]
    )
    def test_images_load_only_from_hosts_that_the_policy_allows(
        self, client: Client, published: Any, settings: Any, hosts: tuple[str, ...], shown: bool
    ) -> None:
        settings.KB_IMAGE_HOSTS = hosts
        url = "https://pictures.example/gate.png"
        published(slug="gate", body=f"![The gate]({url})", images=[{"url": url}])

        text = page(client.get("/posts/gate/"))

        assert ("<img" in text) is shown
        assert ('images="link"' in text) is not shown
        assert (f'href="{url}"' in text) is not shown
        assert "The gate" in text

    def test_a_draft_and_a_withdrawn_post_answer_as_one_that_never_was(
        self,
        client: Client,
        make_post: MakePost,
        publish: Publish,
        people: SimpleNamespace,
        now: Any,
    ) -> None:
        make_post(slug="draft", title="Canary", entities=[{"name": "canary", "type": "bird"}])
        withdrawn = make_post(slug="withdrawn", title="Canary two")
        publish(withdrawn)
        assert client.get("/posts/withdrawn/").status_code == 200
        withdrawn.refresh_from_db()
        reviewing.withdraw(withdrawn, by=people.reviewer, at=now, comment="Out of date.")

        answers = [client.get(f"/posts/{slug}/") for slug in ("draft", "withdrawn", "missing")]

        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({page(answer) for answer in answers}) == 1
        names = [
            {key: value for key, value in answer.headers.items() if key != "X-Request-ID"}
            for answer in answers
        ]
        assert names[0] == names[1] == names[2]
        for place in ("/", "/entities/", "/embed/"):
            assert "anary" not in page(client.get(place))
        assert "No post has" in page(client.get("/search/?q=canary"))
        assert client.get("/entities/bird/canary/").status_code == 404


# --- Who may read -------------------------------------------------------------------------------------------

PLACES = ["/", "/search/?q=zebra", "/?before=nonsense", "/posts/real/", "/posts/missing/", "/entities/"]
PLACES += ["/entities/stack/postgresql/", "/entities/stack/missing/", "/embed/"]


class TestAccess:
    def test_strangers_are_sent_to_the_login_from_every_page_alike(
        self, client: Client, published: Any, reading: Any
    ) -> None:
        published(**FULL, slug="real")

        with reading() as queries:
            answers = {place: client.get(place) for place in PLACES}

        assert {place: (a.status_code, a.headers["Location"]) for place, a in answers.items()} == {
            place: (302, f"/login/?next={quote(place, safe='/')}") for place in PLACES
        }
        assert len({a.content for a in answers.values()}) == 1
        assert [q["sql"] for q in queries if "kb_" in q["sql"]] == []

    def test_robots_and_login_are_open_to_everybody(self, client: Client) -> None:
        robots = client.get("/robots.txt")

        assert robots.content == b"User-agent: *\nDisallow: /\n"
        assert robots.headers["Content-Type"].startswith("text/plain")
        assert client.get("/login/").status_code == 200
        assert client.get("/favicon.ico").headers["Location"].endswith("favicon.svg")

    def test_a_reader_who_is_no_editor_logs_in_and_comes_back_to_the_page(
        self, client: Client, published: Any, people: SimpleNamespace
    ) -> None:
        published(slug="real", title="Real")

        form = {"username": "stranger", "password": "pw", "next": "/posts/real/"}
        response = client.post("/login/", form, follow=True)

        assert response.redirect_chain == [("/posts/real/", 302)]
        assert "<h1>Real</h1>" in page(response)
        assert "stranger" in page(response)
        assert reverse("admin:index") not in page(response)

    def test_the_login_leads_to_no_other_site(self, client: Client, people: SimpleNamespace) -> None:
        form = {"username": "stranger", "password": "pw", "next": "https://evil.example/"}

        assert client.post("/login/", form).headers["Location"] == "/"

    @pytest.mark.parametrize("name", ["stranger", "nobody", "stran\x00ger"])
    def test_a_refused_login_says_so_and_not_what_was_wrong(
        self, client: Client, people: SimpleNamespace, name: str
    ) -> None:
        response = client.post("/login/", {"username": name, "password": "wrong"})

        assert response.status_code == 200
        assert 'role="alert"' in page(response)

    def test_logging_out_takes_a_button_not_a_link(self, client: Client, people: SimpleNamespace) -> None:
        client.force_login(people.stranger)

        assert client.get("/logout/").status_code == 405
        assert client.get("/").status_code == 200
        assert client.post("/logout/").headers["Location"] == "/"
        assert client.get("/").status_code == 302

    def test_staff_find_the_admin(self, client: Client, people: SimpleNamespace) -> None:
        client.force_login(people.editor)

        assert f'href="{reverse("admin:index")}"' in page(client.get("/"))

    @pytest.mark.usefixtures("public")
    def test_pages_are_for_looking_at(self, client: Client) -> None:
        for place in ("/", "/posts/missing/", "/entities/", "/embed/", "/robots.txt"):
            assert client.post(place).status_code == 405
            assert client.delete(place).status_code == 405


# --- What comes in wrong ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("public")
class TestBadRequests:
    @pytest.mark.parametrize(
        "query",
        [
            "before=x",
            "before=1-",
            "before=-1-1",
            "before=999999999999999999-1",
            "before=1-9999999999999999999",
            "before=%00",
            "before=١-١",
        ],
    )
    def test_a_query_that_makes_no_sense_is_named_on_a_page(self, client: Client, query: str) -> None:
        response = client.get(f"/?{query}")

        assert response.status_code == 400
        assert "The parameter “" in page(response)
        assert "\x00" not in page(response)

    @pytest.mark.parametrize(
        "query",
        [
            "q=%00",
            "q=a%00b",
            "q=" + "a" * 301,
            "q=a&cursor=x",
            "q=a&stack=%00",
            "q=a&topic=" + "a" * 601,
            "q=a" + "&stack=b" * 13,
        ],
    )
    def test_a_search_that_makes_no_sense_is_refused_as_clearly(self, client: Client, query: str) -> None:
        response = client.get(f"/search/?{query}")

        assert response.status_code == 400
        assert "\x00" not in page(response)

    @pytest.mark.parametrize("query", ["after=%00", "after=" + "a" * 601])
    def test_the_list_of_entities_refuses_as_clearly(self, client: Client, query: str) -> None:
        assert client.get(f"/entities/?{query}").status_code == 400

    def test_an_entitys_list_refuses_as_clearly(self, client: Client, published: Any) -> None:
        published(**FULL)

        assert client.get("/entities/stack/postgresql/?before=x").status_code == 400

    @pytest.mark.parametrize(
        "query",
        [
            "q=%FF%FE",
            "q='%22\\",
            "q=" + quote("!!! & | ( <-> :*"),
            "q=%20",
            "q=the",
            "before=",
            "q=a&q=b",
            "x=1",
        ],
    )
    def test_an_odd_query_is_answered(self, client: Client, published: Any, query: str) -> None:
        published(**FULL)

        place = "/search/" if query.startswith("q") else "/"
        assert client.get(f"{place}?{query}").status_code == 200

    @pytest.mark.parametrize("place", ["/entities/a%00/b/", "/entities/a/b%00/", "/posts/a%00b/", "/nothing"])
    def test_an_odd_address_is_not_found(self, client: Client, place: str) -> None:
        assert client.get(place, follow=True).status_code == 404


# --- Every page ---------------------------------------------------------------------------------------------


@pytest.fixture
def every_page(client: Client, published: Any, public: None) -> dict[str, HttpResponse]:
    published(**FULL, slug="real")
    places = [
        "/",
        "/search/?q=login",
        "/search/?q=zebra",
        "/posts/real/",
        "/entities/",
        "/entities/stack/postgresql/",
    ]
    places += ["/embed/", "/login/", "/posts/missing/", "/?before=x"]
    return {place: client.get(place) for place in places}


class TestEveryPage:
    def test_no_page_has_inline_scripts_or_styles(self, every_page: dict[str, HttpResponse]) -> None:
        for place, response in every_page.items():
            tags = re.findall(r"<[a-z][^>]*>", page(response))
            wrong = [tag for tag in tags if re.search(r"\s(style|on[a-z]+)=|<style|javascript:", tag)]
            wrong += [tag for tag in tags if tag.startswith("<script") and "src=" not in tag]
            assert (place, wrong) == (place, [])
            assert "'unsafe" not in response.headers["Content-Security-Policy"]

    def test_every_page_has_one_heading_a_title_and_stays_out_of_indexes(
        self, every_page: dict[str, HttpResponse]
    ) -> None:
        for place, response in every_page.items():
            text = page(response)
            assert (place, text.count("<h1")) == (place, 1)
            assert re.search(r"<title>[^<]{4,} · kb</title>", text), place
            assert '<meta name="robots" content="noindex">' in text
            assert '<html lang="en-GB">' in text
            ids = re.findall(r'\sid="([^"]*)"', text)
            assert len(ids) == len(set(ids)), place

    def test_browsers_ask_again_before_they_show_a_page(self, every_page: dict[str, HttpResponse]) -> None:
        assert {
            place: response.headers["Cache-Control"]
            for place, response in every_page.items()
            if response.status_code == 200 and place != "/login/"
        } == dict.fromkeys(list(every_page)[:7], "private, no-cache")
        assert all("Cookie" in every_page[place].headers["Vary"] for place in list(every_page)[:7])

    def test_strangers_get_no_cookie(self, every_page: dict[str, HttpResponse]) -> None:
        assert [place for place, response in every_page.items() if response.cookies] == ["/login/"]

    def test_the_error_page_names_the_request_but_no_account(
        self, client: Client, people: SimpleNamespace
    ) -> None:
        client.force_login(people.stranger)
        response = client.get("/posts/missing/")

        assert response.headers["X-Request-ID"] in response.content.decode()
        assert "stranger" not in page(response)
        assert "There is nothing here." in page(response)

    @pytest.mark.usefixtures("public")
    def test_the_example_is_whole_and_lives(self, client: Client, published: Any) -> None:
        empty = page(client.get("/embed/"))
        published(slug="real", title="Real")
        text = page(client.get("/embed/"))

        assert "Nothing is published yet." in empty
        assert "<kb-meta-box" not in empty
        assert '<kb-meta-box src="/api/v1/posts/real/meta/"' in text
        assert '&lt;kb-meta-box src="/api/v1/posts/real/meta/"&gt;&lt;/kb-meta-box&gt;' in text
        assert '&lt;script type="module" src="/static/kb/metabox.js"&gt;&lt;/script&gt;' in text
        assert 'href="/api/v1/docs/"' in text

    @pytest.mark.usefixtures("public")
    def test_the_reference_names_what_the_types_name(self, client: Client) -> None:
        types = Path("kb/static/kb/metabox.d.ts").read_text(encoding="utf-8")
        attributes = types.split("KbMetaBoxAttributes {")[1].split("\n}")[0]
        named = re.findall(r'^  "?([a-z-]+)"?\?:', attributes, re.M)
        named += re.findall(r'"(kb-[a-z]+)": CustomEvent', types)

        text = page(client.get("/embed/"))

        rows = re.findall(r"<tr><td><code>([a-z-]+)</code>", text)
        assert set(rows) == {*named, "lang"}


# --- The article --------------------------------------------------------------------------------------------


class TestArticle:
    def test_the_pages_title_stays_the_only_first_heading(self) -> None:
        made = article("<h1>One</h1><h2>Two</h2><h6>Six</h6>")

        assert made.html == '<h2 id="one">One</h2><h3 id="two">Two</h3><h6 id="six">Six</h6>'
        assert [(section.text, section.level) for section in made.sections] == [("One", 2), ("Two", 3)]

    def test_headings_of_one_name_and_names_of_the_page_get_addresses_of_their_own(self) -> None:
        made = article("<h2>Steps</h2><h2>Steps</h2><h2>Main</h2><h2>!</h2><h2></h2>")

        assert re.findall(r'id="([^"]*)"', made.html) == [
            "steps",
            "steps-2",
            "main-2",
            "section",
            "section-2",
        ]
        assert len(made.sections) == 4

    def test_a_page_with_ids_of_its_own_puts_a_prefix_before_those_of_headings(self) -> None:
        made = article("<h2>Decide</h2>", prefix="text-")

        assert made.html == '<h2 id="text-decide">Decide</h2>'

    def test_a_heading_inside_a_heading_stays_part_of_it(self) -> None:
        found = article("<h2><div><h3>inner</h3></div> outer</h2><p>x</p>")

        assert found.html == '<h2 id="inner-outer"><div><span>inner</span></div> outer</h2><p>x</p>'
        assert [section.text for section in found.sections] == ["inner outer"]

    def test_a_heading_with_markup_is_listed_by_its_words(self) -> None:
        made = article('<h2 title="x">Use <code>a &lt; b</code> &amp; <em>c</em></h2>')

        assert [section.text for section in made.sections] == ["Use a < b & c"]
        assert made.html == '<h2 id="use-a-b-c">Use <code>a &lt; b</code> &amp; <em>c</em></h2>'

    def test_everything_else_is_written_as_it_came(self) -> None:
        html = (
            '<p title="<img src=&quot;x&quot; onerror=1>">a &amp; b&nbsp;&#39; &lt;script&gt;<br>'
            '<code class="language-c">if (a &lt; b)</code></p><ol start="3"><li>x</li></ol><hr>'
        )

        assert article(html).html == html

    def test_a_wide_table_scrolls_by_itself(self) -> None:
        assert article("<table><tbody></tbody></table>").html == (
            '<div class="scroll"><table><tbody></tbody></table></div>'
        )

    def test_an_image_inside_a_link_is_named_without_a_second_link(self, settings: Any) -> None:
        settings.KB_IMAGE_HOSTS = ()

        made = article('<a href="https://a.example/"><img src="https://b.example/x.png" alt="&lt;b&gt;"></a>')

        assert made.html == ('<a href="https://a.example/"><span class="image">Image: &lt;b&gt;</span></a>')

    def test_an_allowed_image_keeps_its_size_and_waits_until_seen(self, settings: Any) -> None:
        settings.KB_IMAGE_HOSTS = ("b.example",)

        made = article('<img src="https://b.example/x.png?a=1&amp;b=2" alt="X" width="300">')

        assert made.html == (
            '<img alt="X" src="https://b.example/x.png?a=1&amp;b=2" width="300" '
            'loading="lazy" decoding="async">'
        )

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://a.example/x.png", True),
            ("https://A.EXAMPLE/x.png", True),
            ("https://a.example:443/x.png", True),
            ("https://a.example:8443/x.png", False),
            ("https://b.example:8443/x.png", True),
            ("https://b.example/x.png", False),
            ("https://x.c.example/x.png", True),
            ("https://c.example/x.png", False),
            ("http://a.example/x.png", False),
            ("//a.example/x.png", False),
            ("https://a.example.evil.example/x.png", False),
            ("https://[/x.png", False),
            ("https://a.example:x/x.png", False),
            ("", False),
        ],
    )
    def test_a_host_is_allowed_as_in_the_policy(self, settings: Any, url: str, shown: bool) -> None:
        settings.KB_IMAGE_HOSTS = ("a.example", "b.example:8443", "*.c.example")

        assert may_show(url) is shown
