"""The review page in a real browser: decide with the keyboard alone, undo, remark, be told of changes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.choices import State
from kb.document import Document
from kb.flow import commenting, criteria, revising
from kb.models import Comment, Decision, Post, Publication, QueueItem
from tests.browser.conftest import Troubles
from tests.browser.test_admin import enter

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

BODY = (
    "Two logins take turns.\n\nEach service reads its password from the vault.\n\nWatch the log for an hour."
)


@pytest.fixture
def post(
    make_post: Callable[..., Post], publish: Callable[..., Publication], people: SimpleNamespace
) -> Post:
    """Published, then edited in two places; waits."""
    post = make_post(title="Rotate passwords", body=BODY, owner="Platform", rollback_note="Revert.")
    publish(post)
    return edited(post, people.editor, body=BODY.replace("Two", "Three"), summary="Three logins.")


def edited(post: Post, by: Any, **content: Any) -> Post:
    post = Post.objects.get(pk=post.pk)
    revising.save(
        post,
        Document.read({**post.document().plain(), **content}),
        base_number=post.head.number,
        by=by,
        at=timezone.now(),
        note=revising.ChangeNote("Edited for a test."),
        ask_for_review=True,
    )
    return Post.objects.get(pk=post.pk)


def address(site: LiveServer, post: Post) -> str:
    return f"{site.url}/admin/kb/post/{post.pk}/review/"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.dataset.change || ''"))


def test_take_next_read_decide_and_next_with_the_keyboard_alone(
    live_server: LiveServer, post: Post, make_post: Callable[..., Post], people: SimpleNamespace, page: Page
) -> None:
    following = make_post(title="The next one", ask_for_review=True)
    criteria.write("Every note", items=["It runs"], by=people.administrator, at=timezone.now())
    enter(page.context, live_server.url, people.reviewer)
    press = page.keyboard.press

    page.goto(address(live_server, post))
    press("x")
    expect(page.get_by_text("You have this")).to_be_visible()
    press("j")
    stop = page.evaluate("document.activeElement.matches('[data-kb-stop]')")
    press("r")
    there = focused(page)
    page.keyboard.type("Say which login is dropped first: a, r and c are letters here.")
    page.get_by_label("It runs").focus()
    press("Space")
    press("Escape")
    page.locator("#do-request").focus()
    press("Enter")
    expect(page.get_by_role("heading", level=2, name="The next one")).to_be_visible()
    press("a")
    button = focused(page)
    before = Decision.objects.filter(revision__post=following).count()
    press("Enter")
    expect(page.get_by_text("Nothing is left for you to take")).to_be_visible()

    assert (stop, there, button, before) == (True, "id_decide_comment", "do-approve", 0)
    assert Post.objects.get(pk=post.pk).state == State.CHANGES_REQUESTED
    assert [
        str(tick) for tick in Decision.objects.get(revision__post=post, verdict="request_changes").ticks.all()
    ] == ["It runs"]
    assert Publication.objects.filter(post=following).exists()


def test_what_was_sent_back_is_undone_with_one_button(
    live_server: LiveServer,
    post: Post,
    people: SimpleNamespace,
    page: Page,
    accessible: Callable[[Page], list[str]],
) -> None:
    enter(page.context, live_server.url, people.reviewer)
    page.goto(address(live_server, post))
    page.locator("#id_decide_comment").fill("Shorter.")
    page.get_by_role("button", name="Request changes").click()

    expect(page.get_by_text("Sent back with your comment")).to_be_visible()
    assert accessible(page) == []
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: the post waits as before.")).to_be_visible()

    assert page.url == address(live_server, post)
    assert QueueItem.objects.open().filter(post=post).exists()


def test_who_decides_on_what_changed_meanwhile_sees_what_is_new_and_keeps_their_words(
    live_server: LiveServer,
    post: Post,
    people: SimpleNamespace,
    page: Page,
    troubles: Troubles,
    accessible: Callable[[Page], list[str]],
) -> None:
    troubles.expect("status of 409")
    enter(page.context, live_server.url, people.reviewer)
    page.goto(address(live_server, post))
    page.locator("#id_decide_comment").fill("Typed at length.")
    edited(post, people.second_editor, owner="Somebody else")
    page.get_by_role("button", name="Request changes").click()

    expect(page.get_by_text("What changed since you opened it (revision 2 → 3)")).to_be_visible()
    expect(page.locator("#id_decide_comment")).to_have_value("Typed at length.")
    assert focused(page) == "refused"
    assert accessible(page) == []
    page.get_by_role("button", name="Request changes").click()
    expect(page.get_by_text("Sent back with your comment")).to_be_visible()

    assert Decision.objects.get(verdict="request_changes").revision.number == 3


def test_a_comment_takes_over_what_is_selected(
    live_server: LiveServer, post: Post, people: SimpleNamespace, page: Page
) -> None:
    enter(page.context, live_server.url, people.reviewer)
    page.goto(address(live_server, post))
    page.get_by_text("Watch the log for an hour.").last.select_text()
    page.keyboard.press("c")
    expect(page.locator("#id_comment_field")).to_have_value("body")
    expect(page.locator("#id_comment_quote")).to_have_value("Watch the log for an hour.")
    page.keyboard.type("Which log?")
    page.get_by_role("button", name="Add comment").click()
    expect(page.get_by_text("Comment kept.")).to_be_visible()

    comment = Comment.objects.get()
    assert (comment.field, comment.quote, comment.text) == (
        "body",
        "Watch the log for an hour.",
        "Which log?",
    )


def test_evidence_and_remarks_lead_to_the_words_that_they_are_about(
    live_server: LiveServer, post: Post, people: SimpleNamespace, page: Page
) -> None:
    edited(post, people.editor, body=f"{BODY}\n\nCall with `password=hunter2hunter2`.")
    commenting.add(
        post,
        number=2,
        field="body",
        quote="Watch the log",
        text="Which?",
        by=people.editor,
        at=timezone.now(),
    )
    enter(page.context, live_server.url, people.reviewer)
    page.goto(address(live_server, post))

    page.get_by_role("link", name="password=hunt…").click()
    credential = page.locator("mark:target").text_content()
    page.get_by_role("link", name="Text", exact=True).click()
    passage = page.locator("mark:target").text_content()

    assert (credential, passage) == ("password=hunt", "Watch the log")


def test_all_of_it_works_without_javascript(
    live_server: LiveServer, post: Post, people: SimpleNamespace, chromium: Browser
) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 400, "height": 800})
    enter(context, live_server.url, people.reviewer)
    page = context.new_page()
    page.goto(address(live_server, post))

    page.get_by_text("Add a comment").click()
    page.locator("#id_comment_text").fill("Which log?")
    page.get_by_role("button", name="Add comment").click()
    page.get_by_role("button", name="Resolve").click()
    page.get_by_text("Publish at a later time").click()
    year = timezone.now().year + 2
    page.get_by_label("Publish at").fill(f"{year}-05-01T09:30")
    page.get_by_role("button", name="Approve and publish").click()
    expect(page.get_by_text(f"it is published 1 May {year}, 09:30 UTC")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: the post waits as before.")).to_be_visible()
    page.get_by_role("button", name="Open its text").click()
    page.locator("#id_mend_text").fill("Rotate the passwords")
    page.get_by_role("button", name="Save as my revision").click()
    expect(page.get_by_text("You wrote some of this content: somebody else must approve it.")).to_be_visible()
    context.close()
