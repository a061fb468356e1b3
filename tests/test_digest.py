"""The digest: to each what waits for them, once a day, and no draft's title to somebody without the right."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends import locmem
from django.core.management import CommandError, call_command
from django.utils import timezone

from kb import checks
from kb.flow import digesting, noticing, reviewing, verifying
from kb.models import Digest, Post, Publication

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(settings: Any) -> None:
    settings.KB_DIGEST = True
    settings.KB_DIGEST_FROM = "kb@example.com"
    settings.KB_BASE_URL = "https://kb.example.com"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("digest", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def sent() -> dict[str, str]:
    return {message.to[0]: str(message.body) for message in mail.outbox}


def test_reviewers_learn_what_awaits_them_and_not_what_they_wrote(make_post: Any, people: Any) -> None:
    make_post(title="Needs a look", body="The secret text.", ask_for_review=True)
    make_post(title="Mine", by=people.reviewer, ask_for_review=True)

    run()

    found = sent()
    assert set(found) == {f"{name}@example.com" for name in ("reviewer", "second_reviewer", "administrator")}
    mine = found["reviewer@example.com"]
    post = Post.objects.get(title="Needs a look")
    assert "- Needs a look (" in mine
    assert f"  https://kb.example.com/admin/kb/post/{post.pk}/review/" in mine
    assert "Mine" not in mine
    assert "- Mine (" in found["second_reviewer@example.com"]
    assert "secret text" not in "".join(found.values())
    (html,) = [message for message in mail.outbox if message.to == ["reviewer@example.com"]]
    assert "Needs a look</a>" in html.alternatives[0][0]
    assert html.extra_headers["Auto-Submitted"] == "auto-generated"


def test_editors_learn_what_was_returned_and_what_they_forgot(make_post: Any, people: Any, now: Any) -> None:
    post = make_post(title="Returned")
    fingerprint = post.head.fingerprint
    reviewing.request_changes(
        post, number=1, fingerprint=fingerprint, by=people.reviewer, at=now, comment="Shorter."
    )
    forgotten = make_post(title="Forgotten")
    Post.objects.filter(pk=forgotten.pk).update(updated_at=now - timedelta(days=15))
    make_post(title="Fresh")

    letter = digesting.compose(people.editor, at=now)

    assert [(section.title, [line.words for line in section.lines]) for section in letter.sections] == [
        ("Changes requested of yours", ["Returned"]),
        ("Drafts of yours that wait long", ["Forgotten"]),
    ]


@pytest.mark.parametrize("owner", ["stranger", "STRANGER@example.com", "Sam Stone"])
def test_owners_learn_what_is_due_under_the_title_that_readers_have(
    make_post: Any, publish: Any, people: Any, now: Any, owner: str
) -> None:
    people.stranger.first_name, people.stranger.last_name = "Sam", "Stone"
    people.stranger.save()
    post = make_post(title="As published", owner=owner)
    publish(post)
    Publication.objects.update(review_by=now - timedelta(days=1))
    Post.objects.update(title="A secret draft")
    noticing.tell(people.stranger, "“A secret draft” was assigned to you.", post=post, at=now)

    assert people.stranger in digesting.recipients(at=now)
    letter = digesting.compose(people.stranger, at=now)

    (section,) = letter.sections
    assert [(line.words, line.path, line.why) for line in section.lines] == [
        ("As published", f"/posts/{post.slug}/", "overdue")
    ]


def test_nobody_gets_two_a_day_nor_one_without_content(make_post: Any, people: Any) -> None:
    assert run() == "Sent: 0.\n"
    make_post(ask_for_review=True)

    assert run() == "Sent: 3.\n"
    assert run() == "Sent: 0.\n"
    assert (len(mail.outbox), Digest.objects.count()) == (3, 3)


def test_the_next_day_tells_new_notices_alone(make_post: Any, people: Any, now: Any) -> None:
    noticing.tell(people.editor, "The first.", at=now - timedelta(hours=1))
    digesting.reserve(people.editor, at=now)
    noticing.tell(people.editor, "The second.", at=now + timedelta(hours=1))

    def notices(**given: Any) -> list[str]:
        letter = digesting.compose(people.editor, at=now + timedelta(days=1), **given)
        return [line.words for section in letter.sections for line in section.lines]

    assert notices() == ["The second."]
    assert notices(since=now - timedelta(days=1)) == ["The second.", "The first."]


def test_two_runs_at_once_send_one(people: Any, now: Any) -> None:
    first, second = (digesting.reserve(people.editor, at=now) for _ in range(2))

    assert first is not None
    assert second is None


def test_one_bad_address_stops_no_other_and_is_tried_again(
    make_post: Any, people: Any, monkeypatch: Any
) -> None:
    make_post(ask_for_review=True)
    deliver = locmem.EmailBackend.send_messages

    def refuse(backend: Any, messages: Any) -> Any:
        if messages[0].to == ["reviewer@example.com"]:
            raise OSError("mailbox unavailable")
        return deliver(backend, messages)

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", refuse)
    with pytest.raises(CommandError, match="1 could not be sent"):
        run()
    assert set(sent()) == {"second_reviewer@example.com", "administrator@example.com"}
    monkeypatch.setattr(locmem.EmailBackend, "send_messages", deliver)

    assert run() == "Sent: 1.\n"
    assert "reviewer@example.com" in sent()


def test_an_address_that_would_forge_a_header_is_a_failure_and_no_mail(make_post: Any, people: Any) -> None:
    make_post(ask_for_review=True)
    people.reviewer.email = "a@example.com\nBcc: all@example.com"
    people.reviewer.save()

    with pytest.raises(CommandError, match="1 could not be sent"):
        run()

    assert len(mail.outbox) == 2


def test_a_dry_run_prints_and_notes_nothing(make_post: Any, people: Any, settings: Any) -> None:
    settings.KB_DIGEST = False
    make_post(title="<Needs> & a look", ask_for_review=True)

    shown = run("--dry-run", "--since", "2026-11-01")

    assert "To: reviewer@example.com\nSubject: kb: 1 awaiting your review" in shown
    assert "- <Needs> & a look (" in shown
    assert shown.endswith("would be sent: 3.\n")
    assert (mail.outbox, Digest.objects.count()) == ([], 0)


def test_inactive_people_and_those_without_an_address_get_nothing(make_post: Any, people: Any) -> None:
    make_post(ask_for_review=True)
    people.reviewer.is_active = False
    people.reviewer.save()
    people.second_reviewer.email = ""
    people.second_reviewer.save()

    run()

    assert set(sent()) == {"administrator@example.com"}


def test_without_being_switched_on_nothing_is_sent(make_post: Any, people: Any, settings: Any) -> None:
    settings.KB_DIGEST = False
    make_post(ask_for_review=True)

    with pytest.raises(CommandError, match="set KB_DIGEST first"):
        run()

    assert mail.outbox == []


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", ""])
def test_a_date_that_is_none_is_refused(since: str) -> None:
    with pytest.raises(CommandError, match="expected a day"):
        run("--since", since)


def test_a_digest_that_is_on_and_cannot_leave_is_a_warning(settings: Any) -> None:
    settings.KB_DIGEST_FROM = ""

    (warning,) = checks.mail()

    assert warning.id == "kb.W007"
    assert "KB_EMAIL_URL, KB_DIGEST_FROM is not set" in warning.msg
    settings.KB_DIGEST = False
    assert checks.mail() == []


def test_what_waits_since_long_says_so(make_post: Any, people: Any) -> None:
    make_post(ask_for_review=True)
    at = timezone.now() + timedelta(days=400)

    letter = digesting.compose(people.reviewer, at=at)

    assert "the oldest for" in letter.subject


def test_owners_learn_nothing_of_what_readers_lost_at_its_moment(
    make_post: Any, publish: Any, people: Any, now: Any
) -> None:
    post = make_post(owner="stranger")
    publication = publish(post)
    verifying.set_withholding(post, on=True, by=people.reviewer, at=now)

    moment = publication.review_by
    before = digesting.compose(people.stranger, at=moment - timedelta(seconds=1))
    after = digesting.compose(people.stranger, at=moment)

    assert before is not None
    assert after is None
