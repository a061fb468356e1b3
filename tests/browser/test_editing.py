"""The post form in a real browser: toolbar, preview, problems, private copies, lost logins, conflicts."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.document import Document
from kb.flow import revising
from kb.models import Post, Revision, WorkingCopy

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

KEPT_AFTER_MS = 2_500
BODY = "## Before\n\nTwo logins take turns.\n\n## After\n\nDrop the first login.\n"


@pytest.fixture
def post(make_post: Callable[..., Post]) -> Post:
    return make_post(title="Rotate passwords", body=BODY, topic="secrets", stack=["sql"], reading_time=9)


def enter(context: BrowserContext, site: str, user: Any) -> None:
    """Log in as this person without the form."""
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])


def save(post: Post, by: Any, now: Any, **changes: Any) -> None:
    post.refresh_from_db()
    document = Document.read({**post.document().plain(), **changes})
    note = revising.ChangeNote("meanwhile")
    revising.save(post, document, base_number=post.head.number, by=by, at=now, note=note)


def pause(page: Page) -> None:
    """Have the time pass after which what was typed is kept: the page's clock alone, for nobody waits."""
    page.clock.fast_forward(KEPT_AFTER_MS)


def test_a_text_is_written_with_toolbar_and_preview_and_says_what_is_wrong(
    live_server: LiveServer,
    post: Post,
    people: SimpleNamespace,
    page: Page,
    screenshot: Callable[[Page | Locator, str], None],
) -> None:
    enter(page.context, live_server.url, people.editor)
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/change/")
    text, preview = page.locator("#id_body"), page.get_by_role("region", name="The text as readers")
    expect(preview.get_by_role("heading", name="Before")).to_be_visible()

    # Bold by the toolbar, taken back by the browser's own undo, and again by its key.
    text.fill("plain")
    text.select_text()
    page.get_by_role("button", name="Bold").click()
    assert text.input_value() == "**plain**"
    page.keyboard.press("Control+z")
    assert text.input_value() == "plain"
    text.select_text()
    page.keyboard.press("Control+b")
    assert text.input_value() == "**plain**"
    expect(preview.locator("strong")).to_have_text("plain")

    # One tab stop, arrows within.
    page.get_by_role("button", name="Bold").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Italic")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Bold")).to_be_focused()

    text.fill("one\ntwo")
    text.select_text()
    page.get_by_role("button", name="Numbers").click()
    expect(preview.locator("ol li")).to_have_text(["one", "two"])
    text.fill('A line <script>alert(1)</script> <img src=x onerror="alert(2)">\n\n    password = hunter2222')
    page.get_by_label("Owner").fill("Platform team")
    checked = page.locator(".kb-checked")
    expect(checked.get_by_text("seems to hold a password or key")).to_be_visible()
    expect(preview.get_by_text("<script>alert(1)</script>")).to_be_visible()
    expect(checked.get_by_text("Nobody is named as owner")).to_have_count(0)

    # Reading time and version: computed, proposed, and editable.
    page.get_by_role("button", name="Use 1").click()
    assert page.get_by_label("Reading time").input_value() == "1"
    expect(page.get_by_text("kb proposes 1.0.0, major: more than half of the text is new.")).to_be_visible()
    page.locator("#id_title").fill("")
    page.get_by_label("Topic").focus()
    expect(page.locator(".field-title .kb-problem")).to_have_text("This field is required.")
    screenshot(page, "editing-form")
    page.locator("#id_title").fill("Rotate passwords often")
    expect(page.locator(".kb-problem")).to_have_count(0)
    page.get_by_label("Reason").fill("Rewritten.")
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Saved as revision 2 (v1.0.0)")).to_be_visible()


def test_what_was_typed_survives_a_reload_another_tab_and_a_lost_login(
    live_server: LiveServer,
    post: Post,
    people: SimpleNamespace,
    page: Page,
    troubles: Any,
    screenshot: Callable[[Page | Locator, str], None],
) -> None:
    troubles.expect("409 .Conflict")
    troubles.expect("403 .Forbidden")
    enter(page.context, live_server.url, people.editor)
    address = f"{live_server.url}/admin/kb/post/{post.pk}/change/"
    page.clock.install()
    page.goto(address)
    page.get_by_label("Summary").fill("Typed and never saved.")
    pause(page)
    expect(page.get_by_text("Saved privately at")).to_be_visible()

    page.goto(address)
    assert page.get_by_label("Summary").input_value() == ""
    screenshot(page, "editing-banner")
    page.get_by_label("Summary").fill("Typed past the banner.")
    pause(page)
    expect(page.get_by_text("Not saved privately: Other unsaved changes of yours")).to_be_visible()
    assert WorkingCopy.objects.get().fields["summary"] == "Typed and never saved."
    page.get_by_label("Summary").fill("")
    page.get_by_role("link", name="Restore my changes").click()
    expect(page.get_by_label("Summary")).to_have_value("Typed and never saved.")

    # The login ends, and another begins in another tab.
    Session.objects.all().delete()
    page.get_by_label("Summary").fill("Typed while logged out.")
    pause(page)
    expect(page.get_by_text("you are logged out. Your text stays here.")).to_be_visible()
    screenshot(page, "editing-logged-out")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Log in in another tab").click()
    popup.value.get_by_label("Username").fill("editor")
    popup.value.get_by_label("Password").fill("pw")
    popup.value.get_by_role("button", name="Log in").click()
    popup.value.wait_for_url("**/admin/")
    popup.value.close()
    page.bring_to_front()
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.get_by_text("Saved privately at")).to_be_visible()

    page.get_by_label("Reason").fill("Typed through it all.")
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Saved as revision 2")).to_be_visible()
    assert Revision.objects.get(number=2).document.summary == "Typed while logged out."
    assert not WorkingCopy.objects.exists()


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_a_conflict_keeps_both_and_every_page_fits(
    live_server: LiveServer,
    post: Post,
    people: SimpleNamespace,
    now: Any,
    page: Page,
    troubles: Any,
    screenshot: Callable[[Page | Locator, str], None],
    accessible: Callable[[Page], list[str]],
    width: int,
    scheme: str,
) -> None:
    troubles.expect("409 .Conflict")
    enter(page.context, live_server.url, people.editor)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.clock.install()
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/change/")
    page.locator("#id_body").fill(BODY.replace("Two logins", "Three logins"))
    page.locator("#id_title").fill("Rotate passwords, mine")
    page.get_by_label("Reason").fill("Three.")
    theirs = BODY.replace("Drop the first login.", "Drop the oldest login.")
    save(post, people.second_editor, now, body=theirs, title="Rotate passwords, theirs", stack=["vault"])

    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_role("heading", name="Somebody saved before you")).to_be_visible()
    expect(page.locator("#id_body")).to_have_value(
        BODY.replace("Two", "Three").replace("first", "oldest").rstrip()
    )
    pause(page)
    expect(page.get_by_text("Saved privately at")).to_be_visible()  # what the merge made of it, untouched
    screenshot(page.locator(".kb-conflict"), f"editing-conflict-{width}-{scheme}")
    assert accessible(page) == []
    if width == 400:
        page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.get_by_role("region", name="The text as readers").get_by_text("Three logins")).to_be_visible()
    screenshot(page.locator(".kb-desk-row"), f"editing-desk-{width}-{scheme}")
    wide = [page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")]
    page.get_by_role("radiogroup", name="Title").get_by_label("Take theirs").check()
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Saved as revision 3")).to_be_visible()
    screenshot(page, f"editing-saved-{width}-{scheme}")
    merged = Revision.objects.get(number=3).document
    assert (merged.title, merged.stack) == ("Rotate passwords, theirs", ("vault",))
    assert "Three logins" in merged.body
    assert "the oldest" in merged.body

    page.get_by_role("link", name="Preview the draft").click()
    expect(page.get_by_text("Draft: readers do not see this.")).to_be_visible()
    expect(page.get_by_text("Not reviewed", exact=True)).to_be_visible()
    screenshot(page, f"editing-preview-{width}-{scheme}")
    wide.append(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
    assert wide == [0, 0]


def test_without_javascript_a_button_previews_and_checks(
    live_server: LiveServer, post: Post, people: SimpleNamespace, chromium: Browser
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    enter(context, live_server.url, people.editor)
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/change/")
    page.locator("#id_body").fill("A **new** text.")
    page.get_by_role("button", name="Preview and check").click()

    looked = page.get_by_role("region", name="Preview and check")
    expect(looked.locator("strong", has_text="new")).to_be_visible()
    expect(looked.get_by_text("Next version: 1.0.0")).to_be_visible()
    expect(page.locator("#id_body")).to_have_value("A **new** text.")
    assert Revision.objects.count() == 1
    context.close()
