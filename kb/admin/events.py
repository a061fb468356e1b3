"""Turn the records that kb keeps anyway into one list of who did what, the newest first.

There is no log beside the records that could differ from them: each table gives its newest rows in the order
of an index, and the database merges them. A page begins after the last event of the page before (keyset), so
that the thousandth page costs what the first does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    F,
    Func,
    IntegerField,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.fields.tuple_lookups import TupleLessThan
from django.db.models.functions import Cast, Concat, Left

from kb.choices import ReportKind
from kb.models import (
    AccessToken,
    Comment,
    Criteria,
    Decision,
    Flag,
    HookAct,
    Report,
    Revision,
    Schedule,
    Synonym,
    Verification,
)

NOTE = 500  # characters of a remark that the list carries
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Kind of event to its words. The part before the dot names the source below.
KINDS = {
    "revision.person": "Revision saved",
    "revision.import": "Imported",
    "revision.restore": "Revision restored",
    "revision.aside": "Imported and kept aside",
    "raised.blocking": "Blocking flag raised",
    "raised.asks": "Flag that asks for review raised",
    "raised.advisory": "Advisory flag raised",
    "closed.closed": "Flag closed",
    "closed.settled": "Flag settled by a decision",
    "decision.approve": "Approved",
    "decision.later": "Approved for later",
    "decision.request_changes": "Changes requested",
    "decision.withdraw": "Withdrawn",
    "decision.take_back": "Decision taken back",
    "schedule.published": "Published at its time",
    "schedule.lapsed": "Scheduled approval lapsed",
    "schedule.taken_back": "Scheduled approval taken back",
    "comment.made": "Comment made",
    "resolved.made": "Comment resolved",
    "verification.made": "Verified",
    **{f"report.{kind.value}": f"Reported as {kind.label.lower()}" for kind in ReportKind},
    "criteria.made": "Criteria changed",
    "retired.made": "Criteria retired",
    "issued.made": "Access token issued",
    "revoked.made": "Access token revoked",
    **{f"hook.{kind}": f"Webhook {words[0].lower()}{words[1:]}" for kind, words in HookAct.KINDS},
    "synonym.made": "Synonyms written",
    "dropped.made": "Synonyms retired",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A table, or a column of moments in one, as events."""

    name: str
    rows: Callable[[], QuerySet[Any]]
    at: str
    who: str | None
    note: Any
    revision: str | None = "revision"
    post: str | None = "revision__post"
    word: Any = field(default_factory=lambda: Value("made"))


_WORDS = Func(F("words"), Value(", "), function="array_to_string", output_field=TextField())


def _word(name: str, **when: Q) -> Case:
    return Case(*(When(q, then=Value(word)) for word, q in when.items()), default=F(name))


_TOKEN = Concat(
    "label", Value(" (kb_"), "prefix", Value("…) of "), "owner__username", output_field=TextField()
)
SOURCES = (
    Source(
        "revoked",
        AccessToken.objects.exclude(revoked_at=None).all,
        "revoked_at",
        "revoked_by",
        _TOKEN,
        None,
        None,
    ),
    Source("issued", AccessToken.objects.all, "created_at", "created_by", _TOKEN, None, None),
    Source(
        "hook",
        HookAct.objects.all,
        "at",
        "by",
        Concat("hook__label", Value(": "), "note", output_field=TextField()),
        None,
        None,
        F("kind"),
    ),
    Source(
        "dropped",
        Synonym.objects.exclude(retired_at=None).all,
        "retired_at",
        "retired_by",
        _WORDS,
        None,
        None,
    ),
    Source("synonym", Synonym.objects.all, "made_at", "made_by", _WORDS, None, None),
    Source(
        "retired", Criteria.objects.exclude(retired_at=None).all, "retired_at", None, F("name"), None, None
    ),
    Source("criteria", Criteria.objects.all, "made_at", "made_by", F("name"), None, None),
    Source("report", Report.objects.all, "at", "by", F("sentence"), word=F("kind")),
    Source("verification", Verification.objects.all, "at", "by", F("checked")),
    Source(
        "resolved", Comment.objects.exclude(resolved_at=None).all, "resolved_at", "resolved_by", F("text")
    ),
    Source("comment", Comment.objects.all, "at", "by", F("text")),
    Source(
        "schedule",
        Schedule.objects.exclude(ended_at=None).all,
        "ended_at",
        "decision__reviewer",
        Value(""),
        "decision__revision",
        "decision__revision__post",
        F("outcome"),
    ),
    Source(
        "decision",
        Decision.objects.all,
        "at",
        "reviewer",
        F("comment"),
        word=_word("verdict", later=Q(verdict="approve", schedule__isnull=False)),
    ),
    Source(
        "closed",
        Flag.objects.exclude(closed_at=None).all,
        "closed_at",
        "closed_by",
        Concat("code", Value(": "), "closing_note", output_field=TextField()),
        word=Case(When(settled_by=None, then=Value("closed")), default=Value("settled")),
    ),
    Source(
        "raised",
        Flag.objects.all,
        "raised_at",
        "raised_by",
        Concat("code", Value(": "), "sentence", output_field=TextField()),
        word=F("severity"),
    ),
    Source("revision", Revision.objects.all, "created_at", "author", F("reason"), "pk", "post", F("origin")),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: all that are given have to hold."""

    who: int | None = None
    kind: str = ""  # a key of KINDS, or its part before the dot
    post: int | None = None
    since: datetime | None = None
    until: datetime | None = None  # exclusive


@dataclass(frozen=True, slots=True)
class Key:
    """The place of an event in the list."""

    at: datetime
    rank: int
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - EPOCH) // timedelta(microseconds=1)}-{self.rank}-{self.pk}"

    @classmethod
    def read(cls, text: str) -> "Key":
        """The key that this text names. Raises ValueError."""
        if len(text) > 60 or not text.isascii():
            raise ValueError("no key")
        micros, rank, pk = (int(part) for part in text.split("-"))
        if not (0 <= rank < len(SOURCES) and pk < 2**63):
            raise ValueError("no key")
        try:
            return cls(EPOCH + timedelta(microseconds=micros), rank, pk)
        except OverflowError:
            raise ValueError("no key") from None


@dataclass(frozen=True, slots=True)
class Event:
    key: Key
    kind: str
    who: User | None
    revision: Revision | None  # with its post
    note: str

    @property
    def words(self) -> str:
        return KINDS.get(self.kind, self.kind)


def page(wanted: Wanted, *, size: int, before: Key | None = None) -> list[Event]:
    """The newest `size` events before this one, in three queries."""
    found = [
        _rows(source, rank, wanted, before)[:size]
        for rank, source in enumerate(SOURCES)
        if _may_have(source, wanted)
    ]
    if not found:
        return []
    if len(found) == 1:
        return _filled(list(found[0]))
    merged = found[0].union(*found[1:], all=True).order_by("-moment", "-rank", "-row")
    return _filled(list(merged[:size]))


def all_of(wanted: Wanted, *, size: int = 1000) -> Iterator[Event]:
    """Every event, page by page, so that no answer holds more than a page in memory."""
    before = None
    while events := page(wanted, size=size, before=before):
        yield from events
        if len(events) < size:
            return
        before = events[-1].key


def _may_have(source: Source, wanted: Wanted) -> bool:
    if wanted.kind and wanted.kind.split(".")[0] != source.name:
        return False
    return not (wanted.post and source.post is None) and not (wanted.who and source.who is None)


def _rows(source: Source, rank: int, wanted: Wanted, before: Key | None) -> QuerySet[Any]:
    nothing = Cast(None, BigIntegerField())
    rows = source.rows().order_by()
    if wanted.who:
        rows = rows.filter(**{source.who or "": wanted.who})
    if wanted.post:
        rows = rows.filter(**{source.post or "": wanted.post})
    if wanted.since:
        rows = rows.filter(**{f"{source.at}__gte": wanted.since})
    if wanted.until:
        rows = rows.filter(**{f"{source.at}__lt": wanted.until})
    if before:
        rows = rows.filter(_before(source.at, rank, before))
    if "." in wanted.kind:
        rows = rows.alias(word=source.word).filter(word=wanted.kind.split(".")[1])
    rows = rows.annotate(event=Concat(Value(f"{source.name}."), source.word, output_field=CharField()))
    # Through annotations: a union goes by position, and these have the same in every branch.
    return (
        rows.annotate(
            moment=F(source.at),
            rank=Value(rank, output_field=IntegerField()),
            row=F("pk"),
            person=F(source.who) if source.who else nothing,
            about=F(source.revision) if source.revision else nothing,
            said=Left(source.note, NOTE, output_field=TextField()),
        )
        .order_by(f"-{source.at}", "-pk")
        .values_list("moment", "rank", "row", "event", "person", "about", "said")
    )


def _before(at: str, rank: int, key: Key) -> Any:
    """After `key` in the list: events of one moment stand in the order of their sources."""
    if rank == key.rank:
        return TupleLessThan((F(at), F("pk")), (key.at, key.pk))
    return Q(**{f"{at}__lte" if rank < key.rank else f"{at}__lt": key.at})


def _filled(rows: list[tuple[Any, ...]]) -> list[Event]:
    people = User.objects.in_bulk({row[4] for row in rows if row[4]})
    revisions = (
        Revision.objects.filter(pk__in={row[5] for row in rows if row[5]})
        .select_related("post")
        .only("number", "version", "fingerprint", "post__title", "post__slug")
        .in_bulk()
    )
    return [
        Event(
            Key(moment, rank, number),
            event,
            people.get(person),
            revisions.get(about),
            said.removesuffix(": "),
        )
        for moment, rank, number, event, person, about, said in rows
    ]
