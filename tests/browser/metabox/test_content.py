"""What the meta box shows of whole, odd and hostile answers, in a real browser under the policy of kb."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.metabox.conftest import Next, Show
from tests.browser.metabox.server import DATA, META, Answer, Server, section, text_of

# --- What a reader sees -------------------------------------------------------------------------------------


def test_a_reader_sees_everything_that_the_sample_holds(show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)
    box.get_by_text("Record and source").click()

    lines = [line for line in text_of(box).splitlines() if line.strip() not in {"", "✓"}]

    assert lines == (DATA / "sample.txt").read_text(encoding="utf-8").splitlines()


def test_the_review_line_comes_first_and_says_who_when_and_what(show: Show, sample: dict[str, Any]) -> None:
    review = show(sample).locator(".box > :nth-child(2)")

    expect(review).to_have_attribute("part", "review")
    expect(review).to_have_text(
        "✓Reviewed by a personExactly this content was approved 3 days ago as version 1.1.0.AI was involved"
        "Review by 21 February 2027"
    )
    moment = review.locator("time").first
    expect(moment).to_have_attribute("datetime", "2026-11-23T04:00:00Z")
    expect(moment).to_have_attribute("title", "23 November 2026 at 04:00:00 UTC")


def test_a_verification_is_overdue_from_the_day_after_its_date(
    show: Show, shown_next: Next, sample: dict[str, Any]
) -> None:
    box = show(sample)
    said = {}

    for day in ("2026-11-27", "2026-11-26", "2026-11-25", "2026-99-99", "soon", None, {"at": 1}):
        sample["review"]["review_by"] = day
        shown_next(box, sample)
        said[str(day)] = box.locator(".review").inner_text().split("AI was involved")[1].strip()

    assert list(said.values()) == [
        "Review by 27 November 2026",
        "Review by 26 November 2026",
        "Verification overdue: due by 25 November 2026",
        *("", "", "", ""),
    ]


def test_only_a_plain_true_counts_as_reviewed(show: Show, shown_next: Next, sample: dict[str, Any]) -> None:
    box = show(sample)

    for reviewed in (False, None, "true", 1, {}):
        sample["review"]["reviewed"] = reviewed
        shown_next(box, sample)

        expect(box.locator(".review")).to_contain_text("Not reviewedNo person has approved this content.")
        expect(box).not_to_contain_text("Reviewed by a person")


def test_an_approval_is_dated_by_its_age(show: Show, shown_next: Next, sample: dict[str, Any]) -> None:
    ages = {
        "2026-11-26T09:45:00Z": "now",  # the reader's clock is slow
        "2026-11-26T09:29:30Z": "30 seconds ago",
        "2026-11-26T08:30:00Z": "1 hour ago",
        "2026-11-25T08:30:00Z": "yesterday",
        "2026-08-26T08:30:00Z": "3 months ago",
        "2023-08-26T08:30:00Z": "3 years ago",
    }
    box = show(sample)
    said = {}

    for at in ages:
        sample["review"]["at"] = at
        shown_next(box, sample)
        said[at] = box.locator(".review time[title]").inner_text()

    assert said == ages


def test_numbers_and_dates_follow_the_language_of_the_page(show: Show, sample: dict[str, Any]) -> None:
    box = show(sample, attributes='images="link" lang="de"')

    expect(box.locator(".facts").first).to_contain_text("337.041")
    expect(box.locator(".facts").first).to_contain_text("1. Januar 2026")


def test_a_language_that_is_none_falls_back_to_the_browsers(show: Show, sample: dict[str, Any]) -> None:
    expect(show(sample, attributes='images="link" lang="!"').locator(".facts").first).to_contain_text(
        "337,041"
    )


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati"])
def test_a_day_stays_the_same_day_in_every_zone(
    chromium: Browser, server: Server, sample: dict[str, Any], zone: str
) -> None:
    server.has(META, sample)
    with chromium.new_context(timezone_id=zone, locale="en-GB") as context:
        page = context.new_page()
        page.goto(server.has_page(f'<kb-meta-box src="{META}" images="link"></kb-meta-box>'))

        expect(page.locator("kb-meta-box .facts").first).to_contain_text("1 January 2026")


def test_scores_are_meters_with_their_value_as_text(show: Show, sample: dict[str, Any]) -> None:
    scores = section(show(sample), "Scores")

    quality = scores.get_by_role("meter", name="quality")
    expect(quality).to_have_attribute("aria-valuenow", "74")
    expect(quality).to_have_attribute("aria-valuetext", "74 of 100")
    expect(scores.get_by_role("meter")).to_have_count(4)
    expect(scores).to_contain_text("quality74 of 100")
    assert quality.evaluate("bar => bar.firstChild.offsetWidth / bar.offsetWidth") == pytest.approx(
        0.74, abs=0.01
    )


def test_lists_are_lists_and_pairs_are_pairs(show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)

    assert section(box, "Tools").get_by_role("listitem").all_inner_texts() == sample["tools"]
    assert section(box, "Checklist").get_by_role("listitem").all_inner_texts() == sample["checklist"]
    assert section(box, "AI outline").locator("dd").all_text_contents() == [
        point["text"] for point in sample["ai_outline"]
    ]
    expect(section(box, "Entities").locator(".group")).to_have_text(
        ["stackpython services", "areabackend", "problemdocumenting production defaults"]
    )


def test_raised_flags_are_labels_and_the_others_stay_quiet(show: Show, sample: dict[str, Any]) -> None:
    flags = section(show(sample), "Flags from the source")

    expect(flags.get_by_role("listitem")).to_have_text(["AI generated style", "has images"])
    expect(flags).to_contain_text("Not raised: image heavy, needs human review.")


def test_headings_start_at_the_level_that_the_page_asks_for(
    page: Page, show: Show, sample: dict[str, Any]
) -> None:
    box = show(sample)
    expect(box.get_by_role("heading", level=2)).to_have_text("About this note")
    expect(box.get_by_role("region", name="About this note")).to_be_visible()
    expect(box.get_by_role("heading", level=3, name="Checklist")).to_be_visible()

    box.evaluate("box => box.setAttribute('heading-level', '4')")

    expect(box.get_by_role("heading", level=4)).to_have_text("About this note")
    expect(box.get_by_role("heading", level=5, name="Checklist")).to_be_visible()


def test_a_heading_level_out_of_range_is_brought_into_it(show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)

    for asked, level in (("0", 1), ("9", 5), ("high", 2), ("", 2)):
        box.evaluate("(box, level) => box.setAttribute('heading-level', level)", asked)
        expect(box.get_by_role("heading", level=level, name="About this note")).to_be_visible()


# --- Incomplete and odd answers -----------------------------------------------------------------------------


def test_a_note_without_details_says_so(show: Show) -> None:
    box = show(json.loads((DATA / "minimal.json").read_text(encoding="utf-8")), state="empty")

    expect(box).to_contain_text("Nothing is recorded about this note yet.")
    expect(box.locator(".review")).to_contain_text("Reviewed by a person")


def test_an_empty_object_is_an_empty_box_without_any_claim_of_review(show: Show) -> None:
    box = show({}, state="empty")

    expect(box.locator(".review")).to_have_count(0)


def test_values_of_the_wrong_type_are_shown_as_far_as_they_can_be(show: Show) -> None:
    box = show(json.loads((DATA / "wrong-types.json").read_text(encoding="utf-8")))

    expect(box.locator(".review")).to_contain_text("Not reviewed")
    expect(box).to_contain_text("problem: defaults, stack: python, services")
    expect(section(box, "AI outline")).to_contain_text("one point as text")
    expect(section(box, "AI brief")).to_contain_text("first half, second half")
    expect(section(box, "Stack").get_by_role("listitem")).to_have_text(["python services"])
    expect(section(box, "Tools").get_by_role("listitem")).to_have_text(["lint: ruff"])
    expect(box).to_contain_text("about twelve")
    expect(box).to_contain_text("337,041")
    expect(section(box, "Checklist").get_by_role("listitem")).to_have_text(
        ["run linting", "text: run tests", "nested, items"]
    )
    expect(section(box, "Entities").locator(".group")).to_have_text(["otherbare nameno type7"])
    expect(section(box, "Flags from the source").get_by_role("listitem")).to_have_text(
        ["needs human review", "has images", "from the future"]
    )
    scores = section(box, "Scores").locator(".meter")
    expect(scores).to_have_text(
        ["qualityhigh", "freshness1,000 of 100", "depth-5 of 100", "clarity61 of 100", "novel key1, 2"]
    )
    expect(section(box, "Images").locator("figure")).to_have_text(
        ["Source: images.example", "Source: //images.example/b.png", "no address"]
    )
    expect(section(box, "Images").get_by_role("link")).to_have_count(1)


def test_no_key_is_needed_and_no_type_is_trusted(show: Show, server: Server, sample: dict[str, Any]) -> None:
    box = show(sample)
    paths = []
    for number, value in enumerate(["missing", None, 7, [[]], {"": {}}]):
        for key in sample:
            rest = {name: kept for name, kept in sample.items() if name != key}
            paths.append(f"/{key}-{number}.json")
            server.has(paths[-1], rest if value == "missing" else {**rest, key: value})

    states = box.evaluate(
        """async (box, paths) => {
          const states = {};
          for (const path of paths) {
            box.src = path;
            await box.reload();
            states[path] = box.state;
          }
          return states;
        }""",
        paths,
    )

    assert states == dict.fromkeys(paths, "ready")
    assert len(states) == 5 * len(sample)


# --- Images -------------------------------------------------------------------------------------------------


def test_an_image_is_loaded_lazily_and_without_a_referrer(
    server: Server, show: Show, sample: dict[str, Any]
) -> None:
    server.answers["/picture.svg"] = Answer(
        b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>', kind="image/svg+xml"
    )
    sample["image_sources"][0]["url"] = f"{server.origin}/picture.svg"

    figure = show(sample, attributes="").locator("figure")

    image = figure.locator("img")
    expect(image).to_have_attribute("loading", "lazy")
    expect(image).to_have_attribute("referrerpolicy", "no-referrer")
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("naturalWidth", 30)
    expect(figure.locator("figcaption")).to_contain_text("visual reference 1Source: unsplash, 127.0.0.1")


def test_an_image_that_fails_leaves_caption_credit_and_link(
    server: Server, show: Show, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("status of 404")
    sample["image_sources"][0]["url"] = f"{server.origin}/gone.png"
    figure = show(sample, attributes="").locator("figure")

    figure.scroll_into_view_if_needed()

    expect(figure.locator("img")).to_have_count(0)
    expect(figure).to_contain_text("visual reference 1Source: unsplash")
    expect(figure.get_by_role("link")).to_have_attribute("href", f"{server.origin}/gone.png")


def test_an_image_that_the_policy_forbids_falls_back_to_its_link(
    show: Show, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("img-src|Content Security Policy")
    figure = show(sample, attributes="").locator("figure")

    figure.scroll_into_view_if_needed()

    expect(figure.locator("img")).to_have_count(0)
    expect(figure.get_by_role("link", name="images.unsplash.com")).to_be_visible()


def test_images_that_are_only_linked_provoke_no_report(show: Show, sample: dict[str, Any]) -> None:
    figure = show(sample, attributes='images="link"').locator("figure")

    link = figure.get_by_role("link", name="images.unsplash.com")
    expect(link).to_have_attribute("href", sample["image_sources"][0]["url"])
    expect(link).to_have_attribute("rel", "noreferrer")
    expect(figure.locator("img")).to_have_count(0)  # and the page fixture fails on any report


# --- Hostile content ----------------------------------------------------------------------------------------

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " \u0001javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:http://127.0.0.1/x",
    "//evil.example/x.png",
    "https://user:secret@evil.example/",
    "https://[evil/",
    "</style><script>alert(1)</script>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "__proto__",
    "\u202egnp.exe",
    "x" * 4000,
]


FOUND_IN_THE_BOX = """() => {
  const within = document.querySelector("kb-meta-box").shadowRoot;
  const attributes = [...within.querySelectorAll("*")].flatMap((element) => [...element.attributes]);
  return {
    elements: [...within.querySelectorAll("script, style, img, iframe, object, a, form")].map(String),
    handlers: attributes.map(({ name }) => name).filter((name) => /^on|^srcdoc$/i.test(name)),
    polluted: ({}).polluted === undefined ? Object.keys(Object.prototype) : ["polluted"],
  };
}"""


def poisoned(value: Any, poison: str) -> Any:
    """The same shape with the poison in place of every string, and as one more key of every object."""
    if isinstance(value, dict):
        keys = {key: poisoned(item, poison) for key, item in value.items()}
        return {**keys, poison: poison}
    if isinstance(value, list):
        return [poisoned(item, poison) for item in value]
    return poison if isinstance(value, str) else value


def test_hostile_text_in_every_field_stays_text(
    page: Page, show: Show, shown_next: Next, sample: dict[str, Any]
) -> None:
    box = show(poisoned(sample, HOSTILE[0]), attributes="")

    for poison in HOSTILE:
        shown_next(box, poisoned(sample, poison))
        box.locator("summary").click()
        for figure in box.locator("figure").all():
            figure.scroll_into_view_if_needed()

        expect(section(box, "Stack").get_by_role("listitem").first).to_have_text(poison.strip())
        assert page.evaluate(FOUND_IN_THE_BOX) == {"elements": [], "handlers": [], "polluted": []}, poison


def test_a_long_word_does_not_widen_a_narrow_box(page: Page, show: Show, sample: dict[str, Any]) -> None:
    page.set_viewport_size({"width": 320, "height": 800})

    show(poisoned(sample, "x" * 400))

    assert page.evaluate("document.documentElement.scrollWidth") == 320
