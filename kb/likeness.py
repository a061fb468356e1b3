"""Turn a Document into hashes of which near duplicates share some, and two Documents into what they share.

MinHash (Broder, “On the resemblance and containment of documents”, 1997) by rensa, over all runs of three
words. Four of its 64 slots make a band. Two texts that agree in nine of ten runs share a band with a
probability of over 99.9 %, two that agree in three of ten with one of 12 %.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from rensa import RMinHash

from kb.document import Document

SLOTS = 64
ROWS = 4  # slots in a band
RUN = 3  # words
MAX_WORDS = 20_000
FEWEST = 8  # words: below, everything is alike
LEAST_PASSAGE = 8  # words: fewer in a row are a turn of phrase
SEED = 1

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the first text, as it is written there, whose words the second text has in a row too."""

    text: str
    words: int


def bands(document: Document) -> list[int]:
    """16 hashes of 63 bits; [] when there is too little text to tell."""
    runs = _runs(document)
    return _bands(runs) if runs else []


def _bands(runs: set[str]) -> list[int]:
    sketch = RMinHash(num_perm=SLOTS, seed=SEED)
    sketch.update(sorted(runs))
    slots = sketch.digest()
    # The band's place belongs to its hash: equal slots elsewhere mean nothing.
    return [_hash(first, slots[first : first + ROWS]) for first in range(0, SLOTS, ROWS)]


def _hash(place: int, band: list[int]) -> int:
    digest = blake2b(repr((place, band)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1  # a signed column of 64 bits


# Bands are stored, and a release of rensa may hash otherwise: what it makes of a fixed text tells that.
METHOD = _bands({"the same runs", "same runs give", "runs give the", "give the same", "the same bands"})[0]


def similarity(one: Document, other: Document) -> float:
    """How many of all runs of three words both have, 0 to 1 (Jaccard)."""
    return similarities(one, [other])[0]


def similarities(one: Document, others: Iterable[Document]) -> list[float]:
    """The same for several others, reading the one only once."""
    left = _runs(one)
    return [_shared(left, _runs(other)) for other in others]


def _shared(left: set[str], right: set[str]) -> float:
    together = len(left | right)
    return len(left & right) / together if together else 0.0


def passages(one: Document, other: Document) -> list[Passage]:
    """What both texts say in the same words, the longest first; punctuation and case do not count."""
    text = _text(one)
    there = _runs(other)
    found = [match.span() for match in _within(_WORD.finditer(text))]
    words = [text[start:end].casefold() for start, end in found]
    stretches = list(_stretches([" ".join(words[n : n + RUN]) in there for n in range(len(words) - RUN + 1)]))
    shared = [
        Passage(text[found[first][0] : found[last][1]], last - first + 1)
        for first, last in stretches
        if last - first + 1 >= LEAST_PASSAGE
    ]
    return sorted(shared, key=lambda passage: -passage.words)


def _stretches(is_shared: list[bool]) -> Iterator[tuple[int, int]]:
    """First and last word of each row of shared runs."""
    first = None
    for place, shared in enumerate([*is_shared, False]):
        if shared and first is None:
            first = place
        elif not shared and first is not None:
            yield first, place + RUN - 2
            first = None


def _text(document: Document) -> str:
    return f"{document.title}\n{document.summary}\n{document.body}"


def _within(found: Iterable[re.Match[str]]) -> Iterator[re.Match[str]]:
    return (match for match, _ in zip(found, range(MAX_WORDS), strict=False))


def _runs(document: Document) -> set[str]:
    words = [found.group().casefold() for found in _within(_WORD.finditer(_text(document)))]
    if len(words) < FEWEST:
        return set()
    return {" ".join(words[place : place + RUN]) for place in range(len(words) - RUN + 1)}
