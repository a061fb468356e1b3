"""The whole way of one note: source file, import, edit, review by another person, publication, meta JSON."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from kb.choices import State
from kb.models import Decision, Flag, Post, Publication, Receipt
from tests.forms import filled

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

DATA = Path(__file__).parent / "data"
SAMPLE = Path(__file__).parents[2] / "shared/samples/alphanode-010444.txt"
# A page of the sample's shape always; the sample itself where it lies beside the project.
PAGES = [
    pytest.param(DATA / "alphanode-note.txt", "note", id="note"),
    pytest.param(
        SAMPLE,
        "sample",
        id="sample",
        marks=pytest.mark.skipif(not SAMPLE.exists(), reason="the sample lies beside the project, not in it"),
    ),
]


@pytest.fixture
def as_person(people: SimpleNamespace) -> Callable[[str], Client]:
    def log_in(name: str) -> Client:
        client = Client()
        client.force_login(getattr(people, name))
        return client

    return log_in


def address(name: str, post: Post, *args: Any) -> str:
    return reverse(f"admin:kb_post_{name}", args=[post.pk, *args])


def meta(post: Post) -> tuple[int, Any]:
    response = Client().get(f"/api/v1/posts/{post.slug}/meta/")
    return response.status_code, response.json()


@pytest.mark.parametrize(("page", "name"), PAGES)
def test_a_note_travels_from_its_source_file_to_the_meta_json(
    page: Path, name: str, as_person: Callable[[str], Client], settings: Any
) -> None:
    settings.KB_READ_ACCESS = "public"

    # Import: a draft, with a receipt and with reasons why a person should look.
    call_command("import_posts", str(page), verbosity=0)
    post = Post.objects.get()
    assert [receipt.outcome for receipt in Receipt.objects.all()] == ["created"]
    assert post.state == State.WAITING
    assert "ai_generated" in {flag.code for flag in post.head.flags.open()}
    assert meta(post)[0] == 404

    # An editor says who answers for it and how to get back.
    editor = as_person("editor")
    change = {
        "owner": "platform team",
        "expected_result": "Every default is written down.",
        "rollback_note": "Revert the commit.",
        "reason": "Named an owner and the way back.",
    }
    form = filled(editor.get(address("change", post)), "post_form")
    editor.post(address("change", post), {**form, **change, "_ask": "1"})
    post.refresh_from_db()
    head = post.head
    assert (head.number, head.author.username) == (2, "editor")
    assert {flag.code for flag in head.flags.open()} >= {"ai_generated", "review_requested"}
    assert "missing_owner" not in {flag.code for flag in head.flags.open()}
    assert meta(post)[0] == 404

    # A reviewer flags it; nothing blocks for ever, and nothing passes while it blocks.
    reviewer = as_person("reviewer")
    raised = {"severity": "blocking", "sentence": "Is the second step still right?"}
    reviewer.post(address("raise_flag", post), raised)
    seen = filled(reviewer.get(address("review", post)), "decision")
    assert reviewer.post(address("approve", post), seen).status_code == 409
    assert meta(post)[0] == 404
    flag = Flag.objects.get(code="by_hand")
    closing = {"note": "Tried it: it is.", "sentence": flag.sentence}
    reviewer.post(address("close_flag", post, flag.pk), closing)
    # On a page from before the flag was closed, a decision is not taken.
    assert reviewer.post(address("approve", post), seen).status_code == 409
    seen = filled(reviewer.get(address("review", post)), "decision")

    # The editor may not approve; the reviewer may, and exactly what was shown goes out.
    assert editor.post(address("approve", post), seen).status_code == 403
    assert reviewer.post(address("approve", post), {**seen, "comment": "Good."}).status_code == 302
    decision = Decision.objects.get()
    assert (decision.reviewer.username, decision.fingerprint) == ("reviewer", head.fingerprint)

    expected = json.loads((DATA / "way" / f"{name}.json").read_text(encoding="utf-8"))
    review_by = (decision.at + timedelta(days=90)).date().isoformat()
    expected["review"] |= {
        "at": _moment(decision),
        "fingerprint": head.fingerprint,
        "review_by": review_by,
    }
    expected["revision"]["last_reviewed"] = decision.at.date().isoformat()
    assert meta(post) == (200, expected)
    assert Publication.objects.get().fingerprint == head.fingerprint


def _moment(decision: Decision) -> str:
    return decision.at.isoformat().replace("+00:00", "Z")
