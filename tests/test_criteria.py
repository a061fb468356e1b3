"""What reviewers check: lists that administrators keep, each change a new version."""

import html
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kb.flow import criteria
from kb.models import Criteria
from tests.forms import filled

pytestmark = pytest.mark.django_db

LIST = reverse("admin:kb_criteria_changelist")
ADD = reverse("admin:kb_criteria_add")


@pytest.fixture
def administrator(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.administrator)
    return client


@pytest.fixture
def kept(people: SimpleNamespace, now: datetime) -> Criteria:
    return criteria.write("Every note", items=["It runs"], by=people.administrator, at=now)


def change(found: Criteria) -> str:
    return reverse("admin:kb_criteria_change", args=[found.pk])


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_a_list_is_added_and_each_change_is_its_next_version(administrator: Client, people: Any) -> None:
    administrator.post(ADD, {"name": "Databases", "topic": "db", "items": "It runs\r\n\r\n It ends "})
    first = Criteria.objects.get()
    form = filled(administrator.get(change(first)), "criteria-form")

    response = administrator.post(change(first), {**form, "items": "It runs", "name": "Renamed"}, follow=True)

    versions = Criteria.objects.order_by("version").values_list(
        "name", "version", "topic", "items", "made_by"
    )
    assert list(versions) == [
        ("Databases", 1, "db", ["It runs", "It ends"], people.administrator.pk),
        ("Databases", 2, "db", ["It runs"], people.administrator.pk),
    ]
    assert said(response) == ["“Databases” is version 2 from now on."]


def test_only_the_newest_version_is_listed_and_the_older_ones_can_be_read(
    administrator: Client, kept: Criteria, people: Any, now: datetime
) -> None:
    newer = criteria.write("Every note", items=["Another thing"], by=people.administrator, at=now)

    listed = administrator.get(LIST)
    older = administrator.get(change(kept))

    assert [row.pk for row in listed.context["cl"].result_list] == [newer.pk]
    assert ("It runs" in text_of(older), "criteria-form" in text_of(older)) == (True, False)
    assert f'href="{change(newer)}"' in text_of(older)


def test_a_change_of_an_older_version_is_refused_and_keeps_what_was_typed(
    administrator: Client, kept: Criteria, people: Any, now: datetime
) -> None:
    form = filled(administrator.get(change(kept)), "criteria-form")
    criteria.write("Every note", items=["Another thing"], by=people.administrator, at=now)

    response = administrator.post(change(kept), {**form, "items": "Typed at length."})

    assert response.status_code == 400
    assert "“Every note” is version 2 by now, made by administrator" in text_of(response)
    assert "Typed at length." in text_of(response)
    assert Criteria.objects.count() == 2


def test_a_retired_list_leaves_the_list_and_its_versions_stay(administrator: Client, kept: Criteria) -> None:
    response = administrator.post(reverse("admin:kb_criteria_retire", args=[kept.pk]), follow=True)
    again = administrator.post(reverse("admin:kb_criteria_retire", args=[kept.pk]), follow=True)

    assert (said(response), said(again)) == (
        ["Reviewers no longer get “Every note”."],
        ["There is no list “Every note” in use."],
    )
    assert list(response.context["cl"].result_list) == []
    assert "Retired" in text_of(administrator.get(change(kept)))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "", "items": "It runs"}, "This field is required."),
        ({"name": "A", "items": " \r\n "}, "“A” needs at least one thing to check."),
        ({"name": "A", "items": "x" * 501}, "at most 200 lines of at most 500 characters"),
        ({"name": "A\x00", "items": "It runs"}, "Null characters are not allowed."),
        ({"name": "A", "items": "It\x00runs"}, "without NUL"),
    ],
)
def test_a_list_that_cannot_be_is_refused_with_a_sentence(
    administrator: Client, given: dict[str, str], sentence: str
) -> None:
    response = administrator.post(ADD, given)

    assert response.status_code == 400
    assert sentence in text_of(response)
    assert Criteria.objects.count() == 0


@pytest.mark.parametrize("who", ["editor", "reviewer", "auditor"])
def test_others_read_the_criteria_and_change_none(
    client: Client, people: SimpleNamespace, kept: Criteria, who: str
) -> None:
    client.force_login(getattr(people, who))

    page = client.get(change(kept))
    answers = [
        client.post(ADD, {"name": "New", "items": "It runs"}).status_code,
        client.post(change(kept), {"seen": 1, "items": "It ends"}).status_code,
        client.post(reverse("admin:kb_criteria_retire", args=[kept.pk])).status_code,
        client.post(reverse("admin:kb_criteria_delete", args=[kept.pk]), {"post": "yes"}).status_code,
    ]

    assert (page.status_code, answers) == (200, [403, 403, 403, 403])
    assert ("It runs" in text_of(page), "criteria-form" in text_of(page)) == (True, False)
    assert Criteria.objects.get().retired_at is None


def test_the_list_costs_the_same_for_one_and_for_three(
    administrator: Client, kept: Criteria, people: Any, now: datetime
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            administrator.get(LIST)
        return len(caught)

    one = queries()
    for name in ("Databases", "Secrets"):
        criteria.write(name, items=["It runs"], by=people.administrator, at=now)

    assert (one, queries()) == (8, 8)
