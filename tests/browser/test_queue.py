"""The review desk in a real browser: worked by keyboard, by two at once, at 400 px and in the dark."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.models import Post, QueueItem
from tests.browser.test_admin import CONTENT, LONG, enter

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]
QUEUE = "/admin/kb/queue/"


@pytest.fixture
def posts(make_post: Callable[..., Post]) -> list[Post]:
    """The gravest first."""
    return [
        make_post(**{**CONTENT, "title": f"Grave {LONG}", "body": "key AKIAABCDEFGHIJKLMNOP"}),
        make_post(**{**CONTENT, "title": "Low"}, ask_for_review=True),
        make_post(title="Plain", ask_for_review=True),
    ]


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent"))


def test_the_queue_is_worked_with_keys_alone(
    live_server: LiveServer, posts: list[Post], people: SimpleNamespace, page: Page
) -> None:
    enter(page.context, live_server.url, people.reviewer)
    page.goto(live_server.url + QUEUE)

    for key, title in (("j", posts[0].title), ("j", "Low"), ("j", "Plain"), ("j", "Plain"), ("k", "Low")):
        page.keyboard.press(key)
        assert focused(page) == title

    page.keyboard.press("x")
    expect(page.get_by_text("“Low” is yours")).to_be_visible()
    expect(page.get_by_role("link", name="Low", exact=True)).to_be_focused()
    assert QueueItem.objects.get(claimed_by=people.reviewer).post == posts[1]

    page.keyboard.press("/")
    page.keyboard.type("tx?")
    assert page.get_by_label("Topic").input_value() == "tx?"
    assert page.url.startswith(live_server.url + QUEUE)
    page.get_by_text("Filter", exact=True).focus()

    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys on this page")).to_be_visible()
    page.get_by_label("Single keys act").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.reload()
    page.keyboard.press("t")
    expect(page.get_by_role("heading", name="Review", exact=True)).to_be_visible()

    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Single keys act").check()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page).to_have_url(f"{live_server.url}/admin/kb/post/{posts[0].pk}/review/")
    assert set(QueueItem.objects.filter(claimed_by=people.reviewer).values_list("post", flat=True)) == {
        posts[0].pk,
        posts[1].pk,
    }


def test_a_second_person_takes_a_claim_over_and_the_first_is_told(
    live_server: LiveServer, posts: list[Post], people: SimpleNamespace, page: Page, chromium: Browser
) -> None:
    enter(page.context, live_server.url, people.reviewer)
    page.goto(live_server.url + QUEUE)
    page.get_by_role("button", name="Take next").click()
    expect(page).to_have_url(f"{live_server.url}/admin/kb/post/{posts[0].pk}/review/")
    context = chromium.new_context(viewport={"width": 400, "height": 900})
    enter(context, live_server.url, people.second_reviewer)
    other = context.new_page()

    other.goto(live_server.url + QUEUE)
    expect(other.get_by_text("reviewer, for less than a minute")).to_be_visible()
    other.get_by_role("link", name="Take over").click()
    expect(other.get_by_text("reviewer is told")).to_be_visible()
    other.get_by_role("button", name="Take over from reviewer").click()
    expect(other.get_by_text("You, for less than a minute")).to_be_visible()
    context.close()

    page.goto(live_server.url + QUEUE)
    expect(page.get_by_text("second_reviewer, for less than a minute")).to_be_visible()
    page.get_by_role("link", name="Notices").click()
    page.get_by_role("button", name="second_reviewer took over the review of").click()
    expect(page).to_have_url(f"{live_server.url}/admin/kb/post/{posts[0].pk}/review/")
    expect(page.get_by_role("link", name="Notices")).to_have_text("Notices")


def test_many_are_returned_after_a_look_at_what_would_happen(
    live_server: LiveServer,
    posts: list[Post],
    people: SimpleNamespace,
    page: Page,
    accessible: Callable[[Page], list[str]],
) -> None:
    enter(page.context, live_server.url, people.reviewer)
    page.goto(live_server.url + QUEUE)

    page.get_by_label("Choose all rows of this page").check()
    page.get_by_label("Choose “Low”").uncheck()
    expect(page.get_by_text("(2 chosen)")).to_be_visible()
    page.get_by_text("Return with one comment").click()
    page.get_by_label("What has to change").fill("Name an owner.")
    page.locator("details[open]").get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Would be done")).to_have_count(2)
    page.get_by_role("button", name="Return 2 posts").click()
    expect(page.get_by_text("All of them were done.")).to_be_visible()
    assert accessible(page) == []
    page.get_by_role("link", name="Back to the queue").click()

    expect(page.locator("[data-row]")).to_have_count(1)
    assert QueueItem.objects.filter(outcome="request_changes", left_by=people.reviewer).count() == 2
