"""A page with the meta box in it, for each test; the server behind it serves a whole module."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

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
