"""The small front end of the guide, as written, on a server of its own beside kb."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kb.flow import reviewing
from kb.models import Post, Publication
from kb.site.guide import FILES

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def front_end(settings: Any) -> Iterator[str]:
    """The guide's files on a port of their own, whose origin kb lets in."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(FILES)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}"
    settings.KB_READ_ACCESS, settings.KB_API_ORIGINS = "public", (origin,)
    yield origin
    server.shutdown()
    server.server_close()


def test_the_front_end_of_the_guide_lists_shows_filters_and_copes(
    page: Page,
    live_server: Any,
    front_end: str,
    make_post: Callable[..., Post],
    publish: Callable[..., Publication],
    people: Any,
    now: Any,
    troubles: Any,
) -> None:
    troubles.expect("404")  # Chromium's console names every failed fetch, and the icon that is not there
    troubles.expect("400")
    for number in range(21):
        publish(make_post(title=f"Note {number}", slug=f"n-{number}", stack=["Go"] if number == 3 else []))
    answers: list[tuple[str, int]] = []
    page.on("response", lambda it: answers.append((it.url.removeprefix(live_server.url), it.status)))

    page.goto(f"{front_end}/?kb={live_server.url}")
    expect(page.locator("#list li")).to_have_count(20)
    page.get_by_role("button", name="More").click()
    expect(page.locator("#list li")).to_have_count(21)
    expect(page.get_by_role("button", name="More")).to_be_hidden()

    page.get_by_label("Stack").fill("Go")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#list li")).to_have_count(1)
    page.get_by_role("link", name="Note 3").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Note 3")
    expect(page.locator("#post")).to_contain_text("Version 0.1.0, reviewed")

    page.evaluate("location.hash = ''")
    expect(page.locator("#post")).to_be_empty()
    page.evaluate("location.hash = '#/api/v1/posts/n-3/'")
    expect(page.get_by_role("heading", level=1)).to_have_text("Note 3")
    expect(page.get_by_role("status")).to_have_text("")
    gone = Post.objects.get(slug="n-3")
    reviewing.withdraw(gone, by=people.reviewer, at=now, comment="wrong")
    page.evaluate("location.hash = '#/api/v1/posts/n-3/?'")
    expect(page.get_by_role("status")).to_have_text("This note is not published.")
    page.evaluate("location.hash = '#/api/v1/posts/?stak=Go'")
    expect(page.get_by_role("status")).to_contain_text("Did you mean stack?")

    assert ("/api/v1/posts/n-3/", 200) in answers


def test_the_page_shows_the_files_as_they_are(page: Page, live_server: Any, settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"
    page.goto(f"{live_server.url}/guide/")

    shown = page.locator("pre code").all_text_contents()

    assert (FILES / "index.html").read_text() in shown
    assert (FILES / "app.js").read_text() in shown
