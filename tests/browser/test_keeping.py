"""Pages for machines and searches in a real browser: they fit, are accessible, and say what is so."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.flow import issuing, subscribing, synonyms
from kb.models import AccessToken, Delivery, Hook, Post, Synonym
from tests.browser.test_admin import LONG, enter

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

ALL = ("published", "updated", "withdrawn")
TEXT = (
    "Two logins take turns, so that no service ever holds a dead password: make the second one, let each "
    "service take it up, and drop the first when nobody asks for it any more. "
)


@pytest.fixture
def desk(live_server: LiveServer, people: SimpleNamespace, page: Page) -> Callable[[str], None]:
    """Open a page of the admin as an administrator."""
    enter(page.context, live_server.url, people.administrator)

    def go(path: str) -> None:
        response = page.goto(f"{live_server.url}/admin/kb/{path}")
        assert (path, response and response.status, page.locator("h1").count()) == (path, 200, 1)

    return go


@pytest.fixture
def kept(people: SimpleNamespace, make_post: Callable[..., Post], publish: Any, now: datetime) -> None:
    """Of each kind several, in the states that they may be in, with long names."""
    by: dict[str, Any] = {"by": people.administrator, "at": now}
    hooks = [
        subscribing.make(label, url=f"https://receiver.example/{LONG}", kinds=ALL, **by)
        for label in ("Search index", LONG[:80])
    ]
    for number in range(3):
        publish(make_post(title=f"Note {number}", slug=f"note-{number}"))
    waiting, dead, delivered = Delivery.objects.filter(hook=hooks[0]).order_by("-pk")
    for row, changes in {
        dead: {
            "state": Delivery.DEAD,
            "attempts": 8,
            "last_status": 503,
            "last_error": f"It answered {LONG}",
        },
        waiting: {"attempts": 2, "last_error": "It took too long to answer."},
        delivered: {"state": Delivery.DELIVERED, "attempts": 1, "last_status": 200, "delivered_at": now},
    }.items():
        Delivery.objects.filter(pk=row.pk).update(**changes)
    Hook.objects.filter(pk=hooks[0].pk).update(failing_since=now)
    subscribing.switch(hooks[1], on=False, **by)
    for label, days in (("Status page in the lobby", 365), (LONG[:80], 7), ("Old", 1)):
        expires = now + timedelta(days=days)
        issuing.issue(label, owner=people.editor, scopes=["read"], expires_at=expires, **by)
    issuing.revoke(AccessToken.objects.get(label="Old"), **by)
    synonyms.write(["k8s", "Kubernetes", "kube"], **by)
    synonyms.write(["broker", LONG[:80], "message queue"], is_one_way=True, **by)


def test_lists_that_are_empty_say_what_would_be_there(
    desk: Callable[[str], None], page: Page, inspect: Callable[[Page, str], list[str]]
) -> None:
    found = []

    for name in ("delivery", "synonym"):
        desk(f"{name}/")
        expect(page.locator(".kb-empty")).to_be_visible()
        found += inspect(page, f"{name}-none")

    assert found == []


@pytest.mark.usefixtures("kept")
def test_pages_of_webhooks_tokens_and_synonyms_fit_and_none_complains(
    desk: Callable[[str], None], page: Page, inspect: Callable[[Page, str], list[str]]
) -> None:
    hook, token, same = (
        Hook.objects.earliest("pk"),
        AccessToken.objects.earliest("pk"),
        Synonym.objects.last(),
    )
    assert same
    places = {
        "hooks": "hook/",
        "hook": f"hook/{hook.pk}/change/",
        "deliveries": "delivery/",
        "delivery": f"delivery/{Delivery.objects.dead().get().pk}/change/",
        "tokens": "accesstoken/",
        "token-revoke": f"accesstoken/{token.pk}/revoke/",
        "synonyms": "synonym/",
        "synonym": f"synonym/{same.pk}/change/",
    }
    found = []

    for name, path in places.items():
        desk(path)
        found += inspect(page, name)

    assert found == []


def test_what_is_shown_once_and_what_was_wrong_fits_too(
    desk: Callable[[str], None],
    page: Page,
    inspect: Callable[[Page, str], list[str]],
    troubles: Any,
) -> None:
    troubles.expect("status of 400")

    desk("hook/add/")
    page.get_by_label("Name").fill("Search index")
    page.get_by_label("Address").fill("ftp://receiver.example/")
    page.get_by_role("button", name="Add").click()
    found = inspect(page, "hook-wrong")
    page.get_by_label("Address").fill("https://receiver.example/in")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_label("Secret", exact=True)).to_have_value(re.compile("^whsec_"))
    found += inspect(page, "hook-secret")

    desk("accesstoken/add/")
    page.get_by_label("What it is for").fill("Status page in the lobby")
    page.get_by_role("button", name="Issue the token").click()
    expect(page.get_by_label("Token", exact=True)).to_have_value(re.compile("^kb_"))
    found += inspect(page, "token-issued")

    desk("synonym/add/")
    page.get_by_label("Words that mean the same").fill("k8s\nKubernetes")
    page.get_by_role("button", name="Show what it expands to").click()
    expect(page.get_by_text("“k8s” also finds “Kubernetes”")).to_be_visible()
    found += inspect(page, "synonym-preview")

    assert found == []


def test_a_reviewer_sees_what_a_near_duplicate_shares(
    desk: Callable[[str], None],
    page: Page,
    inspect: Callable[[Page, str], list[str]],
    make_post: Callable[..., Post],
    publish: Any,
) -> None:
    publish(make_post(title="Rotate passwords", body=TEXT * 2))
    twin = make_post(
        title=f"Passwords take turns {LONG}", body=f"{TEXT * 2}\n\nOnce a year.", ask_for_review=True
    )

    desk(f"post/{twin.pk}/review/")
    panel = page.get_by_role("region", name="Near duplicates")
    found = inspect(page, "review-near")

    expect(panel.get_by_role("link", name="Rotate passwords", exact=True)).to_be_visible()
    assert found == []
