"""Verifying and reporting in a real browser: by keyboard, on small screens, in both colour schemes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.flow import reporting, reviewing, verifying
from kb.models import Post, Report, Verification
from tests.browser.test_admin import enter

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

LONG = "averylongwordwithoutanyplacetobreak" * 6
FITS = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture
def post(make_post: Callable[..., Post], people: Any) -> Post:
    """Overdue, reported and verified before: every part of the page has something to show."""
    post = make_post(slug="pool", topic=f"databases / {LONG[:60]}", body=f"Text. {LONG}")
    assert post.head
    now = timezone.now()
    seen = {"number": 1, "fingerprint": post.head.fingerprint}
    reviewing.approve(post, **seen, by=people.reviewer, at=now - timedelta(days=200))
    verifying.verify(
        post,
        published=post.head.fingerprint,
        checked=f"Ran it. {LONG}",
        evidence=f"https://ci.example.com/{LONG}",
        by=people.reviewer,
        at=now - timedelta(days=100),
    )
    reporting.report("pool", kind="outdated", sentence=f"Old. {LONG}", sender="a", at=now)
    return post


def test_a_reader_reports_and_a_reviewer_verifies_by_keyboard(
    live_server: LiveServer,
    page: Page,
    post: Post,
    people: Any,
    settings: Any,
    accessible: Callable[[Page], list[str]],
) -> None:
    settings.KB_READ_ACCESS = "public"
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{live_server.url}/posts/pool/")
    expect(page.locator("header .overdue")).to_contain_text("Verification overdue")
    page.get_by_role("link", name="Report it").press("Enter")
    assert accessible(page) == []
    page.get_by_label("Unclear").press(" ")
    page.get_by_label("In a sentence").fill("Which of the two?")
    page.get_by_label("In a sentence").press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert page.evaluate(FITS)
    assert Report.objects.first().sentence == "Which of the two?"  # type: ignore[union-attr]

    enter(page.context, live_server.url, people.reviewer)
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/verify/")
    assert page.evaluate(FITS)
    assert accessible(page) == []
    page.get_by_label("What you checked").fill("Ran every command.")
    page.get_by_label("Link to what proves it").fill("https://ci.example.com/8")
    page.get_by_label("Link to what proves it").press("Enter")
    expect(page.get_by_text("Verified: readers see the new date.")).to_be_visible()
    assert Verification.objects.count() == 2

    page.goto(f"{live_server.url}/posts/pool/")
    expect(page.locator("header .until")).to_contain_text("Review by")


def test_policies_fit_and_show_how_many_posts_they_are_about(
    live_server: LiveServer, page: Page, post: Post, people: Any, accessible: Callable[[Page], list[str]]
) -> None:
    enter(page.context, live_server.url, people.administrator)
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{live_server.url}/admin/kb/verificationpolicy/add/")
    page.get_by_label("Topic").fill("databases")
    page.get_by_label("Days").fill("30")
    page.get_by_role("button", name="Show how many posts").click()

    expect(page.locator("p[role=status]")).to_contain_text("1 post that readers have")
    assert page.evaluate(FITS)
    assert accessible(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Topic: databases …")).to_be_visible()
