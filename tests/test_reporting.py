"""Readers' reports: how they come in, how often, who sees them, and what becomes of them."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from config.sender import sender
from kb.choices import State
from kb.errors import Refused, TooOften
from kb.flow import queueing, reporting, reviewing, revising, verifying
from kb.models import Flag, Notice, Post, Publication, QueueItem, Report
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(databases=["default", "reading"])

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Publish = Callable[..., Publication]
MakePost = Callable[..., Post]


@pytest.fixture
def post(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> Post:
    begin_with(lambda: publish(make_post(slug="pool", owner="Team", rollback_note="Back.")))
    return Post.objects.get()


def report(post: Post, at: datetime, **given: Any) -> Report:
    said = {"kind": "outdated", "sentence": "Version 18 does it by itself.", "sender": "192.0.2.7"}
    return reporting.report(post.slug, **{**said, **given}, at=at)


def flag_of(post: Post) -> Flag:
    return Flag.objects.open().get(revision__post=post, code=queueing.REPORTED)


# --- What is kept ---


def test_a_report_is_kept_with_what_readers_had_and_without_their_address(post: Post, now: datetime) -> None:
    found = report(post, now, sentence=" Version 18 does it by itself.\n")

    publication = Publication.objects.get(post=post)
    assert (found.revision_id, found.kind, found.sentence) == (
        *(publication.revision_id, "outdated"),
        "Version 18 does it by itself.",
    )
    assert (found.by, found.flag) == (None, flag_of(post))
    assert re.fullmatch("[0-9a-f]{64}", found.sender)
    assert "192.0.2.7" not in str(Report.objects.values().get())


def test_the_hash_of_a_sender_depends_on_the_key() -> None:
    with override_settings(SECRET_KEY="one"):
        first = reporting.sender_hash(None, "192.0.2.7")
    with override_settings(SECRET_KEY="another"):
        second = reporting.sender_hash(None, "192.0.2.7")

    assert first != second


def test_the_first_report_puts_the_post_into_the_queue_and_later_ones_extend_the_flag(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    report(post, now)
    alone = flag_of(post).sentence
    report(post, now + HOUR, kind="wrong", sentence="The command fails.", by=people.stranger)
    report(post, now + 2 * HOUR, sentence="Again: old.")

    flag = flag_of(post)
    assert alone == "A reader reports: outdated."
    assert flag.sentence == "2 readers report: wrong, outdated."
    assert flag.evidence == [
        {"field": "", "excerpt": "Outdated: Again: old."},
        {"field": "", "excerpt": "Wrong: The command fails."},
        {"field": "", "excerpt": "Outdated: Version 18 does it by itself."},
    ]
    assert (flag.severity, flag.raised_at) == ("advisory", now)
    assert QueueItem.objects.open().get(post=post).codes == [queueing.REPORTED]
    post.refresh_from_db()
    assert post.state == State.SETTLED


def test_the_evidence_of_the_flag_is_bounded(post: Post, now: datetime) -> None:
    for number in range(22):
        report(post, now, sender=f"192.0.2.{number}", sentence="x" * 2_000)

    flag = flag_of(post)
    assert flag.sentence == "22 readers report: outdated."
    assert [len(found["excerpt"]) for found in flag.evidence] == [410] * 20


def test_the_flag_goes_along_to_later_revisions_until_somebody_closes_it(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    report(post, now)
    changed = post.document().model_copy(update={"brief": "New."})
    note = revising.ChangeNote("Because.")
    revising.save(post, changed, base_number=1, by=people.editor, at=now, note=note)
    report(post, now + HOUR, kind="unclear")
    post.refresh_from_db()
    assert post.head
    flag = post.head.flags.open().get(code=queueing.REPORTED)
    told = flag.sentence
    reviewing.close_flag(flag, by=people.reviewer, at=now + 2 * HOUR, note="Both mended.")
    report(post, now + 3 * HOUR, kind="wrong")

    assert told == "A reader reports: outdated, unclear."
    assert post.head.flags.open().get(code=queueing.REPORTED).sentence == "A reader reports: wrong."


def test_closing_tells_those_who_reported_with_a_login(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    report(post, now)
    for number in (1, 2):
        report(post, now + number * HOUR, by=people.stranger)

    reviewing.close_flag(flag_of(post), by=people.reviewer, at=now + DAY, note="Mended.")

    assert list(Notice.objects.values_list("user__username", "sentence")) == [
        ("stranger", "What you reported about “Note 1” is settled: Mended.")
    ]


# --- Refusals ---


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"kind": "rude"}, "bad_kind"),
        ({"sentence": " \n"}, "text_missing"),
        ({"sentence": "x" * 2_001}, "bad_text"),
        ({"sentence": "a\x00b"}, "bad_text"),
    ],
)
def test_what_is_no_report_is_refused(post: Post, now: datetime, given: dict[str, str], code: str) -> None:
    with pytest.raises(Refused) as refused:
        report(post, now, **given)

    assert refused.value.code == code
    assert not Report.objects.exists()


def test_what_readers_do_not_have_cannot_be_reported(
    post: Post, make_post: MakePost, people: SimpleNamespace, now: datetime
) -> None:
    verifying.set_withholding(post, on=True, by=people.reviewer, at=now)

    for slug in (make_post().slug, "nothing", post.slug):
        with pytest.raises(Refused) as refused:
            reporting.report(slug, kind="wrong", sentence="No.", sender="192.0.2.7", at=now + 90 * DAY)
        assert (refused.value.code, str(refused.value)) == ("not_published", "There is no such post.")


def test_one_sender_reports_five_times_an_hour_and_twenty_times_a_day(post: Post, now: datetime) -> None:
    at = now
    for hour in range(4):
        for minute in range(5):
            at = now + hour * HOUR + timedelta(minutes=minute)
            report(post, at)
        with pytest.raises(TooOften) as refused:
            report(post, at)
        expected = now + (DAY if hour == 3 else (hour + 1) * HOUR)
        assert refused.value.again_at == (expected if hour < 3 else now + 4 * HOUR)

    with pytest.raises(TooOften) as refused:
        report(post, now + 5 * HOUR)
    assert refused.value.again_at == now + DAY
    report(post, now + 5 * HOUR, sender="192.0.2.8")
    report(post, now + DAY)


def test_a_post_takes_thirty_reports_a_day_from_all_together(
    post: Post, make_post: MakePost, publish: Publish, now: datetime
) -> None:
    for number in range(30):
        report(post, now, sender=f"192.0.2.{number}")

    with pytest.raises(TooOften) as refused:
        report(post, now + HOUR, sender="192.0.2.99")

    assert refused.value.again_at == now + DAY
    other = make_post()
    publish(other)
    report(other, now + HOUR, sender="192.0.2.99")


# --- The door ---


@pytest.fixture
def public(settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"


FORM = {"kind": "wrong", "sentence": "The command <b>fails</b>."}


@pytest.mark.django_db(databases=["default", "reading"], transaction=True)
@pytest.mark.usefixtures("public")
class TestDoor:
    def test_a_reader_reports_from_the_post_and_is_thanked(self, client: Client, post: Post) -> None:
        shown = client.get("/posts/pool/").content.decode()
        form = client.get("/posts/pool/report/")
        sent = client.post("/posts/pool/report/", FORM, follow=True)

        assert 'href="/posts/pool/report/"' in shown
        assert form.status_code == 200
        assert sent.redirect_chain == [("/posts/pool/report/thanks/", 302)]
        assert "Thank you" in sent.content.decode()
        assert Report.objects.get().sentence == "The command <b>fails</b>."

    def test_no_other_reader_sees_what_was_written(self, client: Client, post: Post) -> None:
        before = [client.get(address).content for address in ("/", "/api/v1/posts/pool/")]
        client.post("/posts/pool/report/", FORM)

        assert [client.get(address).content for address in ("/api/v1/posts/pool/",)] == before[1:]
        for address in ("/", "/posts/pool/", "/posts/pool/report/", "/posts/pool/report/thanks/"):
            assert "command" not in client.get(address).content.decode()

    def test_a_form_without_words_comes_back_with_what_is_missing(self, client: Client, post: Post) -> None:
        response = client.post("/posts/pool/report/", {"kind": "rude", "sentence": ""})

        text = response.content.decode()
        assert response.status_code == 400
        assert "Choose what is the matter" in text
        assert "Say in a sentence" in text
        assert client.post("/posts/pool/report/", {**FORM, "sentence": "x" * 2_001}).status_code == 400
        assert client.post("/posts/pool/report/", {**FORM, "sentence": "a\x00b"}).status_code == 400
        assert not Report.objects.exists()

    def test_absent_unpublished_and_withheld_look_the_same(
        self, client: Client, post: Post, make_post: MakePost, people: SimpleNamespace
    ) -> None:
        make_post(slug="draft")
        old = make_post(slug="old")
        assert old.head
        seen = {"number": 1, "fingerprint": old.head.fingerprint}
        long_ago = timezone.now() - 1000 * DAY
        reviewing.approve(old, **seen, by=people.reviewer, at=long_ago)
        verifying.set_withholding(old, on=True, by=people.reviewer, at=long_ago)

        for address in ("/posts/{}/report/", "/posts/{}/report/thanks/", "/posts/{}/"):
            answers = {
                re.sub(r"<code>.*?</code>", "", client.get(address.format(slug)).content.decode())
                for slug in ("draft", "old", "nothing")
            }
            assert len(answers) == 1
        for slug in ("draft", "old", "nothing"):
            assert client.post(f"/posts/{slug}/report/", FORM).status_code == 404
        assert not Report.objects.exists()

    def test_the_sixth_report_of_an_hour_is_told_when_to_come_back(self, client: Client, post: Post) -> None:
        for _ in range(5):
            client.post("/posts/pool/report/", FORM)

        response = client.post("/posts/pool/report/", FORM)

        assert response.status_code == 429
        assert 3_500 < int(response.headers["Retry-After"]) <= 3_600
        assert "The next one is taken from" in response.content.decode()
        assert Report.objects.count() == 5

    def test_a_form_from_another_site_is_refused(self, post: Post) -> None:
        strict = Client(enforce_csrf_checks=True)
        assert strict.post("/posts/pool/report/", FORM).status_code == 403
        token = strict.get("/posts/pool/report/").context["csrf_token"]
        sent = strict.post("/posts/pool/report/", {**FORM, "csrfmiddlewaretoken": str(token)})
        assert sent.status_code == 302

    def test_where_reading_asks_for_a_login_reporting_does_too(
        self, client: Client, post: Post, people: SimpleNamespace, settings: Any
    ) -> None:
        settings.KB_READ_ACCESS = "authenticated"

        asked = [client.post(f"/posts/{slug}/report/", FORM) for slug in ("pool", "nothing")]
        client.force_login(User.objects.get(username="stranger"))
        client.post("/posts/pool/report/", FORM)

        assert [response.status_code for response in asked] == [302, 302]
        assert asked[0].headers["Location"] == "/login/?next=/posts/pool/report/"
        assert Report.objects.get().by == people.stranger


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "expected"),
    [
        (False, "192.0.2.7", "198.51.100.1", "192.0.2.7"),
        (True, "10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (True, "10.0.0.1", None, "10.0.0.1"),
        (True, "10.0.0.1", "nonsense", "unknown"),
        (False, "2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        (False, "::ffff:192.0.2.7", None, "192.0.2.7"),
        (False, "", None, "unknown"),
    ],
)
def test_a_sender_is_an_address_that_the_server_or_its_proxy_saw(
    trusted: bool, remote: str, forwarded: str | None, expected: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers)

    with override_settings(TRUST_FORWARDED_FOR=trusted):
        assert sender(request) == expected


def test_a_closing_is_not_undone_when_readers_reported_anew(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    report(post, now)
    closed = reviewing.close_flag(flag_of(post), by=people.reviewer, at=now, note="Mended.")
    report(post, now + timedelta(seconds=5), kind="wrong")

    with pytest.raises(Refused) as refusal:
        reviewing.reopen_flag(closed, by=people.reviewer, at=now + timedelta(seconds=10))

    assert refusal.value.code == "changed"
    assert flag_of(post).sentence == "A reader reports: wrong."
