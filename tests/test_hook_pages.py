"""The pages of webhooks: a secret once, what waits and what was given up, and who did what."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from kb.flow import subscribing
from kb.models import Delivery, Hook, Post, Publication
from tests.forms import filled

pytestmark = pytest.mark.django_db

ALL = ("published", "updated", "withdrawn")
URL = "https://receiver.example/in"


@pytest.fixture
def administrator(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.administrator)
    return client


@pytest.fixture
def hook(people: SimpleNamespace, now: datetime) -> Hook:
    return subscribing.make("Search", url=URL, kinds=ALL, by=people.administrator, at=now)


@pytest.fixture
def dead(hook: Hook, make_post: Callable[..., Post], publish: Callable[..., Publication]) -> list[Delivery]:
    for slug in ("one", "two", "three"):
        publish(make_post(slug=slug))
    Delivery.objects.update(state=Delivery.DEAD, attempts=8, last_status=503, last_error="It answered 503.")
    return list(Delivery.objects.order_by("pk"))


def page_of(hook: Hook) -> str:
    return reverse("admin:kb_hook_change", args=[hook.pk])


def act(client: Client, hook: Hook, name: str, **data: str) -> Any:
    return client.post(reverse(f"admin:kb_hook_{name}", args=[hook.pk]), data)


def html(response: Any) -> str:
    return str(response.content.decode())


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html(response)))


def test_a_webhook_is_added_and_its_secret_is_shown_this_once(administrator: Client) -> None:
    add = reverse("admin:kb_hook_add")
    form = filled(administrator.get(add), "hook-form")

    answer = administrator.post(add, {**form, "label": "Search", "url": URL, "kinds": ["published"]})

    hook = Hook.objects.get()
    secret = subscribing.secret(hook)
    assert (hook.label, hook.url, hook.kinds, hook.active) == ("Search", URL, ["published"], True)
    assert secret in html(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    later = [administrator.get(page_of(hook)), administrator.get(reverse("admin:kb_hook_changelist"))]
    assert [secret in html(page) or hook.salt in html(page) for page in later] == [False, False]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label": ""}, "Give the webhook a name"),
        ({"label": "Search"}, "There is a webhook “Search” already"),
        ({"url": "ftp://x"}, "Expected an address with http or https"),
        ({"url": "http://127.0.0.1/"}, "127.0.0.1 is no public address"),
        ({"url": "https://x/\x00"}, "Null characters are not allowed"),
        ({"kinds": []}, "Choose at least one kind of change"),
        ({"kinds": ["draft"]}, "There is no such kind of change"),
    ],
)
def test_a_form_that_makes_no_webhook_comes_back_with_the_reason(
    administrator: Client, hook: Hook, given: dict[str, Any], said: str
) -> None:
    values = {"label": "Another", "url": URL, "kinds": list(ALL), **given}

    answer = administrator.post(reverse("admin:kb_hook_add"), values)

    assert answer.status_code == 400
    assert said in text(answer)
    assert Hook.objects.get() == hook


def test_it_is_changed_switched_and_given_another_secret_and_the_audit_names_it(
    administrator: Client, hook: Hook, people: SimpleNamespace
) -> None:
    form = filled(administrator.get(page_of(hook)), "hook-form")
    changed = administrator.post(page_of(hook), {**form, "label": "Index", "kinds": ["withdrawn"]})
    renewed = act(administrator, hook, "secret")
    switched = [act(administrator, hook, "switch", on=on).status_code for on in ("0", "1", "2")]
    hook.refresh_from_db()
    client = Client()
    client.force_login(people.auditor)
    audit = text(client.get(reverse("admin:kb_audit")))

    assert (changed.status_code, hook.label, hook.kinds) == (302, "Index", ["withdrawn"])
    assert subscribing.secret(hook) in html(renewed)
    assert (switched, hook.active) == ([302, 302, 400], True)
    told = re.findall(r"Webhook ([a-z ]+?) (?:administrator|auditor)", audit)
    assert told == ["switched on", "switched off", "given a new secret", "changed", "added"]
    assert f"Index: withdrawn to {URL}; before: Search, published, updated, withdrawn to {URL}" in audit


def test_a_test_waits_and_the_page_says_if_nobody_sends(administrator: Client, hook: Hook) -> None:
    act(administrator, hook, "test")
    fresh = text(administrator.get(page_of(hook)))
    Delivery.objects.update(next_attempt_at=timezone.now() - timedelta(hours=1))
    late = text(administrator.get(page_of(hook)))

    assert "see whether manage.py deliver runs" not in fresh
    assert "waiting to be sent since 1 hour ago : see whether manage.py deliver runs" in late
    assert "Test Waiting 0 attempts" in late


def test_a_pause_that_the_receiver_asked_for_is_named(administrator: Client, hook: Hook) -> None:
    at = timezone.now()
    Hook.objects.update(failing_since=at, rests_until=at + timedelta(hours=3, minutes=1))

    page = text(administrator.get(page_of(hook)))

    assert "asked to be left alone for a while: kb sends again in 3 hours" in page


def test_the_list_of_deliveries_says_how_long_they_are_kept(
    administrator: Client, hook: Hook, settings: Any
) -> None:
    settings.KB_HOOK_DAYS = 12

    page = text(administrator.get(reverse("admin:kb_delivery_changelist")))

    assert "Kept for 12 days after it was delivered or given up." in page


def test_what_kb_switched_off_says_why(administrator: Client, hook: Hook) -> None:
    Hook.objects.update(active=False, off_because="Every attempt failed for 3 days.")

    page = text(administrator.get(page_of(hook)))

    assert "kb switched it off: Every attempt failed for 3 days." in page
    assert "Send a test" not in page


def test_what_was_given_up_is_tried_again_one_or_chosen(
    administrator: Client, hook: Hook, dead: list[Delivery]
) -> None:
    listed = reverse("admin:kb_delivery_changelist")
    one = administrator.post(reverse("admin:kb_delivery_again", args=[dead[0].pk]), follow=True)
    chosen = {"action": "try_again", "_selected_action": [dead[0].pk, dead[1].pk]}
    several = administrator.post(listed, chosen, follow=True)

    assert "1 of 1 will be sent again" in text(one)
    assert "1 of 2 will be sent again" in text(several)
    assert list(Delivery.objects.order_by("pk").values_list("state", "attempts")) == [
        ("waiting", 0),
        ("waiting", 0),
        ("dead", 8),
    ]
    left = text(administrator.get(listed, {"state__exact": "dead"}))
    assert "three published" in left
    assert "two published" not in left


def test_an_auditor_looks_and_an_editor_does_not_even_that(
    client: Client, hook: Hook, dead: list[Delivery], people: SimpleNamespace
) -> None:
    pages = [
        reverse("admin:kb_hook_changelist"),
        page_of(hook),
        reverse("admin:kb_delivery_changelist"),
        reverse("admin:kb_delivery_change", args=[dead[0].pk]),
    ]
    acts = [
        reverse("admin:kb_hook_add"),
        page_of(hook),
        *(reverse(f"admin:kb_hook_{name}", args=[hook.pk]) for name in ("secret", "switch", "test")),
        reverse("admin:kb_delivery_again", args=[dead[0].pk]),
    ]
    client.force_login(people.auditor)
    seen = [client.get(page) for page in pages]
    done = [client.post(act).status_code for act in acts]
    client.force_login(people.editor)
    hidden = [client.get(page).status_code for page in pages]

    assert [page.status_code for page in seen] == [200] * 4
    assert "<button" not in seen[1].content.decode().split('id="content-main"')[1]
    assert "Try again" not in text(seen[3])
    assert done == [403] * 6
    assert hidden == [403] * 4


def test_what_is_not_there_is_said_so(administrator: Client) -> None:
    asked = [
        administrator.get("/admin/kb/hook/99/change/"),
        administrator.get("/admin/kb/hook/x%00/change/"),
        administrator.post("/admin/kb/hook/99/test/"),
        administrator.post("/admin/kb/delivery/99/again/"),
        administrator.get("/admin/kb/delivery/99/change/"),
        administrator.get("/admin/kb/hook/99/test/"),
    ]

    assert [answer.status_code for answer in asked] == [404, 404, 404, 404, 404, 405]


def test_lists_ask_the_same_number_of_queries_of_one_and_of_three(
    administrator: Client, hook: Hook, dead: list[Delivery], people: SimpleNamespace, now: datetime
) -> None:
    hooks, deliveries = (reverse(f"admin:kb_{name}_changelist") for name in ("hook", "delivery"))

    def queries(*addresses: str) -> list[int]:
        found = []
        for address in addresses:
            with CaptureQueriesContext(connection) as captured:
                assert administrator.get(address).status_code == 200
            found.append(len(captured))
        return found

    of_three = queries(deliveries, page_of(hook))
    of_one_hook = queries(hooks)
    for label in ("Second", "Third"):
        subscribing.make(label, url=URL, kinds=ALL, by=people.administrator, at=now)
    of_three_hooks = queries(hooks)
    Delivery.objects.exclude(pk=dead[0].pk).delete()
    of_one = queries(deliveries, page_of(hook))

    assert of_three == of_one == [8, 10]
    assert of_three_hooks == of_one_hook == [8]
