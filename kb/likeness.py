"""Turn a Document into hashes of which near duplicates share some, and two Documents into how alike they are.

MinHash (Broder, “On the resemblance and containment of documents”, 1997) with one permutation: each run of
three words is hashed once and falls into one of 64 bins, of which the least stays; an empty bin borrows from
the next (Shrivastava and Li, “Densifying one permutation hashing”, 2014). Four bins make a band. Two texts
that agree in nine of ten runs share a band with a probability of over 99.9 %.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b

from kb.document import Document

BINS = 64
ROWS = 4  # bins in a band
RUN = 3  # words
MAX_WORDS = 20_000
FEWEST = 8  # words: below, everything is alike

_WORD = re.compile(r"\w+")


def bands(document: Document) -> list[int]:
    """16 hashes of 63 bits; [] when there is too little text to tell."""
    least: list[int | None] = [None] * BINS
    for run in _runs(document):
        value = int.from_bytes(blake2b(run.encode(), digest_size=8).digest())
        place, value = value % BINS, value // BINS
        known = least[place]
        if known is None or value < known:
            least[place] = value
    if least == [None] * BINS:
        return []
    dense = [_borrowed(least, place) for place in range(BINS)]
    # The band's place belongs to its hash: equal bins elsewhere mean nothing.
    return [_hash(first, dense[first : first + ROWS]) for first in range(0, BINS, ROWS)]


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


def _borrowed(least: list[int | None], place: int) -> tuple[int, int]:
    """The bin's hash, or that of the next bin that has one, with how far away it is."""
    for step in range(BINS):
        value = least[(place + step) % BINS]
        if value is not None:
            return step, value
    raise ValueError("no bin holds a hash")


def _hash(place: int, band: list[tuple[int, int]]) -> int:
    digest = blake2b(repr((place, band)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1  # a signed column of 64 bits


def _runs(document: Document) -> set[str]:
    text = f"{document.title} {document.summary} {document.body}".casefold()
    words = [found.group() for found, _ in zip(_WORD.finditer(text), range(MAX_WORDS), strict=False)]
    if len(words) < FEWEST:
        return set()
    return {" ".join(words[place : place + RUN]) for place in range(len(words) - RUN + 1)}
