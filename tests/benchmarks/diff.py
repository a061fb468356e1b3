"""Measure how long two texts of 200 kB take to compare and to show: python -m tests.benchmarks.diff

Beside each stands the standard library's unified diff of the same lines, as a reference for the machine.
"""

import os
import random
import time
from collections.abc import Callable
from difflib import unified_diff
from statistics import quantiles

import django

TIMES = 20
WORDS = "the quick brown fox jumps over lazy dogs while servers restart and pools drain".split()


def texts() -> dict[str, tuple[str, str]]:
    """Name to old and new text: the first ones are notes of 200 kB, the last ones mean harm."""
    chance = random.Random(7)
    lines = [" ".join(chance.choice(WORDS) for _ in range(9)) for _ in range(4_000)]
    shuffled = chance.sample(lines, len(lines))
    some = [f"{line} now" if place % 5 == 0 else line for place, line in enumerate(lines)]
    few = [*lines[:100], "Something else.", *lines[101:]]
    sides = {
        "one line changed": (lines, few),
        "each fifth line changed": (lines, some),
        "every line changed": (lines, [f"{line} now" for line in lines]),
        "halves swapped": (lines, lines[2_000:] + lines[:2_000]),
        "lines shuffled": (lines, shuffled),
        "1 MB, one line repeated": (["a b"] * 250_000, ["a b"] * 249_999 + ["c"]),
        "1 MB in one line": (["word " * 200_000], ["word " * 199_999 + "end"]),
        "900 kB, no line alike": ([str(n) for n in range(130_000)], [str(-n) for n in range(1, 130_000)]),
    }
    return {name: ("\n".join(old), "\n".join(new)) for name, (old, new) in sides.items()}


def measure(act: Callable[[], object], times: int) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds of CPU: what others do on the machine counts little."""
    took = []
    for _ in range(times):
        began = time.process_time()
        act()
        took.append((time.process_time() - began) * 1_000)
    cuts = quantiles(took, n=20)
    return cuts[9], cuts[18]


def main() -> None:
    from kb.admin.diffs import shown
    from kb.diff import diff
    from kb.document import Document

    print(f"{'':26}{'compared':>18}{'compared and shown':>22}{'unified_diff':>18}")
    print(f"{'milliseconds of CPU':26}{'p50':>9}{'p95':>9}{'p50':>13}{'p95':>9}{'p50':>9}{'p95':>9}")
    for name, (before, after) in texts().items():
        old, new = Document(title="T", body=before), Document(title="T", body=after)
        few = TIMES if len(before) < 500_000 else 5
        figures = [
            *measure(lambda old=old, new=new: diff(old, new), few),
            *measure(lambda old=old, new=new: shown(old, new), few),
        ]
        # The reference takes minutes where all lines are the same or none is.
        if len(before) < 500_000:
            lines = before.split("\n"), after.split("\n")
            figures += measure(lambda lines=lines: list(unified_diff(*lines)), 3)
        print(
            f"{name:26}" + "".join(f"{figure:>{13 if n == 2 else 9}.1f}" for n, figure in enumerate(figures))
        )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    main()
