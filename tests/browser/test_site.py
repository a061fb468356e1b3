"""Readers' pages in a real browser, on a real server: looks, keyboard, the meta box, and no complaint."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.models import Post, Publication

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

LONG = "averylongwordwithoutanyplacetobreak" * 8
BODY = f"""
## Before

Two logins take turns. {LONG}

## During

```sh
psql --host db.internal.example --username owner --command "ALTER ROLE app_b PASSWORD 'from the vault'" # long
```

| setting | default | what it does | undo |
|---|---|---|---|
| `KB_READ_ACCESS_WITH_A_LONG_NAME` | `authenticated` | `who_may_read_what_was_published` | `unset_it` |

## After

![The gate](https://pictures.example/gate.png)
"""
CONTENT: dict[str, Any] = {
    "title": "Rotate database passwords without a maintenance window",
    "slug": "rotate",
    "body": BODY,
    "topic": "secrets / postgresql",
    "summary": "Two logins take turns, so that no service ever holds a dead password.",
    "owner": "Platform team",
    "expected_result": "No service holds a dead password.",
    "rollback_note": "Switch back to the first login.",
    "checklists": [{"items": ["Make the second login", "Switch", "Drop the first"]}],
    "entities": [{"name": "postgresql", "type": "stack"}, {"name": LONG[:200], "type": "area"}],
    "images": [{"source": "pictures", "url": "https://pictures.example/gate.png", "caption": "The gate"}],
    "scores": {"quality": 80},
    "flags": {"ai_generated_style": True},
}
PLACES = {
    "home": "/",
    "search": "/search/?q=login",
    "nothing-found": "/search/?q=zebra",
    "post": "/posts/rotate/",
    "entities": "/entities/",
    "entity": "/entities/stack/postgresql/",
    "embed": "/embed/",
    "guide": "/guide/",
    "login": "/login/",
}


@pytest.fixture
def site(
    live_server: LiveServer,
    settings: Any,
    make_post: Callable[..., Post],
    publish: Callable[..., Publication],
) -> str:
    settings.KB_READ_ACCESS = "public"
    publish(make_post(**CONTENT))
    return live_server.url


def settle(page: Page) -> None:
    """Wait until each meta box shows its outcome."""
    for box in page.locator("kb-meta-box").all():
        expect(box.locator(".skeleton")).to_have_count(0)


def overflow(page: Page) -> int:
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def test_a_post_shows_its_article_and_its_meta_box(site: str, page: Page) -> None:
    page.goto(f"{site}/posts/rotate/")

    box = page.locator("kb-meta-box")
    expect(box.get_by_role("heading", name="About this note")).to_be_visible()
    expect(box.get_by_text("Reviewed by a person")).to_be_visible()
    expect(box.get_by_role("checkbox", name="Make the second login")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(CONTENT["title"])
    expect(page.locator(".head .review")).to_contain_text("exactly this content, version")
    expect(page.get_by_role("link", name="Image: The gate")).to_have_attribute(
        "href", "https://pictures.example/gate.png"
    )
    assert page.locator("img").count() == 0


def test_the_box_stands_beside_the_article_and_below_it_on_a_phone(site: str, page: Page) -> None:
    page.goto(f"{site}/posts/rotate/")
    settle(page)

    def places() -> tuple[dict[str, float], dict[str, float]]:
        article, box = page.locator("article").bounding_box(), page.locator("kb-meta-box").bounding_box()
        assert article
        assert box
        return dict(article), dict(box)

    article, box = places()
    assert box["x"] > article["x"] + article["width"]
    assert abs(box["y"] - article["y"]) < 32
    page.set_viewport_size({"width": 400, "height": 800})
    article, box = places()
    assert box["y"] >= article["y"] + article["height"]
    assert box["width"] > 350


@pytest.mark.parametrize(("name", "width"), [("wide", 1280), ("phone", 400)])
def test_every_page_fits_its_window_and_none_complains(
    site: str,
    page: Page,
    screenshot: Callable[..., None],
    accessible: Callable[[Page], list[str]],
    name: str,
    width: int,
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    backgrounds = {}

    for place, address in PLACES.items():
        page.goto(site + address)
        settle(page)
        assert (place, accessible(page)) == (place, [])  # in both colour schemes
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            screenshot(page, f"site-{place}-{name}-{scheme}")
            assert (place, scheme, overflow(page)) == (place, scheme, 0)
            backgrounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert backgrounds == {"dark": "rgb(20, 23, 26)", "light": "rgb(255, 255, 255)"}


def test_lines_of_an_article_are_about_65_to_72_characters_long(site: str, page: Page) -> None:
    page.goto(f"{site}/posts/rotate/")

    characters = page.evaluate("""() => {
      const text = document.querySelector(".prose p");
      text.textContent = "when a project grows, writing down defaults becomes part of shipping; ".repeat(20);
      const lines = text.getBoundingClientRect().height / parseFloat(getComputedStyle(text).lineHeight);
      return text.textContent.length / lines;
    }""")

    assert 62 <= characters <= 75  # fonts differ


def test_every_link_and_field_is_reached_by_keyboard_and_shows_it(site: str, page: Page) -> None:
    page.goto(f"{site}/posts/rotate/")
    settle(page)

    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    assert (skip.bounding_box() or {})["width"] > 100
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate("""() => {
          let at = document.activeElement;
          while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
          const { outlineStyle, outlineWidth } = getComputedStyle(at);
          return at === document.body ? null : [at.tagName, outlineStyle, parseFloat(outlineWidth)];
        }""")
        if not found:
            break
        seen.append(found)

    expected = page.locator("a[href]:visible, button:visible, input:visible, summary:visible").count()
    assert len(seen) >= expected - 1  # all but the skip link; browsers add boxes that scroll
    assert [found for found in seen if found[1] == "none" or found[2] < 2] == []


def test_skipping_leads_into_the_content(site: str, page: Page) -> None:
    page.goto(f"{site}/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("combobox")).to_be_focused()


def test_targets_are_large_enough_to_hit(site: str, page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    for address in PLACES.values():
        page.goto(site + address)
        small = page.evaluate("""() => [...document.querySelectorAll("header a, nav a, button, input, .chip")]
          .filter((at) => at.checkVisibility() && at.type !== "hidden")
          .filter((at) => at.getBoundingClientRect().height < 24).map((at) => at.outerHTML)""")
        assert (address, small) == (address, [])


def test_a_reader_searches_opens_a_post_and_follows_its_entity(site: str, page: Page) -> None:
    page.goto(f"{site}/")
    page.get_by_role("combobox", name="Search posts").fill("rotating passwords")
    page.keyboard.press("Enter")
    expect(page.locator("mark").first).to_be_visible()
    page.get_by_role("link", name=re.compile("Rotate database")).click()
    page.get_by_role("link", name="During").click()
    expect(page).to_have_url(re.compile("#during$"))
    page.get_by_role("link", name="postgresql stack").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("postgresql")


def test_suggestions_are_reached_by_keys_and_lead_to_a_post(site: str, page: Page) -> None:
    page.goto(f"{site}/search/")
    field = page.get_by_role("combobox", name="Search posts")
    field.press_sequentially("Rotate")
    offered = page.get_by_role("option", name="Rotate database passwords")
    expect(offered).to_be_visible()
    for _ in range(page.get_by_role("option").count()):
        if offered.get_attribute("aria-selected") == "true":
            break
        field.press("ArrowDown")
    expect(field).to_have_attribute("aria-activedescendant", offered.get_attribute("id") or "")
    field.press("Enter")

    expect(page).to_have_url(f"{site}/posts/rotate/")

    page.goto(f"{site}/search/")
    field.press_sequentially("Rotate")
    expect(offered).to_be_visible()
    field.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    expect(field).to_have_value("Rotate")


def test_a_stranger_logs_in_reads_and_logs_out(
    site: str, page: Page, settings: Any, people: SimpleNamespace
) -> None:
    settings.KB_READ_ACCESS = "authenticated"
    page.goto(f"{site}/posts/rotate/")
    page.get_by_label("User name").fill("stranger")
    page.get_by_label("Password").fill("pw")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(CONTENT["title"])
    expect(page.locator("kb-meta-box").get_by_text("Platform team")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_embedding_example_shows_the_newest_posts_box(site: str, page: Page) -> None:
    page.goto(f"{site}/embed/")

    expect(page.locator("aside kb-meta-box").get_by_text("Platform team")).to_be_visible()


def test_without_scripts_the_page_reads_and_names_the_json(site: str, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/posts/rotate/")

    expect(page.locator(".head .lead")).to_be_visible()
    expect(page.get_by_role("link", name="Read them as JSON")).to_have_attribute(
        "href", "/api/v1/posts/rotate/meta/"
    )
    context.close()


def test_on_paper_only_what_is_read_remains(site: str, page: Page) -> None:
    page.goto(f"{site}/posts/rotate/")
    settle(page)
    page.emulate_media(media="print")

    for hidden in (".skip", ".bar nav", ".search", ".sections", ".bottom"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator(".prose")).to_be_visible()
    expect(page.locator(".head .lead")).to_be_visible()
    expect(page.locator("kb-meta-box")).to_be_visible()
