"""The editors' door: the list of posts, the change form, revisions, restore, conflicts, records."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from kb import merge
from kb.choices import State
from kb.document import Document
from kb.flow import reviewing, revising
from kb.models import Entity, Flag, ImportRun, Post, Receipt, Revision
from tests.conftest import lasting, make_people, post_maker, publisher, require_groups
from tests.forms import filled

pytestmark = pytest.mark.django_db

# Every field filled with what forms like to bend: colons, line ends, spaces, quotes, markup, other scripts.
FULL: dict[str, Any] = {
    "title": "Documenting “production defaults”: für Python & <services>",
    "body": "    indented first line\n\nA line with two spaces at its end  \nnext\ttab\n\n"
    "<b>not HTML</b> &amp; 日本語 🙂",
    "topic": "production defaults / python services",
    "summary": "First line.\n\nSecond: with a colon.",
    "outline": [
        {"label": "context", "text": "before a major migration"},
        {"label": "", "text": "no label"},
        {"label": "", "text": "no label: but a colon"},
        {"label": "", "text": ": begins with a colon"},
        {"label": "see", "text": "https://example.com: twice: over"},
    ],
    "brief": "Measure first.",
    "stack": ["python services", "backend, with a comma", "c++ \u2028 odd separator"],
    "tools": ["pytest", "pytest", "uvicorn"],
    "code_language": "python",
    "difficulty": "advanced",
    "reading_time": 12,
    "scores": {"quality": 74, "freshness": 0, "depth": None, "clarity": 100},
    "checklists": [
        {"title": "Before", "items": ["run linting", "run: unit tests"]},
        {"title": "", "items": ["tag the release"]},
    ],
    "entities": [
        {"name": "python services", "type": "stack"},
        {"name": "backend", "type": "area"},
        {"name": "python services", "type": "problem"},
    ],
    "images": [
        {"source": "unsplash", "url": "https://images.example.com/a?b=1&c=2", "caption": "A “caption”"},
        {"source": "", "url": "https://images.example.com/b", "caption": ""},
    ],
    "payload": {
        "source_id": "alphanode-010444",
        "generator": "anp content synthesizer",
        "paragraphs": 7,
        "scenario": "before a major migration",
        "seed": 10444,
        "further": {"nested": [1, 2.5, None, True, "line\r\nend"], "ünï": ""},
    },
    "notes": ["one", "two: with a colon"],
    "flags": {"ai_generated_style": True, "has_images": True},
    "owner": "Platform team",
    "expected_result": "It works.\nStill.",
    "rollback_note": "Switch it off.",
}


@pytest.fixture
def log_in(client: Client) -> Callable[[Any], Client]:
    def enter(user: Any) -> Client:
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def editor(people: SimpleNamespace, log_in: Callable[[Any], Client]) -> Client:
    return log_in(people.editor)


def address(name: str, *args: Any) -> str:
    return reverse(f"admin:kb_post_{name}", args=args)


def form_of(client: Client, post: Post | None = None) -> dict[str, str]:
    return filled(client.get(address("change", post.pk) if post else address("add")), "post_form")


def send(client: Client, post: Post | None, data: dict[str, Any], button: str = "_save") -> Any:
    return client.post(address("change", post.pk) if post else address("add"), {**data, button: "1"})


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# --- Form ---


@pytest.mark.parametrize(
    "content",
    [
        FULL,
        {"title": "Only a title"},
        {"title": "HTML", "body": "<p>One</p>\n<pre>\n\n two</pre>\n&lt;tag&gt;", "body_format": "html"},
        {"title": "Line ends", "body": "a\r\nb\rc\n", "stack": ["x"], "summary": " padded "},
    ],
)
def test_a_form_sent_back_as_it_came_makes_no_revision(editor: Client, make_post: Any, content: Any) -> None:
    post = make_post(**content)
    before = post.document().fingerprint

    data = form_of(editor, post)
    response = editor.post(address("change", post.pk), {**data, "_save": "1"}, follow=True)

    assert messages_of(response) == ["Nothing changed; no new revision."]
    post.refresh_from_db()
    assert (post.head.number, post.document().fingerprint) == (1, before)


def test_a_new_post_takes_every_field_from_the_form(editor: Client, make_post: Any, people: Any) -> None:
    model = make_post(**FULL)
    data = {
        **form_of(editor, model),
        "slug": "from-the-form",
        "reason": "Because.\r\nTwice.",
        "files_touched": "a.py",
        "command_used": "make",
        "metric_improved": "p95",
    }

    response = send(editor, None, data)

    post = Post.objects.get(slug="from-the-form")
    assert response.headers["Location"] == address("change", post.pk)
    assert post.head.fingerprint == model.head.fingerprint
    assert (post.head.version, post.head.author, post.head.reason) == (
        "0.1.0",
        people.editor,
        "Because.\nTwice.",
    )
    assert (post.head.files_touched, post.head.command_used, post.head.metric_improved) == (
        "a.py",
        "make",
        "p95",
    )


def test_an_empty_form_says_what_becomes_of_it_and_nothing_odd(editor: Client) -> None:
    page = editor.get(address("add")).content.decode()

    assert "A new post is a draft. Readers see it once somebody else approved it." in page
    assert ">None<" not in page.replace("\n", "")


def test_a_new_post_without_an_address_gets_one_from_its_title(editor: Client, people: Any) -> None:
    response = send(editor, None, {**form_of(editor), "title": "Rotate a Secret", "reason": "New."}, "_ask")

    post = Post.objects.get()
    assert response.status_code == 302
    assert (post.slug, post.state, post.head.version) == ("rotate-a-secret", State.WAITING, "0.1.0")


def test_a_change_makes_one_revision_with_its_note(editor: Client, make_post: Any, people: Any) -> None:
    post = make_post(**FULL)
    data = form_of(editor, post) | {"summary": "Other.", "reason": "Clearer.", "version": "0.2.0"}

    response = editor.post(address("change", post.pk), {**data, "_save": "1"}, follow=True)

    head = Revision.objects.get(post=post, number=2)
    assert messages_of(response) == ["Saved as revision 2 (v0.2.0). It waits for review."]
    assert (head.version, head.reason, head.document.summary) == ("0.2.0", "Clearer.", "Other.")
    assert Revision.objects.filter(post=post).count() == 2
    assert LogEntry.objects.count() == 0


def test_rows_are_added_removed_and_put_in_another_order(editor: Client, make_post: Any) -> None:
    post = make_post(**FULL)
    data = form_of(editor, post) | {
        "reason": "Tidy.",
        "checklists-0-ORDER": "9",
        "checklists-2-title": "New",
        "checklists-2-items": "\r\none\r\n\r\n two \r\n",
        "entities-1-DELETE": "on",
        "images-0-url": "",
        "images-0-caption": "",
        "images-0-source": "",
    }

    send(editor, post, data)

    post.refresh_from_db()
    document = post.head.document
    assert [(c.title, c.items) for c in document.checklists] == [
        ("", ("tag the release",)),
        ("Before", ("run linting", "run: unit tests")),
        ("New", ("one", "two")),
    ]
    assert [entity.type for entity in document.entities] == ["stack", "problem"]
    assert [image.url for image in document.images] == ["https://images.example.com/b"]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("title", " ", "at least 1 character"),
        ("topic", "x" * 501, "at most 500 characters"),
        ("stack", "ok\nbad\x00", "Item 2: Got 'bad\\x00', expected text without NUL"),
        ("outline", "label only:", "Item 1, text: Got '', expected at least 1 character"),
        ("payload", "{", "Not JSON"),
        ("payload", "[1]", "expected a JSON object"),
        ("payload", '{"a": 1, "a": 2}', "a key appears twice"),
        ("payload", '{"a": 1e999}', "finite numbers"),
        ("payload", '{"a": ' + "9" * 5000 + "}", "Not JSON that kb can keep"),
        ("payload", "[" * 100_000, "Not JSON"),
        ("payload", '{"seed": "7"}', "Seed: Got &#x27;7&#x27;, expected integer"),
        ("quality", "101", "less than or equal to 100"),
        ("reading_time", "soon", "whole number"),
        ("difficulty", "hardish", "not one of the available choices"),
        ("body", "x" * 1_000_001, "at most 1000000 characters"),
        ("summary", "a\x00b", "Null characters are not allowed"),
        ("version", "two", "expected three numbers"),
        ("version", "0.1.0", "expected more than 0.1.0"),
        ("reason", "", "Say in the change note why"),
    ],
)
def test_what_no_document_may_hold_is_an_error_at_its_field(
    editor: Client, make_post: Any, field: str, value: str, error: str
) -> None:
    post = make_post(**FULL)
    data = form_of(editor, post) | {"brief": "Changed.", "reason": "Because."} | {field: value}

    response = send(editor, post, data)

    form = response.context["adminform"].form
    assert response.status_code in {200, 409}
    assert error.replace("&#x27;", "'") in " ".join(form.errors[field])
    assert form["brief"].value() == "Changed."
    assert Revision.objects.count() == 1


def test_an_error_in_a_row_stands_at_that_row(editor: Client, make_post: Any) -> None:
    post = make_post(**FULL)
    data = form_of(editor, post) | {
        "reason": "Because.",
        "checklists-0-DELETE": "on",
        "checklists-1-items": "",
        "checklists-1-title": "No items",
        "images-1-url": "https://example.com/" + "x" * 2000,
        "entities-0-entity": "99999999",
    }

    first = send(editor, post, data)
    second = send(editor, post, data | {"entities-0-entity": ""})

    rows = {entry["formset"].prefix: entry["formset"] for entry in first.context["lists"]}
    assert "not one of the available choices" in str(rows["entities"].errors[0])
    rows = {entry["formset"].prefix: entry["formset"] for entry in second.context["lists"]}
    assert "at least 1 item" in str(rows["checklists"].forms[1].errors["items"])
    assert "at most 2000 characters" in str(rows["images"].errors[1]["url"])
    assert Revision.objects.count() == 1


def test_text_that_cannot_be_compiled_is_an_error_at_the_body(editor: Client, make_post: Any) -> None:
    post = make_post(body_format="html", body="<p>x</p>")
    data = form_of(editor, post) | {"body": "<div>" * 100, "reason": "Because."}

    response = send(editor, post, data)

    assert "at most 60" in str(response.context["adminform"].form.errors["body"])
    assert Revision.objects.count() == 1


def test_an_address_that_is_taken_is_an_error_at_its_field(editor: Client, make_post: Any) -> None:
    make_post(slug="taken")

    response = send(editor, None, {**form_of(editor), "title": "T", "slug": "taken", "reason": "New."})

    assert response.status_code == 200
    assert "already has the address" in str(response.context["adminform"].form.errors["slug"])


def test_identity_and_claims_of_the_source_are_no_fields(editor: Client, make_post: Any) -> None:
    post = make_post(slug="stays")
    names = form_of(editor, post)

    send(
        editor,
        post,
        names | {"slug": "other", "source": "evil", "reference": "x", "reason": "r", "brief": "b"},
    )

    assert not names.keys() & {
        "slug",
        "reference",
        "source",
        "source_id",
        "source_hash",
        "view_count",
        "state",
    }
    post.refresh_from_db()
    assert (post.slug, post.source, post.reference, post.head.number) == ("stays", "", "", 2)


def test_a_form_that_lost_its_base_is_refused(editor: Client, make_post: Any) -> None:
    post = make_post()
    data = form_of(editor, post) | {"brief": "Changed.", "reason": "Because."}
    del data["base_number"]

    response = send(editor, post, data)

    assert "lost its revision" in str(response.context["adminform"].form.errors["base_number"])
    assert Revision.objects.count() == 1


def test_saving_what_is_there_can_still_ask_for_review(editor: Client, make_post: Any) -> None:
    post = make_post()

    response = editor.post(address("change", post.pk), {**form_of(editor, post), "_ask": "1"}, follow=True)

    post.refresh_from_db()
    assert messages_of(response) == ["Nothing changed; no new revision. It waits for review."]
    assert (post.state, post.head.number) == (State.WAITING, 1)


# --- Conflict ---


def save(post: Post, by: Any, now: Any, **changes: Any) -> None:
    post.refresh_from_db()
    document = Document.read({**post.document().plain(), **changes})
    note = revising.ChangeNote("meanwhile")
    revising.save(post, document, base_number=post.head.number, by=by, at=now, note=note)


def test_who_saves_second_sees_base_theirs_and_yours_and_loses_no_text(
    editor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(**FULL)
    mine = form_of(editor, post) | {
        "summary": "Mine.",
        "body": "Mine too.",
        "reason": "My reason.",
        "command_used": "make mine",
        "checklists-0-title": "My list",
    }
    save(post, people.second_editor, now, summary="Theirs.", owner="Their owner", entities=[])

    response = send(editor, post, mine)

    assert response.status_code == 409
    rows = {row.field: row for row in response.context["comparison"].differences}
    assert {field: row.changed_by for field, row in rows.items()} == {
        "summary": "both",
        "body": "yours",
        "checklists": "yours",
        "owner": "theirs",
        "entities": "theirs",
    }
    assert (rows["summary"].base, rows["summary"].theirs, rows["summary"].yours) == (
        FULL["summary"].split("\n"),
        ["Theirs."],
        ["Mine."],
    )
    shown = filled(response, "post_form")
    both = f"{merge.YOURS}\r\nMine.\r\n{merge.THEIRS}\r\nTheirs.\r\n{merge.END}"
    assert (shown["base_number"], shown["summary"], shown["body"]) == ("2", both, "Mine too.")
    assert (shown["owner"], shown["reason"], shown["command_used"]) == (
        "Their owner",
        "My reason.",
        "make mine",
    )
    assert (shown["checklists-0-title"], shown["entities-INITIAL_FORMS"]) == ("My list", "0")
    assert Revision.objects.count() == 2

    unsettled = send(editor, post, shown)
    assert "Summary still holds two passages" in messages_of(unsettled)[0]
    assert Revision.objects.count() == 2

    send(editor, post, filled(unsettled, "post_form") | {"merge-summary": "yours"})

    merged = Revision.objects.get(number=3).document
    assert (merged.summary, merged.owner, merged.entities) == ("Mine.", "Their owner", ())


def test_a_conflict_over_the_same_content_is_none(
    editor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post()
    data = form_of(editor, post) | {"summary": "Same.", "reason": "Mine."}
    save(post, people.second_editor, now, summary="Same.")

    response = editor.post(address("change", post.pk), {**data, "_save": "1"}, follow=True)

    assert messages_of(response) == ["Somebody saved the same content just before you; no new revision."]


def test_a_base_that_never_was_is_a_conflict_and_no_error(editor: Client, make_post: Any) -> None:
    post = make_post()
    data = form_of(editor, post) | {"base_number": "77", "summary": "Mine.", "reason": "Mine."}

    response = send(editor, post, data)

    assert response.status_code == 409
    assert [row.field for row in response.context["comparison"].differences] == ["summary"]


# --- Revisions ---


def test_a_revision_is_compared_with_its_parent_or_with_any_other(
    editor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(summary="One.")
    save(post, people.editor, now, summary="Two.")
    save(post, people.editor, now, summary="Two.", owner="Team")

    parent = editor.get(address("revision", post.pk, 3))
    first = editor.get(address("revision", post.pk, 3), {"against": "1"})

    assert parent.context["changes"].fields == ["owner"]
    assert first.context["changes"].fields == ["summary", "owner"]
    assert b"<del>One.</del>" in first.content
    assert b"<ins>Two.</ins>" in first.content


@pytest.mark.parametrize("against", ["99", "x", "-1", "²", "9" * 30])
def test_a_comparison_with_no_revision_is_not_found(editor: Client, make_post: Any, against: str) -> None:
    post = make_post()

    assert editor.get(address("revision", post.pk, 1), {"against": against}).status_code == 404


def test_restoring_asks_first_and_keeps_what_was(
    editor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(summary="One.")
    save(post, people.editor, now, summary="Two.")
    page = editor.get(address("restore", post.pk, 1))

    refused = editor.post(address("restore", post.pk, 1), {"base_number": 2, "reason": " "})
    done = editor.post(
        address("restore", post.pk, 1), {"base_number": 2, "reason": "Was better."}, follow=True
    )

    assert page.context["changes"].fields == ["summary"]
    assert (refused.status_code, list(refused.context["form"].errors)) == (409, ["reason"])
    assert messages_of(done) == ["Restored the content of revision 1 as revision 3 (v0.1.2)."]
    post.refresh_from_db()
    assert (post.summary, post.head.origin, post.head.reason) == ("One.", "restore", "Was better.")


def test_restoring_over_a_newer_revision_shows_it_and_asks_again(
    editor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(summary="One.")
    save(post, people.editor, now, summary="Two.")
    save(post, people.second_editor, now, owner="Theirs")

    response = editor.post(address("restore", post.pk, 1), {"base_number": 2, "reason": "Was better."})

    assert response.status_code == 409
    assert response.context["changes"].fields == ["summary", "owner"]
    assert response.context["form"]["reason"].value() == "Was better."
    assert response.context["form"]["base_number"].value() == 3
    assert Revision.objects.count() == 3


def test_the_history_lists_all_revisions_with_few_queries(
    editor: Client, make_post: Any, publish: Any, people: Any, now: Any, django_assert_num_queries: Any
) -> None:
    post = make_post()
    publish(post)
    with django_assert_num_queries(10):
        editor.get(address("history", post.pk))
    save(post, people.editor, now, summary="Two.")
    save(post, people.second_editor, now, summary="Three.")

    with django_assert_num_queries(10):
        response = editor.get(address("history", post.pk))

    assert [row["revision"].number for row in response.context["rows"]] == [3, 2, 1]
    assert "Approved by reviewer" in response.content.decode()


def test_an_editor_sees_what_a_reviewer_asks_for_and_what_flags_say(
    editor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(title="A note", flags={"needs_human_review": True})
    before = editor.get(address("change", post.pk)).content.decode()
    reviewing.request_changes(
        post,
        number=1,
        fingerprint=post.head.fingerprint,
        by=people.reviewer,
        at=now,
        comment="Say how to <undo> it.",
    )

    after = editor.get(address("change", post.pk)).content.decode()

    assert "What reviewers will look at" in before
    assert "The source asks for a person&#x27;s review." in before
    assert "A reviewer asks for changes" in after
    assert "Say how to &lt;undo&gt; it." in after
    assert "There is no rollback note" in after


# --- List ---


def titles(response: Any) -> list[str]:
    return sorted(post.title for post in response.context["cl"].result_list)


@pytest.fixture
def shelf(make_post: Any, publish: Any, people: Any, now: Any) -> dict[str, Post]:
    return make_shelf(make_post, publish, people, now)


def make_shelf(make_post: Any, publish: Any, people: Any, now: Any) -> dict[str, Post]:
    """One post in each state."""
    posts = {
        "published": make_post(
            title="published", topic="caching", difficulty="beginner", scores={"quality": 90}
        ),
        "draft": make_post(title="draft", owner="o", rollback_note="r", scores={"quality": 90, "depth": 40}),
        "waiting": make_post(title="waiting", flags={"needs_human_review": True}),
        "blocked": make_post(title="blocked", body="key AKIAABCDEFGHIJKLMNOP"),
        "sent back": make_post(title="sent back", slug="the-one-sent-back"),
    }
    publish(posts["published"])
    head = posts["sent back"].head
    reviewing.request_changes(
        posts["sent back"],
        number=1,
        fingerprint=head.fingerprint,
        by=people.reviewer,
        at=now,
        comment="More.",
    )
    return posts


@pytest.fixture(scope="class")
def standing_shelf(django_db_setup: None, django_db_blocker: Any, now: Any) -> Iterator[Any]:
    """The shelf, for tests that look at it; gives the editor."""
    with lasting(django_db_blocker):
        require_groups()
        people = make_people()
        make_shelf(post_maker(people, now), publisher(people, now), people, now)
        yield people.editor


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("state=draft", ["draft"]),
            ("state=waiting", ["blocked", "waiting"]),
            ("state=changes_requested", ["sent back"]),
            ("state=settled", ["published"]),
            ("published=yes", ["published"]),
            ("published=no", ["blocked", "draft", "sent back", "waiting"]),
            ("flag=blocking", ["blocked"]),
            ("flag=needs_human_review", ["waiting"]),
            ("flag=low_score", ["draft"]),
            ("flag=any", ["blocked", "draft", "published", "sent back", "waiting"]),
            ("topic=caching", ["published"]),
            ("difficulty=beginner", ["published"]),
            ("difficulty=none", ["blocked", "draft", "sent back", "waiting"]),
            ("score=0-49", ["draft"]),
            ("score=85-100", ["published"]),
            ("score=none", ["blocked", "sent back", "waiting"]),
            ("score=zero", []),
            ("source=elsewhere", []),
            ("q=the-one", ["sent back"]),
            ("q=CACHING", ["published"]),
            ("state=waiting&flag=blocking", ["blocked"]),
        ],
    )
    def test_the_list_is_filtered_and_searched(
        self, standing_shelf: Any, log_in: Any, query: str, expected: list[str]
    ) -> None:
        response = log_in(standing_shelf).get(f"{address('changelist')}?{query}")

        assert (response.status_code, titles(response)) == (200, expected)


def test_the_list_shows_both_states_and_open_flags(editor: Client, shelf: Any) -> None:
    page = editor.get(address("changelist")).content.decode()

    for words in (
        "Published v0.1.0",
        "Not published",
        "Up to date",
        "Changes requested",
        "1 blocking",
        "1 for review",
    ):
        assert words in page


def test_an_empty_list_says_how_posts_get_here(editor: Client) -> None:
    assert "import a file with" in editor.get(address("changelist")).content.decode()


@pytest.mark.parametrize("number", [1, 3])
def test_the_list_asks_the_same_number_of_queries_for_one_row_and_for_three(
    editor: Client, make_post: Any, publish: Any, django_assert_num_queries: Any, number: int
) -> None:
    for place in range(number):
        post = make_post(topic=f"topic {place}")
        publish(post)

    with django_assert_num_queries(10):
        response = editor.get(address("changelist"))

    assert len(titles(response)) == number


def test_asking_for_review_from_the_list_reports_each_refusal(editor: Client, shelf: Any) -> None:
    chosen = [shelf["draft"].pk, shelf["published"].pk]

    response = editor.post(
        address("changelist"), {"action": "ask_for_review", "_selected_action": chosen}, follow=True
    )

    assert sorted(messages_of(response)) == [
        "1 post waits for review.",
        "“published” is approved as it is: there is nothing to review.",
    ]


# --- Rights and unknown addresses ---


def test_nobody_deletes_a_post(client: Client, make_post: Any, people: Any) -> None:
    post = make_post()
    people.administrator.is_superuser = True
    people.administrator.save()
    client.force_login(people.administrator)

    assert client.post(address("delete", post.pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in client.get(address("changelist")).content.decode()
    assert "withdraw it on its" in client.get(address("change", post.pk)).content.decode()
    assert Post.objects.count() == 1


def test_who_may_only_view_reads_the_newest_revision_instead_of_a_form(
    client: Client, make_post: Any, people: Any
) -> None:
    from django.contrib.auth.models import Permission

    post = make_post(summary="To read.")
    people.stranger.is_staff = True
    people.stranger.save()
    people.stranger.user_permissions.add(Permission.objects.get(codename="view_post"))
    client.force_login(people.stranger)

    page = client.get(address("change", post.pk))

    assert page.status_code == 200
    assert "To read." in page.content.decode()
    assert "<textarea" not in page.content.decode()
    assert client.post(address("change", post.pk), {}).status_code == 403
    assert client.get(address("restore", post.pk, 1)).status_code == 403
    assert client.get(address("add")).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "post/999/change/",
        "post/nonsense/change/",
        f"post/{'9' * 30}/change/",
        "post/999/history/",
        "post/999/history/1/",
        "post/999/history/1/restore/",
        "entity/999/change/",
        "flag/999/change/",
        "decision/x/change/",
        "revision/999/change/",
        "receipt/999/change/",
        "importrun/999/change/",
    ],
)
def test_an_unknown_address_is_not_found(editor: Client, path: str) -> None:
    assert editor.get(f"/admin/kb/{path}").status_code == 404


# --- Entities and records ---


def test_an_entity_keeps_name_and_type_and_changes_its_aliases(editor: Client, make_post: Any) -> None:
    make_post(entities=[{"name": "PostgreSQL", "type": "tool"}])
    entity = Entity.objects.get()
    change = reverse("admin:kb_entity_change", args=[entity.pk])

    editor.post(change, {"name": "Other", "type": "x", "aliases": "pg\r\n\r\nPostgres\r\npg"})

    entity.refresh_from_db()
    assert (entity.name, entity.type, entity.aliases) == ("PostgreSQL", "tool", ["pg", "Postgres"])


def test_an_entity_is_found_by_its_alias_where_posts_choose_it(editor: Client) -> None:
    Entity.objects.create(name="PostgreSQL", type="tool", aliases=["elephant"])

    response = editor.get(
        reverse("admin:autocomplete"),
        {"term": "eleph", "app_label": "kb", "model_name": "postentity", "field_name": "entity"},
    )

    assert [found["text"] for found in response.json()["results"]] == ["PostgreSQL (tool)"]


def test_only_an_unused_entity_can_be_deleted(client: Client, make_post: Any, people: Any) -> None:
    make_post(entities=[{"name": "used", "type": "tool"}])
    unused = Entity.objects.create(name="unused", type="tool")
    client.force_login(people.administrator)

    for entity in Entity.objects.all():
        client.post(reverse("admin:kb_entity_delete", args=[entity.pk]), {"post": "yes"})

    assert [entity.name for entity in Entity.objects.all()] == ["used"]
    assert unused.pk


@pytest.mark.parametrize("name", ["importrun", "receipt", "revision", "flag", "decision"])
def test_records_are_read_and_never_written(
    client: Client, shelf: Any, people: Any, now: Any, name: str
) -> None:
    run = ImportRun.objects.create(started_at=now, counts={"created": 1})
    Receipt.objects.create(run=run, place="a.txt:1", outcome="created", post=shelf["draft"])
    people.administrator.is_superuser = True
    people.administrator.save()
    client.force_login(people.administrator)
    model = {"importrun": ImportRun, "receipt": Receipt, "revision": Revision, "flag": Flag}.get(name)
    pk = model.objects.first().pk if model else shelf["sent back"].head.decisions.get().pk

    listed = client.get(reverse(f"admin:kb_{name}_changelist"))
    one = client.get(reverse(f"admin:kb_{name}_change", args=[pk]), follow=True)

    assert (listed.status_code, one.status_code) == (200, 200)
    assert client.post(reverse(f"admin:kb_{name}_change", args=[pk]), {}).status_code in {302, 403}
    assert client.post(reverse(f"admin:kb_{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403
    assert client.get(reverse(f"admin:kb_{name}_add")).status_code == 403


def test_the_start_page_begins_with_posts(editor: Client) -> None:
    apps = editor.get("/admin/").context["available_apps"]

    assert [model["object_name"] for model in apps[0]["models"]] == [
        *("Post", "Entity", "Flag", "Decision", "Revision", "Criteria", "Report", "VerificationPolicy"),
        *("ImportRun", "Receipt"),
    ]


def test_every_page_says_how_many_posts_wait_for_who_reads_it(
    editor: Client, shelf: Any, people: Any
) -> None:
    reviewer = Client()
    reviewer.force_login(people.reviewer)
    head = '<a href="/admin/kb/queue/{}">Review <span class="kb-count">{}</span>'

    for start in ("/admin/", "/admin/kb/", "/admin/kb/post/"):
        assert head.format("", 2) in reviewer.get(start).content.decode()
        assert head.format("?tab=returned", 1) in editor.get(start).content.decode()
