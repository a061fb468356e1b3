"""Turn two lists into what stayed, came, went, moved or was reworded, item by item."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rapidfuzz.distance import Indel

from kb.diff.lines import Word, compare_words, differences

Fate = Literal["kept", "added", "removed", "moved", "edited", "renamed"]

ALIKE = 0.5  # share of common characters from which one item is the other, reworded
CANDIDATES = 20  # that an item is compared with


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its places count from 0, None where it is not; `before` and `after` are JSON values."""

    fate: Fate
    before_at: int | None
    after_at: int | None
    before: Any
    after: Any
    words: tuple[Word, ...] = ()  # of an item that was reworded
    inner: "tuple[Item, ...] | None" = None  # items of a list in the list


@dataclass(frozen=True, slots=True)
class Manner:
    """How the items of a list are recognised and told apart."""

    text: Callable[[Any], str]  # what people read of it
    same: Callable[[Any, Any], bool] | None = None  # whether one became the other, whatever they say
    fate: Fate = "edited"  # what such a change is called
    inner: Callable[[Any], list[Any]] | None = None


def compare(before: Sequence[Any], after: Sequence[Any], manner: Manner) -> tuple[Item, ...]:
    """The items in their new order, those that went where they stood. All are there, kept ones too."""
    found = _fates(before, after, manner)
    gone = iter([place for place in range(len(before)) if place not in {b for b, _ in found.values()}])
    return tuple(_in_order(before, after, found, list(gone), manner))


def apply(items: Sequence[Item], before: Sequence[Any]) -> list[Any]:
    """The new list, from the old one and the items between them."""
    there = sorted((item for item in items if item.after_at is not None), key=lambda item: item.after_at or 0)
    return [
        before[item.before_at]
        if item.fate in {"kept", "moved"} and item.before_at is not None
        else item.after
        for item in there
    ]


def _fates(before: Sequence[Any], after: Sequence[Any], manner: Manner) -> dict[int, tuple[int, Fate]]:
    """Of each new place whose item was there before: its old place, and what became of it."""
    old, new = [key(item) for item in before], [key(item) for item in after]
    found: dict[int, tuple[int, Fate]] = {}
    went, came = list[int](), list[int]()
    i = k = 0
    for a, b, c, d in [*differences(old, new), (len(old), len(old), len(new), len(new))]:
        found |= {k + n: (i + n, "kept") for n in range(a - i)}
        went += range(a, b)
        came += range(c, d)
        i, k = b, d
    found |= _pair(went, came, lambda b, a: old[b] == new[a], "moved")
    if manner.same:
        same = manner.same
        found |= _pair(went, came, lambda b, a: same(before[b], after[a]), manner.fate)
    return found | _pair(went, came, lambda b, a: _alike(before[b], after[a], manner), manner.fate)


def _pair(
    went: list[int], came: list[int], fits: Callable[[int, int], bool], fate: Fate
) -> dict[int, tuple[int, Fate]]:
    """Match what went with what came, and take both from their lists."""
    found: dict[int, tuple[int, Fate]] = {}
    for new in list(came):
        old = next((place for place in went[:CANDIDATES] if fits(place, new)), None)
        if old is not None:
            found[new] = (old, fate)
            went.remove(old)
            came.remove(new)
    return found


def _alike(before: Any, after: Any, manner: Manner) -> bool:
    if manner.fate == "renamed" and before["type"] != after["type"]:
        return False
    return Indel.normalized_similarity(manner.text(before), manner.text(after)) >= ALIKE


def _in_order(
    before: Sequence[Any],
    after: Sequence[Any],
    found: dict[int, tuple[int, Fate]],
    gone: list[int],
    manner: Manner,
) -> Iterator[Item]:
    for place, item in enumerate(after):
        if place not in found:
            yield Item("added", None, place, None, item)
            continue
        old, fate = found[place]
        while gone and gone[0] < old:
            yield Item("removed", gone[0], None, before[gone.pop(0)], None)
        yield _there(fate, old, place, before[old], item, manner)
    yield from (Item("removed", old, None, before[old], None) for old in gone)


def _there(fate: Fate, old: int, new: int, before: Any, after: Any, manner: Manner) -> Item:
    if fate not in {"edited", "renamed"}:
        return Item(fate, old, new, before, after)
    words = compare_words(manner.text(before), manner.text(after))
    inner = None
    if manner.inner:
        inner = compare(manner.inner(before), manner.inner(after), Manner(text=str))
    return Item(fate, old, new, before, after, words, inner)


def key(item: Any) -> str:
    """The item as one text: equal for equal items alone. True, 1 and 1.0 are three things."""
    return json.dumps(item, ensure_ascii=False, sort_keys=True)
