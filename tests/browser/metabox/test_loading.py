"""How the meta box waits, fails and tries again, in a real browser."""

import threading
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.metabox.conftest import Next, Show
from tests.browser.metabox.server import META, Server

# --- Loading, failing, trying again -------------------------------------------------------------------------


def test_a_box_that_waits_is_busy_and_says_so(
    page: Page, server: Server, show: Show, sample: dict[str, Any]
) -> None:
    gate = threading.Event()
    server.has(META, sample, gate=gate)

    box = show(None, state="loading")

    expect(box.locator("section.box")).to_have_attribute("aria-busy", "true")
    expect(box.locator(".skeleton")).to_be_visible()
    expect(box.get_by_role("status")).to_have_text("Still loading.")
    gate.set()
    expect(box).to_have_js_property("state", "ready")
    expect(box.locator("section.box")).to_have_attribute("aria-busy", "false")
    expect(box.locator(".status")).to_have_text("Details loaded.")
    expect(box.locator(".skeleton")).to_have_count(0)


def test_the_skeleton_holds_still_for_who_asked_for_less_motion(
    page: Page, server: Server, show: Show
) -> None:
    server.has(META, {}, gate=threading.Event())
    page.emulate_media(reduced_motion="reduce")

    bar = show(None, state="loading").locator(".skeleton")

    assert bar.evaluate("bar => getComputedStyle(bar).animationName") == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert bar.evaluate("bar => getComputedStyle(bar).animationName") == "breathe"


def test_each_refusal_is_told_in_its_own_words(
    show: Show, shown_next: Next, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("status of (400|401|403|404|410|429|500|503)")
    refusals: list[tuple[int, dict[str, str], str]] = [
        (401, {}, "You need to sign in to see this."),
        (403, {}, "You need to sign in to see this."),
        (404, {}, "There is nothing published here."),
        (410, {}, "There is nothing published here."),
        (429, {}, "Wait a moment, then try again."),
        (429, {"Retry-After": "30"}, "Wait 30 seconds, then try again."),
        (429, {"Retry-After": "<b>soon</b>"}, "Wait a moment, then try again."),
        (400, {}, "The server refused the request."),
        (500, {}, "The server had a problem."),
        (503, {}, "The server had a problem."),
    ]
    box = show(sample, attributes='images="link" retries="0"')

    for status, headers, said in refusals:
        assert shown_next(box, {"detail": "<b>no</b>"}, status=status, headers=headers) == "error"

        expect(box.locator(".error")).to_contain_text(said)
        expect(box.locator(".status")).to_contain_text("Details could not be loaded.")
        expect(box.get_by_role("button", name="Try again")).to_be_visible()


def test_a_refusal_names_the_request_for_whoever_looks_into_it(
    server: Server, show: Show, troubles: Any
) -> None:
    troubles.expect("status of 500")
    server.has(META, {}, status=500, headers={"X-Request-ID": "9f2c-77"})

    expect(show(None, state="error").locator(".error")).to_contain_text("(500, 9f2c-77)")


def test_an_answer_that_is_no_json_object_is_unreadable(
    show: Show, shown_next: Next, sample: dict[str, Any]
) -> None:
    box = show(sample)
    said = {}

    bodies = (b"", b"<html>", b'{"topic": ', b"[]", b"null", b'"text"', b"12")
    for body in bodies:
        state = shown_next(box, body)
        said[body] = state, "The answer could not be read." in box.locator(".error").inner_text()

    assert said == dict.fromkeys(bodies, ("error", True))


def test_a_late_answer_is_given_up_and_trying_again_helps(
    server: Server, show: Show, sample: dict[str, Any]
) -> None:
    gate = threading.Event()
    server.has(META, sample, gate=gate)
    box = show(None, state="error", attributes='images="link" timeout-ms="300" retries="0"')
    expect(box.locator(".error")).to_contain_text("The server took too long to answer.")

    gate.set()
    box.get_by_role("button", name="Try again").click()

    expect(box).to_have_js_property("state", "ready")


def test_a_server_that_cannot_be_reached_is_told(page: Page, show: Show, troubles: Any) -> None:
    troubles.expect("net::ERR_FAILED")
    page.route(f"**{META}", lambda route: route.abort())

    box = show(None, state="error", attributes='retries="0"')

    expect(box.locator(".error")).to_contain_text("The server could not be reached.")


def test_retrying_by_keyboard_keeps_the_readers_place(
    page: Page, server: Server, show: Show, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("status of 503")
    server.has(META, {}, status=503)
    box = show(None, state="error", attributes='images="link" retries="0"')
    server.has(META, sample)

    page.keyboard.press("Tab")
    expect(box.get_by_role("button", name="Try again")).to_be_focused()
    page.keyboard.press("Enter")

    expect(box).to_have_js_property("state", "ready")
    expect(box.locator("section.box")).to_be_focused()
    page.keyboard.press("Tab")
    expect(box.get_by_role("checkbox").first).to_be_focused()


def test_an_address_that_cannot_be_fetched_is_told_without_a_retry(page: Page, server: Server) -> None:
    sources = ["", "   ", "javascript:alert(1)", "data:application/json,{}", "http://["]
    page.goto(server.has_page("".join(f'<kb-meta-box src="{src}"></kb-meta-box>' for src in sources)))

    boxes = page.locator("kb-meta-box")
    told = boxes.locator(".error").filter(has_text="This box has no address to read from.")
    expect(told).to_have_count(len(sources))
    expect(boxes.get_by_role("button")).to_have_count(0)


def test_a_new_src_drops_the_answer_under_way(page: Page, server: Server, show: Show) -> None:
    gate = threading.Event()
    server.has(META, {"summary": "the old answer"}, gate=gate)
    server.has("/other.json", {"summary": "the new answer"})
    box = show(None, state="loading")

    box.evaluate("box => { box.src = '/other.json' }")
    expect(box).to_contain_text("the new answer")
    gate.set()
    page.wait_for_timeout(100)

    expect(box).not_to_contain_text("the old answer")


def test_a_box_taken_off_the_page_stops_loading_and_resumes_when_put_back(
    page: Page, server: Server, show: Show, sample: dict[str, Any]
) -> None:
    gate = threading.Event()
    server.has(META, sample, gate=gate)
    box = show(None, state="loading")

    page.evaluate("window.box = document.querySelector('kb-meta-box'); box.remove()")
    server.has(META, sample)
    page.evaluate("document.body.append(box)")

    expect(box).to_have_js_property("state", "ready")
    asked = server.asked(META)
    page.evaluate("box.remove(); document.body.append(box)")
    expect(box).to_have_js_property("state", "ready")
    assert server.asked(META) == asked  # moving a box that has its answer asks nothing


def test_one_view_of_a_page_asks_once(show: Show, server: Server, sample: dict[str, Any]) -> None:
    show(sample, attributes='images="link" heading-level="3"')

    assert len(server.asked(META)) == 1


def test_an_src_set_before_the_script_arrives_is_used(page: Page, server: Server) -> None:
    server.has(META, {"summary": "set early"})
    server.has_page("<kb-meta-box></kb-meta-box>")
    page.route("**/metabox.js", lambda route: page.wait_for_timeout(200) or route.continue_())

    page.goto(server.origin + "/", wait_until="commit")
    page.wait_for_selector("kb-meta-box", state="attached")
    page.evaluate("document.querySelector('kb-meta-box').src = '/meta.json'")

    expect(page.locator("kb-meta-box")).to_contain_text("set early")


@pytest.mark.own_page
def test_a_page_hears_of_loading_failing_and_ticking(
    page: Page, server: Server, show: Show, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("status of 404")
    page.add_init_script("""
        window.heard = [];
        for (const name of ["kb-load", "kb-error", "kb-tick"])
          document.addEventListener(name, ({ detail }) => heard.push([name, detail]));
    """)
    box = show(sample)
    box.get_by_label("run unit tests").check()
    server.has(META, {}, status=404)
    box.evaluate("box => box.reload()")

    assert page.evaluate("heard") == [
        ["kb-load", {"data": sample, "from": "src"}],
        ["kb-tick", {"index": 1, "item": "run unit tests", "checked": True, "done": 1, "total": 5}],
        [
            "kb-error",
            {
                "kind": "missing",
                "status": 404,
                "message": "There is nothing published here.",
                "hint": "The note may have been withdrawn or renamed. (404)",
                "retry": False,
                "retryAfter": None,
                "requestId": "",
                "problem": {},
            },
        ],
    ]


def test_cookies_go_along_to_the_own_origin(page: Page, server: Server, show: Show) -> None:
    page.context.add_cookies([{"name": "kb-session", "value": "abc", "url": server.origin}])

    show({"summary": "for who is signed in"})

    assert [request.headers["Cookie"] for request in server.asked(META)] == ["kb-session=abc"]
