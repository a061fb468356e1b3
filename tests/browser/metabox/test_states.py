"""Each state of the meta box on a page of its own, and its reference held equal to what it does."""

import gzip
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.models import Post, Publication
from tests.browser.metabox.conftest import Show
from tests.browser.metabox.server import META, POLICY, STATIC, Server
from tests.browser.metabox.states import PROBLEM, inline, put

CODE = (STATIC / "kb" / "metabox.js").read_text(encoding="utf-8")
TYPES = (STATIC / "kb" / "metabox.d.ts").read_text(encoding="utf-8")
LISTEN = """() => {
  window.heard = [];
  for (const name of ["kb-load", "kb-error", "kb-retry"])
    document.addEventListener(name, ({ detail }) => heard.push([name, detail.kind ?? detail.from]));
}"""


def wait_for(box: Locator, state: str) -> None:
    expect(box).to_have_js_property("state", state)


# --- States -------------------------------------------------------------------------------------------------


@pytest.mark.own_page
def test_each_state_has_a_page_that_shows_it(page: Page, server: Server, troubles: Any) -> None:
    troubles.expect("status of (401|404|429|500)|ERR_EMPTY_RESPONSE")
    page.clock.install()

    for name, shown in put(server).items():
        page.goto(f"{server.origin}/states/{name}")
        box = page.locator("kb-meta-box")
        wait_for(box, shown.state)
        if name == "slow":
            page.clock.run_for(3000)

        expect(box, name).to_contain_text(shown.says)
        assert (name, box.evaluate("(box, state) => box.matches(`:state(${state})`)", shown.state)) == (
            name,
            True,
        )


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {"Retry-After": "1"}), (503, {}), (502, {"Retry-After": "1"})],
    ids=["429", "503", "502"],
)
def test_what_passes_is_asked_again_by_the_box_itself(
    page: Page, server: Server, troubles: Any, sample: dict[str, Any], status: int, headers: dict[str, str]
) -> None:
    troubles.expect(f"status of {status}")
    server.has(META, PROBLEM, status=status, headers=headers)
    page.goto(server.has_page("<p>No box yet.</p>"))
    page.evaluate(LISTEN)
    page.evaluate("src => { document.body.innerHTML = `<kb-meta-box images=link src=${src}>` }", META)
    page.wait_for_function("() => heard.length > 0")
    server.has(META, sample)

    wait_for(page.locator("kb-meta-box"), "ready")

    heard = page.evaluate("heard")
    assert heard[0] == ["kb-retry", "busy" if status == 429 else "server"]
    assert heard[-1] == ["kb-load", "src"]


def test_a_long_wait_is_left_to_the_reader(server: Server, show: Show, troubles: Any) -> None:
    troubles.expect("status of 429")
    server.has(META, PROBLEM, status=429, headers={"Retry-After": "30"})

    box = show(None, state="error")

    expect(box.locator(".error")).to_contain_text("Wait 30 seconds, then try again. (429, 77)")
    assert len(server.asked(META)) == 1


@pytest.mark.parametrize("status", [401, 404, 500])
def test_what_stays_is_asked_once(server: Server, show: Show, troubles: Any, status: int) -> None:
    troubles.expect(f"status of {status}")
    server.has(META, {}, status=status)

    show(None, state="error")

    assert len(server.asked(META)) == 1


def test_who_is_not_signed_in_finds_the_pages_own_way_to_do_so(
    page: Page, server: Server, troubles: Any
) -> None:
    troubles.expect("status of 401")
    server.has(META, {}, status=401)
    page.goto(server.has_page(f'<kb-meta-box src="{META}"><a slot="error" href="/login">Sign in</a>'))

    expect(page.locator("kb-meta-box").get_by_role("link", name="Sign in")).to_be_visible()


def test_a_new_src_gives_up_the_pauses_between_attempts(
    page: Page, server: Server, show: Show, troubles: Any, sample: dict[str, Any]
) -> None:
    troubles.expect("status of 503")
    server.has(META, PROBLEM, status=503, headers={"Retry-After": "1"})
    server.has("/other.json", sample)
    box = show(None, state="loading")
    expect(box.locator(".status")).to_have_text("The server had a problem. Trying again.")

    box.evaluate("box => { box.src = '/other.json' }")

    wait_for(box, "ready")
    page.wait_for_timeout(1600)
    assert len(server.asked(META)) == 1


def test_data_within_the_element_is_shown_without_a_request(
    page: Page, server: Server, sample: dict[str, Any]
) -> None:
    sample["summary"] = "</script><b>text</b>"
    page.goto(server.has_page(f'<kb-meta-box src="{META}" images="link">{inline(sample)}</kb-meta-box>'))
    box = page.locator("kb-meta-box")
    wait_for(box, "ready")

    expect(box).to_contain_text("</script><b>text</b>")
    assert server.asked(META) == []
    server.has(META, {"summary": "newer"})
    box.evaluate("box => box.reload()")
    expect(box).to_contain_text("newer")


def test_data_within_that_is_no_json_is_an_error_with_a_way_out(
    page: Page, server: Server, sample: dict[str, Any]
) -> None:
    server.has(META, sample)
    page.goto(server.has_page(f'<kb-meta-box src="{META}" images="link">{inline("{oops")}</kb-meta-box>'))
    box = page.locator("kb-meta-box")
    expect(box.locator(".error")).to_contain_text("The answer could not be read.")

    box.get_by_role("button", name="Try again").click()

    wait_for(box, "ready")


def test_data_can_be_given_and_taken_by_script(page: Page, server: Server, sample: dict[str, Any]) -> None:
    page.goto(server.has_page('<kb-meta-box images="link"></kb-meta-box>'))
    box = page.locator("kb-meta-box")
    wait_for(box, "idle")

    box.evaluate("(box, data) => { box.data = data }", sample)
    wait_for(box, "ready")
    expect(box).to_contain_text(sample["summary"])

    box.evaluate("box => { box.data = null }")
    wait_for(box, "idle")
    box.evaluate("box => { box.data = [] }")
    wait_for(box, "error")


def test_a_script_says_what_goes_along_with_each_request(
    page: Page, server: Server, sample: dict[str, Any]
) -> None:
    server.has(META, sample)
    page.goto(server.has_page("<kb-meta-box images=link></kb-meta-box>"))

    page.locator("kb-meta-box").evaluate(
        """(box, src) => {
      box.fetchInit = async () => ({ headers: { Authorization: "Bearer kb_token" } });
      box.src = src;
    }""",
        META,
    )

    wait_for(page.locator("kb-meta-box"), "ready")
    assert [request.headers["Authorization"] for request in server.asked(META)] == ["Bearer kb_token"]


def test_every_state_is_accessible_in_both_schemes_and_directions(
    page: Page,
    server: Server,
    troubles: Any,
    sample: dict[str, Any],
    accessible: Callable[[Page], list[str]],
    screenshot: Callable[..., None],
) -> None:
    troubles.expect("status of (401|404|429|500)")
    server.has("/slow.json", sample, gate=threading.Event())
    refusals = (401, 404, 429, 500)
    for status in refusals:
        server.has(f"/{status}.json", PROBLEM, status=status, headers={"Retry-After": "30"})
    addresses = ["", "/slow.json", *(f"/{status}.json" for status in refusals)]
    boxes = "".join(f'<kb-meta-box src="{address}" images="link"></kb-meta-box>' for address in addresses)
    ready = f'<kb-meta-box images="link">{inline(sample)}</kb-meta-box>'
    empty = f"<kb-meta-box>{inline({})}</kb-meta-box>"
    found = {}

    for name, html in (("ltr", ""), ("rtl", 'dir="rtl"')):
        page.goto(server.has_page(f"<main><h1>States</h1>{boxes}{empty}{ready}</main>", html=html))
        expect(page.locator("kb-meta-box .error")).to_have_count(1 + len(refusals))
        expect(page.locator("kb-meta-box .review")).to_have_count(1)
        found[name] = [line for line in accessible(page) if "landmark" not in line]
        page.set_viewport_size({"width": 400, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        page.emulate_media(color_scheme="dark")
        screenshot(page.locator("main"), f"states-{name}-dark-400")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 900})
        screenshot(page.locator("main"), f"states-{name}-light-1280")

    assert found == {"ltr": [], "rtl": []}


# --- Across origins, with kb itself -------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, databases=["default", "reading"])
def test_a_page_of_another_origin_reads_what_an_operator_allowed(
    page: Page,
    server: Server,
    troubles: Any,
    settings: Any,
    live_server: LiveServer,
    make_post: Callable[..., Post],
    publish: Callable[..., Publication],
) -> None:
    troubles.expect("status of 404|CORS policy|net::ERR_FAILED")
    settings.KB_READ_ACCESS = "public"
    settings.KB_API_ORIGINS = (server.origin,)
    publish(make_post(slug="rotate", summary="Read from elsewhere."))
    publish(make_post(slug="other", title="Another"))
    server.policy = POLICY.replace("connect-src 'self'", f"connect-src {live_server.url}")
    posts = f"{live_server.url}/api/v1/posts"

    page.goto(server.has_page(f'<kb-meta-box src="{posts}/rotate/meta/" retries="0"></kb-meta-box>'))
    box = page.locator("kb-meta-box")
    wait_for(box, "ready")
    expect(box).to_contain_text("Read from elsewhere.")

    box.evaluate("(box, src) => { box.src = src }", f"{posts}/missing/meta/")
    wait_for(box, "error")
    assert box.evaluate("({ error }) => [error.kind, error.status, error.requestId.length > 8]") == [
        "missing",
        404,
        True,
    ]

    settings.KB_API_ORIGINS = ()
    box.evaluate("(box, src) => { box.src = src }", f"{posts}/other/meta/")
    expect(box.locator(".error")).to_contain_text("The server could not be reached.")


# --- The reference ------------------------------------------------------------------------------------------


def test_the_file_is_under_ten_thousand_bytes_compressed() -> None:
    assert len(gzip.compress(CODE.encode(), 9)) < 10_000


def test_the_types_name_the_attributes_that_the_code_reads() -> None:
    typed = set(
        re.findall(r'^  "?([a-z-]+)"?\?:', TYPES.split("KbMetaBoxAttributes {")[1].split("\n}")[0], re.M)
    )

    observed = re.search(r"observedAttributes = \[(.*?)\]", CODE)
    assert observed
    read = set(re.findall(r'#setting\("([a-z-]+)"', CODE)) | set(re.findall(r':host\(\[(\w+)="', CODE))
    assert typed == (set(re.findall(r'"([a-z-]+)"', observed[1])) | read) - {"lang"}


def test_the_types_name_the_events_that_the_code_sends() -> None:
    typed = set(re.findall(r'"(kb-[a-z]+)": CustomEvent', TYPES))

    assert typed == set(re.findall(r'#emit\("(kb-[a-z]+)"', CODE))


def test_the_types_name_the_members_that_the_code_has() -> None:
    typed = TYPES.split("class KbMetaBox extends HTMLElement {")[1].split("\n}")[0]
    code = CODE.split("class KbMetaBox extends HTMLElement {")[1].split("\n}")[0]
    member = r"^  (?:readonly |[gs]et |async )?(\w+)(?:\(| = |: )"
    browsers = {"constructor", "connectedCallback", "disconnectedCallback", "attributeChangedCallback"}

    named = set(re.findall(member, typed, re.M)) - {"addEventListener", "removeEventListener"}
    assert named == set(re.findall(member, code, re.M)) - browsers
    assert set(re.findall(r'"([a-z]+)"', TYPES.split("type KbMetaState =")[1].split(";")[0])) == {
        "idle",
        *re.findall(r'(?:#show\(|#state = )"([a-z]+)"', code),
    }


def test_the_types_name_the_parts_that_the_code_has() -> None:
    typed = set(re.findall(r'"([a-z-]+)"', TYPES.split("type KbMetaBoxPart =")[1].split(";")[0]))

    parts = set(re.findall(r'part: "([a-z-]+)"', CODE)) | set(re.findall(r'\blist\("([a-z]+)"', CODE))
    sections = set(re.findall(r'#section\(\s*"([a-z]+)"', CODE))
    assert typed == parts | sections | {"section"}


def test_the_types_name_the_errors_and_properties_that_the_code_knows() -> None:
    kinds = set(re.findall(r'"([a-z]+)"', TYPES.split("type KbErrorKind =")[1].split(";")[0]))
    properties = set(re.findall(r'"(--kb-[a-z]+)"', TYPES))

    words = CODE.split("const WORDS = {")[1].split("\n};")[0]
    assert kinds == set(re.findall(r"^  ([a-z]+):", words, re.M))
    assert properties == set(re.findall(r"var\((--kb-[a-z]+)", CODE))
