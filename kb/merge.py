"""Turn a base and two texts that both began there into one that holds the changes of both.

A three-way merge by lines, after Khanna, Kunal and Pierce, "A Formal Investigation of Diff3" (2007): what all
three share parts the text into stretches; a stretch that one side alone changed is that side's; where both
did, the two passages stay beside each other and nothing is dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# Beyond this, matching could take long on hostile text: the two texts then stand one after the other.
MAX_LINES = 5_000
# Lines that no text should keep: around two passages of which somebody has to choose.
YOURS = "<<<<<<< yours: keep one of these two passages"
THEIRS = "======= theirs"
END = ">>>>>>> end of the two passages"


@dataclass(frozen=True, slots=True)
class Clash:
    """A stretch that both sides changed, each in its own way."""

    base: tuple[str, ...]
    theirs: tuple[str, ...]
    yours: tuple[str, ...]


def merge(base: Sequence[str], theirs: Sequence[str], yours: Sequence[str]) -> list[str | Clash]:
    """Merge three lists of lines into lines, with a Clash where both sides changed the same stretch."""
    merged: list[str | Clash] = []
    for before, their, your in _stretches(base, theirs, yours):
        if their in (before, your):
            merged += your
        elif before == your:
            merged += their
        else:
            merged.append(Clash(before, their, your))
    return merged


def written(pieces: Sequence[str | Clash]) -> str:
    """The merged lines as one text; both passages of a clash stand between lines that say so."""
    lines: list[str] = []
    for piece in pieces:
        if isinstance(piece, Clash):
            lines += (YOURS, *piece.yours, THEIRS, *piece.theirs, END)
        else:
            lines.append(piece)
    return "\n".join(lines)


def is_unmerged(text: str) -> bool:
    """Whether the text still holds two passages of which somebody has to choose."""
    return not {YOURS, THEIRS, END}.isdisjoint(text.split("\n"))


_Stretch = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _stretches(base: Sequence[str], theirs: Sequence[str], yours: Sequence[str]) -> Iterator[_Stretch]:
    """The three in stretches of which every second is the same line in all."""
    if len(base) + len(theirs) + len(yours) > MAX_LINES:
        yield tuple(base), tuple(theirs), tuple(yours)
        return
    their_place, your_place = _matched(base, theirs), _matched(base, yours)
    at = their = your = 0
    for place, line in enumerate(base):
        if place in their_place and place in your_place:
            stop, halt = their_place[place], your_place[place]
            yield tuple(base[at:place]), tuple(theirs[their:stop]), tuple(yours[your:halt])
            yield (line,), (line,), (line,)
            at, their, your = place + 1, stop + 1, halt + 1
    yield tuple(base[at:]), tuple(theirs[their:]), tuple(yours[your:])


def _matched(base: Sequence[str], other: Sequence[str]) -> dict[int, int]:
    """Where the lines of the base stand in the other, in the same order."""
    matcher = SequenceMatcher(a=base, b=other, autojunk=True)
    return {
        block.a + step: block.b + step
        for block in matcher.get_matching_blocks()
        for step in range(block.size)
    }
