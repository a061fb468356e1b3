"""A page with the meta box in it, for each test; page and server are made once for a whole module."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser.conftest import VIEWPORT, Troubles, opened, settle
from tests.browser.metabox.server import DATA, META, Server

NOW = "2026-11-26T09:30:00Z"
Show = Callable[..., Locator]
Next = Callable[..., str]


@pytest.fixture(scope="module")
def listening() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(listening: Server) -> Iterator[Server]:
    yield listening
    listening.forget()


@pytest.fixture(scope="module")
def watching() -> Troubles:
    return Troubles()


@pytest.fixture
def troubles(watching: Troubles) -> Troubles:
    watching.seen, watching.expected = [], []
    return watching


@pytest.fixture(scope="module")
def window(chromium: Browser, watching: Troubles) -> Iterator[Page]:
    with opened(chromium, watching) as page:
        yield page


@pytest.fixture
def page(request: pytest.FixtureRequest, troubles: Troubles, chromium: Browser) -> Iterator[Page]:
    """The module's page as if it were new: making one takes as long as most of these tests do.

    What it cannot forget, such as scripts that run before any other, needs the marker `own_page`.
    """
    if request.node.get_closest_marker("own_page"):
        with opened(chromium, troubles) as page:
            yield page
            settle(page)
    else:
        page = request.getfixturevalue("window")
        yield page
        settle(page)
        forget(page)
    assert troubles.unexpected() == []


def forget(page: Page) -> None:
    page.unroute_all()
    if page.url.startswith("http"):
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    page.goto("about:blank")
    page.context.clear_cookies()
    page.emulate_media(media="null", color_scheme="light", reduced_motion="null")
    page.set_viewport_size(VIEWPORT)


@pytest.fixture
def sample() -> dict[str, Any]:
    return json.loads((DATA / "sample.json").read_text(encoding="utf-8"))


@pytest.fixture
def show(page: Page, server: Server) -> Show:
    """Open a page that embeds the box, with this JSON behind it; return the box."""

    def show(
        meta: Any, *, attributes: str = 'images="link"', state: str = "ready", **page_options: Any
    ) -> Locator:
        if meta is not None:
            server.has(META, meta)
        page.clock.set_fixed_time(NOW)
        page.goto(server.has_page(f'<kb-meta-box src="{META}" {attributes}></kb-meta-box>', **page_options))
        box = page.locator("kb-meta-box")
        page.wait_for_function("(state) => document.querySelector('kb-meta-box').state === state", arg=state)
        return box

    return show


@pytest.fixture
def shown_next(server: Server) -> Next:
    """Put another answer behind the same box, have it read anew, and return the state that it comes to."""

    def shown_next(box: Locator, meta: Any, **answer: Any) -> str:
        server.has(META, meta, **answer)
        return str(box.evaluate("async (box) => { await box.reload(); return box.state }"))

    return shown_next
