"""Turn two texts into blocks: lines that stayed, went, came, changed word by word, or moved.

rapidfuzz finds the longest common subsequence in time that depends on the lengths alone, so hostile text
takes no longer than any other. Beyond the bounds the middle of the text reads as gone and come, and says so.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rapidfuzz.distance import Indel

Mark = Literal[" ", "+", "-"]
Kind = Literal["kept", "added", "removed", "changed", "moved_away", "moved_here"]

MAX_LINES = 10_000 * 10_000  # old lines x new lines: about 40 ms and 12 MB
MAX_WORDS = 20_000_000  # the same for words, over all blocks of a text together
FEWEST_MOVED = 3  # lines; or one long line
LONG_LINE = 80  # characters
MAX_STEPS = 200_000  # comparisons in search of moves
LEAST_ALIKE = 0.3  # share of common words: below, a block reads better as gone and come


@dataclass(frozen=True, slots=True)
class Word:
    mark: Mark
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring lines of one fate. Line numbers count from 0; of kept lines it has the number alone."""

    kind: Kind
    before_at: int
    after_at: int
    count: int = 0  # of kept lines
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()  # of a changed block; () where words would only confuse
    move: int | None = None  # both ends of a move have the same number


@dataclass(frozen=True, slots=True)
class Hunk:
    """A stretch that differs: lines i to j of the old text, k to m of the new."""

    i: int
    j: int
    k: int
    m: int


def compare(before: str, after: str) -> tuple[tuple[Block, ...], bool]:
    """The blocks, and whether the text was too long to be compared in detail."""
    old, new = split(before), split(after)
    hunks, coarse = _hunks(old, new)
    moves = {} if coarse else _moves(old, new, hunks)
    return tuple(_blocks(old, new, hunks, moves)), coarse


def apply(blocks: Sequence[Block], before: str) -> str:
    """The new text, from the old one and the blocks between them."""
    old, new = split(before), list[str]()
    for block in blocks:
        new += old[block.before_at : block.before_at + block.count] if block.kind == "kept" else block.added
    return "\n".join(new)


def split(text: str) -> list[str]:
    return text.split("\n") if text else []


# --- Lines ---


def _hunks(old: list[str], new: list[str]) -> tuple[list[Hunk], bool]:
    """Where the two differ, in order."""
    first, last = _common_ends(old, new)
    left, right = old[first : len(old) - last], new[first : len(new) - last]
    if not left and not right:
        return [], False
    if len(left) * len(right) > MAX_LINES:
        return [Hunk(first, len(old) - last, first, len(new) - last)], True
    hunks = [Hunk(i + first, j + first, k + first, m + first) for i, j, k, m in differences(left, right)]
    return _without_confetti(hunks, old), False


def _common_ends(old: Sequence[Any], new: Sequence[Any]) -> tuple[int, int]:
    most = min(len(old), len(new))
    first = next((n for n in range(most) if old[n] != new[n]), most)
    last = next((n for n in range(most - first) if old[-1 - n] != new[-1 - n]), most - first)
    return first, last


def differences(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int, int, int]]:
    """The stretches that a longest common subsequence leaves out: old from, to, new from, to."""
    # As numbers: rapidfuzz compares hashes, and numbers are their own.
    numbers: dict[Any, int] = {}
    left, right = ([numbers.setdefault(part, len(numbers)) for part in side] for side in (old, new))
    found: list[tuple[int, int, int, int]] = []
    for step in Indel.opcodes(left, right):
        if step.tag == "equal":
            continue
        i, j, k, m = step.src_start, step.src_end, step.dest_start, step.dest_end
        if found and (found[-1][1], found[-1][3]) == (i, k):
            found[-1] = (found[-1][0], j, found[-1][2], m)
        else:
            found.append((i, j, k, m))
    return found


def _without_confetti(hunks: list[Hunk], old: list[str]) -> list[Hunk]:
    """Join hunks between which only a blank line or two stayed: nobody reads those as kept."""
    joined: list[Hunk] = []
    for hunk in hunks:
        last = joined[-1] if joined else None
        if last and hunk.i - last.j <= 2 and not "".join(old[last.j : hunk.i]).strip():
            joined[-1] = Hunk(last.i, hunk.j, last.k, hunk.m)
        else:
            joined.append(hunk)
    return joined


# --- Moves ---


def _moves(old: list[str], new: list[str], hunks: list[Hunk]) -> dict[tuple[str, int], tuple[int, int]]:
    """Lines that went in one place and came in another: ("-" or "+", first line) to length and number."""
    gone = _places(old, hunks)
    left_out = {line for hunk in hunks for line in range(hunk.i, hunk.j)}
    found: dict[tuple[str, int], tuple[int, int]] = {}
    steps, number = MAX_STEPS, 0
    for hunk in hunks:
        k = hunk.k
        while k < hunk.m and steps > 0:
            i, length, used = _longest(old, new, gone.get(new[k], []), k, hunk.m, left_out)
            steps -= used + 1
            if _is_a_move(new[k : k + length]) and not (hunk.i <= i < hunk.j):
                number += 1
                found["-", i] = found["+", k] = (length, number)
                left_out -= set(range(i, i + length))
                k += length
            else:
                k += 1
    return found


def _places(old: list[str], hunks: list[Hunk]) -> dict[str, list[int]]:
    """Where each line went missing; blank lines are everywhere and tell nothing."""
    places: dict[str, list[int]] = defaultdict(list)
    for hunk in hunks:
        for line in range(hunk.i, hunk.j):
            if old[line].strip():
                places[old[line]].append(line)
    return dict(places)


def _longest(
    old: list[str], new: list[str], places: list[int], k: int, end: int, left_out: set[int]
) -> tuple[int, int, int]:
    """The longest run of gone lines that equals what came from line k on: where, how long, at what cost."""
    best, length, used = -1, 0, 0
    for i in places[:20]:
        n = 0
        while k + n < end and i + n in left_out and old[i + n] == new[k + n]:
            n += 1
        used += n + 1
        if n > length:
            best, length = i, n
    return best, length, used


def _is_a_move(lines: list[str]) -> bool:
    written = [line for line in lines if line.strip()]
    return len(written) >= FEWEST_MOVED or any(len(line) >= LONG_LINE for line in written)


# --- Blocks ---


def _blocks(
    old: list[str], new: list[str], hunks: list[Hunk], moves: dict[tuple[str, int], tuple[int, int]]
) -> Iterator[Block]:
    budget, i, k = [MAX_WORDS], 0, 0
    for hunk in hunks:
        if hunk.i > i:
            yield Block("kept", i, k, count=hunk.i - i)
        yield from _hunk(old, new, hunk, moves, budget)
        i, k = hunk.j, hunk.m
    if len(old) > i:
        yield Block("kept", i, k, count=len(old) - i)


def _hunk(
    old: list[str],
    new: list[str],
    hunk: Hunk,
    moves: dict[tuple[str, int], tuple[int, int]],
    budget: list[int],
) -> Iterator[Block]:
    went = list(_stretches("-", hunk.i, hunk.j, moves))
    came = list(_stretches("+", hunk.k, hunk.m, moves))
    plain = [at for at, _, move in went if move is None]
    for at, length, move in went:
        if move is not None:
            yield Block("moved_away", at, hunk.k, removed=tuple(old[at : at + length]), move=move)
    lengths = {at: length for at, length, _ in went}
    for at, length, move in came:
        added = tuple(new[at : at + length])
        if move is not None:
            yield Block("moved_here", hunk.j, at, added=added, move=move)
        elif plain:
            start = plain.pop(0)
            yield _changed(start, at, tuple(old[start : start + lengths[start]]), added, budget)
        else:
            yield Block("added", hunk.j, at, added=added)
    for start in plain:
        yield Block("removed", start, hunk.m, removed=tuple(old[start : start + lengths[start]]))


def _stretches(
    sign: str, start: int, end: int, moves: dict[tuple[str, int], tuple[int, int]]
) -> Iterator[tuple[int, int, int | None]]:
    """A side of a hunk in pieces: first line, length, number of its move or None."""
    at = plain = start
    while at < end:
        if (sign, at) in moves:
            if at > plain:
                yield plain, at - plain, None
            length, number = moves[sign, at]
            yield at, length, number
            at = plain = at + length
        else:
            at += 1
    if end > plain:
        yield plain, end - plain, None


def _changed(
    before_at: int, after_at: int, removed: tuple[str, ...], added: tuple[str, ...], budget: list[int]
) -> Block:
    words = _words("\n".join(removed), "\n".join(added), budget)
    if not words and len(removed) == len(added) > 1:
        words = _line_by_line(removed, added, budget)
    return Block("changed", before_at, after_at, removed=removed, added=added, words=tuple(words))


# --- Words ---

_TOKEN = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")


def compare_words(before: str, after: str) -> tuple[Word, ...]:
    """One short text to another, word by word; () where they have too little in common."""
    return tuple(_words(before, after, [MAX_WORDS]))


def _words(before: str, after: str, budget: list[int]) -> list[Word]:
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    cost = len(old) * len(new)
    if cost > budget[0]:
        return []
    budget[0] -= cost
    found = differences(old, new)
    words = _merged(_spread(old, new, found))
    kept = sum(len(word.text.strip()) for word in words if word.mark == " ")
    written = max(len(before.strip()), len(after.strip()))
    return words if written and kept >= LEAST_ALIKE * written else []


def _line_by_line(removed: tuple[str, ...], added: tuple[str, ...], budget: list[int]) -> list[Word]:
    """A long block whose lines correspond: each with its own."""
    found: list[Word] = []
    for number, (old, new) in enumerate(zip(removed, added, strict=True)):
        words = _words(old, new, budget)
        if not words and old.strip() and new.strip():
            return []
        found += [Word(" ", "\n")] if number else []
        found += words or _pair(old, new)
    return found


def _spread(
    old: list[str], new: list[str], found: list[tuple[int, int, int, int]]
) -> Iterator[tuple[str, str, str]]:
    """Runs of words as kept, gone and come; white space alone between two changes belongs to both."""
    at = 0
    for i, j, k, m in found:
        kept = "".join(old[at:i])
        if kept:
            yield (kept, "", "") if at == 0 or kept.strip() or "\n" in kept else ("", kept, kept)
        yield "", "".join(old[i:j]), "".join(new[k:m])
        at = j
    yield "".join(old[at:]), "", ""


def _merged(runs: Iterator[tuple[str, str, str]]) -> list[Word]:
    words: list[Word] = []
    gone = come = ""
    for kept, minus, plus in runs:
        gone, come = gone + minus, come + plus
        if kept:
            words += _pair(gone, come)
            words.append(Word(" ", kept))
            gone = come = ""
    return words + _pair(gone, come)


def _pair(gone: str, come: str) -> list[Word]:
    return [*([Word("-", gone)] if gone else []), *([Word("+", come)] if come else [])]
