"""The meta box in a real browser, on a real server, under the policy that kb sends."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "kb" / "static"
DATA = ROOT / "tests" / "data" / "metabox"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
META = "/meta.json"
NOW = "2026-11-26T09:30:00Z"


@dataclass
class Answer:
    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    # Answers are held back until this is set.
    gate: threading.Event | None = None


class Server:
    """Canned answers by path, beside the real static files, on a free port of loopback."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers.get("Cookie")))
                answer = server.find(self.path)
                if answer.gate:
                    answer.gate.wait(10)
                # Some tests want the page to give up waiting.
                with suppress(ConnectionError):
                    self.send(answer)

            def send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.send_header("X-Content-Type-Options", "nosniff")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.origin = f"http://127.0.0.1:{self.http.server_port}"

    def find(self, path: str) -> Answer:
        if path.startswith("/static/"):
            file = STATIC / path.removeprefix("/static/")
            if file.is_file():
                return Answer(file.read_bytes(), kind=TYPES[file.suffix])
        if path == "/favicon.ico":
            return Answer(b"", status=204)
        return self.answers.get(path, Answer(b"{}", status=404))

    def has(self, path: str, body: Any, **more: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = Answer(raw, **more)

    def has_page(self, box: str, *, tokens: bool = True, theme: str = "", path: str = "/") -> str:
        sheet = '<link rel="stylesheet" href="/static/kb/tokens.css">' if tokens else ""
        switch = f' data-theme="{theme}"' if theme else ""
        html = (
            f'<!doctype html><html lang="en-GB"{switch}><head><meta charset="utf-8"><title>A note</title>'
            f'<meta name="viewport" content="width=device-width">{sheet}'
            '<script type="module" src="/static/kb/metabox.js"></script>'
            f"</head><body>{box}</body></html>"
        )
        self.answers[path] = Answer(html.encode(), kind="text/html; charset=utf-8")
        return self.origin + path

    def asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)

    def close(self) -> None:
        for answer in self.answers.values():
            if answer.gate:
                answer.gate.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def sample() -> dict[str, Any]:
    return json.loads((DATA / "sample.json").read_text(encoding="utf-8"))


Show = Callable[..., Locator]


@pytest.fixture
def show(page: Page, server: Server) -> Show:
    """Open a page that embeds the box, with this JSON behind it; return the box."""

    def show(
        meta: Any, *, attributes: str = 'images="link"', state: str = "ready", **page_options: Any
    ) -> Locator:
        if meta is not None:
            server.has(META, meta)
        page.clock.set_fixed_time(NOW)
        page.goto(server.has_page(f'<kb-meta-box src="{META}" {attributes}></kb-meta-box>', **page_options))
        box = page.locator("kb-meta-box")
        expect(box).to_have_js_property("state", state)
        return box

    return show


def section(box: Locator, title: str) -> Locator:
    return box.locator(".section").filter(has=box.page.get_by_role("heading", name=title, exact=True))


def text_of(box: Locator) -> str:
    return box.locator("section.box").inner_text()


# --- What a reader sees -------------------------------------------------------------------------------------


def test_a_reader_sees_everything_that_the_sample_holds(show: Show, sample: dict[str, Any]) -> None:
    box = show(sample)
    box.get_by_text("Record and source").click()

    lines = [line for line in text_of(box).splitlines() if line.strip()]

    assert lines == (DATA / "sample.txt").read_text(encoding="utf-8").splitlines()


def test_the_review_line_comes_first_and_says_who_when_and_what(show: Show, sample: dict[str, Any]) -> None:
    review = show(sample).locator(".box > :nth-child(2)")

    expect(review).to_have_attribute("part", "review")
    expect(review).to_have_text(
        "Reviewed by a personExactly this content was approved 3 days ago as version 1.1.0.AI was involved"
    )
    expect(review.locator("time")).to_have_attribute("datetime", "2026-11-23T04:00:00Z")
    expect(review.locator("time")).to_have_attribute("title", "23 November 2026 at 04:00:00 UTC")


@pytest.mark.parametrize("reviewed", [False, None, "true", 1, {}])
def test_only_a_plain_true_counts_as_reviewed(show: Show, sample: dict[str, Any], reviewed: Any) -> None:
    sample["review"]["reviewed"] = reviewed

    box = show(sample)

    expect(box.locator(".review")).to_contain_text("Not reviewedNo person has approved this content.")
    expect(box).not_to_contain_text("Reviewed by a person")


def test_an_approval_in_the_readers_future_reads_as_now(show: Show, sample: dict[str, Any]) -> None:
    sample["review"]["at"] = "2026-11-26T09:45:00Z"

    expect(show(sample).locator(".review time")).to_have_text("now")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-26T09:29:30Z", "30 seconds ago"),
        ("2026-11-26T08:30:00Z", "1 hour ago"),
        ("2026-11-25T08:30:00Z", "yesterday"),
        ("2026-08-26T08:30:00Z", "3 months ago"),
        ("2023-08-26T08:30:00Z", "3 years ago"),
    ],
)
def test_an_approval_is_dated_by_its_age(show: Show, sample: dict[str, Any], at: str, said: str) -> None:
    sample["review"]["at"] = at

    expect(show(sample).locator(".review time")).to_have_text(said)


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

    expect(flags.get_by_role("listitem")).to_have_text(["AI-generated style", "has images"])
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


@pytest.mark.parametrize(("asked", "level"), [("0", 1), ("9", 5), ("high", 2), ("", 2)])
def test_a_heading_level_out_of_range_is_brought_into_it(
    show: Show, sample: dict[str, Any], asked: str, level: int
) -> None:
    box = show(sample, attributes=f'images="link" heading-level="{asked}"')

    expect(box.get_by_role("heading", level=level, name="About this note")).to_be_visible()


# --- Incomplete and odd answers -----------------------------------------------------------------------------


def test_a_note_without_details_says_so(show: Show) -> None:
    box = show(json.loads((DATA / "minimal.json").read_text(encoding="utf-8")), state="empty")

    expect(box.get_by_role("status").first).to_have_text("There are no details to show.")
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


@pytest.mark.parametrize("value", ["missing", None, 7, [[]], {"": {}}])
def test_no_key_is_needed_and_no_type_is_trusted(
    server: Server, show: Show, sample: dict[str, Any], value: Any
) -> None:
    box = show(sample)
    broken = {}

    for key in sample:
        rest = {name: kept for name, kept in sample.items() if name != key}
        server.has(META, rest if value == "missing" else {**rest, key: value})
        box.evaluate("box => box.reload()")
        if box.evaluate("box => box.state") != "ready":
            broken[key] = text_of(box)

    assert broken == {}


# --- Loading, failing, trying again -------------------------------------------------------------------------


def test_a_box_that_waits_is_busy_and_says_so(
    page: Page, server: Server, show: Show, sample: dict[str, Any]
) -> None:
    gate = threading.Event()
    server.has(META, sample, gate=gate)

    box = show(None, state="loading")

    expect(box.locator("section.box")).to_have_attribute("aria-busy", "true")
    expect(box.get_by_role("status")).to_have_text("Loading details.")
    expect(box.locator(".skeleton")).to_be_visible()
    gate.set()
    expect(box).to_have_js_property("state", "ready")
    expect(box.locator("section.box")).to_have_attribute("aria-busy", "false")
    expect(box.get_by_role("status").first).to_have_text("Details loaded.")
    expect(box.locator(".skeleton")).to_have_count(0)


def test_the_skeleton_holds_still_for_who_asked_for_less_motion(
    page: Page, server: Server, show: Show
) -> None:
    server.has(META, {}, gate=threading.Event())
    page.emulate_media(reduced_motion="reduce")

    bar = show(None, state="loading").locator(".skeleton span").first

    assert bar.evaluate("bar => getComputedStyle(bar).animationName") == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert bar.evaluate("bar => getComputedStyle(bar).animationName") == "breathe"


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (401, {}, "You need to sign in to see this."),
        (403, {}, "You need to sign in to see this."),
        (404, {}, "There is nothing published here."),
        (410, {}, "The server refused the request (410)."),
        (429, {}, "Wait a moment, then try again."),
        (429, {"Retry-After": "30"}, "Wait 30 seconds, then try again."),
        (429, {"Retry-After": "<b>soon</b>"}, "Wait a moment, then try again."),
        (500, {}, "The server had a problem (500)."),
        (503, {}, "The server had a problem (503)."),
    ],
)
def test_each_refusal_is_told_in_its_own_words(
    server: Server, show: Show, troubles: Any, status: int, headers: dict[str, str], said: str
) -> None:
    troubles.expect(f"status of {status}")
    server.has(META, {"detail": "<b>no</b>"}, status=status, headers=headers)

    box = show(None, state="error")

    expect(box.locator(".error")).to_contain_text(said)
    expect(box.get_by_role("status").first).to_contain_text("Details could not be loaded.")
    expect(box.get_by_role("button", name="Try again")).to_be_visible()


def test_a_refusal_names_the_request_for_whoever_looks_into_it(
    server: Server, show: Show, troubles: Any
) -> None:
    troubles.expect("status of 500")
    server.has(META, {}, status=500, headers={"X-Request-ID": "9f2c-77"})

    expect(show(None, state="error").locator(".error")).to_contain_text("Request 9f2c-77")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"topic": ', b"[]", b"null", b'"text"', b"12"])
def test_an_answer_that_is_no_json_object_is_unreadable(server: Server, show: Show, body: bytes) -> None:
    server.has(META, body)

    expect(show(None, state="error").locator(".error")).to_contain_text("The answer could not be read.")


def test_a_late_answer_is_given_up_and_trying_again_helps(
    server: Server, show: Show, sample: dict[str, Any]
) -> None:
    gate = threading.Event()
    server.has(META, sample, gate=gate)
    box = show(None, state="error", attributes='images="link" timeout-ms="300"')
    expect(box.locator(".error")).to_contain_text("No answer within 0.3 seconds.")

    gate.set()
    box.get_by_role("button", name="Try again").click()

    expect(box).to_have_js_property("state", "ready")


def test_a_server_that_cannot_be_reached_is_told(page: Page, show: Show, troubles: Any) -> None:
    troubles.expect("net::ERR_FAILED")
    page.route(f"**{META}", lambda route: route.abort())

    expect(show(None, state="error").locator(".error")).to_contain_text("The server could not be reached.")


def test_retrying_by_keyboard_keeps_the_readers_place(
    page: Page, server: Server, show: Show, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("status of 503")
    server.has(META, {}, status=503)
    box = show(None, state="error")
    server.has(META, sample)

    page.keyboard.press("Tab")
    expect(box.get_by_role("button", name="Try again")).to_be_focused()
    page.keyboard.press("Enter")

    expect(box).to_have_js_property("state", "ready")
    expect(box.locator("section.box")).to_be_focused()
    page.keyboard.press("Tab")
    expect(box.get_by_role("checkbox").first).to_be_focused()


@pytest.mark.parametrize("src", ["", "   ", "javascript:alert(1)", "data:application/json,{}", "http://["])
def test_an_address_that_cannot_be_fetched_is_told_without_a_retry(
    page: Page, server: Server, src: str
) -> None:
    page.goto(server.has_page(f'<kb-meta-box src="{src}"></kb-meta-box>'))

    box = page.locator("kb-meta-box")
    expect(box.locator(".error")).to_contain_text("This box has no address to read from.")
    expect(box.get_by_role("button")).to_have_count(0)


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


def test_an_src_set_before_the_script_arrives_is_used(page: Page, server: Server) -> None:
    server.has(META, {"summary": "set early"})
    server.has_page("<kb-meta-box></kb-meta-box>")
    page.route("**/metabox.js", lambda route: page.wait_for_timeout(200) or route.continue_())

    page.goto(server.origin + "/", wait_until="commit")
    page.wait_for_selector("kb-meta-box", state="attached")
    page.evaluate("document.querySelector('kb-meta-box').src = '/meta.json'")

    expect(page.locator("kb-meta-box")).to_contain_text("set early")


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
        ["kb-load", {"data": sample}],
        ["kb-tick", {"index": 1, "item": "run unit tests", "checked": True, "done": 1, "total": 5}],
        ["kb-error", {"kind": "missing", "status": 404, "message": "There is nothing published here."}],
    ]


def test_cookies_go_along_to_the_own_origin(page: Page, server: Server, show: Show) -> None:
    page.context.add_cookies([{"name": "kb-session", "value": "abc", "url": server.origin}])

    show({"summary": "for who is signed in"})

    assert (META, "kb-session=abc") in server.requests


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
    expect(box.get_by_role("status").last).to_have_text("1 of 5 done")
    page.keyboard.press("Space")

    expect(box.get_by_role("status").last).to_have_text("0 of 5 done")


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
def test_stored_nonsense_counts_as_no_tick(
    page: Page, show: Show, sample: dict[str, Any], stored: str
) -> None:
    key = f"kb-ticks:{sample['slug']}:{sample['review']['fingerprint']}"
    page.add_init_script(f"localStorage.setItem({json.dumps(key)}, {json.dumps(stored)})")
    box = show(sample)

    expect(box.locator(".progress")).to_contain_text("0 of 5 done")
    box.get_by_label("run linting").check()
    expect(box.locator(".progress")).to_contain_text("1 of 5 done")


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
    expect(link).to_have_attribute("rel", "noopener noreferrer")
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


def poisoned(value: Any, poison: str) -> Any:
    """The same shape with the poison in place of every string, and as one more key of every object."""
    if isinstance(value, dict):
        keys = {key: poisoned(item, poison) for key, item in value.items()}
        return {**keys, poison: poison}
    if isinstance(value, list):
        return [poisoned(item, poison) for item in value]
    return poison if isinstance(value, str) else value


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_text_in_every_field_stays_text(
    page: Page, show: Show, sample: dict[str, Any], poison: str
) -> None:
    box = show(poisoned(sample, poison), attributes="")
    box.locator("summary").click()
    for figure in box.locator("figure").all():
        figure.scroll_into_view_if_needed()

    expect(section(box, "Stack").get_by_role("listitem").first).to_have_text(poison.strip())
    shadow = "document.querySelector('kb-meta-box').shadowRoot"
    assert (
        page.evaluate(f"{shadow}.querySelectorAll('script, style, img, iframe, object, a, form').length") == 0
    )
    assert (
        page.evaluate(f"""[...{shadow}.querySelectorAll('*')].flatMap((element) => [...element.attributes])
        .filter((attribute) => /^on|^srcdoc$/i.test(attribute.name)).length""")
        == 0
    )
    assert page.evaluate("({}).polluted === undefined && Object.keys(Object.prototype).length") == 0


def test_a_long_word_does_not_widen_a_narrow_box(page: Page, show: Show, sample: dict[str, Any]) -> None:
    page.set_viewport_size({"width": 320, "height": 800})

    show(poisoned(sample, "x" * 400))

    assert page.evaluate("document.documentElement.scrollWidth") == 320


# --- Looks --------------------------------------------------------------------------------------------------

RATIO = """
(element) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
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
    box = show(sample, theme=theme, tokens=tokens)
    if not tokens:
        box.evaluate("(box, scheme) => { box.style.colorScheme = scheme }", theme)
    box.locator("summary").click()
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]
    expect(box.locator("section.box")).to_have_css("background-color", ground)

    texts = box.locator(".box").locator("h2, h3, p, li, dt, dd, a, span, summary").all()
    weak = {
        text.inner_text(): ratio
        for text in texts
        if text.inner_text() and (ratio := text.evaluate(RATIO)) < 4.5
    }

    assert weak == {}


def test_the_box_follows_the_readers_scheme_unless_the_page_names_one(
    page: Page, show: Show, sample: dict[str, Any]
) -> None:
    page.emulate_media(color_scheme="dark")
    expect(show(sample).locator("section.box")).to_have_css("background-color", "rgb(20, 23, 26)")
    expect(show(sample, theme="auto").locator("section.box")).to_have_css(
        "background-color", "rgb(20, 23, 26)"
    )

    expect(show(sample, theme="light").locator("section.box")).to_have_css(
        "background-color", "rgb(255, 255, 255)"
    )


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


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_nothing_sticks_out_at_any_width(page: Page, show: Show, sample: dict[str, Any], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})

    box = show(sample)

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

    icon = page.locator("kb-meta-box .review svg").bounding_box()
    text = page.locator("kb-meta-box .review p").first.bounding_box()

    assert icon
    assert text
    assert icon["x"] > text["x"]


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
