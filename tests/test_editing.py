"""The post form as a desk: checks, private copies, lost logins, previews, a choice for each lost field."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kb.document import Document
from kb.flow import drafting, revising
from kb.merge import THEIRS, YOURS
from kb.models import Decision, Post, Publication, Revision, WorkingCopy
from tests.forms import filled

pytestmark = pytest.mark.django_db
HERE = {"HTTP_ORIGIN": "http://testserver"}


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


def form_of(client: Client, post: Post | None = None, query: str = "") -> dict[str, str]:
    return filled(client.get((address("change", post.pk) if post else address("add")) + query), "post_form")


def save(post: Post, by: Any, now: Any, **changes: Any) -> None:
    post.refresh_from_db()
    document = Document.read({**post.document().plain(), **changes})
    note = revising.ChangeNote("meanwhile")
    revising.save(post, document, base_number=post.head.number, by=by, at=now, note=note)


def without_token(data: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in data.items() if name != "csrfmiddlewaretoken"}


# --- Check ---


def test_a_check_says_all_of_the_typed_form_and_saves_nothing(editor: Client, make_post: Any) -> None:
    post = make_post(title="Note", body="One.", owner="A team", rollback_note="Back.")
    typed = form_of(editor, post) | {
        "body": "Two **words**.\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))"
    }

    response = editor.post(address("check"), typed)

    said = response.json()
    assert "no-store" in response.headers["Cache-Control"]
    assert said["preview"] == (
        "<p>Two <strong>words</strong>.</p>\n<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"
        "<p>[x](javascript:alert(1))</p>\n"
    )
    assert (said["words"], said["code"], said["minutes"], said["problems"]) == (4, 0, 1, [])
    assert (said["proposal"], said["reason"]) == ("1.0.0", "major: more than half of the text is new")
    assert "1 piece of markup or address" in said["checked"]
    assert (Revision.objects.count(), WorkingCopy.objects.count()) == (1, 0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"title": ""}, ("id_title", "Title", "This field is required.")),
        ({"quality": "101"}, ("id_quality", "Quality", "Ensure this value is less than or equal to 100.")),
        (
            {"images-0-caption": "No URL"},
            ("id_images-0-url", "image 1, URL", "Got '', expected at least 1 character."),
        ),
        ({"entities-0-entity": "99"}, ("id_entities-0-entity", "entity 1, Entity", "Select a valid choice.")),
        (
            {"checklists-0-title": "A", "checklists-0-items": "one\n" + "x" * 501},
            ("id_checklists-0-items", "checklist 1, Items", "Item 2: Got 'xxxx"),
        ),
    ],
)
def test_a_problem_stands_at_its_field_and_the_preview_goes_on(
    editor: Client, changes: dict[str, str], problem: tuple[str, str, str]
) -> None:
    typed = form_of(editor) | {"title": "Note", "body": "Two words."} | changes

    said = editor.post(address("check"), typed).json()

    (found,) = said["problems"]
    assert (found["id"], found["label"]) == problem[:2]
    assert found["sentences"][0].startswith(problem[2])
    assert (said["words"], said["proposal"]) == (2, "")
    assert "Flags are foreseen once the problems are mended." in said["checked"]


@pytest.mark.parametrize(
    "body",
    ["a\x00b", "x" * 1_000_001, "> " * 30 + "deep", "<b>" * 70 + "deep"],
    ids=["nul", "long", "md", "html"],
)
def test_a_text_that_cannot_be_rendered_is_said_and_never_an_error(editor: Client, body: str) -> None:
    typed = form_of(editor) | {"title": "Note", "body": body}
    typed["body_format"] = "html" if body.startswith("<") else "markdown"

    response = editor.post(address("check"), typed)

    assert response.status_code == 200
    assert response.json()["unreadable"] or body.startswith("> ")


def test_a_check_asks_the_same_number_of_queries_for_one_entity_and_for_three(
    editor: Client, make_post: Any, django_assert_num_queries: Any
) -> None:
    names = ("one", "two", "three")
    few = make_post(entities=[{"name": "one", "type": "area"}])
    many = make_post(entities=[{"name": name, "type": "area"} for name in names])

    for post in (few, many):
        typed = form_of(editor, post)
        # Login, rights, the post, one text at a time, the entities.
        with django_assert_num_queries(9):
            editor.post(address("check"), typed)


def test_without_a_script_a_button_checks_and_keeps_every_text(editor: Client, make_post: Any) -> None:
    post = make_post(checklists=[{"title": "Gone", "items": ["one"]}])
    typed = form_of(editor, post) | {"body": "A *new* text.", "reason": "Mine.", "checklists-0-DELETE": "on"}

    response = editor.post(address("change", post.pk), typed | {"_check": "1"})

    page = response.content.decode()
    assert "Preview and check: nothing is saved yet" in page
    assert "<p>A <em>new</em> text.</p>" in page
    assert without_token(filled(response, "post_form")) == without_token(typed)
    assert Revision.objects.count() == 1


# --- Private copies ---


def test_a_copy_is_kept_offered_restored_and_gone_after_the_save(
    editor: Client, make_post: Any, people: SimpleNamespace
) -> None:
    post = make_post(checklists=[{"title": "Gone", "items": ["one"]}])
    typed = form_of(editor, post) | {"summary": "Typed.", "reason": "Mine.", "checklists-0-DELETE": "on"}

    kept = editor.post(address("keep"), typed).json()
    page = editor.get(address("change", post.pk))
    restored = form_of(editor, post, "?restore")
    again = editor.post(address("keep"), restored).json()
    saved = editor.post(address("change", post.pk), restored | {"copy": again["copy"], "_save": "1"})

    assert "You have unsaved changes from" in page.content.decode()
    assert filled(page, "post_form")["summary"] == ""
    assert filled(page, "post_form")["copy"] == ""
    assert without_token(restored) == without_token(typed) | {"copy": kept["copy"]}
    assert saved.status_code == 302
    post.refresh_from_db()
    assert (post.head.number, post.summary) == (2, "Typed.")
    assert not WorkingCopy.objects.exists()


def test_a_new_post_is_kept_and_restored_too(editor: Client) -> None:
    typed = form_of(editor) | {"title": "Not yet", "slug": "not-yet"}

    editor.post(address("keep"), typed)

    assert "Of “Not yet”." in editor.get(address("add")).content.decode()
    assert form_of(editor, None, "?restore")["slug"] == "not-yet"


def test_a_second_tab_is_told_and_may_insist(editor: Client, make_post: Any) -> None:
    post = make_post()
    first = form_of(editor, post) | {"summary": "First."}
    second = form_of(editor, post) | {"summary": "Second."}

    editor.post(address("keep"), first)
    told = editor.post(address("keep"), second)
    editor.post(address("keep"), second | {"copy": told.json()["copy"]})

    assert (told.status_code, told.json()["code"]) == (409, "another_copy")
    assert WorkingCopy.objects.get().fields["summary"] == "Second."


def test_discarding_asks_for_the_copy_that_was_seen(editor: Client, make_post: Any) -> None:
    post = make_post()
    copy = editor.post(address("keep"), form_of(editor, post)).json()["copy"]

    editor.post(address("discard"), {"post": post.pk, "copy": ""})
    assert WorkingCopy.objects.count() == 1
    response = editor.post(address("discard"), {"post": post.pk, "copy": copy})

    assert response.headers["Location"] == address("change", post.pk)
    assert not WorkingCopy.objects.exists()


def test_others_see_who_types_and_never_what(
    client: Client, make_post: Any, people: SimpleNamespace, publish: Any
) -> None:
    post = make_post()
    publish(post)
    for place in (post, None):
        drafting.keep(
            place,
            {"title": "canary-typed", "summary": "canary-typed"},
            base_number=1,
            seen=None,
            by=people.second_editor,
            at=timezone.now(),
        )
    pages = [
        *(address(name, post.pk) for name in ("change", "history", "review", "preview", "preview_meta")),
        *(address("change", post.pk) + "?restore", address("add"), address("add") + "?restore"),
        *(reverse("admin:index"), address("changelist"), address("keep")),
    ]

    client.force_login(people.administrator)
    found = [client.get(page) for page in pages]
    kept = client.post(address("keep"), form_of(client, post)).json()

    assert {page.status_code for page in found} == {200}
    assert "canary-typed" not in "".join(page.content.decode() for page in found) + json.dumps(kept)
    assert "<strong>second_editor</strong> has unsaved changes" in found[0].content.decode()
    assert "second_editor" in kept["others"]


def test_the_form_asks_the_same_number_of_queries_for_one_other_writer_and_for_three(
    editor: Client, make_post: Any, people: SimpleNamespace, django_assert_num_queries: Any
) -> None:
    post = make_post()
    others = (people.second_editor, people.reviewer, people.administrator)
    for number, person in enumerate(others, 1):
        at = timezone.now()
        drafting.keep(post, {"title": "Typed"}, base_number=1, seen=None, by=person, at=at)
        if number == 2:
            continue
        with django_assert_num_queries(14):
            editor.get(address("change", post.pk))


def test_what_one_person_typed_is_never_kept_or_saved_as_the_next_ones(
    client: Client, make_post: Any, people: SimpleNamespace
) -> None:
    post = make_post()
    client.force_login(people.editor)
    typed = form_of(client, post) | {"summary": "The editor's.", "reason": "Mine."}
    client.force_login(people.second_editor)

    kept = client.post(address("keep"), typed)
    saved = client.post(address("change", post.pk), typed | {"_save": "1"})
    insisted = client.post(address("change", post.pk), filled(saved, "post_form") | {"_save": "1"})

    assert (kept.status_code, kept.json()["code"]) == (409, "other_person")
    assert not WorkingCopy.objects.exists()
    assert "typed under another login" in saved.content.decode()
    assert (saved.status_code, insisted.status_code) == (409, 302)
    assert Revision.objects.get(number=2).author == people.second_editor


@pytest.mark.parametrize("name", ["check", "keep", "discard"])
def test_who_may_not_save_may_neither_check_nor_keep(
    client: Client, make_post: Any, people: SimpleNamespace, name: str
) -> None:
    post = make_post()
    client.force_login(people.auditor)

    for data in ({"post": post.pk}, {"post": ""}, {"post": "999999"}):
        assert client.post(address(name), data).status_code == 403


@pytest.mark.parametrize("data", [{"post": "999999"}, {"post": "x"}, {"post": "9" * 30}, {"post": "²"}])
def test_a_post_that_is_none_is_not_found(editor: Client, data: dict[str, str]) -> None:
    for name in ("check", "keep", "discard"):
        assert editor.post(address(name), data).status_code == 404


@pytest.mark.parametrize(
    "odd",
    [{"copy": "yesterday"}, {"copy": "2026-99-99T00:00"}, {"base_number": "x"}, {"title": "a" * 5_000_000}],
)
def test_odd_data_is_refused_or_kept_and_never_an_error(editor: Client, make_post: Any, odd: Any) -> None:
    typed = form_of(editor, make_post()) | odd

    assert editor.post(address("keep"), typed).status_code in {200, 409}


# --- A login that ended ---


def test_a_form_without_its_login_comes_back_with_every_text(make_post: Any, people: SimpleNamespace) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.editor)
    post = make_post()
    typed = form_of(client, post) | {"summary": "Line\r\nend <b>", "reason": "Mine.", "_save": "1"}
    client.logout()
    client.get(reverse("admin:login"))

    asked = client.post(address("change", post.pk), typed, **HERE)
    wrong = client.post(address("change", post.pk), _login(asked, "editor", "wrong"), **HERE)
    stranger = client.post(address("change", post.pk), _login(wrong, "auditor", "pw"), **HERE)
    back = client.post(address("change", post.pk), _login(stranger, "editor", "pw"), **HERE)

    assert [answer.status_code for answer in (asked, wrong, stranger, back)] == [403, 403, 403, 200]
    assert "auditor may not edit posts" in stranger.content.decode()
    assert "no-store" in asked.headers["Cache-Control"]
    shown = filled(back, "post_form")
    assert (shown["summary"], shown["reason"]) == ("Line\r\nend <b>", "Mine.")
    assert Revision.objects.count() == 1
    saved = client.post(address("change", post.pk), shown | {"_save": "1"}, **HERE)
    assert saved.status_code == 302


def _login(page: Any, username: str, password: str) -> dict[str, str]:
    return filled(page, "login-form") | {"username": username, "password": password}


def test_a_token_of_an_earlier_login_loses_no_text_and_saves_nothing(
    make_post: Any, people: SimpleNamespace
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.editor)
    post = make_post()
    typed = form_of(client, post) | {"summary": "Typed.", "reason": "Mine.", "csrfmiddlewaretoken": "x" * 64}

    back = client.post(address("change", post.pk), typed | {"_save": "1"}, **HERE)
    elsewhere = client.post(
        address("change", post.pk), typed | {"_save": "1"}, HTTP_ORIGIN="https://elsewhere.example"
    )

    assert filled(back, "post_form")["summary"] == "Typed."
    assert "You logged in meanwhile" in back.content.decode()
    assert elsewhere.status_code == 403
    assert "Typed." not in elsewhere.content.decode()
    assert Revision.objects.count() == 1


# --- Conflict ---


BODY = "First.\n\nSecond.\n\nThird."


def test_two_texts_changed_in_different_paragraphs_are_one_text(
    editor: Client, make_post: Any, people: SimpleNamespace, now: Any
) -> None:
    post = make_post(body=BODY, stack=["a", "b"], scores={"quality": 50})
    mine = form_of(editor, post) | {
        "body": BODY.replace("First", "Mine"),
        "stack": "a\nb\nmine",
        "clarity": "70",
        "reason": "Mine.",
    }
    save(
        post,
        people.second_editor,
        now,
        body=BODY.replace("Third", "Theirs"),
        stack=["b"],
        scores={"quality": 60},
    )

    response = editor.post(address("change", post.pk), mine | {"_save": "1"})
    editor.post(address("change", post.pk), filled(response, "post_form") | {"_save": "1"})

    merged = Revision.objects.get(number=3).document
    assert (merged.body, merged.stack) == ("Mine.\n\nSecond.\n\nTheirs.", ("b", "mine"))
    assert (merged.scores.quality, merged.scores.clarity) == (60, 70)


def test_a_passage_that_both_changed_is_chosen_or_mended_and_never_dropped(
    editor: Client, make_post: Any, people: SimpleNamespace, now: Any
) -> None:
    post = make_post(title="Note", body=BODY)
    mine = form_of(editor, post) | {
        "title": "Mine",
        "body": BODY.replace("Second", "Mine"),
        "reason": "Mine.",
    }
    save(post, people.second_editor, now, title="Theirs", body=BODY.replace("Second", "Theirs"), owner="They")

    lost = filled(editor.post(address("change", post.pk), mine | {"_save": "1"}), "post_form")
    refused = editor.post(address("change", post.pk), lost | {"_save": "1", "topic": "typed since"})
    kept = filled(refused, "post_form")
    chosen = editor.post(
        address("change", post.pk),
        kept | {"_choose": "1", "merge-body": "theirs", "merge-title": "theirs", "merge-owner": "yours"},
    )
    shown = filled(chosen, "post_form")
    back = filled(
        editor.post(address("change", post.pk), shown | {"_choose": "1", "merge-body": "both"}), "post_form"
    )

    assert lost["body"].split("\r\n")[2:6] == [YOURS, "Mine.", THEIRS, "Theirs."]
    assert (kept["body"], kept["topic"]) == (lost["body"], "typed since")
    assert (shown["title"], shown["body"], shown["owner"]) == (
        "Theirs",
        BODY.replace("Second", "Theirs").replace("\n", "\r\n"),
        "",
    )
    assert (shown["topic"], shown["reason"], shown["merge-held-body"]) == ("typed since", "Mine.", "theirs")
    assert back["body"] == lost["body"]
    assert Revision.objects.count() == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"merge-yours": "{"},
        {"merge-yours": "[" * 100_000},
        {"merge-yours": '{"title": 1}'},
        {"merge-base": "x", "merge-theirs": "²"},
        {"merge-theirs": "99"},
        {"merge-title": "nonsense", "merge-held-title": "nonsense"},
    ],
)
def test_a_comparison_that_came_back_odd_is_no_error(
    editor: Client, make_post: Any, people: SimpleNamespace, now: Any, odd: dict[str, str]
) -> None:
    post = make_post(title="Note")
    mine = form_of(editor, post) | {"title": "Mine", "reason": "Mine."}
    save(post, people.second_editor, now, title="Theirs")
    lost = filled(editor.post(address("change", post.pk), mine | {"_save": "1"}), "post_form")

    assert editor.post(address("change", post.pk), lost | odd | {"_choose": "1"}).status_code == 200
    assert editor.post(address("change", post.pk), lost | odd | {"_save": "1"}).status_code == 302


# --- Preview of a draft ---


def test_a_draft_is_seen_as_readers_would_and_stays_a_draft(
    client: Client, make_post: Any, people: SimpleNamespace, publish: Any, now: Any
) -> None:
    post = make_post(title="First", body="# One\n\n<script>alert(1)</script>", summary="Lead.")
    publish(post)
    save(post, people.editor, now, title="Second", entities=[{"name": "vault", "type": "tool"}])
    client.force_login(people.auditor)
    decisions, publication = Decision.objects.count(), Publication.objects.values().get()

    newest = client.get(address("preview", post.pk))
    older = client.get(address("preview", post.pk) + "?revision=1")
    meta = client.get(address("preview_meta", post.pk) + "?revision=2")

    page = newest.content.decode()
    for said in ("Draft: readers do not see this.", "Second", "Nobody vouches for this content yet."):
        assert said in page
    assert "alert(1)</script>" not in page
    assert "Reviewed by a person" not in page
    assert "First" in older.content.decode()
    for answer in (newest, older, meta):
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    said = meta.json()
    assert (said["title"], said["review"]["reviewed"], said["revision"]["status"]) == (
        "Second",
        False,
        "draft",
    )
    assert (Decision.objects.count(), Publication.objects.values().get()) == (decisions, publication)


@pytest.mark.parametrize("name", ["preview", "preview_meta"])
def test_a_preview_is_for_who_may_see_drafts(
    client: Client, make_post: Any, people: SimpleNamespace, publish: Any, name: str
) -> None:
    post = make_post()
    publish(post)
    people.stranger.is_staff = True
    people.stranger.save()
    client.force_login(people.stranger)

    answers = [client.get(address(name, pk)).status_code for pk in (post.pk, post.pk + 999)]

    assert answers == [403, 403]


@pytest.mark.parametrize("query", ["?revision=0", "?revision=9", "?revision=x", "?revision=", "?revision=²"])
def test_a_revision_that_is_none_has_no_preview(editor: Client, make_post: Any, query: str) -> None:
    post = make_post()

    assert editor.get(address("preview", post.pk) + query).status_code == 404
