"""The review page: what a reviewer sees before deciding, and what each act does or refuses."""

import html
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kb.admin.beside import MAX_SOURCE
from kb.choices import Severity, State, Verdict
from kb.document import Document
from kb.flow import reviewing, revising
from kb.models import Decision, Flag, ImportRun, Post, Publication
from kb.sources.record import Record
from tests.forms import what_is_seen as seen

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def reviewer(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.reviewer)
    return client


def address(act: str, post: Post, *args: Any) -> str:
    return reverse(f"admin:kb_post_{act}", args=[post.pk, *args])


def page_of(client: Client, post: Post) -> str:
    return text_of(client.get(address("review", post)))


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


@pytest.fixture
def edit(people: SimpleNamespace, now: Any) -> Callable[..., None]:
    def save(post: Post, **content: Any) -> None:
        post.refresh_from_db()
        revising.save(
            post,
            Document.read({**post.document().plain(), **content}),
            base_number=post.head.number,
            by=people.editor,
            at=now,
            note=revising.ChangeNote("edited for a test"),
        )

    return save


@pytest.fixture
def flag(people: SimpleNamespace, now: Any) -> Callable[..., Flag]:
    def raise_flag(post: Post, severity: str = Severity.BLOCKING, sentence: str = "Wrong.") -> Flag:
        return reviewing.raise_flag(post, severity=severity, sentence=sentence, by=people.reviewer, at=now)

    return raise_flag


@pytest.fixture
def imported(now: Any, people: SimpleNamespace) -> Callable[..., Post]:
    def make(content: bytes, place: str = "notes.txt:1", **document: Any) -> Post:
        record = Record(
            document=Document.read({"title": "Imported", **document}),
            content=content,
            format="alphanode",
            place=place,
        )
        run = ImportRun.objects.create(by=people.administrator, started_at=now)
        return revising.import_new(record, run=run, at=now)

    return make


# --- What it shows ------------------------------------------------------------------------------------------
def test_the_page_names_exactly_what_is_decided_on(reviewer: Client, make_post: Any) -> None:
    post = make_post()

    page = page_of(reviewer, post)

    assert "<dd>1, v0.1.0</dd>" in page
    assert f'<dd class="kb-mono">{post.head.fingerprint}</dd>' in page
    assert f'name="fingerprint" value="{post.head.fingerprint}"' in page


def test_open_flags_show_how_grave_they_are_why_and_where(reviewer: Client, make_post: Any) -> None:
    post = make_post(owner="Platform", rollback_note="Revert.", scores={"quality": 3})

    response = reviewer.get(address("review", post))

    (shown,) = response.context["open_flags"]
    page = text_of(response)
    assert (shown["row"].code, shown["row"].severity) == ("low_score", Severity.ADVISORY)
    assert (
        f'<span class="kb-label kb-label--advisory">Advisory</span> <strong>{shown["row"].sentence}' in page
    )
    assert '<span class="kb-mono">scores.quality</span> <q class="kb-excerpt">3</q>' in page


def test_a_post_that_nobody_approved_yet_is_all_new(reviewer: Client, make_post: Any) -> None:
    post = make_post(summary="The summary.")

    page = page_of(reviewer, post)

    assert "Everything is new: nothing of this post was approved yet" in page
    assert "<dt data-kb-aside>Summary</dt><dd>The summary.</dd>" in page


def test_changes_are_those_since_the_last_approval(
    reviewer: Client, make_post: Any, publish: Any, edit: Any
) -> None:
    post = make_post(summary="First words.")
    publish(post)
    edit(post, summary="Approved words.")
    publish(post)
    edit(post, summary="Words in between.")
    edit(post, summary="Newest words.")

    page = page_of(reviewer, post)

    assert "Changes since the last approval (revision 2, v0.1.1)" in page
    assert "<del>Approved</del> words." in page
    assert "<ins>Newest</ins> words." in page
    assert "First words." not in page
    assert "Words in between." not in page


def test_content_that_came_back_has_no_differences(
    reviewer: Client, make_post: Any, publish: Any, edit: Any
) -> None:
    post = make_post(summary="As it was.")
    publish(post)
    edit(post, summary="Other.")
    edit(post, summary="As it was.")

    assert "There are no differences." in page_of(reviewer, post)


def test_the_preview_is_what_readers_would_get(reviewer: Client, make_post: Any, publish: Any) -> None:
    post = make_post(body="Some *text*.\n\n<b>no</b>")

    response = reviewer.get(address("review", post))
    publication = publish(post)

    assert response.context["preview"] == publication.html
    assert f'<div class="kb-preview" data-field="body">{publication.html}</div>' in response.content.decode()


def test_the_source_record_is_shown_as_it_came(reviewer: Client, imported: Any) -> None:
    post = imported(b"title\n\xff\r\nreading time12", place="folder/note.txt:7")

    response = reviewer.get(address("review", post))

    assert response.context["source"]["text"] == "title\n\ufffd\r\nreading time12"
    assert response.context["source"]["cut"] == 0
    page = text_of(response)
    for part in ("folder/note.txt:7", "alphanode", response.context["source"]["record"].sha256):
        assert part in page


def test_a_huge_source_record_is_cut_and_says_so(reviewer: Client, imported: Any) -> None:
    post = imported(b"x" * (MAX_SOURCE + 7))

    page = page_of(reviewer, post)

    assert page.count("x" * MAX_SOURCE) == 1
    assert "x" * (MAX_SOURCE + 1) not in page
    assert "… and 7 more characters. An export returns all of them." in page


def test_earlier_decisions_stay_on_the_page(
    reviewer: Client, make_post: Any, people: Any, now: Any, edit: Any
) -> None:
    post = make_post()
    reviewing.request_changes(post, **seen(post), by=people.second_reviewer, at=now, comment="Too long.")
    edit(post, summary="Shorter.")

    page = page_of(reviewer, post)

    assert "<strong>Changes requested by second_reviewer</strong>" in page
    assert "Too long." in page


def test_hostile_text_is_text_in_every_place(reviewer: Client, imported: Any, people: Any, now: Any) -> None:
    post = imported(
        HOSTILE.encode(),
        place=f"{HOSTILE}.txt:1",
        title=HOSTILE,
        body=HOSTILE,
        topic=HOSTILE,
        stack=[HOSTILE],
        checklists=[{"title": HOSTILE, "items": [HOSTILE]}],
        images=[{"source": HOSTILE, "url": HOSTILE, "caption": HOSTILE}],
        payload={"generator": HOSTILE, HOSTILE: HOSTILE},
    )
    flags = [
        reviewing.raise_flag(post, severity=Severity.ADVISORY, sentence=HOSTILE, by=people.reviewer, at=now)
        for _ in range(2)
    ]
    reviewing.close_flag(flags[0], note=HOSTILE, by=people.reviewer, at=now)
    reviewing.request_changes(post, **seen(post), by=people.reviewer, at=now, comment=HOSTILE)
    people.reviewer.username = HOSTILE
    people.reviewer.save()

    again = reviewer.post(address("request_changes", post), {**seen(post), "comment": HOSTILE})

    for response in (reviewer.get(address("review", post)), again):
        page = response.content.decode()
        assert page.count("&lt;script&gt;alert(1)") > 15
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_no_cache_keeps_the_page(reviewer: Client, make_post: Any) -> None:
    headers = reviewer.get(address("review", make_post())).headers

    assert headers["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


def test_the_page_asks_the_same_number_of_queries_for_one_flag_and_decision_and_for_three(
    reviewer: Client, make_post: Any, flag: Any, publish: Any, people: Any, now: Any
) -> None:
    def queries(post: Post) -> int:
        with CaptureQueriesContext(connection) as caught:
            assert reviewer.get(address("review", post)).status_code == 200
        return len(caught)

    quiet = {"owner": "Platform", "rollback_note": "Revert."}
    one, three = make_post(**quiet), make_post(**quiet)
    for post, times in ((one, 1), (three, 3)):
        publish(post)
        for number in range(times):
            flag(post, Severity.ADVISORY, f"Flag {number}.")
            if number:
                verdict = reviewing.request_changes if number == 1 else reviewing.approve
                verdict(post, **seen(post), by=people.second_reviewer, at=now, comment="Seen.")
    rows = [(post.head.flags.count(), post.head.decisions.count()) for post in (one, three)]

    assert rows == [(1, 1), (3, 3)]
    assert (queries(one), queries(three)) == (18, 18)


# --- Approve ------------------------------------------------------------------------------------------------
def test_approving_publishes_exactly_what_was_seen_and_says_so(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    post = make_post()

    response = reviewer.post(address("approve", post), {**seen(post), "comment": " Well done. "}, follow=True)

    decision = Decision.objects.get()
    publication = Publication.objects.get()
    assert messages_of(response) == [
        f'Approved and published: <a href="{address("review", post)}">Note 1</a>.',
        "Nothing is left for you to take: all is decided, claimed by others or your own work.",
    ]
    assert (decision.verdict, decision.reviewer, decision.comment) == (
        Verdict.APPROVE,
        people.reviewer,
        "Well done.",
    )
    assert (publication.revision, publication.fingerprint) == (post.head, post.head.fingerprint)


def refused(response: Any) -> tuple[int, str]:
    return response.status_code, str(response.context["refused"])


def test_nobody_approves_what_they_wrote(reviewer: Client, make_post: Any, people: Any) -> None:
    post = make_post(by=people.reviewer, title="Mine")

    response = reviewer.post(address("approve", post), seen(post))

    assert refused(response) == (
        409,
        "You wrote some of this content of “Mine”: another person must approve it.",
    )
    assert "You wrote some of this content: somebody else must approve it." in text_of(response)
    assert (Decision.objects.count(), Publication.objects.count()) == (0, 0)


def test_an_approval_of_what_changed_meanwhile_is_refused_and_shows_what_is_new(
    reviewer: Client, make_post: Any, edit: Any
) -> None:
    post = make_post(title="Note", summary="Seen.")
    opened = seen(post)
    edit(post, summary="Never seen.")

    response = reviewer.post(address("approve", post), {**opened, "comment": "Typed at length."})

    assert refused(response) == (
        409,
        "“Note” changed since you opened it: you saw revision 1, now there is revision 2. "
        "Look at what is new and decide again.",
    )
    form, now_seen = response.context["decide_form"], seen(post)
    values = {name: form[name].value() for name in ("number", "fingerprint", "standing", "comment")}
    assert values == {**now_seen, "comment": "Typed at length."}
    assert now_seen["number"] == 2
    page = text_of(response)
    assert "What changed since you opened it (revision 1 → 2)" in page
    assert ("<del>Seen.</del>" in page, "<ins>Never seen.</ins>" in page) == (True, True)
    assert (Decision.objects.count(), Publication.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("forged", "status"),
    [
        ({"fingerprint": "0" * 64}, 409),
        ({"number": 2}, 409),
        ({"number": 0}, 409),
        ({"number": 10**30}, 409),
        ({"number": "one"}, 400),
        ({"fingerprint": "0" * 65}, 400),
        ({"fingerprint": "\x00"}, 400),
        ({"fingerprint": ""}, 400),
    ],
)
@pytest.mark.parametrize("act", ["approve", "request_changes"])
def test_a_forged_number_or_fingerprint_decides_nothing(
    reviewer: Client, make_post: Any, act: str, forged: dict[str, Any], status: int
) -> None:
    post = make_post()

    response = reviewer.post(address(act, post), {**seen(post), "comment": "Seen.", **forged})

    assert response.status_code == status
    assert (Decision.objects.count(), Publication.objects.count()) == (0, 0)


def test_an_open_blocking_flag_holds_up_approval(reviewer: Client, make_post: Any, flag: Any) -> None:
    post = make_post(title="Note")
    flag(post)

    response = reviewer.post(address("approve", post), seen(post))

    assert refused(response) == (
        409,
        "“Note” still has 1 blocking flag: close it, or send the revision back.",
    )
    assert "1 open blocking flag: close it before you approve." in text_of(response)
    assert Publication.objects.count() == 0


def test_who_may_review_but_not_publish_sees_no_such_buttons_and_is_refused(
    client: Client, make_post: Any, publish: Any, edit: Any, people: Any
) -> None:
    post = make_post()
    publish(post)
    edit(post, summary="New.")
    people.stranger.is_staff = True
    people.stranger.save()
    people.stranger.user_permissions.set(Permission.objects.filter(codename__in=["view_post", "review_post"]))
    client.force_login(people.stranger)

    page = page_of(client, post)

    assert "You may review but not publish: a colleague who may has to approve." in page
    assert "Approve and publish" not in page
    assert "Withdraw from readers" not in page
    assert client.post(address("approve", post), seen(post)).status_code == 403
    assert (
        client.post(
            address("withdraw", post), {"published": post.head.fingerprint, "comment": "Gone."}
        ).status_code
        == 403
    )
    assert client.post(address("request_changes", post), {**seen(post), "comment": "No."}).status_code == 302


# --- The other acts -----------------------------------------------------------------------------------------
def test_requesting_changes_needs_a_comment_and_then_sends_the_post_back(
    reviewer: Client, make_post: Any
) -> None:
    post = make_post(title="Note", ask_for_review=True)

    without = reviewer.post(address("request_changes", post), {**seen(post), "comment": "  "})
    response = reviewer.post(
        address("request_changes", post), {**seen(post), "comment": "Shorter."}, follow=True
    )

    post.refresh_from_db()
    assert refused(without) == (409, "Say what has to change in “Note”.")
    assert messages_of(response)[0] == (
        f'Sent back with your comment: <a href="{address("review", post)}">Note</a>.'
    )
    assert (post.state, Decision.objects.get().comment) == (State.CHANGES_REQUESTED, "Shorter.")


def test_raising_a_flag_puts_it_on_the_page(reviewer: Client, make_post: Any, people: Any) -> None:
    post = make_post()

    response = reviewer.post(
        address("raise_flag", post), {"severity": "blocking", "sentence": "Not ours."}, follow=True
    )

    raised = Flag.objects.get(code="by_hand")
    assert messages_of(response) == ["Flag raised."]
    assert (raised.severity, raised.sentence, raised.raised_by) == ("blocking", "Not ours.", people.reviewer)
    assert "<strong>Not ours.</strong>" in text_of(response)


def test_a_flag_of_no_known_severity_keeps_what_was_typed(reviewer: Client, make_post: Any) -> None:
    post = make_post()

    response = reviewer.post(address("raise_flag", post), {"severity": "grave", "sentence": "Not ours."})

    assert response.status_code == 400
    assert response.context["raise_flag_form"]["sentence"].value() == "Not ours."
    assert Flag.objects.filter(code="by_hand").count() == 0


def test_closing_a_flag_needs_a_note(reviewer: Client, make_post: Any, flag: Any, people: Any) -> None:
    post = make_post()
    raised = flag(post)

    without = reviewer.post(address("close_flag", post, raised.pk), {"note": "", "sentence": raised.sentence})
    response = reviewer.post(
        address("close_flag", post, raised.pk),
        {"note": "It is ours.", "sentence": raised.sentence},
        follow=True,
    )

    raised.refresh_from_db()
    assert refused(without) == (409, "Say in the note why this flag needs no further attention.")
    assert messages_of(response) == ["Flag closed."]
    assert (raised.closed_by, raised.closing_note) == (people.reviewer, "It is ours.")


def test_what_was_typed_stays_where_its_form_is_gone(
    reviewer: Client, make_post: Any, edit: Any, publish: Any, people: Any, now: Any
) -> None:
    flagged, approved, withdrawn = make_post(), make_post(), make_post()
    old = flagged.head.flags.get(code="missing_owner")
    edit(flagged, summary="New.")
    publish(approved, by=people.second_reviewer)
    publish(withdrawn)
    reviewing.withdraw(withdrawn, by=people.second_reviewer, at=now, comment="Outdated.")

    responses = [
        reviewer.post(
            address("close_flag", flagged, old.pk), {"note": "Typed at length.", "sentence": old.sentence}
        ),
        reviewer.post(address("approve", approved), {**seen(approved), "comment": "Typed at length."}),
        reviewer.post(address("withdraw", withdrawn), {"published": "-", "comment": "Typed at length."}),
    ]

    assert [response.status_code for response in responses] == [409, 409, 409]
    assert ["Typed at length." in text_of(response) for response in responses] == [True, True, True]


def test_a_flag_is_closed_under_its_own_post_alone(reviewer: Client, make_post: Any, flag: Any) -> None:
    raised, other = flag(make_post()), make_post()

    response = reviewer.post(
        address("close_flag", other, raised.pk), {"note": "Settled.", "sentence": raised.sentence}
    )

    raised.refresh_from_db()
    assert (response.status_code, raised.is_open) == (404, True)


def test_withdrawing_needs_a_reason_and_takes_the_post_from_readers(
    reviewer: Client, make_post: Any, publish: Any
) -> None:
    post = make_post(title="Note")
    publish(post)

    without = reviewer.post(address("withdraw", post), {"published": post.head.fingerprint, "comment": ""})
    kept = Publication.objects.count()
    response = reviewer.post(
        address("withdraw", post), {"published": post.head.fingerprint, "comment": "Outdated."}, follow=True
    )

    assert (refused(without), kept) == ((409, "Say why “Note” is withdrawn."), 1)
    assert messages_of(response) == ["Withdrawn: readers no longer have this post."]
    assert Publication.objects.count() == 0


@pytest.mark.parametrize("act", ["approve", "request_changes", "raise_flag", "close_flag", "withdraw"])
def test_looking_at_an_act_does_nothing(reviewer: Client, make_post: Any, flag: Any, act: str) -> None:
    post = make_post()
    args = [flag(post).pk] if act == "close_flag" else []

    assert reviewer.get(address(act, post, *args), {**seen(post), "comment": "x"}).status_code == 405
