"""Turn the declared options into a table: what each does, its default, its value now, how to undo it."""

import shutil
import textwrap
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config.options import declared, default_text, options, value_text

WIDEST = 160
NARROWEST = 100


class Command(BaseCommand):
    help = "Print every setting: name, default, value now (secrets masked), what it does, how to undo it."
    # It must help just when a check fails.
    requires_system_checks: list[str] | tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--format",
            choices=["text", "markdown"],
            default="text",
            help="text (with the values of now) or markdown (the README's table)",
        )
        parser.add_argument(
            "--markdown",
            action="store_const",
            const="markdown",
            dest="format",
            help="short for --format markdown",
        )

    def handle(self, *args: Any, **chosen: Any) -> None:
        self.stdout.write(markdown_table() if chosen["format"] == "markdown" else text_table(_width()))


def markdown_table() -> str:
    """The README's table; it depends on the code alone, not on this machine."""
    lines = ["| Name | Default | What it does | How to undo |", "|---|---|---|---|"]
    for name, option in declared().items():
        cells = (f"`{name}`", default_text(name), option.what, option.undo)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def text_table(width: int) -> str:
    """The table for a terminal of this many columns, with the values of now."""
    rows = [("Name", "Default", "Now", "What it does", "How to undo")]
    for name, option in declared().items():
        now = value_text(getattr(options, name))
        rows.append((name, default_text(name), now, option.what, option.undo))
    name_width = max(len(row[0]) for row in rows)
    rest = width - name_width - 8
    widths = (name_width, rest * 18 // 100, rest * 18 // 100, rest * 38 // 100, rest * 26 // 100)
    return "\n\n".join(_wrapped(row, widths) for row in rows)


def _wrapped(row: tuple[str, ...], widths: tuple[int, ...]) -> str:
    cells = [textwrap.wrap(text, width) or [""] for text, width in zip(row, widths, strict=True)]
    height = max(map(len, cells))
    padded = [cell + [""] * (height - len(cell)) for cell in cells]
    lines = zip(*padded, strict=True)
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _width() -> int:
    return min(max(shutil.get_terminal_size(fallback=(WIDEST, 40)).columns, NARROWEST), WIDEST)
