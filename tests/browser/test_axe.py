"""The watcher itself: axe-core finds a known fault, under the policy that kb sends, without a complaint."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "reading"]),
]

FAULTS = """() => {
  document.querySelector("main").innerHTML = "<img src=''><p id=faint>Faint.</p><p id=dim>Dim.</p>";
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`#faint { color: #ccc; background: #fff }
    @media (prefers-color-scheme: dark) { #faint { color: #000 } #dim { color: #222; background: #000 } }`);
  document.adoptedStyleSheets.push(sheet);
}"""


def test_known_faults_are_found_in_both_colour_schemes_and_named(
    live_server: LiveServer, page: Page, accessible: Callable[[Page], list[str]]
) -> None:
    page.goto(f"{live_server.url}/login/")
    before = accessible(page)

    page.evaluate(FAULTS)
    found = accessible(page)

    assert before == []
    assert [line.split(":")[:2] for line in found] == [
        ["light", " color-contrast (serious) at #faint"],
        ["light", " image-alt (critical) at img"],
        ["dark", " color-contrast (serious) at #dim"],
    ]
    assert "Images must have alternative text. Element does not have an alt attribute" in found[1]
    assert page.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
