"""The review desk's page: comparing, comments, criteria, later publication, undo, mending, what is alike."""

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from kb.admin import beside
from kb.choices import Severity, State
from kb.document import Document
from kb.flow import commenting, criteria, queueing, reviewing, revising
from kb.models import Comment, Criteria, Decision, ImportRun, Post, Publication, QueueItem, Schedule
from kb.sources.record import Record
from tests.forms import filled
from tests.forms import what_is_seen as seen

pytestmark = pytest.mark.django_db

TEXT = (
    "Two logins take turns, so that a password can be rotated while services run. Each service reads its "
    "password from the vault at start, and again when a connection is refused."
)


@pytest.fixture
def reviewer(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.reviewer)
    return client


@pytest.fixture
def edit(people: SimpleNamespace, now: datetime) -> Callable[..., Post]:
    def save(post: Post, by: User | None = None, **content: Any) -> Post:
        post.refresh_from_db()
        revising.save(
            post,
            Document.read({**post.document().plain(), **content}),
            base_number=post.head.number,
            by=by or people.editor,
            at=now,
            note=revising.ChangeNote("edited for a test"),
        )
        return Post.objects.get(pk=post.pk)

    return save


@pytest.fixture
def remark(people: SimpleNamespace, now: datetime) -> Callable[..., Comment]:
    def add(post: Post, text: str = "Why?", **place: Any) -> Comment:
        post = Post.objects.get(pk=post.pk)
        return commenting.add(
            post, number=post.head.number, text=text, **place, by=people.second_reviewer, at=now
        )

    return add


def address(act: str, post: Post, *args: Any, **query: str) -> str:
    return reverse(f"admin:kb_post_{act}", args=[post.pk, *args], query=query or None)


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def page_of(client: Client, post: Post, **query: str) -> str:
    response = client.get(address("review", post, **query))
    assert response.status_code == 200
    return text_of(response)


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# --- Comparing ----------------------------------------------------------------------------------------------
def test_any_revision_nothing_or_another_post_can_be_the_base(
    reviewer: Client, make_post: Any, edit: Any
) -> None:
    post, other = make_post(summary="First."), make_post(title="Another", summary="Elsewhere.")
    edit(post, summary="Second.")
    edit(post, summary="Third.")

    pages = {base: page_of(reviewer, post, base=base) for base in ("1", "2", "none", f"post-{other.pk}")}

    assert "Changes since revision 1, v0.1.0" in pages["1"]
    assert "<del>First.</del>" in pages["1"]
    assert "<del>Second.</del>" in pages["2"]
    assert "Everything, compared with nothing" in pages["none"]
    assert "How it differs from “Another”" in pages[f"post-{other.pk}"]
    assert "<del>Elsewhere.</del>" in pages[f"post-{other.pk}"]


@pytest.mark.parametrize(
    "query",
    [
        {"base": "99"},
        {"base": "0"},
        {"base": "-1"},
        {"base": "none-1"},
        {"base": "post-0"},
        {"base": "post-x"},
        {"base": "9" * 40},
        {"base": "²"},
        {"view": "sideways"},
    ],
)
def test_a_base_or_view_that_is_not_there_is_a_404(
    reviewer: Client, make_post: Any, query: dict[str, str]
) -> None:
    assert reviewer.get(address("review", make_post(), **query)).status_code == 404


def test_what_is_shown_and_the_queue_go_along_from_act_to_act(reviewer: Client, make_post: Any) -> None:
    post = make_post()
    query = {"base": "none", "view": "split", "filter": "flag=credential"}

    page = reviewer.get(address("review", post, **query))
    response = reviewer.post(
        address("raise_flag", post, **query), {"severity": "advisory", "sentence": "Look."}
    )

    assert page.context["query"] == "?base=none&view=split&filter=flag%3Dcredential"
    assert response.headers["Location"] == address("review", post, **query)


# --- What stands beside it ----------------------------------------------------------------------------------
def test_near_duplicates_come_with_how_much_they_share_and_a_comparison(
    reviewer: Client, make_post: Any
) -> None:
    post = make_post(body=TEXT)
    twin = make_post(title="The same again", body=TEXT)
    make_post(title="Something else", body="Nothing of the kind is said in this note about other matters.")

    response = reviewer.get(address("review", post))

    (near,) = response.context["near"]
    assert near.post == twin
    assert near.percent > 80
    assert [(passage.text, passage.words) for passage in near.passages] == [(TEXT.rstrip("."), 31)]
    assert f'href="{address("review", post, base=f"post-{twin.pk}")}#changes"' in text_of(response)


def test_similar_published_posts_are_found_by_title_topic_and_entities(
    reviewer: Client, make_post: Any, publish: Any
) -> None:
    post = make_post(title="Rotate passwords", entities=[{"name": "PostgreSQL", "type": "stack"}])
    by_title, by_entity = make_post(title="Passwords"), make_post(title="Vacuum in PostgreSQL")
    draft, other = make_post(title="Rotate passwords again"), make_post(title="Cooking rice")
    for published in (by_title, by_entity, other, post):
        publish(published)

    found = {one.post_id for one in reviewer.get(address("review", post)).context["similar"]}

    assert draft.pk not in found
    assert found == {by_title.pk, by_entity.pk}


@pytest.mark.parametrize("title", ["the of and", "!!! ???", "' | & ! <-> :*", "a' | 'b", "\\ \\' ''"])
def test_no_title_upsets_the_search_for_similar_posts(reviewer: Client, make_post: Any, title: str) -> None:
    assert reviewer.get(address("review", make_post(title=title))).status_code == 200


def test_who_wrote_what_names_generator_run_and_people(
    make_post: Any, people: Any, now: datetime, edit: Any
) -> None:
    run = ImportRun.objects.create(by=people.administrator, started_at=now)
    document = Document.read({"title": "Imported", "body": "x", "payload": {"generator": "a synthesizer"}})
    record = Record(document=document, content=b"x", format="alphanode", place="a.txt:1")
    post = revising.import_new(record, run=run, at=now)
    edit(post, summary="First.")
    edit(post, by=people.second_editor, summary="Second.", owner="Platform")
    post = edit(post, owner="platform team")

    told = beside.written(post)

    assert [(part.who, part.revision.number, part.fields) for part in told.parts] == [
        ("editor", 4, ["Owner"]),
        ("second_editor", 3, ["Summary"]),
        (f"a synthesizer, import run {run.pk}", 1, ["Title", "Text", "Payload"]),
    ]
    assert (told.older, told.back_to) == ([], 1)


def test_a_value_that_came_back_belongs_to_who_brought_it_back(
    make_post: Any, people: Any, edit: Any
) -> None:
    post = make_post(summary="As it was.")
    edit(post, summary="Other.")
    post = edit(post, by=people.second_editor, summary="As it was.")

    assert [(part.who, part.fields) for part in beside.written(post).parts] == [
        ("second_editor", ["Summary"]),
        ("editor", ["Title", "Text"]),
    ]


def test_who_wrote_what_is_read_within_bounds_and_says_so(
    reviewer: Client, make_post: Any, edit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "MOST_REVISIONS", 2)
    post = make_post()
    edit(post, summary="First.")
    edit(post, summary="Second.")
    post = edit(post, owner="Platform")

    told = beside.written(post)
    monkeypatch.setattr(beside, "MOST_BYTES", 1)
    least = beside.written(post)

    assert [(part.revision.number, part.fields) for part in told.parts] == [(4, ["Owner"])]
    assert (told.older, told.back_to) == (["Title", "Text", "Summary"], 3)
    assert (least.parts, least.back_to) == ([], 4)
    assert "in revision 4 or before" in page_of(reviewer, post)


# --- Comments -----------------------------------------------------------------------------------------------
def test_a_comment_on_a_passage_is_kept_and_changes_no_state(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    post = make_post(body="Some words here.", ask_for_review=True)
    form = filled(reviewer.get(address("review", post)), "comment-form")
    given = {**form, "field": "body", "quote": "words", "text": "Which?"}

    response = reviewer.post(address("comment", post), given, follow=True)

    comment = Comment.objects.get()
    assert said(response) == ["Comment kept."]
    assert (comment.revision, comment.field, comment.quote, comment.text, comment.by) == (
        post.head,
        "body",
        "words",
        "Which?",
        people.reviewer,
    )
    assert (Post.objects.get(pk=post.pk).state, Decision.objects.count()) == (State.WAITING, 0)


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        ({"text": " "}, 409, "Say something about “Note”: the comment is empty."),
        ({"quote": "nowhere"}, 409, "Revision 1 of “Note” does not hold that passage: mark it again."),
        ({"number": "99"}, 409, "“Note” has no revision 99."),
        ({"field": "nothing"}, 400, "Select a valid choice."),
        ({"quote": "x" * 2001}, 400, "at most 2000 characters"),
        ({"text": "x\x00"}, 400, "Null characters are not allowed."),
    ],
)
def test_a_comment_that_cannot_be_keeps_what_was_typed(
    reviewer: Client, make_post: Any, wrong: dict[str, str], status: int, sentence: str
) -> None:
    post = make_post(title="Note")
    given = {"number": "1", "field": "body", "text": "Typed at length.", **wrong}

    response = reviewer.post(address("comment", post), given)

    assert response.status_code == status
    assert sentence in text_of(response)
    assert response.context["comment_form"]["text"].value() == given["text"]
    assert Comment.objects.count() == 0


def test_an_open_comment_is_carried_to_the_next_revision_and_says_when_its_passage_is_gone(
    reviewer: Client, make_post: Any, edit: Any, remark: Any
) -> None:
    post = make_post(body="These words stay. Those words go.")
    stays, goes = (
        remark(post, field="body", quote="These words"),
        remark(post, field="body", quote="Those words"),
    )
    settled = remark(post, "Settled.")
    edit(post, body="These words stay.")
    latest = remark(post, "On the newest.")
    reviewer.post(address("resolve_comment", post, settled.pk))

    context = reviewer.get(address("review", post)).context

    rows = [placed["row"] for placed in context["open_comments"]]
    assert [(row.comment, row.carried, row.gone) for row in rows] == [
        (stays, True, False),
        (goes, True, True),
        (latest, False, False),
    ]
    assert [placed["row"].comment for placed in context["resolved_comments"]] == [settled]
    page = page_of(reviewer, post)
    assert (page.count("carried from revision 1"), page.count("the passage is no longer there")) == (2, 1)


def test_an_editor_reads_resolves_and_reopens_comments_without_the_review_page(
    client: Client, make_post: Any, remark: Any, people: Any
) -> None:
    post = make_post()
    comment = remark(post, "Name the tool.")
    client.force_login(people.editor)

    page = client.get(address("comments", post))
    resolved = client.post(address("resolve_comment", post, comment.pk), follow=True)
    comment.refresh_from_db()
    by = comment.resolved_by
    reopened = client.post(address("reopen_comment", post, comment.pk), follow=True)

    comment.refresh_from_db()
    assert "Name the tool." in text_of(page)
    assert resolved.redirect_chain == [(address("comments", post), 302)]
    assert (said(resolved), said(reopened)) == (["Comment resolved."], ["Comment open again."])
    assert (by, comment.resolved_by) == (people.editor, None)


def test_open_comments_stand_above_the_form(client: Client, make_post: Any, remark: Any, people: Any) -> None:
    post = make_post()
    remark(post, "Name the tool.")
    resolved = remark(post, "Settled.")
    commenting.resolve(resolved, by=people.editor, at=timezone.now())
    client.force_login(people.editor)

    page = text_of(client.get(address("change", post)))

    assert ("Name the tool." in page, "Settled." in page) == (True, False)
    assert f'href="{address("comments", post)}"' in page


def test_who_may_only_look_resolves_nothing(client: Client, make_post: Any, remark: Any, people: Any) -> None:
    post = make_post()
    comment = remark(post)
    client.force_login(people.auditor)

    page = client.get(address("comments", post))
    response = client.post(address("resolve_comment", post, comment.pk), follow=True)

    comment.refresh_from_db()
    assert "Resolve" not in text_of(page)
    assert said(response) == [
        "auditor may not review posts or edit posts: ask an administrator for that right."
    ]
    assert comment.resolved_at is None


def test_a_comment_is_resolved_under_its_own_post_alone(
    reviewer: Client, make_post: Any, remark: Any
) -> None:
    comment, other = remark(make_post()), make_post()

    assert reviewer.post(address("resolve_comment", other, comment.pk)).status_code == 404


# --- Criteria -----------------------------------------------------------------------------------------------
@pytest.fixture
def checked(people: SimpleNamespace, now: datetime) -> Criteria:
    return criteria.write("Every note", items=["It runs", "It ends"], by=people.administrator, at=now)


def test_ticks_go_with_the_decision_and_stay_with_it(
    reviewer: Client, make_post: Any, checked: Criteria, people: Any, now: datetime
) -> None:
    post = make_post()
    criteria.write("Elsewhere", topic="other", items=["Never shown"], by=people.administrator, at=now)
    shown = page_of(reviewer, post)

    reviewer.post(address("approve", post), {**seen(post), "ticks": [f"{checked.pk}:1"]})
    criteria.write("Every note", items=["Another thing"], by=people.administrator, at=now)

    page = page_of(reviewer, post)
    assert ("It runs" in shown, "Never shown" in shown) == (True, False)
    assert [str(tick) for tick in Decision.objects.get().ticks.all()] == ["It ends"]
    assert 'It ends <span class="kb-muted">(Every note (version 1))</span>' in page


def test_a_refusal_keeps_the_ticks(reviewer: Client, make_post: Any, checked: Criteria) -> None:
    post = make_post()

    response = reviewer.post(
        address("request_changes", post), {**seen(post), "comment": "", "ticks": [f"{checked.pk}:0"]}
    )

    assert response.status_code == 409
    (shown,) = response.context["criteria"]
    assert [ticked for _, _, ticked in shown["items"]] == [True, False]


@pytest.mark.parametrize(
    ("tick", "status"),
    [("0:0", 409), ("{pk}:2", 409), ("9999999:0", 409), ("x", 400), ("1:-1", 400), ("9" * 30 + ":0", 400)],
)
def test_a_forged_tick_decides_nothing(
    reviewer: Client, make_post: Any, checked: Criteria, tick: str, status: int
) -> None:
    post = make_post()

    response = reviewer.post(address("approve", post), {**seen(post), "ticks": [tick.format(pk=checked.pk)]})

    assert (response.status_code, Decision.objects.count()) == (status, 0)


# --- Decide, and what comes next ----------------------------------------------------------------------------
def test_after_a_decision_the_next_item_opens_claimed(reviewer: Client, make_post: Any, people: Any) -> None:
    post, following = make_post(ask_for_review=True), make_post(ask_for_review=True)

    response = reviewer.post(address("request_changes", post), {**seen(post), "comment": "Shorter."})

    assert response.headers["Location"] == address("review", following)
    assert QueueItem.objects.get(post=following).claimed_by == people.reviewer


def test_what_bars_an_approval_is_said_and_its_button_is_not_there(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    free, own, blocked = make_post(), make_post(by=people.reviewer), make_post()
    reviewing.raise_flag(
        blocked, severity=Severity.BLOCKING, sentence="Wrong.", by=people.reviewer, at=timezone.now()
    )

    pages = [page_of(reviewer, post) for post in (free, own, blocked)]

    assert ['id="do-approve"' in page for page in pages] == [True, False, False]
    assert ['id="do-request"' in page for page in pages] == [True, True, True]
    assert "You wrote some of this content: somebody else must approve it." in pages[1]
    assert "1 open blocking flag: close it before you approve." in pages[2]


def test_a_decision_can_be_for_later_in_the_zone_of_the_site(
    reviewer: Client, make_post: Any, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    post, year = make_post(title="Note"), timezone.now().year + 2

    response = reviewer.post(
        address("approve", post), {**seen(post), "publish_at": f"{year}-05-01T09:30"}, follow=True
    )

    schedule = Schedule.objects.get()
    assert schedule.publish_at.isoformat() == f"{year}-05-01T00:30:00+00:00"
    assert f"it is published 1 May {year}, 09:30 JST" in said(response)[0]
    assert Publication.objects.count() == 0
    page = page_of(reviewer, post)
    assert f"Approved by reviewer, publishes on 1 May {year}, 09:30 JST." in page
    assert f"Approved, publishes 1 May {year}, 09:30 JST" in page


@pytest.mark.parametrize(
    ("moment", "status"),
    [("2001-01-01T00:00", 409), ("soon", 400), ("0001-01-01T00:00", 409), ("9999-12-31T23:59", 409)],
)
def test_a_time_that_is_over_or_none_is_refused_and_kept(
    reviewer: Client, make_post: Any, moment: str, status: int
) -> None:
    post = make_post()

    response = reviewer.post(address("approve", post), {**seen(post), "publish_at": moment})

    assert response.status_code == status
    assert response.context["decide_form"]["publish_at"].value() == moment
    assert Decision.objects.count() == 0


def test_a_scheduled_approval_is_taken_back_by_its_reviewer_alone(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    post = make_post(ask_for_review=True)
    moment = timezone.now() + timedelta(days=1)
    decision = reviewing.approve(post, **seen(post), by=people.reviewer, at=timezone.now(), publish_at=moment)
    other = Client()
    other.force_login(people.second_reviewer)

    elsewhere = page_of(other, post)
    refused = other.post(address("take_back", post, decision.pk), follow=True)
    taken = reviewer.post(address("take_back", post, decision.pk), follow=True)

    assert ("Take the approval back" in elsewhere, "To stop it, request changes." in elsewhere) == (
        False,
        True,
    )
    assert said(refused) == ["reviewer decided that: only they can undo it."]
    assert said(taken) == ["Taken back: the post waits as before."]
    assert Post.objects.get(pk=post.pk).state == State.WAITING


def test_what_was_sent_back_can_be_undone_for_moments_and_the_page_says_so(
    reviewer: Client, make_post: Any
) -> None:
    post = make_post(ask_for_review=True)

    response = reviewer.post(
        address("request_changes", post), {**seen(post), "comment": "Shorter."}, follow=True
    )
    undo = response.context["kb_undo"]()
    undone = reviewer.post(undo["address"], follow=True)
    twice = reviewer.post(undo["address"], follow=True)

    assert 0 < undo["seconds"] <= reviewing.UNDO_LASTS.seconds
    assert f'action="{undo["address"]}" class="kb-undo"' in text_of(response)
    assert undone.redirect_chain == [(address("review", post), 302)]
    assert said(undone) == ["Taken back: the post waits as before."]
    assert Post.objects.get(pk=post.pk).state == State.WAITING
    assert said(twice)[0].startswith(f"“{post}” changed since")
    assert "kb-undo" not in text_of(twice)


def test_an_undo_that_comes_too_late_is_refused_with_a_sentence(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    post = make_post(ask_for_review=True)
    long_ago = timezone.now() - timedelta(minutes=5)
    decision = reviewing.request_changes(
        post, **seen(post), by=people.reviewer, at=long_ago, comment="Shorter."
    )

    response = reviewer.post(address("take_back", post, decision.pk), follow=True)

    assert said(response)[0].startswith("Too late to undo: that goes for 30 seconds.")
    assert Post.objects.get(pk=post.pk).state == State.CHANGES_REQUESTED


def test_what_readers_got_is_offered_no_undo(reviewer: Client, make_post: Any) -> None:
    post = make_post()

    response = reviewer.post(address("approve", post), seen(post), follow=True)
    forged = reviewer.post(address("take_back", post, Decision.objects.get().pk), follow=True)

    assert "kb-undo" not in text_of(response)
    assert "Readers have felt this decision" in said(forged)[0]
    assert Publication.objects.count() == 1


def test_a_closed_flag_can_be_opened_again_for_moments(reviewer: Client, make_post: Any, people: Any) -> None:
    post = make_post()
    flag = reviewing.raise_flag(
        post, severity=Severity.BLOCKING, sentence="Wrong.", by=people.reviewer, at=timezone.now()
    )

    closed = reviewer.post(
        address("close_flag", post, flag.pk), {"note": "It is right.", "sentence": "Wrong."}, follow=True
    )
    undone = reviewer.post(closed.context["kb_undo"]()["address"], follow=True)

    assert closed.redirect_chain == [(address("review", post), 302)]
    assert said(undone) == ["The flag is open again."]
    assert undone.context["open_flags"][0]["row"].sentence == "Wrong."


def test_a_refusal_because_it_changed_shows_what_changed_since_and_keeps_what_was_typed(
    reviewer: Client, make_post: Any, publish: Any, edit: Any
) -> None:
    post = make_post(summary="Approved.", owner="Before.")
    publish(post)
    edit(post, summary="Seen.")
    opened = seen(post)
    edit(post, owner="Since.")

    response = reviewer.post(address("request_changes", post), {**opened, "comment": "Typed at length."})

    assert response.status_code == 409
    assert response.context["opened"].number == 2
    assert response.context["since"].fields == ["owner"]
    assert response.context["decide_form"]["comment"].value() == "Typed at length."
    assert response.context["decide_form"]["number"].value() == 3


# --- Claims -------------------------------------------------------------------------------------------------
def test_opening_the_page_claims_nothing_and_shows_who_has_it(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    free, held = make_post(ask_for_review=True), make_post(ask_for_review=True)
    queueing.claim(held, by=people.second_reviewer, at=timezone.now() - timedelta(minutes=12, seconds=5))

    pages = [page_of(reviewer, post) for post in (free, held)]

    assert QueueItem.objects.get(post=free).claimed_by is None
    assert "second_reviewer has had this for 12 minutes." in pages[1]
    assert "has had this for" not in pages[0]


# --- Mending ------------------------------------------------------------------------------------------------
def test_a_typo_is_mended_in_place_as_the_reviewers_own_revision(
    reviewer: Client, make_post: Any, people: Any
) -> None:
    post = make_post(summary="A tpyo.", ask_for_review=True)
    page = reviewer.get(address("review", post, mend="summary"))
    form = filled(page, "mend-form")

    response = reviewer.post(address("mend", post), {**form, "text": "A typo."}, follow=True)

    post.refresh_from_db()
    assert (form["text"], form["reason"]) == ("A tpyo.", "Typo")
    assert "somebody else has to approve it" in text_of(page)
    assert (post.head.author, post.head.reason, post.head.document.summary) == (
        people.reviewer,
        "Typo",
        "A typo.",
    )
    assert post.state == State.WAITING
    assert said(response)[0].startswith("Saved as revision 2 (v0.1.1).")
    assert "You wrote some of this content: somebody else must approve it." in text_of(response)


def test_a_mend_that_meets_another_save_keeps_the_text(reviewer: Client, make_post: Any, edit: Any) -> None:
    post = make_post(summary="A tpyo.")
    form = filled(reviewer.get(address("review", post, mend="summary")), "mend-form")
    edit(post, owner="Platform")

    response = reviewer.post(address("mend", post), {**form, "text": "A typo."})
    again = reviewer.post(address("mend", post), {**filled(response, "mend-form")})

    assert response.status_code == 409
    assert response.context["since"].fields == ["owner"]
    assert response.context["mend"]["text"].value() == "A typo."
    assert again.status_code == 302
    document = Post.objects.get(pk=post.pk).head.document
    assert (document.summary, document.owner) == ("A typo.", "Platform")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"field": "payload"}, 400),
        ({"field": "title", "text": ""}, 409),
        ({"field": "title", "text": "x" * 301}, 409),
        ({"text": "x\x00"}, 400),
        ({"number": "0"}, 409),
        ({"number": "x"}, 400),
        ({"reason": " "}, 409),
    ],
)
def test_a_mend_that_cannot_be_saves_nothing(
    reviewer: Client, make_post: Any, wrong: dict[str, str], status: int
) -> None:
    post = make_post()
    given = {"number": "1", "field": "summary", "text": "New.", "reason": "Typo", **wrong}

    response = reviewer.post(address("mend", post), given)

    assert (response.status_code, post.revisions.count()) == (status, 1)


def test_who_may_not_edit_mends_nothing(client: Client, make_post: Any, people: Any) -> None:
    post = make_post()
    people.stranger.is_staff = True
    people.stranger.save()
    people.stranger.user_permissions.set(Permission.objects.filter(codename__in=["view_post", "review_post"]))
    client.force_login(people.stranger)

    page = page_of(client, post)
    response = client.post(
        address("mend", post), {"number": 1, "field": "summary", "text": "New.", "reason": "Typo"}
    )

    assert ("Mend a typo" in page, response.status_code) == (False, 403)


# --- Labels -------------------------------------------------------------------------------------------------
def test_a_withdrawn_post_says_so_where_it_is_listed_and_where_it_is_read(
    reviewer: Client, make_post: Any, publish: Any, people: Any, now: datetime
) -> None:
    post = make_post()
    publish(post)
    reviewing.withdraw(post, by=people.reviewer, at=now, comment="Outdated.")

    listed = text_of(reviewer.get(reverse("admin:kb_post_changelist")))
    page = page_of(reviewer, post)

    label = '<span class="kb-label kb-label--withdrawn">Withdrawn</span>'
    assert (label in listed, label in page) == (True, True)
    assert ('kb-label">Not published' in listed, 'kb-label">Not published' in page) == (False, False)


# --- Cost ---------------------------------------------------------------------------------------------------
def test_comments_ticks_and_near_duplicates_cost_the_same_whether_one_or_three(
    reviewer: Client, make_post: Any, remark: Any, checked: Criteria, people: Any
) -> None:
    def queries(post: Post) -> int:
        with CaptureQueriesContext(connection) as caught:
            assert reviewer.get(address("review", post)).status_code == 200
        return len(caught)

    one, three = make_post(body=TEXT), make_post(body=TEXT[::-1])
    for post, times in ((one, 1), (three, 3)):
        for number in range(times):
            make_post(body=post.body)
            remark(post, f"Comment {number}.")
            ticks = [(checked.pk, item) for item in range(min(2, times))]
            verdict = reviewing.approve if number % 2 else reviewing.request_changes
            verdict(
                post, **seen(post), by=people.second_reviewer, at=timezone.now(), comment="Seen.", ticks=ticks
            )

    assert (queries(one), queries(three)) == (21, 21)
