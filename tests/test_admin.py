"""The editors' door: the list of posts, the change form, revisions, restore, conflicts, records."""

from collections.abc import Callable
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from kb.choices import State
from kb.document import Document
from kb.flow import reviewing, revising
from kb.models import Entity, Flag, ImportRun, Post, Receipt, Revision

pytestmark = pytest.mark.django_db

# Every field filled with what forms like to bend: colons, line ends, spaces, quotes, markup, other scripts.
FULL: dict[str, Any] = {
    "title": "Documenting “production defaults”: für Python & <services>",
    "body": "    indented first line\n\nA line with two spaces at its end  \nnext\ttab\n\n<b>not HTML</b> &amp; 日本語 🙂",
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


class Form(HTMLParser):
    """What a browser would send of one form: newlines as CRLF, a textarea's first newline dropped."""

    def __init__(self, html: str, form_id: str) -> None:
        super().__init__(convert_charrefs=True)
        self.form_id, self.inside = form_id, False
        self.data: dict[str, str] = {}
        self.area: str | None = None
        self.select: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        if not self.inside:
            return
        name, kind = given.get("name"), given.get("type")
        match tag:
            case "input" if name and kind not in {"submit", "button"}:
                if kind not in {"checkbox", "radio"} or "checked" in given:
                    self.data[name] = given.get("value") or ("on" if kind == "checkbox" else "")
            case "textarea" if name:
                self.area, self.data[name] = name, ""
            case "select" if name:
                self.select, self.data[name] = name, ""
            case "option" if self.select and "selected" in given:
                self.data[self.select] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "form":
                self.inside = False
            case "textarea" if self.area:
                self.data[self.area] = self.data[self.area].removeprefix("\n").replace("\n", "\r\n")
                self.area = None
            case "select":
                self.select = None

    def handle_data(self, data: str) -> None:
        if self.area:
            self.data[self.area] += data


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
    response = client.get(address("change", post.pk) if post else address("add"))
    assert response.status_code == 200
    return Form(response.content.decode(), "post_form").data


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
