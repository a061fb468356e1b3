"""How the meta box is ticked, focused and looked at, in a real browser."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.metabox.conftest import Show
from tests.browser.metabox.server import META, Answer, Server, section

# --- The checklist ------------------------------------------------------------------------------------------


def test_ticks_are_kept_in_this_browser(page: Page, show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)
    expect(box.locator(".progress")).to_contain_text("0 of 5 done")
    box.get_by_label("run linting").check()
    box.get_by_label("tag the release").check()
    expect(box.locator(".progress")).to_contain_text("2 of 5 done")

    page.reload()

    expect(box.locator(".progress")).to_contain_text("2 of 5 done")
    assert [tick.is_checked() for tick in box.get_by_role("checkbox").all()] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_new_content_starts_without_ticks(show: Show, sample: dict[str, Any]) -> None:
    show(sample).get_by_label("run linting").check()
    sample["review"]["fingerprint"] = "0" * 64

    expect(show(sample).locator(".progress")).to_contain_text("0 of 5 done")


def test_a_tick_works_by_keyboard_and_can_be_taken_back(
    page: Page, show: Show, sample: dict[str, Any]
) -> None:
    box = show(sample)

    page.keyboard.press("Tab")
    expect(box.get_by_label("run linting")).to_be_focused()
    page.keyboard.press("Space")
    expect(box.locator(".progress").get_by_role("status")).to_have_text("1 of 5 done")
    page.keyboard.press("Space")

    expect(box.locator(".progress").get_by_role("status")).to_have_text("0 of 5 done")


def test_clearing_the_ticks_starts_the_checklist_again(
    page: Page, show: Show, sample: dict[str, Any]
) -> None:
    box = show(sample)
    clear = box.get_by_role("button", name="Clear ticks")
    expect(clear).to_be_hidden()
    box.get_by_label("run linting").check()
    box.get_by_label("run unit tests").check()

    clear.click()

    expect(box.locator(".progress")).to_contain_text("0 of 5 done")
    expect(box.get_by_label("run linting")).to_be_focused()
    assert page.evaluate("localStorage.length") == 0


def test_two_tabs_keep_each_others_ticks(
    page: Page, server: Server, show: Show, sample: dict[str, Any]
) -> None:
    box = show(sample)
    with page.context.new_page() as other:
        other.goto(page.url)
        other.get_by_label("run linting").check()

    box.get_by_label("tag the release").check()

    expect(box.locator(".progress")).to_contain_text("2 of 5 done")


@pytest.mark.parametrize("stored", ["not json", "{}", '[99, -1, 0.5, null, "0"]', "null"])
@pytest.mark.own_page
def test_stored_nonsense_counts_as_no_tick(
    page: Page, show: Show, sample: dict[str, Any], stored: str
) -> None:
    key = f"kb-ticks:{sample['slug']}:{sample['review']['fingerprint']}"
    page.add_init_script(f"localStorage.setItem({json.dumps(key)}, {json.dumps(stored)})")
    box = show(sample)

    expect(box.locator(".progress")).to_contain_text("0 of 5 done")
    box.get_by_label("run linting").check()
    expect(box.locator(".progress")).to_contain_text("1 of 5 done")


@pytest.mark.own_page
def test_ticks_work_where_storage_is_blocked_and_the_reader_is_told(
    page: Page, show: Show, sample: dict[str, Any]
) -> None:
    page.add_init_script("""
        const blocked = () => { throw new DOMException("blocked", "SecurityError") };
        Object.defineProperty(window, "localStorage", { get: blocked });
    """)
    box = show(sample)

    box.get_by_label("run linting").check()
    box.get_by_label("run unit tests").check()

    expect(box.locator(".progress")).to_contain_text("2 of 5 done")
    expect(section(box, "Checklist")).to_contain_text("Ticks are lost when you leave")


# --- Looks --------------------------------------------------------------------------------------------------

RATIO = """
(element) => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => channels(colour).slice(0, 3)
    .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const up = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host;
  let ground = element;
  while (ground && /, 0\\)$/.test(getComputedStyle(ground).backgroundColor)) ground = up(ground);
  const behind = ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)";
  const pair = [getComputedStyle(element).color, behind];
  const [low, high] = pair.map(light).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
"""


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "no tokens"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(
    page: Page, show: Show, sample: dict[str, Any], theme: str, tokens: bool
) -> None:
    sample["flags"]["needs_human_review"] = True
    box = show(sample, attributes=f'images="link" theme="{theme}"', tokens=tokens)
    box.locator("summary").click()
    if tokens:
        ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]
        expect(box.locator("section.box")).to_have_css("background-color", ground)

    texts = box.locator(".box").locator("h2, h3, p, li, dt, dd, a, span, summary")
    ratios = texts.evaluate_all(f"(all) => all.map((text) => [text.innerText, ({RATIO})(text)])")
    weak = {text: ratio for text, ratio in ratios if text and ratio < 4.5}

    assert len(ratios) > 50
    assert weak == {}


def test_the_box_follows_the_readers_scheme_unless_the_page_names_one(
    page: Page, show: Show, sample: dict[str, Any]
) -> None:
    dark, light = "rgb(20, 23, 26)", "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    box = show(sample)
    ground = box.locator("section.box")
    expect(ground).to_have_css("background-color", dark)

    page.evaluate("document.documentElement.dataset.theme = 'light'")
    expect(ground).to_have_css("background-color", light)


def test_a_page_can_theme_the_box_by_properties_and_parts(
    server: Server, page: Page, sample: dict[str, Any]
) -> None:
    server.has(META, sample)
    server.answers["/own.css"] = Answer(
        b"kb-meta-box { --kb-accent: rgb(1, 2, 3) } kb-meta-box::part(box) { border-width: 3px }",
        kind="text/css",
    )
    page.goto(
        server.has_page(f'<link rel="stylesheet" href="/own.css"><kb-meta-box src="{META}" images="link">')
    )

    box = page.locator("kb-meta-box")
    expect(box.locator(".bar > span").first).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(box.locator("section.box")).to_have_css("border-top-width", "3px")


def test_focus_is_an_outline_of_two_pixels(page: Page, show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)

    page.keyboard.press("Tab")

    tick = box.get_by_label("run linting")
    expect(tick).to_have_css("outline-width", "2px")
    expect(tick).to_have_css("outline-offset", "2px")
    expect(tick).to_have_css("outline-color", "rgb(11, 107, 77)")


def test_nothing_sticks_out_at_any_width(page: Page, show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)

    for width in (320, 400, 1280):
        page.set_viewport_size({"width": width, "height": 900})

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        targets = [target.bounding_box() for target in box.locator("label, summary").all()]
        assert all(target is not None and target["height"] >= 24 for target in targets)


def test_paper_shows_the_record_and_the_full_date(page: Page, show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)
    expect(box.get_by_text("anp-ref-010444-8555")).to_be_hidden()

    page.emulate_media(media="print")

    assert box.locator(".inside").evaluate("inside => inside.offsetHeight") > 100
    assert "23 November 2026" in box.locator("time[title]").evaluate(
        "time => { const { content } = getComputedStyle(time, '::after'); return content + time.title }"
    )
    expect(section(box, "Checklist").locator(".hint")).to_be_hidden()


def test_right_to_left_pages_mirror_the_box(page: Page, show: Show, sample: dict[str, Any]) -> None:
    show(sample)
    page.evaluate("document.documentElement.dir = 'rtl'")

    icon = page.locator("kb-meta-box .review .mark").bounding_box()
    text = page.locator("kb-meta-box .review p").first.bounding_box()

    assert icon
    assert text
    assert icon["x"] > text["x"]
    expect(page.locator("kb-meta-box .lead")).to_have_css("text-align", "right")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_box_can_be_looked_at(
    page: Page, show: Show, sample: dict[str, Any], screenshot: Callable[..., None], scheme: str
) -> None:
    """Saves pictures where SCREENSHOTS_DIR names a folder; elsewhere it proves that no width breaks."""
    page.emulate_media(color_scheme=scheme)
    for width in (320, 400, 900):
        page.set_viewport_size({"width": width, "height": 2400})
        box = show(sample)
        box.locator("summary").click()
        box.get_by_label("run linting").check()
        screenshot(box, f"metabox-{scheme}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
