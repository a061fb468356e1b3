"""Who did what and who can do what: complete, in order, filtered, exported, and for auditors alone."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from kb.admin import events
from kb.admin.events import Key, Wanted
from kb.choices import Severity
from kb.document import Document
from kb.flow import commenting, reviewing, revising
from kb.models import Post
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db
QUERIES_OF_RIGHTS = 12  # session, person and their rights among them


@pytest.fixture
def auditor(client: Client, people: Any) -> Client:
    client.force_login(people.auditor)
    return client


@pytest.fixture
def story(begin_with: BeginWith, make_post: Any, publish: Any, people: Any, now: Any) -> Post:
    """A post that was written, published, commented, edited, flagged and returned; an hour for each."""

    def make() -> None:
        post = make_post(ask_for_review=True)
        publish(post)
        hours = iter(now + timedelta(hours=number) for number in range(1, 9))
        comment = commenting.add(post, number=1, text="Is this so?", by=people.reviewer, at=next(hours))
        commenting.resolve(comment, by=people.editor, at=next(hours))
        document = Document.read({**post.document().plain(), "summary": "New."})
        note = revising.ChangeNote("More to say")
        revising.save(post, document, base_number=1, by=people.editor, at=next(hours), note=note)
        post.refresh_from_db()
        flag = reviewing.raise_flag(
            post, severity=Severity.BLOCKING, sentence="Why?", by=people.reviewer, at=next(hours)
        )
        reviewing.close_flag(flag, by=people.second_reviewer, at=next(hours), note="Because.")
        reviewing.request_changes(
            post,
            number=2,
            fingerprint=post.head.fingerprint,
            by=people.reviewer,
            at=next(hours),
            comment="Say it shorter.",
        )

    begin_with(make)
    return Post.objects.get()


def told(found: list[events.Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.who.username if event.who else "") for event in found]


STORY = [
    ("decision.request_changes", "reviewer"),
    ("closed.closed", "second_reviewer"),
    ("raised.blocking", "reviewer"),
    ("revision.person", "editor"),
    ("resolved.made", "editor"),
    ("comment.made", "reviewer"),
]


def test_every_act_is_an_event_with_its_actor_the_newest_first(story: Post) -> None:
    found = events.page(Wanted(), size=100)

    shown = [event for event in told(found) if not event[0].startswith("raised.adv")]
    assert shown[:6] == STORY
    assert set(shown[6:]) == {
        ("revision.person", "editor"),
        ("raised.asks", "editor"),
        ("closed.settled", "reviewer"),
        ("decision.approve", "reviewer"),
    }
    assert {event.kind for event in found} <= set(events.KINDS)
    assert [event.key for event in found] == sorted(
        (event.key for event in found), key=lambda key: (key.at, key.rank, key.pk), reverse=True
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pages_of_any_size_tell_the_same_story_once(story: Post, size: int) -> None:
    whole = events.page(Wanted(), size=1000)

    assert list(events.all_of(Wanted(), size=size)) == whole


def test_a_key_survives_its_way_through_the_address(story: Post) -> None:
    for event in events.page(Wanted(), size=100):
        assert Key.read(str(event.key)) == event.key


def test_a_page_takes_three_queries_whatever_is_on_it(
    story: Post, make_post: Any, django_assert_num_queries: Any
) -> None:
    for size in (1, 3, 50):
        with django_assert_num_queries(3):
            events.page(Wanted(), size=size)


def test_filters_narrow_by_person_kind_post_and_day(
    auditor: Client, story: Post, make_post: Any, people: Any
) -> None:
    other = make_post(by=people.second_editor)
    address = reverse("admin:kb_audit")

    def kinds(**query: str) -> list[str]:
        response = auditor.get(address, query)
        assert response.status_code == 200
        return [row["event"].kind for row in response.context["rows"]]

    assert kinds(who="second_reviewer") == ["closed.closed"]
    assert kinds(kind="revision.person", post=story.slug) == ["revision.person"] * 2
    assert set(kinds(post=other.slug)) <= {"revision.person", "raised.advisory"}
    assert kinds(since="2026-11-24") == []
    assert len(kinds(since="2026-11-23", until="2026-11-23")) == len(kinds())
    assert kinds(until="2026-11-22") == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"who": "nobody"}, "Nobody here has the username “nobody”."),
        ({"post": "no-such"}, "No post has the address “no-such”."),
        ({"kind": "murder"}, "There are no events of that kind"),
        ({"since": "yesterday"}, "Give a day as year-month-day"),
        ({"since": "2026-11-24", "until": "2026-11-23"}, "The last day is before the first."),
    ],
)
def test_a_filter_that_makes_no_sense_is_told_and_shows_nothing(
    auditor: Client, story: Post, query: dict[str, str], said: str
) -> None:
    page = auditor.get(reverse("admin:kb_audit"), query)
    file = auditor.get(reverse("admin:kb_audit"), {**query, "format": "csv"})

    assert (page.status_code, file.status_code) == (400, 400)
    assert said in page.content.decode()
    assert said in file.content.decode()
    assert page.context["rows"] == []


@pytest.mark.parametrize("before", ["x", "1-2", "1-99-1", "9" * 40 + "-1-1", "٣-1-1", "1--1-1"])
def test_a_place_that_is_none_shows_the_beginning_and_says_so(
    auditor: Client, story: Post, before: str
) -> None:
    response = auditor.get(reverse("admin:kb_audit"), {"before": before})

    assert response.status_code == 200
    assert response.context["lost"] is True
    assert response.context["rows"]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_the_calendar_are_days_like_others(auditor: Client, story: Post, day: str) -> None:
    response = auditor.get(reverse("admin:kb_audit"), {"since": "0001-01-01", "until": day})

    assert response.status_code == 200


def test_the_audit_is_exported_whole_as_csv_and_json_lines(auditor: Client, story: Post) -> None:
    address = reverse("admin:kb_audit")

    as_csv = auditor.get(address, {"format": "csv"})
    as_json = auditor.get(address, {"format": "jsonl"})

    text = b"".join(as_csv.streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    objects = [json.loads(line) for line in b"".join(as_json.streaming_content).splitlines()]
    assert as_csv.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    assert [row["event"] for row in rows] == [row["event"] for row in objects]
    assert len(rows) == len(events.page(Wanted(), size=100))
    assert objects[0] == {
        "at": "2026-11-23T18:00:00+00:00",
        "event": "Changes requested",
        "who": "reviewer",
        "post": story.slug,
        "title": story.title,
        "revision": 2,
        "version": story.head.version,
        "fingerprint": story.head.fingerprint,
        "note": "Say it shorter.",
    }
    assert auditor.get(address, {"format": "exe"}).status_code == 404


def test_one_post_is_audited_by_auditors_and_its_reviewers(
    client: Client, story: Post, make_post: Any, people: Any
) -> None:
    make_post()
    got = {}
    for who in ("auditor", "reviewer", "editor"):
        client.force_login(getattr(people, who))
        got[who] = client.get(reverse("admin:kb_post_audit", args=[story.pk])).status_code
    client.force_login(people.reviewer)
    response = client.get(reverse("admin:kb_post_audit", args=[story.pk]))

    assert got == {"auditor": 200, "reviewer": 200, "editor": 403}
    assert {row["event"].revision.post_id for row in response.context["rows"]} == {story.pk}


@pytest.mark.parametrize("name", ["audit", "rights", "signoff"])
def test_only_auditors_and_administrators_see_the_whole(client: Client, people: Any, name: str) -> None:
    got = {}
    for who in ("auditor", "administrator", "reviewer", "editor"):
        client.force_login(getattr(people, who))
        got[who] = client.get(reverse(f"admin:kb_{name}")).status_code

    assert got == {"auditor": 200, "administrator": 200, "reviewer": 403, "editor": 403}


def test_an_audit_without_events_says_what_would_be_there(auditor: Client) -> None:
    response = auditor.get(reverse("admin:kb_audit"))

    assert "Nothing has happened yet." in response.content.decode()


# --- Who can do what ---


def rights_of(response: Any) -> dict[str, dict[str, list[str]]]:
    return {
        row["person"].user.username: row["person"].through
        for row in response.context["people"]
        if row["person"].through
    }


def test_each_right_names_its_groups_and_each_person_through_what(auditor: Client, people: Any) -> None:
    people.stranger.user_permissions.add(Permission.objects.get(codename="review_post"))
    people.editor.is_superuser, people.editor.is_active = True, False
    people.editor.save()

    response = auditor.get(reverse("admin:kb_rights"))

    groups = {right.key: names for right, names in response.context["rights"]}
    assert groups["kb.audit_post"] == ["Administrators", "Auditors"]
    assert groups["kb.publish_post"] == ["Administrators", "Reviewers"]
    found = rights_of(response)
    assert found["stranger"] == {"kb.review_post": ["directly"]}
    assert found["auditor"] == {"kb.view_post": ["Auditors"], "kb.audit_post": ["Auditors"]}
    assert found["editor"]["kb.change_post"] == ["Editors", "superuser"]
    assert found["editor"]["kb.publish_post"] == ["superuser"]
    assert list(found)[-1] == "editor"
    assert "Inactive" in response.content.decode()


def test_people_are_found_by_right_and_by_name(auditor: Client, people: Any) -> None:
    def names(**query: str) -> list[str]:
        response = auditor.get(reverse("admin:kb_rights"), query)
        return [row["person"].user.username for row in response.context["people"]]

    assert names(right="kb.publish_post") == ["administrator", "reviewer", "second_reviewer"]
    assert names(who="SECOND_") == ["second_editor", "second_reviewer"]
    assert names(who="nobody at all") == []
    assert auditor.get(reverse("admin:kb_rights"), {"right": "kb.fly"}).status_code == 400


@pytest.mark.parametrize("on", [True, False])
def test_approving_ones_own_work_is_shown_as_a_danger(auditor: Client, settings: Any, on: bool) -> None:
    settings.KB_ALLOW_SELF_APPROVAL = on

    shown = auditor.get(reverse("admin:kb_rights")).content.decode()

    assert ("People may approve their own work" in shown) is on


def test_the_rights_page_takes_as_many_queries_for_many_people(
    auditor: Client, people: Any, django_user_model: Any, django_assert_num_queries: Any
) -> None:
    address = reverse("admin:kb_rights")
    auditor.get(address)
    with django_assert_num_queries(QUERIES_OF_RIGHTS):
        auditor.get(address)
    django_user_model.objects.bulk_create(
        django_user_model(username=f"person-{number:03}") for number in range(60)
    )

    with django_assert_num_queries(QUERIES_OF_RIGHTS):
        response = auditor.get(address)

    assert len(response.context["people"]) == 50
    assert len(auditor.get(address, {"page": 2}).context["people"]) == 17


def test_the_rights_leave_as_a_row_for_each_person_and_right(auditor: Client, people: Any) -> None:
    response = auditor.get(reverse("admin:kb_rights"), {"format": "jsonl"})

    rows = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert [(row["right"], row["through"]) for row in rows if row["username"] == "auditor"] == [
        ("kb.view_post", ["Auditors"]),
        ("kb.audit_post", ["Auditors"]),
    ]
    assert [row["words"] for row in rows if row["username"] == "stranger"] == ["no right"]
