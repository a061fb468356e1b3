"""How a comparison is shown: what changed and what did not, in three views; nothing acts, nothing hides."""

import html
import re
from time import process_time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from kb.admin.diffs import AROUND, Highlight, shown
from kb.diff import apply, diff, from_json
from kb.document import Document

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def read(**fields: Any) -> Document:
    return Document.read({"title": "T", **fields})


def page(before: Document | None, after: Document, **how: Any) -> str:
    return "".join(part.html for part in shown(before, after, **how).parts)


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_parts_are_told_apart_and_those_without_a_change_are_named() -> None:
    found = shown(read(topic="a", scores={"depth": 40}), read(topic="b", scores={"depth": 28}))

    assert {part.name: part.fields for part in found.parts} == {
        "Text": [],
        "Metadata": ["topic"],
        "Entities": [],
        "Checklist": [],
        "Images": [],
        "Flags": [],
        "Scores": ["scores.depth"],
    }
    assert "−12" in text(found.parts[-1].html)


@pytest.mark.parametrize("view", ["unified", "split", "rendered"])
def test_hostile_text_is_shown_and_does_nothing(view: str) -> None:
    before = read(
        title=HOSTILE,
        body=f"{HOSTILE}\nkept {HOSTILE}",
        notes=[HOSTILE],
        payload={HOSTILE: HOSTILE},
        images=[{"url": f"https://a.example/{HOSTILE}"}],
    )
    after = read(title="x", body=f"new\nkept {HOSTILE}", entities=[{"name": HOSTILE, "type": "t"}])

    for one, other in ((before, after), (after, before), (None, before)):
        shows = page(one, other, view=view)
        assert not re.search(r"<(script|img)", shows)


def test_long_stretches_of_kept_lines_fold_and_can_be_unfolded() -> None:
    lines = [f"Line {number}." for number in range(30)]
    before, after = read(body="\n".join(lines)), read(body="\n".join([*lines[:15], "New.", *lines[16:]]))

    found = page(before, after)

    folds = re.findall(r"<details[^>]*><summary>… (\d+) unchanged lines</summary>", found)
    assert folds == [str(15 - AROUND), str(14 - AROUND)]
    assert text(found).count("Line 0.") == 1


def test_side_by_side_shows_both_texts_whole() -> None:
    before, after = "One.\nTwo.\nThree.\nFour.", "One.\nTwo and a half.\nFour.\nFive."

    found = page(read(body=before), read(body=after), view="split")

    sides = re.findall(r'<td class="kb-side[^"]*">(.*?)</td>', found, re.DOTALL)
    left, right = ("\n".join(filter(None, map(text, sides[side::2]))) for side in (0, 1))
    assert (left, right) == (before, after)


def test_as_readers_see_it_shows_both_compiled() -> None:
    found = page(read(body="Some *old* text."), read(body="Some *new* text."), view="rendered")

    assert "<em>old</em>" in found
    assert "<em>new</em>" in found


@pytest.mark.parametrize(
    ("before", "after", "mark"),
    [
        ("a b", "a  b", "<ins>"),
        ("One line.", "One line.\u200b", "zero width space"),
        ("One line.\nTwo.", "One line.  \nTwo.", "2 at the end of the line"),
        ("a b c", "a\u00a0b c", "no-break space"),
        ("abc def", "abc \u202edef", "right-to-left override"),
        ("a\n\nb", "a\n\n\nb", "empty line"),
        ("a b", "a\tb", 'title="tab"'),
    ],
)
def test_a_change_that_eyes_would_miss_has_a_mark(before: str, after: str, mark: str) -> None:
    assert mark in page(read(body=before), read(body=after))


def test_a_passage_is_marked_where_it_stands_also_in_a_fold() -> None:
    lines = [f"Line {number}." for number in range(30)]
    body = "\n".join([*lines, "password = hunter22 & <b>", *lines])
    highlights = [
        Highlight("body", "password = hunt…", "flag-1", "A credential"),
        Highlight("body", "mark", "flag-2", "Not in the text, but in tags"),
        Highlight("topic", "pools", "flag-3", "A topic"),
    ]

    found = shown(read(body=f"x\n{body}"), read(body=f"y\n{body}", topic="pools"), highlights=highlights)

    shows = "".join(part.html for part in found.parts)
    assert found.placed == {"flag-1", "flag-3"}
    assert re.search(
        r'<details class="kb-fold" open>.*<mark id="flag-1"[^>]*>password = hunt</mark>', shows, re.S
    )
    assert '<mark id="flag-3"' in shows


def test_each_change_has_a_number_to_jump_to() -> None:
    before = read(body="a\nb\nc\nd\ne\nf\ng", stack=["x"])
    after = read(body="A1\nb\nc\nd\ne\nf\nG1", stack=["y", "z"], topic="t")

    numbers = re.findall(r'id="change-(\d+)" data-change tabindex="-1"', page(before, after))

    assert numbers == [str(number + 1) for number in range(len(numbers))]
    assert len(numbers) == 6


@pytest.mark.django_db
class TestStaffApi:
    @pytest.fixture
    def post(self, make_post: Any, people: Any, now: Any) -> Any:
        from kb.flow import revising

        post = make_post(body="One.\nTwo.", topic="a")
        revising.save(
            post,
            read(body="One.\nThree.", topic="b"),
            base_number=1,
            by=people.editor,
            at=now,
            note=revising.ChangeNote("Because."),
        )
        return post

    def address(self, post: Any, number: int, other: int) -> str:
        return reverse("admin:kb_post_diff", args=[post.pk, number, other])

    @pytest.mark.parametrize(("number", "other"), [(1, 2), (2, 1), (0, 2), (1, 1)])
    def test_the_answer_turns_one_revision_into_the_other(
        self, client: Client, post: Any, people: Any, number: int, other: int
    ) -> None:
        client.force_login(people.editor)

        response = client.get(self.address(post, number, other))

        answer = response.json()
        documents = {revision.number: revision.document for revision in post.revisions.all()}
        before = documents.get(number)
        changes = from_json(answer["diff"])
        assert "no-store" in response.headers["Cache-Control"]
        assert apply(changes, before) == documents[other]
        assert changes == diff(before, documents[other])
        assert answer["changed"] is (number != other)
        assert answer["to"]["number"] == other
        assert (answer["from"] or {"number": 0})["number"] == number

    @pytest.mark.parametrize(("number", "other"), [(1, 3), (3, 1), (1, 0)])
    def test_a_revision_that_is_not_there_is_a_problem(
        self, client: Client, post: Any, people: Any, number: int, other: int
    ) -> None:
        client.force_login(people.editor)

        response = client.get(self.address(post, number, other))

        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")

    def test_who_may_not_see_posts_sees_no_differences(self, client: Client, post: Any, people: Any) -> None:
        people.stranger.is_staff = True
        people.stranger.save()
        client.force_login(people.stranger)

        assert client.get(self.address(post, 1, 2)).status_code == 403


def test_a_long_run_of_spaces_is_read_once() -> None:
    spaces = " " * 100_000
    before = process_time()

    shows = page(read(body=f"{spaces}a"), read(body=f"{spaces}b\n  \nc"))

    assert process_time() - before < 5  # seconds; a minute and more if each space began anew
    assert 'title="space, 2 at the end of the line">··</span>' in shows
