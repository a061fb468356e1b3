"""Turn facets and bounds into SQL about whatever has a publication_id and a published_at.

Tags alone are asked for facets, and one row after the other: which of a million posts have a stack is never
collected first, however common it is.
"""
# ruff: noqa: S608  (SQL of our own names; every value is a parameter)

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kb.reading.listing import Bound, Wanted
from kb.reading.rows import rows

# Of each group the ids of its facets, and how many posts they have together.
_GROUPS = """
    SELECT array_remove(array_agg(f.id), NULL), coalesce(sum(f.posts), 0)::bigint
      FROM unnest(%s::int[], %s::text[], %s::text[]) AS a (number, kind, value)
      LEFT JOIN kb_publishedfacet f ON f.kind = a.kind AND f.value = a.value
     GROUP BY a.number ORDER BY 2, a.number
"""
SCANNED = 3  # times as many posts as are wanted are looked at where no tags lead to them

Sql = tuple[str, list[Any]]


@dataclass(frozen=True)
class Restriction:
    """Which posts may be found: they have one facet of each group and keep within all bounds."""

    groups: tuple[tuple[int, ...], ...]  # ids of facets; the group with the fewest posts first
    posts: int | None  # in that group at most; None without groups
    bounds: tuple[Bound, ...]

    def conditions(self, table: str) -> Sql:
        """That a row of this table is of such a post, to stand after other conditions."""
        return self._conditions(table, self.groups)

    def newest(self, most: int) -> Sql:
        """SELECT publication_id, published_at of such posts, the newest first, at most so many."""
        if not self.groups:
            inside, values = self.conditions("t")
            return (
                f"SELECT publication_id, published_at FROM ({_NEWEST} LIMIT {SCANNED * most}) AS t"
                f" WHERE true {inside} {_ORDER} LIMIT {most}"
            ), values
        inside, values = self._conditions("t", self.groups[1:])
        return (
            f"SELECT DISTINCT publication_id, published_at FROM unnest(%s::bigint[]) AS f (id), LATERAL ("
            f"SELECT publication_id, published_at FROM kb_publishedtag WHERE facet_id = f.id"
            f" {_ORDER} LIMIT {SCANNED * most if inside else most}) AS t"
            f" WHERE true {inside} {_ORDER} LIMIT {most}"
        ), [list(self.groups[0]), *values]

    def _conditions(self, table: str, groups: tuple[tuple[int, ...], ...]) -> Sql:
        tests, values = [], []
        for ids in groups:
            tests.append(_HAS.format(table=table))
            values.append(list(ids))
        if self.bounds:
            tests.append(_KEEPS.format(table=table, tests=" AND ".join(_compared(self.bounds))))
            values += [bound.value for bound in self.bounds]
        return "".join(f" AND {test}" for test in tests), values


_ORDER = "ORDER BY published_at DESC, publication_id DESC"
_NEWEST = f"SELECT publication_id, published_at FROM kb_publishedtext {_ORDER}"
# OFFSET 0: a look for each row, where the planner would rather collect all that could be found.
_HAS = (
    "EXISTS (SELECT FROM kb_publishedtag o WHERE o.facet_id = ANY(%s::bigint[])"
    " AND o.published_at = {table}.published_at AND o.publication_id = {table}.publication_id OFFSET 0)"
)
_KEEPS = "EXISTS (SELECT FROM kb_publication p WHERE p.id = {table}.publication_id AND {tests} OFFSET 0)"


def _compared(bounds: tuple[Bound, ...]) -> Iterator[str]:
    for bound in bounds:
        yield f"p.{bound.column} {bound.sign} %s"


def restriction(wanted: Wanted) -> Restriction | None:
    """The facets and bounds of what is wanted, looked up; None where everything fits."""
    if not wanted.facets:
        return Restriction((), None, wanted.bounds) if wanted.bounds else None
    flat = [(number, *facet) for number, facets in enumerate(wanted.facets) for facet in facets]
    found = rows(_GROUPS, [list(column) for column in zip(*flat, strict=True)])
    return Restriction(tuple(tuple(ids) for ids, _ in found), int(found[0][1]), wanted.bounds)
