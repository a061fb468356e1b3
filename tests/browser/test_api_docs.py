"""The API's documentation in a real browser: offline, under the site's own policy, in both schemes."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from kb.models import Post, Publication
from tests.test_api import FULL

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

Screenshot = Callable[[Page | Locator, str], None]


PATIENCE = 30_000  # milliseconds: Swagger UI draws itself anew for each letter, on a busy machine for seconds


@pytest.fixture(autouse=True)
def public(settings: Any, page: Page) -> None:
    settings.KB_READ_ACCESS = "public"
    page.set_default_timeout(PATIENCE)


def test_a_front_end_developer_tries_a_request_without_leaving_the_page(
    page: Page,
    live_server: Any,
    make_post: Callable[..., Post],
    publish: Callable[[Post], Publication],
    screenshot: Screenshot,
) -> None:
    publish(make_post(slug="full", **FULL))
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))

    response = page.goto(f"{live_server.url}/api/v1/docs/")
    expect(page.get_by_role("heading", name="kb API")).to_be_visible(timeout=PATIENCE)
    screenshot(page, "api-docs")
    operation = page.locator("#operations-Posts-posts")
    operation.locator(".opblock-summary-control").click()
    screenshot(page, "api-docs-operation")
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("Measure first", timeout=PATIENCE)
    screenshot(operation, "api-docs-answer")

    assert response is not None
    assert "unsafe" not in response.headers["content-security-policy"]
    assert hosts == {live_server.url.split("/")[2]}


def test_a_refusal_shows_in_full(page: Page, live_server: Any, troubles: Any) -> None:
    troubles.expect("404")  # Chromium's console names every failed fetch
    page.goto(f"{live_server.url}/api/v1/docs/#/Posts/post")
    operation = page.locator("#operations-Posts-post")
    operation.get_by_placeholder("slug").fill("none")
    operation.get_by_role("button", name="Execute").click()

    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text("There is nothing here.", timeout=PATIENCE)


def test_an_operation_of_each_kind_and_the_shapes_open_without_a_complaint(
    page: Page, live_server: Any, screenshot: Screenshot
) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(f"{live_server.url}/api/v1/docs/")
    expect(page.get_by_role("heading", name="kb API")).to_be_visible(timeout=PATIENCE)
    screenshot(page, "api-docs-dark-narrow")
    page.locator(".models-control").click()
    expect(page.locator(".models.is-open")).to_be_visible()
    # In one go: between two clicks the page would be drawn anew, with all that is open.
    kinds = page.locator(".opblock-tag-section").evaluate_all(
        "all => all.map((kind) => kind.querySelector('.opblock-summary-control').click()).length"
    )
    expect(page.locator(".opblock.is-open")).to_have_count(kinds)
    assert kinds == 6
    screenshot(page, "api-docs-dark-narrow-open")

    assert page.evaluate("document.documentElement.className") == "dark-mode"
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_page_without_javascript_names_the_description(chromium: Any, live_server: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}/api/v1/docs/")

    expect(page.get_by_role("link", name="/api/v1/schema/")).to_be_visible()
    context.close()
