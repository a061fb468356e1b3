"""Turn what a reader wants to see into one page of publications, in one query.

A list with facets walks the tags of the rarest of them, backwards along their primary key, and looks up the
others for each: SQL decides which is the rarest, for it alone knows how many posts have each. Any other list
walks the index of its order.
"""
# ruff: noqa: S608  (SQL of our own names; every value is a parameter)

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from kb import words
from kb.choices import FacetKind
from kb.reading.keyset import Cursor, Keyset, Page, cut
from kb.reading.rows import http_date, microseconds, present, rows, within

Facet = tuple[str, str]  # kind and value of PublishedFacet

FEW = 10_000  # posts that are looked at one by one sooner than others are walked to find them
WINDOW = 5_000  # posts that are looked at before those that have all facets are found as a set
COUNTING = 2_000  # milliseconds
SAMPLE = 100  # publications, evenly spread, by which an estimate judges what no facet counts

NEWEST = Keyset({"p.published_at": datetime, "p.id": int}, descending=True)
ORDERS: Mapping[str, Keyset] = {
    "-published_at": NEWEST,
    "published_at": Keyset(NEWEST.columns),
    "-reviewed_at": Keyset(
        {"coalesce(p.reviewed_at, p.published_at)": datetime, "p.id": int}, descending=True
    ),
    "-quality": Keyset(
        {"coalesce(p.quality, 0)": int, "p.published_at": datetime, "p.id": int}, descending=True
    ),
    "title": Keyset({"p.title": str, "p.id": int}),
}


@dataclass(frozen=True)
class Bound:
    """That a column of Publication compares so with a value; a row without a value never does."""

    column: str
    sign: str
    value: Any


@dataclass(frozen=True)
class Wanted:
    """Which publications: they have one facet of each group, keep within all bounds and hold the words."""

    facets: tuple[tuple[Facet, ...], ...] = ()
    bounds: tuple[Bound, ...] = ()
    words: str = ""

    @property
    def is_counted(self) -> bool:
        """Whether facets alone decide, whose counts are maintained."""
        return not self.bounds and not self.words


@dataclass(frozen=True)
class Estimate:
    value: int
    exact: bool


@dataclass(frozen=True)
class Listed:
    page: Page
    count: Estimate
    changed_at: str  # when readers last got or lost something, as HTTP writes it; "" before that


def listed(
    wanted: Wanted,
    *,
    order: str = "-published_at",
    cursor: Cursor | None = None,
    limit: int,
    columns: Sequence[str] = ("card_json",),
    scope: str = "",
    enough: int | None = None,
) -> Listed:
    """One page, with these columns of each publication, and how many there are on all pages together.

    Where `enough` are found among the newest, a first page need not be full.
    """
    query = _Query(wanted, ORDERS[order], cursor, limit + 1, columns, enough)
    sql = query.sql()
    found = rows(sql, query.values)
    *numbers, changed_at = json.loads(found[0][0])
    shown = [row[1:] for row in found if row[1] is not None]
    page = cut(shown, ORDERS[order], limit, cursor, scope)
    count = _count(wanted, page, cursor, _Head(*numbers), query.enough)
    return Listed(page, count, changed_at or "")


# Of each kind of facet the column that has it, and whether that holds several.
COLUMNS = {
    FacetKind.TOPIC.value: ("topic", False),
    FacetKind.STACK.value: ("stack", True),
    FacetKind.TOOL.value: ("tools", True),
    FacetKind.ENTITY.value: ("entities", True),
    FacetKind.CHECKLIST.value: ("checklists", True),
    FacetKind.DIFFICULTY.value: ("difficulty", False),
    FacetKind.CODE_LANGUAGE.value: ("code_language", False),
    FacetKind.AI_INVOLVED.value: ("ai_involved", False),
}


def counted(wanted: Wanted) -> int:
    """How many there are, counted one by one; raises TooSlow."""
    query = _Query(wanted, NEWEST, None, 0, ())
    sql = query.count_sql()
    with within(COUNTING):
        return int(rows(sql, query.values)[0][0])


class _Head(NamedTuple):
    """What an estimate is made of."""

    total: int  # posts in all
    posts: list[int]  # of each group
    certain: bool  # whether nothing is counted that is withheld by now
    sampled: int
    hits: int  # in the sample


def _count(wanted: Wanted, page: Page, cursor: Cursor | None, head: _Head, enough: int) -> Estimate:
    may_be_cut = len(page.rows) >= enough and len(head.posts) > 1 and head.posts[0] > FEW
    if cursor is None and page.next is None and not may_be_cut:
        return Estimate(len(page.rows), exact=True)
    share = 1.0
    for number in head.posts:
        share *= min(1.0, number / head.total) if head.total else 0.0
    if not wanted.is_counted:
        share *= head.hits / max(head.sampled, 1)
    number = round(head.total * share)
    one_facet = len(wanted.facets) < 2 and all(len(group) == 1 for group in wanted.facets)
    if head.certain and wanted.is_counted and one_facet:
        return Estimate(number, exact=True)
    return Estimate(max(number, len(page.rows) + (page.next is not None)), exact=False)


class _Query:
    """The statement for one page. Its text depends on which kinds of conditions there are, not on values."""

    def __init__(
        self,
        wanted: Wanted,
        keyset: Keyset,
        cursor: Cursor | None,
        limit: int,
        columns: Sequence[str],
        enough: int | None = None,
    ) -> None:
        self.wanted, self.cursor, self.limit = wanted, cursor, limit
        self.enough = limit if enough is None else enough
        self.keys, self.kinds = list(keyset.columns), list(keyset.columns.values())
        self.columns = columns
        self.falls = keyset.descending != (cursor is not None and cursor.backwards)
        self.values: dict[str, Any] = {}
        self.parts: list[str] = []  # common table expressions

    def sql(self) -> str:
        walk = self._walk()
        keys = _numbered("w.k", self.keys)
        plain = [
            # Two of them are read, those of the cursors, out of a whole page.
            microseconds(key) if kind is datetime else key
            for key, kind in zip(keys, self.kinds, strict=True)
        ]
        shown = ", ".join([*plain, *_numbered("w.c", self.columns)])
        return (
            f"{self._with()} SELECT h.head, {shown} FROM ({self._head()}) h LEFT JOIN ({walk}) w ON true"
            f" ORDER BY {self._order(keys)}"
        )

    def count_sql(self) -> str:
        """Count them one by one."""
        tests = list(self._tests())
        if not self.wanted.facets:
            return f"SELECT count(*) FROM kb_publication p WHERE {' AND '.join([present('p'), *tests])}"
        self._rank()
        joined = "JOIN kb_publication p ON p.id = found.publication_id" if tests else ""
        tests += [f"publication_id NOT IN ({_WITHHELD})"]
        where = " AND ".join(tests)
        return f"{self._with()} SELECT count(*) FROM ({self._common()}) found {joined} WHERE {where}"

    def put(self, value: Any, kind: str = "") -> str:
        """The place of a value in the statement."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"%({name})s{kind and '::' + kind}"

    def _with(self) -> str:
        return f"WITH {', '.join(self.parts)}" if self.parts else ""

    def _rank(self) -> None:
        """Have the groups of facets, the rarest first: `place` from 1, how many `posts`, and the `ids`."""
        flat = [(group, *facet) for group, facets in enumerate(self.wanted.facets) for facet in facets]
        groups, kinds, values = (list(column) for column in zip(*flat, strict=True))
        arrays = [self.put(groups, "int[]"), self.put(kinds, "text[]"), self.put(values, "text[]")]
        # Behind a SELECT the planner sees no lengths, and so keeps one plan for all.
        asked = ", ".join(f"(SELECT {array})" for array in arrays)
        self.parts.append(_RANKED.format(asked=asked, last=len(self.wanted.facets) - 1))

    def _head(self) -> str:
        """What _Head holds, and when readers last got or lost something.

        As one text: it comes with each row, and is read once.
        """
        posts = (
            "(SELECT array_agg(posts ORDER BY place) FROM ranked)" if self.wanted.facets else "'{}'::bigint[]"
        )
        sample = "" if self.wanted.is_counted else _SAMPLE.format(tests=" AND ".join(self._tests()))
        return (
            f"SELECT json_build_array(coalesce(a.posts, 0), {posts}, NOT EXISTS ({_WITHHELD}),"
            f" {'s.sampled, s.hits' if sample else '0, 0'},"
            f" (SELECT {http_date('at')} FROM kb_change ORDER BY id DESC LIMIT 1))::text AS head"
            f" FROM (SELECT) one LEFT JOIN kb_publishedfacet a ON a.kind = 'all' AND a.value = '' {sample}"
        )

    def _walk(self) -> str:
        """Rows with the keys k0, k1 ... and the columns c0, c1 ..., by the way that is short in any case.

        Few posts are looked at one by one. Where each group has many, they are likely to meet soon; if they
        do not, those that have all facets are found as a set: the tags of each group are read once.
        """
        if not self.wanted.facets:
            return self._along_index()
        self._rank()
        by_tags = self._along_tags if self._by_time else self._sorted
        if self._by_time and self._in_tags and len(self.wanted.facets) == 1:
            return by_tags()
        rarest = "(SELECT posts FROM ranked WHERE place = 1)"
        ways = {f"{rarest} <= {FEW}": by_tags()}
        if self._in_tags and len(self.wanted.facets) > 1:
            near = self._along_tags(WINDOW) if self._by_time else self._along_index(WINDOW)
            self.parts.append(f"near AS MATERIALIZED ({near})")
            found = "(SELECT count(*) FROM near)"
            ways[f"{rarest} > {FEW} AND {found} >= {self.enough}"] = "SELECT * FROM near"
            ways[f"{rarest} > {FEW} AND {found} < {self.enough}"] = self._among_common()
        else:
            ways[f"{rarest} > {FEW}"] = self._along_index()
        return " UNION ALL ".join(f"SELECT * FROM ({way}) way WHERE {when}" for when, way in ways.items())

    @property
    def _by_time(self) -> bool:
        return self.keys == list(NEWEST.columns)

    @property
    def _in_tags(self) -> bool:
        """Whether tags say all that is tested."""
        return not self.wanted.words and all(b.column == "published_at" for b in self.wanted.bounds)

    def _along_index(self, window: int = 0) -> str:
        """In the index of the order, testing each."""
        tests = [present("p"), *self._tests(), *self._after(self.keys)]
        probes = list(self._probes(1, "p.published_at", "p.id"))
        if window:
            first = (
                f"SELECT {self._shown()}, p.published_at, p.id FROM kb_publication p"
                f" WHERE {' AND '.join(tests)} ORDER BY {self._order(self.keys)} LIMIT {window}"
            )
            keys = _numbered("p.k", self.keys)
            return (
                f"SELECT {', '.join([*keys, *_numbered('p.c', self.columns)])} FROM ({first}) p"
                f" WHERE {' AND '.join(probes)} ORDER BY {self._order(keys)} LIMIT {self.limit}"
            )
        where = " AND ".join([*tests, *probes])
        if not (self.wanted.bounds and self._by_time and not self.wanted.words):
            return self._ordered(f"SELECT {self._shown()} FROM kb_publication p WHERE {where}")
        # All that is tested is in the index, which is read alone; the rest of a row only if it is shown.
        found = self._ordered(f"SELECT {self._places()} FROM kb_publication p WHERE {where}")
        rest = f"SELECT {self._content()} FROM kb_publication p WHERE p.id = n.k1 OFFSET 0"
        return f"SELECT n.*, q.* FROM ({found}) n CROSS JOIN LATERAL ({rest}) q"

    def _along_tags(self, window: int = 0) -> str:
        """Of each facet in the rarest group the first that fit, and of all these the first."""
        time = ["published_at", "publication_id"]
        within = " AND ".join(["facet_id = f.id", *self._after(time), *self._dates(time[0])])
        order = self._order(time)
        tags = f"SELECT * FROM kb_publishedtag WHERE {within} ORDER BY {order}"
        if window:
            tags += f" LIMIT {window}"
        probes = " AND ".join(self._probes(2, "t.published_at", "t.publication_id")) or "true"
        one = (
            f"SELECT p.* FROM ({tags}) t CROSS JOIN LATERAL ({self._found('t.publication_id')}) p"
            f" WHERE {probes} ORDER BY t.{order.replace(', ', ', t.')} LIMIT {self.limit}"
        )
        return (
            f"SELECT DISTINCT ON (k0, k1) b.* FROM unnest({_ids(1)}) AS f (id) CROSS JOIN LATERAL ({one}) b"
            f" ORDER BY {self._order(['k0', 'k1'])} LIMIT {self.limit}"
        )

    def _common(self) -> str:
        return " INTERSECT ".join(
            # Where there is but one group, nothing else takes out what has two of its facets.
            f"SELECT {'' if place > 1 else 'DISTINCT '}published_at, publication_id FROM kb_publishedtag"
            f" WHERE facet_id = ANY({_ids(place)})"
            for place in range(1, len(self.wanted.facets) + 1)
        )

    def _among_common(self) -> str:
        """All that have a facet of each group, sorted: by time before they are looked up, else after that."""
        time = ["t.published_at", "t.publication_id"]
        tests = [*self._dates(time[0]), *(self._after(time) if self._by_time else ())]
        fits = self._found("t.publication_id", () if self._by_time else self._after(self.keys))
        order = self._order(time if self._by_time else _numbered("k", self.keys))
        return (
            f"SELECT p.* FROM (SELECT * FROM ({self._common()}) t WHERE {' AND '.join(tests) or 'true'}) t"
            f" CROSS JOIN LATERAL ({fits}) p ORDER BY {order} LIMIT {self.limit}"
        )

    def _sorted(self) -> str:
        """All of the rarest group that fit, sorted."""
        time = ("t.published_at", "t.publication_id")
        tests = [f"t.facet_id = ANY({_ids(1)})", *self._dates(time[0]), *self._probes(2, *time)]
        keys = _numbered("k", self.keys)
        return (
            f"SELECT DISTINCT ON ({', '.join(keys)}) p.* FROM kb_publishedtag t"
            f" CROSS JOIN LATERAL ({self._found('t.publication_id', self._after(self.keys))}) p"
            f" WHERE {' AND '.join(tests)} ORDER BY {self._order(keys)} LIMIT {self.limit}"
        )

    def _found(self, pk: str, more: Iterator[str] | tuple[()] = ()) -> str:
        """The publication with this key, if it fits. OFFSET 0: the planner looks it up."""
        tests = [f"p.id = {pk}", present("p"), *self._tests(), *more]
        return f"SELECT {self._shown()} FROM kb_publication p WHERE {' AND '.join(tests)} OFFSET 0"

    def _ordered(self, select: str) -> str:
        return f"{select} ORDER BY {self._order(self.keys)} LIMIT {self.limit}"

    def _shown(self) -> str:
        return f"{self._places()}, {self._content()}"

    def _places(self) -> str:
        return ", ".join(f"{key} AS k{place}" for place, key in enumerate(self.keys))

    def _content(self) -> str:
        return ", ".join(f"p.{column} AS c{place}" for place, column in enumerate(self.columns))

    def _order(self, keys: Sequence[str]) -> str:
        return ", ".join(f"{key} DESC" if self.falls else key for key in keys)

    def _after(self, keys: Sequence[str]) -> Iterator[str]:
        """What comes after the cursor, in the direction that it reads."""
        if self.cursor is not None:
            values = zip(self.cursor.values, map(_kind, self.cursor.values), strict=True)
            place = ", ".join(self.put(value, kind) for value, kind in values)
            yield f"({', '.join(keys)}) {'<' if self.falls else '>'} ({place})"

    def _tests(self) -> Iterator[str]:
        """What a publication p has to fulfil, but for its facets."""
        for bound in self.wanted.bounds:
            yield f"p.{bound.column} {bound.sign} {self.put(bound.value, _kind(bound.value))}"
        if self.wanted.words:
            asked = self.put(words.query(self.wanted.words).tsquery, "tsquery")
            yield (
                # OFFSET 0: a look for each, where the planner would rather collect all that have the words.
                "EXISTS (SELECT FROM kb_publishedtext x"
                f" WHERE x.publication_id = p.id AND x.words @@ {asked} OFFSET 0)"
            )

    def _dates(self, at: str) -> Iterator[str]:
        """The same of a tag, so that no other part of its index is read."""
        for bound in self.wanted.bounds:
            if bound.column == "published_at":
                yield f"{at} {bound.sign} {self.put(bound.value, _kind(bound.value))}"

    def _probes(self, first: int, at: str, pk: str) -> Iterator[str]:
        """That there is a tag of each group from this place on. OFFSET 0: one look for each."""
        for place in range(first, len(self.wanted.facets) + 1):
            yield (
                f"EXISTS (SELECT FROM kb_publishedtag o WHERE o.facet_id = ANY({_ids(place)})"
                f" AND o.published_at = {at} AND o.publication_id = {pk} OFFSET 0)"
            )


# What no reader gets any more, but still counts until upkeep takes it away.
_WITHHELD = "SELECT id FROM kb_publication WHERE withhold_at <= now()"
_RANKED = """
    ranked AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY coalesce(sum(f.posts), 0), g.number) AS place,
               coalesce(sum(f.posts), 0)::bigint AS posts, array_remove(array_agg(f.id), NULL) AS ids
          FROM generate_series(0, {last}) AS g (number)
          LEFT JOIN unnest({asked}) AS a (number, kind, value) USING (number)
          LEFT JOIN kb_publishedfacet f ON f.kind = a.kind AND f.value = a.value
         GROUP BY g.number)
"""
# Evenly spread by key, so that the same publications give the same estimate each time.
_SAMPLE = f"""
    CROSS JOIN LATERAL (
        SELECT count(*) AS sampled, count(*) FILTER (WHERE p.fits) AS hits
          FROM (SELECT min(id) AS lo, max(id) AS hi FROM kb_publication) e
          CROSS JOIN generate_series(0, {SAMPLE - 1}) AS n
          CROSS JOIN LATERAL (
              SELECT {{tests}} AS fits FROM kb_publication p
               WHERE p.id >= e.lo + n * (e.hi - e.lo + 1) / {SAMPLE} ORDER BY p.id LIMIT 1) p) s
"""


def _ids(place: int) -> str:
    return f"(SELECT ids FROM ranked WHERE place = {place})::bigint[]"


def _numbered(name: str, things: Sequence[str]) -> list[str]:
    return [f"{name}{place}" for place in range(len(things))]


def _kind(value: Any) -> str:
    return {datetime: "timestamptz", int: "bigint", str: "text"}[type(value)]
