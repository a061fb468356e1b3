"""Turn field changes into what fits on a page: long stretches of kept lines fold into one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kb.diff import FieldChange, Line, diff
from kb.document import Document

AROUND = 3  # kept lines shown on either side of a change


@dataclass(frozen=True, slots=True)
class Fold:
    """Stands for kept lines that are not shown."""

    count: int
    mark: str = "…"


@dataclass(frozen=True, slots=True)
class Shown:
    field: str
    label: str
    kind: str
    after: str
    lines: tuple[Line | Fold, ...]


def shown(before: Document | None, after: Document) -> list[Shown]:
    """What changed, field by field, ready for the template; with no `before`, everything there is."""
    return [_fold(change) for change in diff(before, after)]


def _fold(change: FieldChange) -> Shown:
    return Shown(
        field=change.field,
        label=change.label,
        kind=change.kind,
        after=change.after,
        lines=tuple(_folded(change.lines)),
    )


def _folded(lines: Sequence[Line]) -> Iterator[Line | Fold]:
    near: set[int] = set()
    for place, line in enumerate(lines):
        if line.mark != " ":
            near.update(range(place - AROUND, place + AROUND + 1))
    hidden = 0
    for place, line in enumerate(lines):
        if place in near:
            if hidden:
                yield Fold(hidden)
            hidden = 0
            yield line
        else:
            hidden += 1
    if hidden:
        yield Fold(hidden)
