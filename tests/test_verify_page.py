"""Verification in the admin: the page on which somebody vouches, labels, policies with their preview."""

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

from kb.flow import reporting, reviewing, revising, verifying
from kb.models import Oversight, Post, Publication, Verification, VerificationPolicy
from tests.forms import filled

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)

Publish = Callable[..., Publication]
MakePost = Callable[..., Post]


@pytest.fixture
def published(make_post: MakePost, people: SimpleNamespace) -> Callable[..., Post]:
    """A post that was approved so many days ago."""

    def make(*, days: int = 1, **content: Any) -> Post:
        post = make_post(**content)
        assert post.head
        seen = {"number": 1, "fingerprint": post.head.fingerprint}
        reviewing.approve(post, **seen, by=people.reviewer, at=timezone.now() - days * DAY)
        return post

    return make


@pytest.fixture
def reviewer(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.reviewer)
    return client


def address(name: str, post: Post) -> str:
    return reverse(f"admin:kb_post_{name}", args=[post.pk])


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_the_page_shows_what_readers_have_and_takes_the_word_of_who_may(
    reviewer: Client, published: Callable[..., Post], people: SimpleNamespace
) -> None:
    post = published(days=85, body="What readers **have**.")
    changed = post.document().model_copy(update={"body": "What they do not have."})
    note = revising.ChangeNote("Because.")
    revising.save(post, changed, base_number=1, by=people.editor, at=timezone.now(), note=note)
    reporting.report(post.slug, kind="wrong", sentence="<b>No.</b>", sender="-", at=timezone.now())

    page = reviewer.get(address("verify", post))
    data = {**filled(page, "still-true"), "checked": "Ran it.", "evidence": "https://ci.example.com/7"}
    sent = reviewer.post(address("still_true", post), data, follow=True)

    assert "What readers <strong>have</strong>." in words(page)
    assert "What they do not have." not in words(page)
    assert "Due for verification" in words(page)
    assert "&lt;b&gt;No.&lt;/b&gt;" in words(page)
    assert sent.redirect_chain == [(address("verify", post), 302)]
    assert "Verified: readers see the new date." in words(sent)
    assert 'href="https://ci.example.com/7"' in words(sent)
    assert Verification.objects.get().revision.number == 1


def test_what_was_typed_is_kept_when_readers_got_another_revision_meanwhile(
    reviewer: Client, published: Callable[..., Post], people: SimpleNamespace
) -> None:
    post = published()
    data = filled(reviewer.get(address("verify", post)), "still-true")
    changed = post.document().model_copy(update={"brief": "New."})
    note = revising.ChangeNote("Because.")
    revising.save(post, changed, base_number=1, by=people.editor, at=timezone.now(), note=note)
    post.refresh_from_db()
    assert post.head
    seen = {"number": 2, "fingerprint": post.head.fingerprint}
    reviewing.approve(post, **seen, by=people.reviewer, at=timezone.now())

    refused = reviewer.post(address("still_true", post), {**data, "checked": "Ran the old one."})
    again = reviewer.post(address("still_true", post), filled(refused, "still-true"))

    assert refused.status_code == 409
    assert "Readers have another revision" in words(refused)
    assert again.status_code == 302
    assert Verification.objects.values_list("checked", "revision__number").get() == ("Ran the old one.", 2)


def test_who_may_only_look_gets_no_form_and_is_refused(
    client: Client, published: Callable[..., Post], people: SimpleNamespace
) -> None:
    post = published()
    fingerprint = Publication.objects.get(post=post).fingerprint
    client.force_login(people.editor)

    page = client.get(address("verify", post))
    sent = client.post(address("still_true", post), {"published": fingerprint, "checked": "Ran it."})
    withheld = client.post(address("withholding", post), {"on": "1"})

    assert "You may look, not verify" in words(page)
    assert (sent.status_code, withheld.status_code) == (403, 403)
    assert not Verification.objects.exists()


def test_whom_a_policy_names_gets_the_form_without_the_right(
    client: Client, published: Callable[..., Post], people: SimpleNamespace
) -> None:
    post = published(topic="databases")
    VerificationPolicy.objects.create(topic="databases", days=30, verifier=people.editor)
    client.force_login(people.editor)

    data = filled(client.get(address("verify", post)), "still-true")
    assert client.post(address("still_true", post), {**data, "checked": "Ran it."}).status_code == 302


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"checked": ""}, 409),
        ({"evidence": "ftp://example.com/"}, 409),
        ({"published": "x" * 65}, 400),
        ({"published": ""}, 400),
        ({"checked": "a\x00b"}, 400),
    ],
)
def test_bad_input_gets_a_clear_page(
    reviewer: Client, published: Callable[..., Post], changed: dict[str, str], status: int
) -> None:
    post = published()
    data = {**filled(reviewer.get(address("verify", post)), "still-true"), "checked": "Ran it.", **changed}

    assert reviewer.post(address("still_true", post), data).status_code == status
    assert not Verification.objects.exists()


def test_a_post_that_readers_do_not_have_is_not_verified(reviewer: Client, make_post: MakePost) -> None:
    post = make_post()

    page = reviewer.get(address("verify", post))
    sent = reviewer.post(address("still_true", post), {"published": "0" * 64, "checked": "Ran it."})

    assert "nothing to verify" in words(page)
    assert sent.status_code == 409
    assert reviewer.get(reverse("admin:kb_post_verify", args=[0])).status_code == 404


def test_withholding_is_switched_on_and_off_and_a_withheld_post_comes_back(
    reviewer: Client, published: Callable[..., Post]
) -> None:
    post = published(days=100)
    reviewer.post(address("withholding", post), {"on": "1"})
    verifying.withhold(post, at=timezone.now())
    page = reviewer.get(address("verify", post))
    nonsense = reviewer.post(address("withholding", post), {"on": "?"})

    reviewer.post(address("withholding", post), {"on": "0"})

    assert "Withheld" in words(page)
    assert "Give it back to readers" in words(page)
    assert nonsense.status_code == 400
    assert Oversight.objects.values_list("withhold_when_overdue", "withheld_at").get() == (False, None)
    assert Publication.objects.filter(post=post).exists()


def test_the_list_says_what_is_due_without_another_query(
    reviewer: Client, published: Callable[..., Post], people: SimpleNamespace
) -> None:
    published(days=80)
    with CaptureQueriesContext(connection) as one:
        reviewer.get(reverse("admin:kb_post_changelist"))
    published(days=100)
    withheld = published(days=100)
    verifying.set_withholding(withheld, on=True, by=people.reviewer, at=timezone.now())
    verifying.withhold(withheld, at=timezone.now())

    with CaptureQueriesContext(connection) as three:
        text = words(reviewer.get(reverse("admin:kb_post_changelist")))

    assert len(three) == len(one)
    for label in ("Due for verification", "Verification overdue", "Withheld"):
        assert f">{label}</span>" in text


def test_the_page_asks_the_same_number_of_queries_for_one_report_as_for_three(
    reviewer: Client, published: Callable[..., Post], people: SimpleNamespace
) -> None:
    post = published()
    fingerprint = Publication.objects.get(post=post).fingerprint
    counts = []
    for number in range(3):
        at = timezone.now()
        reporting.report(post.slug, kind="wrong", sentence="No.", sender=f"{number}", at=at)
        verifying.verify(post, published=fingerprint, checked="All.", by=people.reviewer, at=at)
        with CaptureQueriesContext(connection) as asked:
            reviewer.get(address("verify", post))
        counts.append(len(asked))

    assert counts == [counts[0]] * 3
    assert counts[0] <= 16


# --- Policies ---


@pytest.fixture
def administrator(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.administrator)
    return client


ADD = "admin:kb_verificationpolicy_add"


def test_a_policy_shows_how_many_posts_it_is_about_before_it_is_saved(
    administrator: Client, published: Callable[..., Post], now: datetime
) -> None:
    published(topic="Databases / backups", entities=[{"name": "postgresql", "type": "tool"}])
    published(topic="networks", entities=[{"name": "dig", "type": "tool"}])

    found = [
        words(administrator.post(reverse(ADD), {**given, "days": 30, "_preview": "1"}))
        for given in ({"topic": "databases"}, {"entity_type": "tool"}, {"topic": "nothing"})
    ]

    for text, number in zip(found, ("1 post", "2 posts", "0 posts"), strict=True):
        assert f"This is about {number} that readers have. Nothing is saved yet." in text
        assert "errornote" not in text
    assert not VerificationPolicy.objects.exists()


def test_an_administrator_keeps_policies(administrator: Client, people: SimpleNamespace) -> None:
    administrator.post(reverse(ADD), {"topic": "databases", "days": 30, "verifier": people.editor.pk})
    policy = VerificationPolicy.objects.get()
    shown = words(administrator.get(reverse("admin:kb_verificationpolicy_changelist")))
    change = reverse("admin:kb_verificationpolicy_change", args=[policy.pk])
    administrator.post(change, {"entity_type": "tool", "days": 20})
    policy.refresh_from_db()

    assert "Topic: databases …" in shown
    assert (policy.topic, policy.entity_type, policy.days, policy.verifier) == ("", "tool", 20, None)
    administrator.post(reverse("admin:kb_verificationpolicy_delete", args=[policy.pk]), {"post": "yes"})
    assert not VerificationPolicy.objects.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"topic": "a", "entity_type": "b", "days": 30},
        {"days": 30},
        {"topic": "a", "days": 0},
        {"topic": "a", "days": 3651},
        {"topic": "x" * 501, "days": 30},
    ],
)
def test_what_is_no_policy_comes_back_with_its_errors(administrator: Client, given: dict[str, Any]) -> None:
    for more in ({}, {"_preview": "1"}):
        response = administrator.post(reverse(ADD), {**given, **more})

        assert response.status_code == 200
        assert "errorlist" in words(response)
    assert not VerificationPolicy.objects.exists()
