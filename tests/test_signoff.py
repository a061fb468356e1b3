"""The sign-off list: every approval, what became of it, and files that no spreadsheet runs."""

import csv
import io
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from kb.admin import tables
from kb.document import Document
from kb.flow import reviewing, revising, verifying
from kb.models import Post

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor(client: Client, people: Any) -> Client:
    client.force_login(people.auditor)
    return client


def rows(auditor: Client, **query: str) -> list[Any]:
    response = auditor.get(reverse("admin:kb_signoff"), query)
    assert response.status_code == 200
    return response.context["rows"]


def edit(post: Post, by: Any, at: Any, **changes: Any) -> None:
    post.refresh_from_db()
    document = Document.read({**post.document().plain(), **changes})
    note = revising.ChangeNote("more")
    revising.save(post, document, base_number=post.head.number, by=by, at=at, note=note)
    post.refresh_from_db()


def approve(post: Post, by: Any, at: Any, **more: Any) -> Any:
    post.refresh_from_db()
    head = post.head
    return reviewing.approve(post, number=head.number, fingerprint=head.fingerprint, by=by, at=at, **more)


def test_each_approval_says_whose_work_it_was_and_what_became_of_it(
    auditor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post()
    approve(post, people.reviewer, now)
    edit(post, people.second_editor, now, summary="Two.")
    edit(post, people.editor, now, summary="Three.")
    approve(post, people.second_reviewer, now)
    edit(post, people.second_editor, now, summary="Four.")

    found = rows(auditor)

    assert [(row.decision.revision.number, row.authors, row.state[0]) for row in found] == [
        (3, ["editor", "second_editor"], "In force"),
        (1, ["editor"], "Superseded"),
    ]
    reviewing.withdraw(post, by=people.reviewer, at=now, comment="Wrong.")
    assert [row.state[0] for row in rows(auditor)] == ["Withdrawn", "Superseded"]


def test_an_approval_for_later_waits_and_one_that_was_taken_back_says_so(
    auditor: Client, make_post: Any, people: Any, now: Any
) -> None:
    later = now + timedelta(days=3)
    approve(make_post(), people.reviewer, now, publish_at=later)
    taken = approve(make_post(), people.reviewer, now, publish_at=later)
    reviewing.take_back(taken, by=people.reviewer, at=now)
    lapsed = make_post()
    approve(lapsed, people.reviewer, now, publish_at=later)
    edit(lapsed, people.editor, now, summary="New.")

    found = rows(auditor)

    assert [row.state[0] for row in found] == ["Lapsed before its time", "Taken back", "Waits for its time"]


def test_what_lapsed_or_was_withdrawn_before_an_approval_vouched_for_nobody(
    auditor: Client, make_post: Any, people: Any, now: Any
) -> None:
    lapsed, withdrawn = make_post(), make_post()
    approve(lapsed, people.reviewer, now, publish_at=now + timedelta(hours=1))
    approve(withdrawn, people.reviewer, now)
    reviewing.withdraw(withdrawn, by=people.reviewer, at=now, comment="Wrong.")
    for post in (lapsed, withdrawn):
        edit(post, people.second_editor, now, summary="A comma.")
        approve(post, people.second_reviewer, now)
    reviewing.withdraw(lapsed, by=people.reviewer, at=now, comment="Wrong.")

    found = {
        (row.decision.revision.post_id, row.decision.revision.number): row.authors for row in rows(auditor)
    }

    assert found == {
        (lapsed.pk, 1): ["editor"],
        (lapsed.pk, 2): ["editor", "second_editor"],
        (withdrawn.pk, 1): ["editor"],
        (withdrawn.pk, 2): ["editor", "second_editor"],
    }


def test_what_is_withheld_is_in_force_all_the_same(
    auditor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post()
    approve(post, people.reviewer, now)
    edit(post, people.second_editor, now, summary="Two.")
    approve(post, people.reviewer, now)
    verifying.set_withholding(post, on=True, by=people.reviewer, at=now)

    verifying.withhold(post, at=now + timedelta(days=91))

    assert [row.state[0] for row in rows(auditor)] == ["In force, withheld while overdue", "Superseded"]


def test_an_approval_of_ones_own_work_is_marked(
    auditor: Client, make_post: Any, people: Any, now: Any, settings: Any
) -> None:
    settings.KB_ALLOW_SELF_APPROVAL = True
    approve(make_post(by=people.reviewer), people.reviewer, now)

    response = auditor.get(reverse("admin:kb_signoff"))

    assert "Own work" in response.content.decode()


def test_approvals_are_found_by_day_and_by_approver(
    auditor: Client, make_post: Any, people: Any, now: Any
) -> None:
    approve(make_post(slug="first"), people.reviewer, now)
    approve(make_post(slug="second"), people.second_reviewer, now + timedelta(days=1))

    def slugs(**query: str) -> list[str]:
        return [row.decision.revision.post.slug for row in rows(auditor, **query)]

    assert slugs() == ["second", "first"]
    assert slugs(by="reviewer") == ["first"]
    assert slugs(since="2026-11-24") == ["second"]
    assert slugs(until="2026-11-23") == ["first"]
    assert auditor.get(reverse("admin:kb_signoff"), {"by": "nobody"}).status_code == 400
    assert auditor.get(reverse("admin:kb_signoff"), {"before": "abc"}).status_code == 200


def test_the_list_takes_as_many_queries_for_three_as_for_one_and_goes_on_where_it_ended(
    auditor: Client, make_post: Any, people: Any, now: Any, django_assert_num_queries: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("kb.admin.signoff.PAGE", 2)
    address = reverse("admin:kb_signoff")
    auditor.get(address)
    for number in range(3):
        approve(make_post(slug=f"post-{number}"), people.reviewer, now)
        if number in {0, 2}:
            with django_assert_num_queries(5):
                response = auditor.get(address)

    older = auditor.get(address + response.context["older"])
    assert [row.decision.revision.post.slug for row in response.context["rows"]] == ["post-2", "post-1"]
    assert [row.decision.revision.post.slug for row in older.context["rows"]] == ["post-0"]
    assert older.context["older"] == ""


def test_the_list_leaves_as_csv_that_runs_nothing(
    auditor: Client, make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(title='=HYPERLINK("https://attacker.example")', slug="attack")
    decision = approve(post, people.reviewer, now, comment='@SUM(A1), "fine"')

    response = auditor.get(reverse("admin:kb_signoff"), {"format": "csv"})

    content = b"".join(response.streaming_content)
    assert content.startswith(b'\xef\xbb\xbf"post",')
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert row == {
        "post": "attack",
        "title": '\'=HYPERLINK("https://attacker.example")',
        "revision": "1",
        "version": "0.1.0",
        "fingerprint": decision.fingerprint,
        "approver": "reviewer",
        "approved at": "2026-11-23T12:00:00+00:00",
        "authors": "editor",
        "own work": "no",
        "state": "In force",
        "comment": '\'@SUM(A1), "fine"',
    }


def test_an_empty_list_says_what_would_be_there(auditor: Client) -> None:
    assert "Nothing was approved yet." in auditor.get(reverse("admin:kb_signoff")).content.decode()


# --- The file itself ---

BLANK = st.sampled_from(["", " ", "\t", "\r", "\n", "\u00a0", "\u200b", "\ufeff", "\u3000", "\x0b", '"', "'"])
SIGN = st.sampled_from([*"=+-@", *"＝＋－＠", "﹢", "﹣", "﹦", "﹫", "−"])


@given(st.lists(BLANK, max_size=4).map("".join), SIGN, st.text(max_size=20))
def test_whatever_could_be_a_formula_begins_with_an_apostrophe(blank: str, sign: str, rest: str) -> None:
    assert tables.cell(blank + sign + rest) == f"'{blank}{sign}{rest}"


@given(st.text(max_size=30))
def test_no_cell_begins_as_a_formula_and_every_other_stays_as_it_was(text: str) -> None:
    shown = tables.cell(text)

    assert shown in {text, f"'{text}"}
    assert (
        not unicodedata.normalize("NFKC", shown)[:1]
        or unicodedata.normalize("NFKC", shown)[0] not in "=+-@\t\r"
    )
    if text[:1].isalnum() and unicodedata.normalize("NFKC", text[0])[0] not in "=+-@":
        assert shown == text


@given(st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), max_size=5))
def test_a_csv_reader_gets_back_every_cell_whatever_is_in_it(table: list[list[str]]) -> None:
    text = "".join(tables.csv_lines(("a", "b"), table))

    assert text.startswith('\ufeff"a","b"\r\n')
    found = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert found[1:] == [[tables.cell(value) for value in row] for row in table]


def test_a_large_file_is_sent_in_pieces_as_it_is_read() -> None:
    read: list[int] = []

    def numbers() -> Any:
        for number in range(1000):
            read.append(number)
            yield (number,)

    pieces = iter(tables.answer("numbers", "csv", ("n",), numbers()).streaming_content)
    next(pieces)

    assert len(read) < 300
