"""Turn publications into one page of a list: by keyset, so that page 500 costs what page 1 does."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

from django.contrib.postgres.search import SearchHeadline, SearchQuery
from django.core.exceptions import BadRequest
from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Left
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from kb.models.publication import Publication, PublicationQuerySet

PAGE = 20
# Of an article only this much is searched for an excerpt; the search itself covers all of it.
EXCERPT_FROM = 20_000  # characters of HTML
BEGIN, END = "\x02", "\x03"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_MARKED = re.compile(f"{BEGIN}([^{BEGIN}{END}]*){END}")


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
    """One page of these rows, newest first. Raises BadRequest if `before` is no cursor of this list."""
    rows = rows.newest_first().only("published_at", "card_json")
    if words:
        rows = _with_headlines(rows.found_by(words), words)
    if before:
        rows = rows.filter(_older_than(before))
    found = list(rows[: PAGE + 1])
    shown = found[:PAGE]
    return Listing([_card(row) for row in shown], _cursor(shown[-1]) if len(found) > PAGE else "")


def _cursor(row: Publication) -> str:
    return f"{(row.published_at - _EPOCH) // timedelta(microseconds=1)}-{row.pk}"


def _older_than(cursor: str) -> Q:
    match = _CURSOR.fullmatch(cursor)
    try:
        moment = _EPOCH + timedelta(microseconds=int(match[1])) if match else None
    except OverflowError:
        moment = None
    if match is None or moment is None:
        raise BadRequest(
            "The parameter “before” names no place in this list. Start again at its newest posts."
        )
    return Q(published_at__lt=moment) | Q(published_at=moment, pk__lt=int(match[2]))


def _with_headlines(rows: PublicationQuerySet, words: str) -> PublicationQuerySet:
    """Let PostgreSQL mark the words that it found, for it alone knows that "running" finds "run"."""
    query = SearchQuery(words, search_type="websearch", config="english")
    marks: dict[str, Any] = {"config": "english", "start_sel": BEGIN, "stop_sel": END}
    # A tag cut off at the end of the excerpt's source is a tag too.
    tags = r"<[^>]*(>|$)"
    body = Func(
        Left(F("html"), EXCERPT_FROM), Value(tags), Value(" "), Value("g"), function="regexp_replace",
        output_field=TextField(),
    )  # fmt: skip
    return rows.annotate(
        found_title=SearchHeadline("title", query, highlight_all=True, **marks),
        found_summary=SearchHeadline("summary", query, highlight_all=True, **marks),
        found_body=SearchHeadline(body, query, max_words=36, min_words=18, max_fragments=1, **marks),
    )


def _card(row: Publication) -> Card:
    post = json.loads(row.card_json)
    title = marked(getattr(row, "found_title", "") or post["title"])
    summary = getattr(row, "found_summary", "") or post["summary"]
    excerpt = ""
    if BEGIN not in summary:
        body = " ".join(unescape(getattr(row, "found_body", "")).split())
        excerpt = marked(body) if BEGIN in body else ""
    return Card(post, row.published_at, title, marked(summary), excerpt)


def marked(text: str) -> SafeString:
    """The text as HTML, escaped, with <mark> around what PostgreSQL marked and nothing else."""
    parts = [part.replace(BEGIN, "").replace(END, "") for part in _MARKED.split(text)]
    # Plain and found text take turns, and plain text has the first and the last one.
    return format_html_join(
        "", "{}", ((format_html("<mark>{}</mark>", part) if n % 2 else part,) for n, part in enumerate(parts))
    )
