"""Turn publications into one page of a list: by keyset, so that page 500 costs what page 1 does."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import BadRequest
from django.db.models import Q
from django.utils.html import escape
from django.utils.timesince import timesince

from kb.models.publication import Publication, PublicationQuerySet
from kb.reading.search import BadCursor, Hit, search

PAGE = 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_NO_PLACE = "The parameter “before” names no place in this list. Start again at its first page."


@dataclass(frozen=True)
class Card:
    """What a list shows of one post: its card JSON, when it was published, and where the words were found."""

    post: dict[str, Any]
    published_at: datetime
    title: str
    summary: str
    excerpt: str = ""

    @property
    def age(self) -> str:
        return f"{timesince(self.published_at, depth=1)} ago"


@dataclass(frozen=True)
class Listing:
    cards: list[Card]
    older: str  # the cursor of the next page, or ""


def listing(rows: PublicationQuerySet, before: str = "", words: str = "") -> Listing:
    """One page of these rows, newest first, or of all that has these words, best first.

    Raises BadRequest if `before` is no cursor of this list.
    """
    if words:
        return _search(words, before)
    rows = rows.newest_first().only("published_at", "card_json")
    if before:
        rows = rows.filter(_older_than(before))
    found = list(rows[: PAGE + 1])
    shown = found[:PAGE]
    return Listing([_card(row) for row in shown], _cursor(shown[-1]) if len(found) > PAGE else "")


def _search(words: str, after: str) -> Listing:
    try:
        answer = search(words, limit=PAGE, cursor=after, with_facets=False)
    except BadCursor:
        raise BadRequest(_NO_PLACE) from None
    return Listing([_found(hit) for hit in answer.hits], answer.next)


def _cursor(row: Publication) -> str:
    return f"{(row.published_at - _EPOCH) // timedelta(microseconds=1)}-{row.pk}"


def _older_than(cursor: str) -> Q:
    match = _CURSOR.fullmatch(cursor)
    try:
        moment = _EPOCH + timedelta(microseconds=int(match[1])) if match else None
    except OverflowError:
        moment = None
    if match is None or moment is None:
        raise BadRequest(_NO_PLACE)
    return Q(published_at__lt=moment) | Q(published_at=moment, pk__lt=int(match[2]))


def _card(row: Publication) -> Card:
    post = json.loads(row.card_json)
    return Card(post, row.published_at, escape(post["title"]), escape(post["summary"]))


def _found(hit: Hit) -> Card:
    """A card with its words marked; the best passage where the summary has none of them."""
    excerpt = "" if "<mark>" in hit.shown.summary else hit.shown.passage
    return Card(json.loads(hit.card), hit.published_at, hit.shown.title, hit.shown.summary, excerpt)
