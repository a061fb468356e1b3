"""Turn what posts have in common into values with counts: kept ones for all posts, and counted for some."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from kb.reading.listing import COLUMNS, Estimate, Wanted, listed
from kb.reading.rows import present, rows

COUNTED = 1_000  # posts, the newest
ENOUGH = 200  # of them, where common facets seldom meet
# By kind: the column of Publication, and whether it holds several values.
_KEPT = f"""
    SELECT k.kind, f.value, f.posts, coalesce(a.posts, 0),
           NOT EXISTS (SELECT FROM kb_publication WHERE withhold_at <= now())
      FROM unnest(%s::text[]) WITH ORDINALITY AS k (kind, place)
      LEFT JOIN LATERAL (SELECT value, posts FROM kb_publishedfacet f WHERE f.kind = k.kind AND {present("f")}
                          ORDER BY posts DESC, value LIMIT %s) f ON true
      LEFT JOIN kb_publishedfacet a ON a.kind = 'all' AND a.value = '' ORDER BY k.place, f.posts DESC, f.value
"""  # noqa: S608  (our own names)


@dataclass(frozen=True)
class Facets:
    """By kind the values with the most posts, each with its number; `counted`: over how many posts."""

    values: Mapping[str, list[tuple[str, int]]]
    posts: Estimate
    counted: int

    @property
    def exact(self) -> bool:
        return self.posts.exact and self.counted == self.posts.value


def facets(kinds: Sequence[str], limit: int, wanted: Wanted) -> Facets:
    """The facets of what is wanted, in one query."""
    return _kept(kinds, limit) if wanted == Wanted() else _counted(kinds, limit, wanted)


def _kept(kinds: Sequence[str], limit: int) -> Facets:
    found = rows(_KEPT, [list(kinds), limit])
    values: dict[str, list[tuple[str, int]]] = {kind: [] for kind in kinds}
    for kind, value, posts, _, _ in found:
        if value is not None:
            values[kind].append((value, posts))
    *_, total, certain = found[0]
    return Facets(values, Estimate(total, certain), total)


def _counted(kinds: Sequence[str], limit: int, wanted: Wanted) -> Facets:
    columns = [COLUMNS[kind][0] for kind in kinds]
    found = listed(wanted, limit=COUNTED, columns=columns, enough=ENOUGH)
    values: dict[str, list[tuple[str, int]]] = {kind: [] for kind in kinds}
    for kind, column in zip(kinds, zip(*found.page.rows, strict=True), strict=bool(found.page.rows)):
        counts = Counter(word for value in column for word in _words(value, COLUMNS[kind][1]))
        values[kind] = nsmallest(limit, counts.items(), key=lambda item: (-item[1], item[0]))
    return Facets(values, found.count, len(found.page.rows))


def _words(value: object, several: bool) -> Iterable[str]:
    if several:
        return dict.fromkeys(value)  # type: ignore[call-overload,no-any-return]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)] if value else []
