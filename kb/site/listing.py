"""Turn publications into one page of a list: by keyset, so that page 500 costs what page 1 does."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import BadRequest
from django.utils.timesince import timesince

from kb.reading.keyset import Cursor
from kb.reading.listing import Wanted, listed

PAGE = 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True)
class Card:
    """What a list shows of one post: its card JSON, and when it was published."""

    post: dict[str, Any]
    published_at: datetime

    @property
    def age(self) -> str:
        return f"{timesince(self.published_at, depth=1)} ago"


@dataclass(frozen=True)
class Listing:
    cards: list[Card]
    older: str  # the cursor of the next page, or ""


def listing(before: str = "", entity: str = "") -> Listing:
    """One page of the posts, of those about the entity with this key alone if there is one, newest first.

    Raises BadRequest if `before` is no cursor of this list.
    """
    cursor = Cursor(_place(before)) if before else None
    wanted = Wanted(facets=((("entity", entity),),) if entity else ())
    page = listed(wanted, cursor=cursor, limit=PAGE, columns=("published_at", "card_json")).page
    cards = [Card(json.loads(card), published_at) for published_at, card in page.rows]
    return Listing(cards, _shown(*page.next.values) if page.next else "")


def _shown(published_at: datetime, pk: int) -> str:
    return f"{(published_at - _EPOCH) // timedelta(microseconds=1)}-{pk}"


def _place(cursor: str) -> tuple[datetime, int]:
    match = _CURSOR.fullmatch(cursor)
    try:
        moment = _EPOCH + timedelta(microseconds=int(match[1])) if match else None
    except OverflowError:
        moment = None
    if match is None or moment is None:
        raise BadRequest(
            "The parameter “before” names no place in this list. Start again at its newest posts."
        )
    return moment, int(match[2])
