"""Turn a reader's word that something published is wrong into a record, and into one flag for reviewers.

What readers write is shown to reviewers alone. Who wrote is kept as a keyed hash, to limit how often, and as
a person where somebody was logged in; never as an address.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from kb.choices import ReportKind, Severity
from kb.errors import Refused, TooOften
from kb.flow import queueing
from kb.flow.reviewing import head, lock
from kb.models import Flag, Post, Publication, Report

MOST_TEXT = 2_000  # characters
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BY_ONE_SENDER = ((5, HOUR), (20, DAY))
ON_ONE_POST = ((30, DAY),)
_SHOWN = 20  # sentences in the flag's evidence
_EXCERPT = 400  # characters


@transaction.atomic
def report(slug: str, *, kind: str, sentence: str, by: Any = None, sender: str, at: datetime) -> Report:
    """Keep what a reader says of a published post, and put the post into the queue.

    `sender` is where it came from; it counts where nobody is logged in. Raises Refused `not_published`,
    `bad_kind`, `text_missing`, `bad_text`, or TooOften.
    """
    publication = _published(slug, at)
    words = _words(kind, sentence)
    hashed = sender_hash(by, sender)
    _take_turns(hashed)
    _refuse_often(Report.objects.filter(sender=hashed), BY_ONE_SENDER, at)
    post = lock(publication.post)
    publication = _published(slug, at)  # behind the lock: it may have gone while we waited
    _refuse_often(Report.objects.filter(revision__post=post), ON_ONE_POST, at)
    flag = _open_flag(post, at)
    said = Report.objects.create(
        revision_id=publication.revision_id,
        kind=kind,
        sentence=words,
        by=by,
        sender=hashed,
        at=at,
        flag=flag,
    )
    _sum_up(flag, post)
    queueing.settle(post, at=at)
    return said


def sender_hash(by: Any, sender: str) -> str:
    """A keyed hash of the person, else of where it came from: nobody can guess it back without SECRET_KEY."""
    who = f"person {by.pk}" if by else f"address {sender}"
    return salted_hmac("kb.flow.reporting", who, algorithm="sha256").hexdigest()


def _published(slug: str, at: datetime) -> Publication:
    """What readers have now. Absent and withheld look the same."""
    found = Publication.objects.filter(slug=slug).select_related("post").first()
    if found is None or (found.withhold_at and found.withhold_at <= at):
        raise Refused("There is no such post.", code="not_published")
    return found


def _words(kind: str, sentence: str) -> str:
    if kind not in ReportKind.values:
        raise Refused("Choose what is the matter: wrong, outdated or unclear.", code="bad_kind")
    words = sentence.strip()
    if not words:
        raise Refused(
            "Say in a sentence what is the matter, so that somebody can mend it.", code="text_missing"
        )
    if len(words) > MOST_TEXT or "\x00" in words:
        raise Refused(
            f"Your sentence: got {len(words):,} characters, expected at most {MOST_TEXT:,}; shorten it.",
            code="bad_text",
        )
    return words


def _take_turns(hashed: str) -> None:
    """Let one sender's reports wait for each other: each counts those before it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [hashed])


def _refuse_often(reports: QuerySet[Report], limits: tuple[tuple[int, timedelta], ...], at: datetime) -> None:
    for most, time in limits:
        recent = list(reports.filter(at__gt=at - time).order_by("-at").values_list("at", flat=True)[:most])
        if len(recent) == most:
            raise TooOften(
                "No more reports are taken for now; those that came will be read.",
                again_at=recent[-1] + time,
            )


def _open_flag(post: Post, at: datetime) -> Flag:
    flag, _ = Flag.objects.get_or_create(
        revision=head(post),
        code=queueing.REPORTED,
        closed_at=None,
        defaults={"severity": Severity.ADVISORY, "sentence": "Readers report.", "raised_at": at},
    )
    return flag


def _sum_up(flag: Flag, post: Post) -> None:
    """Make the flag say what all reports say since somebody last closed it."""
    reports = Report.objects.filter(revision__post=post, at__gte=flag.raised_at).order_by("-pk")
    number = reports.order_by().values("sender").distinct().count()
    kinds = Counter(reports.values_list("kind", flat=True))
    listed = ", ".join(kind for kind in ReportKind.values if kinds[kind])
    flag.sentence = f"{number} readers report: {listed}." if number > 1 else f"A reader reports: {listed}."
    flag.evidence = [
        {"field": "", "excerpt": f"{said.get_kind_display()}: {said.sentence[:_EXCERPT]}"}
        for said in reports[:_SHOWN]
    ]
    flag.save(update_fields=["sentence", "evidence"])
