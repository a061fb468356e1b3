"""The main job as people do it: an editor mends an imported note, a reviewer approves, a reader sees it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.models import Post

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

SAMPLE = Path(__file__).parents[3] / "shared/samples/alphanode-010444.txt"
PAGE = SAMPLE if SAMPLE.exists() else Path(__file__).parents[1] / "data/alphanode-note.txt"


@pytest.fixture
def post(people: SimpleNamespace, settings: Any) -> Post:
    settings.KB_READ_ACCESS = "public"
    call_command("import_posts", str(PAGE), verbosity=0)
    return Post.objects.get()


def log_in(page: Page, site: str, name: str) -> None:
    page.goto(f"{site}/admin/login/?next=/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("pw")
    page.get_by_role("button", name="Log in").click()


def test_an_imported_note_is_mended_approved_and_read(
    live_server: LiveServer,
    post: Post,
    page: Page,
    screenshot: Callable[[Page | Locator, str], None],
) -> None:
    site, document = live_server.url, post.head.document

    log_in(page, site, "editor")
    page.get_by_role("link", name="Posts", exact=True).click()
    page.get_by_role("link", name=document.title).click()
    page.get_by_label("Owner").fill("platform team")
    page.get_by_label("Rollback note").fill("Revert the commit and deploy again.")
    page.get_by_label("Reason").fill("Named an owner and the way back.")
    page.get_by_role("button", name="Save and ask for review").click()
    expect(page.get_by_text("Saved as revision 2")).to_be_visible()
    page.get_by_role("button", name="Log out").click()

    log_in(page, site, "reviewer")
    page.get_by_role("link", name="Awaiting your review").first.click()
    page.get_by_role("link", name=document.title).click()
    expect(page.get_by_text("editor asks for a review.")).to_be_visible()
    expect(page.get_by_text("Named an owner and the way back.")).to_be_visible()
    post.refresh_from_db()
    expect(page.get_by_text(post.head.fingerprint)).to_be_visible()
    screenshot(page, "review")
    page.get_by_role("button", name="Approve and publish").click()
    expect(page.get_by_text("Approved and published:")).to_be_visible()

    page.get_by_role("link", name=document.title).click()
    page.get_by_role("link", name="View as reader").click()
    expect(page.get_by_role("heading", level=1, name=document.title)).to_be_visible()
    expect(page.get_by_text("exactly this content, version")).to_be_visible()
    box = page.locator("kb-meta-box")
    expect(box.get_by_text("Reviewed by a person")).to_be_visible()
    for words in ("platform team", *document.tools, *document.notes, document.entities[0].name):
        expect(box.get_by_text(words, exact=True).first).to_be_attached()
    for item in document.checklists[0].items:
        expect(box.get_by_role("checkbox", name=item)).to_be_visible()
    expect(box.get_by_role("meter", name="Clarity")).to_have_attribute(
        "aria-valuenow", str(document.scores.clarity)
    )
    screenshot(page, "post")
