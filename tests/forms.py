"""Turn pages and posts into what a browser would send of their forms."""

from html.parser import HTMLParser
from typing import Any

from kb.flow import reviewing
from kb.models import Decision, Flag, Post


def what_is_seen(post: Post) -> dict[str, Any]:
    """What a review page shows of the post now, as the forms of a decision carry it."""
    post = Post.objects.select_related("head").get(pk=post.pk)
    assert post.head
    decisions, flags = Decision.objects.filter(revision__post=post), Flag.objects.filter(revision=post.head)
    return {
        "number": post.head.number,
        "fingerprint": post.head.fingerprint,
        "standing": reviewing.standing(decisions, flags),
    }


def filled(response: Any, form_id: str) -> dict[str, str]:
    """The values of the form with this id, as it stands on the page."""
    data = Form(response.content.decode(), form_id).data
    assert data, f"no form {form_id} in an answer of status {response.status_code}"
    return data


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
                self.data[self.area] = self._sent(self.data[self.area])
                self.area = None
            case "select":
                self.select = None

    def handle_data(self, data: str) -> None:
        if self.area:
            self.data[self.area] += data

    @staticmethod
    def _sent(text: str) -> str:
        # A browser takes CRLF in a page for LF, and sends each LF as CRLF.
        return text.replace("\r\n", "\n").removeprefix("\n").replace("\n", "\r\n")
