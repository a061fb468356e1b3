"""Give browser tests a real Chromium and fail any page that complains: console, scripts, policy, dialogs."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, ViewportSize, sync_playwright

from tests.browser import axe

# First the one without windows, menus and pages of its own: it needs half of the time of the others.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# What Playwright switches off, for a second list replaces the first; and at the end the browser's own pages
# around each window, which would be loaded anew for every context and take half of the time it needs.
FEATURES_OFF = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding"),
    *("ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints"),
    *("NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch"),
    *("PreloadTopChromeWebUI", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
)
ARGUMENTS = [
    f"--disable-features={','.join(FEATURES_OFF)}",
    "--no-sandbox",  # containers and CI run as root, where Chromium's sandbox refuses to start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
# Runs before any script of a page; the binding below carries each report out.
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  window.kbViolation(`${event.violatedDirective} blocked ${event.blockedURI} ${event.sample}`);
}, true);
"""


class Troubles:
    """What pages complained about; `expect` names a pattern that the test means to provoke."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.expected: list[str] = []

    def expect(self, pattern: str) -> None:
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        return [
            trouble for trouble in self.seen if not any(re.search(known, trouble) for known in self.expected)
        ]

    def watch(self, context: BrowserContext) -> None:
        context.on(
            "console", lambda message: self._add("console", message.text) if message.type == "error" else None
        )
        context.on("weberror", lambda error: self._add("script", str(error.error)))
        context.on("dialog", self._dismiss)
        context.expose_binding("kbViolation", lambda _source, report: self._add("policy", report))
        context.add_init_script(REPORT_VIOLATIONS)

    def _add(self, kind: str, text: str) -> None:
        self.seen.append(f"{kind}: {text}")

    def _dismiss(self, dialog: Dialog) -> None:
        self._add("dialog", f"{dialog.type} {dialog.message}")
        dialog.dismiss()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("KB_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        reason = f"no browser: none of {', '.join(NAMES)} is on PATH and KB_BROWSER names none"
        if os.environ.get("KB_BROWSER_REQUIRED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, in which Django would refuse every query.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


@pytest.fixture
def page(chromium: Browser, troubles: Troubles) -> Iterator[Page]:
    """A page in a fresh context; the test fails if it complains about anything that it did not expect."""
    with opened(chromium, troubles) as page:
        yield page
        settle(page)
    assert troubles.unexpected() == []


@contextmanager
def opened(chromium: Browser, troubles: Troubles) -> Iterator[Page]:
    """A page in a fresh context, watched."""
    with chromium.new_context(
        viewport=VIEWPORT, locale="en-GB", timezone_id="UTC", color_scheme="light"
    ) as context:
        context.set_default_timeout(10_000)
        troubles.watch(context)
        yield context.new_page()


def settle(page: Page) -> None:
    """Have all reports in: they arrive after their cause, before the page has nothing else to do."""
    if not page.is_closed():
        page.evaluate("() => new Promise((done) => requestIdleCallback(done, { timeout: 50 }))")


@pytest.fixture
def screenshot() -> Callable[[Page | Locator, str], None]:
    """Save a picture under the folder that SCREENSHOTS_DIR names; without it, do nothing."""

    def save(shown: Page | Locator, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS_DIR"):
            shown.screenshot(path=Path(folder) / f"{name}.png")

    return save


@pytest.fixture
def accessible() -> Callable[[Page], list[str]]:
    """Name what is serious or critical for people who see, hear or move otherwise; [] when nothing is."""
    return axe.violations


TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def inspect(
    accessible: Callable[[Page], list[str]], screenshot: Callable[[Page | Locator, str], None]
) -> Callable[[Page, str], list[str]]:
    """Look at a page of the admin in a wide and a narrow window; give what is wrong with it.

    It is loaded once: it has to fit a narrow window when it was wide before.
    """

    def look(page: Page, name: str) -> list[str]:
        page.evaluate("for (const part of document.querySelectorAll('#content details')) part.open = true")
        found = [f"{name}: {fault}" for fault in accessible(page)]
        for width, scheme in ((1280, "light"), (400, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            screenshot(page, f"admin-{name}-{width}-{scheme}")
            if wide := page.evaluate(TOO_WIDE):
                found.append(f"{name}: {wide} px too wide at {width}")
        page.set_viewport_size(VIEWPORT)
        page.emulate_media(color_scheme="light")
        return found

    return look
