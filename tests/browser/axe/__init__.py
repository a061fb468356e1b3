"""Turn the page that a browser shows into the lines of what axe-core finds wrong with it for people."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
GRAVE = ("serious", "critical")
# Without preload: it would fetch the style sheets once more, for a rule that is off.
# Without label-title-only: it takes the label of Django's search boxes, an image with a text, for none.
RUN = """async ([impacts, rules]) => {
  const options = { preload: false, resultTypes: ["violations"] };
  options[rules ? "runOnly" : "rules"] = rules ?? { "label-title-only": { enabled: false } };
  const { violations } = await axe.run(document, options);
  const counted = violations.filter((rule) => impacts.includes(rule.impact));
  return counted.flatMap((rule) => rule.nodes.map((node) => ({
    rule: rule.id,
    impact: rule.impact,
    help: rule.help,
    target: node.target.flat().join(" "),
    why: [...node.any, ...node.all, ...node.none].map((check) => check.message).join("; "),
  })));
}"""
COLOURS = ["color-contrast", "link-in-text-block"]
DARK = "matchMedia('(prefers-color-scheme: dark)').matches"


def violations(page: Page, *, impacts: tuple[str, ...] = GRAVE) -> list[str]:
    """Name each element that breaks a rule, as the page stands and by its colours in the other scheme.

    Axe comes in by the browser's debugger, which no content security policy stops and none reports.
    """
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(SOURCE)
        page.context.add_init_script(SOURCE)  # sent once, for the pages that follow
    own, other = ("dark", "light") if page.evaluate(DARK) else ("light", "dark")
    found = _found(page, own, impacts)
    page.emulate_media(color_scheme=other)  # type: ignore[arg-type]
    found += _found(page, other, impacts, COLOURS)
    page.emulate_media(color_scheme=own)  # type: ignore[arg-type]
    return found


def _found(page: Page, scheme: str, impacts: tuple[str, ...], rules: list[str] | None = None) -> list[str]:
    return [f"{scheme}: {_line(found)}" for found in page.evaluate(RUN, [list(impacts), rules])]


def _line(found: dict[str, Any]) -> str:
    return f"{found['rule']} ({found['impact']}) at {found['target']}: {found['help']}. {found['why']}"
