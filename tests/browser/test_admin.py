"""Editors' and reviewers' pages in a real browser: they fit, say nothing odd, and work by keyboard alone."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.choices import Severity
from kb.document import Document
from kb.flow import commenting, criteria, filtering, noticing, queueing, reporting, reviewing, revising
from kb.models import Criteria, ImportRun, Post, Publication, Receipt, SavedFilter, VerificationPolicy

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

LONG = "averylongwordwithoutanyplacetobreak" * 6
CONTENT: dict[str, Any] = {
    "title": "Rotate database passwords without a maintenance window",
    "body": f"## Before\n\nTwo logins take turns. {LONG}\n\n```sh\npsql --host {LONG}\n```\n",
    "topic": f"secrets / {LONG[:80]}",
    "summary": "Two logins take turns.",
    "stack": ["postgresql", "vault"],
    "checklists": [{"title": "Each time", "items": ["Make the second login", "Drop the first"]}],
    "entities": [{"name": "postgresql", "type": "stack"}, {"name": LONG[:120], "type": "area"}],
    "images": [{"source": "pictures", "url": "https://pictures.example/gate.png", "caption": "The gate"}],
    "scores": {"quality": 40, "clarity": 90},
    "payload": {"generator": "a synthesizer", "note": LONG},
}


@pytest.fixture
def post(make_post: Callable[..., Post], publish: Callable[..., Publication], people: Any, now: Any) -> Post:
    """Published, then edited, flagged and waiting: every part of the review page has something to show."""
    post = make_post(**CONTENT)
    publish(post)
    changed = {**CONTENT, "summary": "Three logins.", "body": CONTENT["body"].replace("Two", "Three")}
    revising.save(
        post,
        Document.read(changed),
        base_number=1,
        by=people.editor,
        at=now,
        note=revising.ChangeNote("Three, not two."),
        ask_for_review=True,
    )
    post.refresh_from_db()
    reviewing.raise_flag(
        post, severity=Severity.ADVISORY, sentence=f"Why {LONG}?", by=people.reviewer, at=now
    )
    run = ImportRun.objects.create(started_at=now, counts={"created": 1})
    Receipt.objects.create(run=run, place=f"{LONG}.txt:1", outcome="created", post=post)
    return post


def enter(context: BrowserContext, site: str, user: Any) -> None:
    """Log in as this person without the form."""
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])


@pytest.fixture
def grave(post: Post, make_post: Callable[..., Post], people: Any) -> Post:
    """Never approved, flagged as blocking and claimed by another; with what else the desk has lists of."""
    at = timezone.now() - timedelta(minutes=7)
    grave = make_post(**{**CONTENT, "title": f"Grave {LONG}", "body": "key AKIAABCDEFGHIJKLMNOP"})
    queueing.claim(grave, by=people.second_reviewer, at=at)
    noticing.tell(people.administrator, f"A notice of {LONG}.", post=grave, at=at)
    filtering.keep("x" * 80, query="flag=credential", shared=True, by=people.administrator, at=at)
    criteria.write("Basics", items=["Runs as written", LONG], by=people.administrator, at=at)
    VerificationPolicy.objects.create(topic=f"secrets {LONG[:80]}", days=30)
    reporting.report(post.slug, kind="outdated", sentence=f"Old. {LONG}", sender="a", at=at)
    commenting.add(post, number=2, field="summary", text=f"Why {LONG}?", by=people.reviewer, at=at)
    return grave


def places(post: Post, grave: Post) -> dict[str, str]:
    own, other, queue = f"/admin/kb/post/{post.pk}", f"/admin/kb/post/{grave.pk}", "/admin/kb/queue/"
    saved = SavedFilter.objects.get().pk
    topic = CONTENT["topic"].replace(" ", "+")
    return {
        "start": "/admin/",
        "queue": queue,
        "queue-filtered": f"{queue}?flag=credential&topic={topic}",
        **{f"queue-{tab}": f"{queue}?tab={tab}" for tab in ("returned", "drafts", "due", "decided")},
        "filter": f"{queue}filters/{saved}/",
        "filter-delete": f"{queue}filters/{saved}/delete/",
        "notices": "/admin/kb/notices/",
        "take-over": f"{other}/take-over/",
        "posts": "/admin/kb/post/",
        "add": "/admin/kb/post/add/",
        "change": f"{own}/change/",
        "preview": f"{own}/preview/",
        "review": f"{own}/review/",
        "review-split": f"{own}/review/?base=1&view=split",
        "review-rendered": f"{own}/review/?base=1&view=rendered&mend=body",
        "review-new": f"{other}/review/",
        "comments": f"{own}/comments/",
        "verify": f"{own}/verify/",
        "history": f"{own}/history/",
        "revision": f"{own}/history/2/",
        "revision-split": f"{own}/history/2/?view=split",
        "revision-rendered": f"{own}/history/2/?view=rendered",
        "restore": f"{own}/history/1/restore/",
        "post-audit": f"{own}/audit/",
        "audit": "/admin/kb/audit/",
        "rights": "/admin/kb/rights/",
        "sign-off": "/admin/kb/sign-off/",
        "entities": "/admin/kb/entity/",
        "flags": "/admin/kb/flag/",
        "decisions": "/admin/kb/decision/",
        "revisions": "/admin/kb/revision/",
        "criteria": "/admin/kb/criteria/",
        "criteria-add": "/admin/kb/criteria/add/",
        "criteria-one": f"/admin/kb/criteria/{Criteria.objects.get().pk}/change/",
        "reports": "/admin/kb/report/",
        "policies": "/admin/kb/verificationpolicy/",
        "policy": f"/admin/kb/verificationpolicy/{VerificationPolicy.objects.get().pk}/change/",
        "imports": "/admin/kb/importrun/",
        "receipts": "/admin/kb/receipt/",
    }


def look_at_a_bulk_action(page: Page, site: str) -> None:
    page.goto(f"{site}/admin/kb/queue/")
    page.get_by_label("Choose “").first.check()
    page.get_by_text("Return with one comment").click()
    page.locator("details[open] textarea").fill(f"Name it. {LONG}")
    page.locator("details[open]").get_by_role("button", name="Preview").click()


def test_every_page_fits_its_window_and_none_complains(
    live_server: LiveServer,
    post: Post,
    grave: Post,
    people: SimpleNamespace,
    page: Page,
    inspect: Callable[[Page, str], list[str]],
) -> None:
    enter(page.context, live_server.url, people.administrator)
    found = []

    for name, path in places(post, grave).items():
        response = page.goto(live_server.url + path)
        assert (name, response and response.status) == (name, 200)
        assert (name, page.locator("h1").count()) == (name, 1)
        found += inspect(page, name)
    look_at_a_bulk_action(page, live_server.url)
    found += inspect(page, "bulk")

    assert found == []


def test_a_reviewer_decides_by_keyboard_alone(
    live_server: LiveServer, post: Post, people: SimpleNamespace, page: Page
) -> None:
    enter(page.context, live_server.url, people.reviewer)
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/review/")

    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Approve and publish":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    page.keyboard.press("Enter")

    assert outline == "2px"
    expect(page.get_by_text("Approved and published:")).to_be_visible()
    assert Publication.objects.get().number == 2


def test_decisions_need_no_javascript(
    live_server: LiveServer, post: Post, people: SimpleNamespace, chromium: Browser
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    enter(context, live_server.url, people.reviewer)
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/review/")

    page.get_by_label("Comment").first.fill("Say which login is dropped first.")
    page.get_by_role("button", name="Request changes").click()
    expect(page.get_by_text("Sent back with your comment:")).to_be_visible()
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/review/")
    expect(page.get_by_text("Say which login is dropped first.")).to_be_visible()
    context.close()


def test_a_list_of_parts_grows_and_an_entity_is_found_by_typing(
    live_server: LiveServer, post: Post, people: SimpleNamespace, page: Page
) -> None:
    enter(page.context, live_server.url, people.editor)
    page.goto(f"{live_server.url}/admin/kb/post/{post.pk}/change/")

    page.get_by_role("button", name="Add another checklist").click()
    page.locator("#id_checklists-2-title").fill("Afterwards")
    page.locator("#id_checklists-2-items").fill("Tell the people on call")
    page.locator("#entities-2 .select2-selection").click()
    page.keyboard.type("postgr")
    page.get_by_role("option", name="postgresql (stack)").click()
    page.get_by_label("Reason").fill("One more list.")
    page.get_by_role("button", name="Save draft").click()

    expect(page.get_by_text("Saved as revision 3")).to_be_visible()
    post.refresh_from_db()
    assert [checklist.title for checklist in post.head.document.checklists] == ["Each time", "Afterwards"]
    assert [entity.name for entity in post.head.document.entities] == ["postgresql", LONG[:120], "postgresql"]
