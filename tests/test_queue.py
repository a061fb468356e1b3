"""The review desk: tabs, filters, claims, acts on many posts, notices."""

import html
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings as SettingsWrapper

from kb.admin import counts, desk
from kb.choices import Severity, State
from kb.document import Document
from kb.flow import noticing, queueing, reviewing, revising
from kb.models import Decision, Flag, ImportRun, Notice, Post, Publication, QueueItem, SavedFilter
from kb.sources.record import Record
from tests.forms import Form, filled

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
QUEUE = "/admin/kb/queue/"


@pytest.fixture
def now() -> datetime:
    """Pages ask the clock themselves."""
    return timezone.now()


@pytest.fixture
def reviewer(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.reviewer)
    return client


def client_of(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def titles(response: Any) -> list[str]:
    return [row["title"] for row in response.context["rows"]]


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def address(act: str, post: Post) -> str:
    return reverse(f"admin:kb_post_{act}", args=[post.pk])


def item_of(post: Post) -> QueueItem:
    return QueueItem.objects.open().get(post=post)


def send_back(post: Post, by: Any, at: datetime, comment: str = "More.") -> Decision:
    post.refresh_from_db()
    seen = {"number": post.head.number, "fingerprint": post.head.fingerprint}
    return reviewing.request_changes(post, **seen, comment=comment, by=by, at=at)


# --- Tabs ---


def test_each_tab_shows_what_is_its_own(
    make_post: MakePost, publish: Callable[..., Publication], people: Any, now: datetime
) -> None:
    make_post(title="Asked", ask_for_review=True)
    make_post(title="My own", by=people.reviewer, ask_for_review=True)
    make_post(title="My draft", by=people.reviewer)
    returned = make_post(title="Returned", by=people.reviewer, ask_for_review=True)
    send_back(returned, people.administrator, now, "Shorter, please.")
    due, fresh = make_post(title="Due"), make_post(title="Fresh")
    publish(due)
    publish(fresh)
    Publication.objects.filter(post=due).update(review_by=now + timedelta(days=13))
    Publication.objects.filter(post=fresh).update(review_by=now + timedelta(days=15))
    client = client_of(people.reviewer)

    shown = {
        tab: titles(client.get(QUEUE, {"tab": tab} if tab else {}))
        for tab in ("", "awaiting", "returned", "drafts", "due", "decided")
    }

    assert shown == {
        "": ["Asked"],
        "awaiting": ["Asked"],
        "returned": ["Returned"],
        "drafts": ["My draft"],
        "due": ["Due"],
        "decided": ["Fresh", "Due"],
    }
    assert "Shorter, please." in text_of(client.get(QUEUE, {"tab": "returned"}))


def test_each_tab_says_how_many_and_how_old(make_post: MakePost, people: Any, now: datetime) -> None:
    for days in (9, 2):
        item = item_of(make_post(ask_for_review=True))
        QueueItem.objects.filter(pk=item.pk).update(since=now - timedelta(days=days, minutes=1))
    client = client_of(people.reviewer)

    summaries = {
        row["tab"].name: (row["count"], re.sub(r"<.*?>", "", row["oldest"]).replace("\xa0", " "))
        for row in client.get(QUEUE).context["summaries"]
    }

    assert summaries == {
        "awaiting": ("2", "1 week ago"),
        "returned": ("0", ""),
        "drafts": ("0", ""),
        "due": ("0", ""),
        "decided": ("0", ""),
    }


@pytest.mark.parametrize(
    ("tab", "says"),
    [
        ("awaiting", "Nothing waits for you. A post comes here when its author asks for a review"),
        ("returned", "No reviewer asks you for changes."),
        ("drafts", "No drafts of yours."),
        ("due", "Nothing is due."),
        ("decided", "You decided nothing yet."),
    ],
)
def test_an_empty_tab_says_what_that_means(reviewer: Client, tab: str, says: str) -> None:
    assert says in text_of(reviewer.get(QUEUE, {"tab": tab}))


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("editor", ["returned", "drafts"]),
        ("reviewer", ["awaiting", "returned", "drafts", "due", "decided"]),
        ("auditor", []),
    ],
)
def test_everybody_has_the_tabs_that_their_rights_give(people: Any, who: str, expected: list[str]) -> None:
    response = client_of(getattr(people, who)).get(QUEUE)

    assert [row["tab"].name for row in response.context["summaries"]] == expected


def test_a_tab_that_one_may_not_see_is_refused_in_words(people: Any) -> None:
    response = client_of(people.editor).get(QUEUE, {"tab": "awaiting"})

    assert response.status_code == 400
    assert "There is no such list, or you may not see it" in text_of(response)


@pytest.mark.parametrize("tab", ["awaiting", "returned", "drafts", "due", "decided"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_tab_asks_the_same_number_of_queries_for_one_row_and_for_three(
    make_post: MakePost,
    publish: Any,
    people: Any,
    now: datetime,
    django_assert_num_queries: Any,
    tab: str,
    number: int,
) -> None:
    for _ in range(number):
        make_post(ask_for_review=True, payload={"generator": "g"}, entities=[{"name": "e", "type": "stack"}])
        make_post(by=people.reviewer)
        send_back(make_post(by=people.reviewer, ask_for_review=True), people.administrator, now)
        publish(make_post())
    Publication.objects.update(review_by=now)
    queueing.take_next(by=people.second_reviewer, at=now)
    client = client_of(people.reviewer)
    queries = {"awaiting": 13}.get(tab, 7)

    with django_assert_num_queries(queries):
        response = client.get(QUEUE, {"tab": tab})

    assert len(titles(response)) == number


def test_more_than_a_thousand_are_not_counted(
    make_post: MakePost, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MOST", 2)
    posts = [make_post(ask_for_review=True) for _ in range(3)]
    client = client_of(people.reviewer)

    more = text_of(client.get("/admin/"))
    Post.objects.filter(pk=posts[0].pk).update(state=State.SETTLED)
    QueueItem.objects.filter(post=posts[0]).delete()
    just = text_of(client.get("/admin/"))

    assert '<span class="kb-count">2+</span>' in more
    assert '<span class="kb-count">2</span>' in just


def test_pages_follow_each_other_without_gap_or_double(
    make_post: MakePost, reviewer: Client, monkeypatch: pytest.MonkeyPatch, people: Any, now: datetime
) -> None:
    monkeypatch.setattr("kb.admin.queue.PAGE", 2)
    for place in range(5):
        make_post(title=f"Asked {place}", ask_for_review=True)
        make_post(title=f"Draft {place}", by=people.reviewer)

    def walk(query: str) -> list[list[str]]:
        response = reviewer.get(f"{QUEUE}?{query}")
        further = response.context["further"]
        return [titles(response), *(walk(further) if further else [])]

    for query in ("", "tab=drafts", "flag=review_requested"):
        pages = walk(query)
        assert [len(page) for page in pages] == ([2, 2, 1])
        assert len({title for page in pages for title in page}) == 5


@pytest.mark.parametrize("place", ["x", "1", "1.2.3", "9" * 40, "1.-1", f"{'9' * 18}.1", "é.1", "1.٣"])
def test_a_made_up_place_is_answered_in_words(reviewer: Client, place: str) -> None:
    response = reviewer.get(QUEUE, {"tab": "drafts", "after": place})

    assert response.status_code == 400
    assert "The address names no place in this list" in text_of(response)


# --- Reasons ---


def test_a_row_says_why_it_stands_where_it_does(
    make_post: MakePost, reviewer: Client, people: Any, now: datetime
) -> None:
    post = make_post(
        body="key AKIAABCDEFGHIJKLMNOP",
        scores={"quality": 41, "depth": 80},
        payload={"generator": "a synthesizer"},
    )
    flag = {"severity": Severity.BLOCKING, "sentence": "No."}
    reviewing.raise_flag(post, **flag, by=people.reviewer, at=now)
    Post.objects.filter(pk=post.pk).update(view_count=12_400)
    QueueItem.objects.update(since=now - timedelta(days=9, hours=1))
    post.refresh_from_db()
    queueing.refresh(post, at=now)
    queueing.claim(post, by=people.second_reviewer, at=now - timedelta(minutes=4, seconds=5))

    (row,) = reviewer.get(QUEUE).context["rows"]

    assert [re.sub(r"<.*?>", "", label) for label in row["grave"]] == [
        "2 blocking flags",
        "Credential",
        "Flagged by a person",
        "Drafted by a machine",
        "12,400 views",
        "Quality 41",
    ]
    assert row["slight"].replace("\xa0", " ") == (
        "Waiting 1 week · by a synthesizer · no owner · no rollback note"
    )
    assert row["harm"] == {"sum": 179, "points": 170, "days": 9}
    assert (row["claimer"], row["minutes"]) == (people.second_reviewer, "for 4 minutes")


# --- Filters ---


@pytest.fixture
def shelf(make_post: MakePost, people: Any, now: datetime) -> dict[str, Post]:
    """What waits, with something for each filter to find and to leave."""
    about = Document.read({"title": "about", "entities": [{"name": "a: b", "type": "stack"}], "owner": "o"})
    run = ImportRun.objects.create(started_at=now)
    record = Record(
        document=Document.read({"title": "brought", "flags": {"needs_human_review": True}, "owner": "o"}),
        source="wiki",
        source_id="1",
    )
    posts = {
        "key": make_post(title="key", body="key AKIAABCDEFGHIJKLMNOP", topic="secrets"),
        "low": make_post(title="low", scores={"depth": 20}, ask_for_review=True, by=people.second_editor),
        "about": make_post(**about.plain(), ask_for_review=True),
        "old": make_post(title="old", ask_for_review=True, scores={"depth": 90}),
        "brought": revising.import_new(record, run=run, at=now),
    }
    QueueItem.objects.filter(post=posts["old"]).update(since=now - timedelta(days=8))
    queueing.claim(posts["low"], by=people.reviewer, at=now)
    queueing.claim(posts["key"], by=people.second_reviewer, at=now)
    return posts


def test_the_queue_is_filtered_by_its_address(reviewer: Client, shelf: dict[str, Post]) -> None:
    run = ImportRun.objects.get().pk
    expected = {
        "flag=credential": ["key"],
        "flag=blocking": ["key"],
        "flag=missing_owner": ["key", "low", "old"],
        "flag=image_heavy": [],
        "topic=secrets": ["key"],
        "topic=none+such": [],
        "entity=stack:a:+b": ["about"],
        "entity=+stack+:+a:+b": ["about"],
        "source=wiki": ["brought"],
        "author=second_editor": ["low"],
        "score=0-49": ["low"],
        "score=none": ["about", "brought", "key"],
        "age=7": ["old"],
        "age=30": [],
        "claim=me": ["low"],
        "claim=free": ["about", "brought", "old"],
        f"run={run}": ["brought"],
        f"run={run + 1}": [],
        "flag=missing_owner&claim=me": ["low"],
        "flag=&topic=&other=1": ["about", "brought", "key", "low", "old"],
    }

    shown = {query: sorted(titles(reviewer.get(f"{QUEUE}?{query}"))) for query in expected}

    assert shown == expected


def test_a_filter_that_cannot_be_says_so_and_shows_nothing(reviewer: Client, shelf: dict[str, Post]) -> None:
    wrong = {
        "flag=no+such": "Got “no such”: choose one of the list.",
        "score=0-1000": "Got “0-1000”",
        "age=-1": "Got “-1”",
        "run=x": "Enter a whole number.",
        f"run={'9' * 30}": "Ensure this value is less than or equal to",
        "entity=python": "Write it as type:name",
        "entity=stack:none+such": "No post names “none such” as stack.",
        "author=nobody": "There is nobody with the name “nobody”.",
        f"topic={'x' * 501}": "at most 500 characters",
    }

    for query, says in wrong.items():
        response = reviewer.get(f"{QUEUE}?{query}")
        assert (response.status_code, titles(response)) == (400, [])
        assert says in text_of(response)


def test_what_there_is_to_choose_from_is_taken_of_what_waits(reviewer: Client, shelf: Any) -> None:
    suggestions = reviewer.get(QUEUE).context["suggestions"]

    assert suggestions == {
        "topics": ["secrets"],
        "sources": ["wiki"],
        "entities": ["stack:a: b"],
        "authors": ["editor", "second_editor"],
        "runs": [str(ImportRun.objects.get().pk)],
    }


def test_a_filter_is_kept_under_a_name_for_oneself_or_for_all(
    reviewer: Client, shelf: Any, people: Any
) -> None:
    page = reviewer.get(QUEUE, {"flag": "credential", "topic": "secrets", "source": ""})

    for name, shared in (("Mine", {}), ("Ours", {"shared": "on"})):
        data = {**filled(page, "keep"), "name": f" {name} ", **shared}
        reviewer.post(reverse("admin:kb_filters"), data)

    query = "topic=secrets&flag=credential"
    assert list(SavedFilter.objects.values_list("name", "query", "shared", "owner")) == [
        ("Mine", query, False, people.reviewer.pk),
        ("Ours", query, True, people.reviewer.pk),
    ]
    other = client_of(people.second_reviewer).get(QUEUE)
    assert [saved.name for saved in other.context["saved"]] == ["Ours"]
    assert titles(reviewer.get(f"{QUEUE}?{query}")) == ["key"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "Mine", "filter": "flag=credential"}, "You have a filter with the name “Mine” already"),
        ({"name": "  ", "filter": "flag=credential"}, "Not saved: This field is required."),
        ({"name": "x" * 81, "filter": "flag=credential"}, "at most 80 characters"),
        ({"name": "Empty", "filter": ""}, "Set a filter first"),
        ({"name": "Odd", "filter": "flag=nothing"}, "Set a filter first"),
    ],
)
def test_a_filter_that_cannot_be_kept_is_refused_in_words(
    reviewer: Client, people: Any, given: dict[str, str], says: str
) -> None:
    SavedFilter.objects.create(owner=people.reviewer, name="Mine", query="age=7")

    response = reviewer.post(reverse("admin:kb_filters"), given, follow=True)

    assert says in " ".join(messages_of(response))
    assert SavedFilter.objects.count() == 1


def test_one_renames_and_deletes_ones_own_filters_alone(reviewer: Client, people: Any) -> None:
    own = SavedFilter.objects.create(owner=people.reviewer, name="Mine", query="age=7")
    another = SavedFilter.objects.create(owner=people.administrator, name="Ours", query="age=1", shared=True)
    change, delete = (f"admin:kb_filter{act}" for act in ("", "_delete"))

    renamed = reviewer.post(reverse(change, args=[own.pk]), {"name": "Old ones", "shared": "on"})
    asked = reviewer.get(reverse(delete, args=[own.pk]))
    there = SavedFilter.objects.filter(pk=own.pk).values_list("name", "shared").get()
    reviewer.post(reverse(delete, args=[own.pk]))
    foreign = [reviewer.post(reverse(act, args=[another.pk]), {"name": "x"}) for act in (change, delete)]

    assert (renamed.status_code, asked.status_code) == (302, 200)
    assert "Everybody who reviews loses it." in text_of(asked)
    assert there == ("Old ones", True)
    assert [response.status_code for response in foreign] == [404, 404]
    assert list(SavedFilter.objects.values_list("name", flat=True)) == ["Ours"]


# --- Claims ---


def test_take_next_claims_the_most_harmful_and_opens_it(reviewer: Client, shelf: Any, people: Any) -> None:
    page = reviewer.get(QUEUE, {"age": "7"})

    response = reviewer.post(reverse("admin:kb_queue_next"), filled(page, "take-next"))

    assert (
        response.headers["Location"] == f"{address('review', shelf['old'])}?{urlencode({'filter': 'age=7'})}"
    )
    assert item_of(shelf["old"]).claimed_by == people.reviewer
    assert reviewer.get(response.headers["Location"]).status_code == 200


@pytest.mark.parametrize("number", [1, 3])
def test_take_next_asks_the_same_number_of_queries_of_one_item_and_of_three(
    reviewer: Client, make_post: MakePost, django_assert_num_queries: Any, number: int
) -> None:
    for _ in range(number):
        make_post(ask_for_review=True)

    with django_assert_num_queries(8):
        response = reviewer.post("/admin/kb/queue/next/")

    assert QueueItem.objects.exclude(claimed_by=None).count() == 1
    assert response.status_code == 302


def test_take_next_says_when_nothing_is_left(reviewer: Client, make_post: MakePost, people: Any) -> None:
    make_post(by=people.reviewer, ask_for_review=True)

    nothing = reviewer.post(reverse("admin:kb_queue_next"), follow=True)
    filtered = reviewer.post(reverse("admin:kb_queue_next"), {"filter": "age=7"}, follow=True)
    odd = reviewer.post(reverse("admin:kb_queue_next"), {"filter": "age=x"}, follow=True)

    assert messages_of(nothing) == [
        "Nothing is left for you to take: all is decided, claimed by others or your own work."
    ]
    assert messages_of(filtered)[0].startswith("Nothing that this filter matches is left")
    assert filtered.redirect_chain == [(f"{QUEUE}?age=7", 302)]
    assert messages_of(odd) == ["The filter asks for something that cannot be; nothing was taken."]


def test_a_claim_is_made_released_and_taken_over_from_the_list(
    reviewer: Client, make_post: MakePost, people: Any
) -> None:
    post = make_post(title="Wanted", ask_for_review=True)
    second = client_of(people.second_reviewer)
    back = {"back": "flag=review_requested&after=1.2"}

    claimed = reviewer.post(address("claim", post), back)
    refused = second.post(address("claim", post), follow=True)
    asked = second.get(address("take_over", post))
    taken = second.post(address("take_over", post), filled(asked, "take-over"), follow=True)
    lost = reviewer.post(address("touch", post))
    alive = second.post(address("touch", post))
    second.post(address("release", post))

    assert claimed.headers["Location"] == f"{QUEUE}?flag=review_requested&after=1.2#post-{post.pk}"
    assert "reviewer has had “Wanted” for 1 minute" in messages_of(refused)[0]
    assert "reviewer has held “Wanted” since" in re.sub(r"<.*?>", "", text_of(asked))
    assert messages_of(taken) == ["You took over “Wanted”."]
    assert (lost.status_code, alive.status_code) == (409, 204)
    assert Notice.objects.get().user == people.reviewer
    assert item_of(post).claimed_by is None


def test_where_a_claim_leads_back_to_is_the_queue_alone(reviewer: Client, make_post: MakePost) -> None:
    post = make_post(ask_for_review=True)

    response = reviewer.post(address("claim", post), {"back": "//evil.example/?x=1#"})

    assert response.headers["Location"].startswith(f"{QUEUE}?")


# --- Many at once ---


@pytest.fixture
def three(make_post: MakePost) -> list[Post]:
    return [make_post(title=title, ask_for_review=True) for title in ("One", "Two", "Three")]


def preview_of(client: Client, act: str, posts: list[Post], **given: Any) -> Any:
    data = {"act": act, "post": [post.pk for post in posts], "back": "flag=missing_owner", **given}
    return client.post(reverse("admin:kb_queue_preview"), data)


def confirm(client: Client, preview: Any) -> Any:
    return client.post(reverse("admin:kb_queue_do"), filled(preview, "do"))


def told(response: Any) -> list[tuple[str, str]]:
    return [(str(step.post), step.refused or step.says) for step in response.context["steps"]]


def test_many_are_assigned_to_a_reviewer(reviewer: Client, three: list[Post], people: Any, now: Any) -> None:
    queueing.claim(three[1], by=people.administrator, at=now)

    preview = preview_of(reviewer, "assign", three, to=people.second_reviewer.pk)
    before = QueueItem.objects.filter(claimed_by=people.second_reviewer).count(), Notice.objects.count()
    result = confirm(reviewer, preview)

    assert before == (0, 0)
    assert told(preview) == told(result)
    assert told(result) == [
        ("One", "Goes to second_reviewer."),
        ("Two", "Goes to second_reviewer; administrator, who is on it, is told."),
        ("Three", "Goes to second_reviewer."),
    ]
    assert QueueItem.objects.filter(claimed_by=people.second_reviewer).count() == 3
    assert Notice.objects.filter(user=people.second_reviewer).count() == 3
    assert f'href="{QUEUE}?flag=missing_owner"' in text_of(result)


def test_many_are_returned_with_one_comment(reviewer: Client, three: list[Post], people: Any) -> None:
    preview = preview_of(reviewer, "return", three[:2], comment="Name an owner.")
    waiting = QueueItem.objects.open().count()
    confirm(reviewer, preview)

    assert waiting == 3
    assert {post.state for post in Post.objects.filter(pk__in=[three[0].pk, three[1].pk])} == {
        State.CHANGES_REQUESTED
    }
    assert set(Decision.objects.values_list("comment", flat=True)) == {"Name an owner."}


def test_one_advisory_flag_is_closed_on_many(
    reviewer: Client, three: list[Post], make_post: MakePost
) -> None:
    owned = make_post(title="Owned", owner="o", ask_for_review=True)

    preview = preview_of(reviewer, "close", [*three, owned], code="missing_owner", note="The team does.")
    result = confirm(reviewer, preview)

    assert [step.refused for step in preview.context["steps"]] == [
        *("", "", ""),
        "“Owned” has no open flag of this kind.",
    ]
    assert "1 of the chosen cannot be done, and will be left out." in text_of(preview)
    assert [title for title, _ in told(result)] == ["One", "Two", "Three"]
    closed = Flag.objects.filter(closed_at__isnull=False)
    assert set(closed.values_list("code", "closing_note")) == {("missing_owner", "The team does.")}
    assert closed.count() == 3


def test_what_changed_since_the_preview_is_refused_and_reported(
    reviewer: Client, three: list[Post], people: Any, now: Any
) -> None:
    preview = preview_of(reviewer, "return", three, comment="More.")
    document = Document.read({**three[0].document().plain(), "summary": "New."})
    note = revising.ChangeNote("New.")
    revising.save(three[0], document, base_number=1, by=people.editor, at=now, note=note, ask_for_review=True)
    flag = {"severity": Severity.ADVISORY, "sentence": "Look."}
    reviewing.raise_flag(three[1], **flag, by=people.administrator, at=now)

    result = confirm(reviewer, preview)

    changed = "changed since the preview, or somebody decided or flagged it."
    assert told(result)[:2] == [(title, f"“{title}” {changed}") for title in ("One", "Two")]
    assert "2 were refused and left as they were." in text_of(result)
    assert Decision.objects.values_list("revision__post__title").get() == ("Three",)


def test_sending_the_same_acts_again_does_nothing(reviewer: Client, three: list[Post]) -> None:
    preview = preview_of(reviewer, "return", three, comment="More.")
    confirm(reviewer, preview)

    again = confirm(reviewer, preview)

    assert again.context["able"] == 0
    assert Decision.objects.count() == 3


def test_a_preview_asks_again_for_what_is_missing_and_keeps_the_rest(
    reviewer: Client, three: list[Post]
) -> None:
    response = preview_of(reviewer, "close", three, code="credential", note="Kept words.")

    assert response.status_code == 400
    assert "Kept words." in text_of(response)
    assert Form(response.content.decode(), "do").data == {}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "Choose posts and what to do with them; nothing was done."),
        ({"act": "approve", "post": ["1"]}, "Choose posts and what to do with them; nothing was done."),
        ({"act": "return", "post": ["x", "-1", "9" * 30]}, "Choose posts and what to do with them"),
        ({"act": "return", "post": [str(number) for number in range(101)]}, "Choose at most 100 posts"),
    ],
)
def test_a_choice_that_cannot_be_is_answered_in_words(
    reviewer: Client, data: dict[str, Any], says: str
) -> None:
    response = reviewer.post(reverse("admin:kb_queue_preview"), data, follow=True)

    assert says in messages_of(response)[0]


def test_an_incomplete_confirmation_does_nothing(reviewer: Client, three: list[Post]) -> None:
    whole = filled(preview_of(reviewer, "return", three, comment="More."), "do")

    for broken in (
        {},
        {"act": "approve"},
        {**whole, "rows-0-number": "x"},
        {**whole, "rows-TOTAL_FORMS": "1e9"},
    ):
        response = reviewer.post(reverse("admin:kb_queue_do"), broken, follow=True)
        assert messages_of(response) == [
            "The preview was incomplete; nothing was done. Choose the posts again."
        ]

    assert Decision.objects.count() == 0


@pytest.mark.parametrize("number", [1, 3])
def test_a_preview_fetches_what_it_shows_in_a_fixed_number_of_queries(
    reviewer: Client, three: list[Post], people: Any, django_assert_num_queries: Any, number: int
) -> None:
    # Rehearsing asks a few more for each: see the flow's own.
    given = {"to": people.second_reviewer.pk}

    with django_assert_num_queries(13 + 9 * number):
        preview_of(reviewer, "assign", three[:number], **given)


# --- Notices ---


def test_what_one_did_not_read_stands_in_the_head_of_every_page(
    reviewer: Client, make_post: MakePost, people: Any, now: datetime
) -> None:
    post = make_post(ask_for_review=True)
    noticing.tell(people.reviewer, "Somebody took over “Note 1”.", post=post, at=now)
    noticing.tell(people.reviewer, "Something without a place.", at=now)
    head = '<span class="kb-count kb-count--new">{}</span>'

    page = reviewer.get("/admin/kb/notices/")
    one = Notice.objects.get(post=post)
    opened = reviewer.post(reverse("admin:kb_notice", args=[one.pk]))
    left = text_of(reviewer.get("/admin/kb/post/"))
    reviewer.post(reverse("admin:kb_notices_read"))
    none = text_of(reviewer.get("/admin/"))

    assert [row["notice"].sentence for row in page.context["rows"]] == [
        "Something without a place.",
        "Somebody took over “Note 1”.",
    ]
    assert opened.headers["Location"] == address("review", post)
    assert head.format(2) in text_of(page)
    assert head.format(1) in left
    assert "kb-count--new" not in none


def test_an_editor_gets_to_the_form_and_nobody_to_anothers_notice(
    make_post: MakePost, people: Any, now: datetime
) -> None:
    post = make_post()
    notice = noticing.tell(people.editor, "Sent back.", post=post, at=now)
    assert notice is not None
    place = reverse("admin:kb_notice", args=[notice.pk])

    foreign = client_of(people.reviewer).post(place)
    own = client_of(people.editor).post(place)

    assert foreign.status_code == 404
    assert own.headers["Location"] == address("change", post)


@pytest.mark.parametrize("number", [1, 3])
def test_notices_cost_the_same_number_of_queries_for_one_and_for_three(
    reviewer: Client,
    make_post: MakePost,
    people: Any,
    now: datetime,
    django_assert_num_queries: Any,
    number: int,
) -> None:
    for _ in range(number):
        noticing.tell(people.reviewer, "Look.", post=make_post(), at=now)

    with django_assert_num_queries(7):
        response = reviewer.get("/admin/kb/notices/")

    assert len(response.context["rows"]) == number


def test_without_the_right_to_see_posts_the_head_shows_nothing(
    people: Any, settings: SettingsWrapper
) -> None:
    people.stranger.is_staff = True
    people.stranger.save()
    client = client_of(people.stranger)

    assert "kb-desk" not in text_of(client.get("/admin/"))
    assert client.get(QUEUE).status_code == 403
    assert desk.PAGE == 50
