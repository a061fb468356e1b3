"""Turn the passing of time into what follows from it: what is due is published, flagged, withheld and dated.

Each step takes a bounded number and each post has a transaction of its own, so that a run may end anywhere
and the next one goes on. A run that finds nothing to do changes nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from kb import likeness
from kb.errors import InvalidDocument, Refused
from kb.flow import delivering, embedding, metering, publishing, queueing, revising, scheduling, verifying
from kb.models import Flag, Likeness, Post, Publication, Schedule, Upkeep, VerificationPolicy

MOST = 1_000  # posts a step and run
_LOCK = 0x6B75  # "ku": one run of upkeep at a time


@dataclass
class Done:
    """How many posts were published, lapsed and so on in one run, and which failed, with the reason."""

    published: int = 0
    lapsed: int = 0
    dated: int = 0
    flagged: int = 0
    withheld: int = 0
    hashed: int = 0
    indexed: int = 0
    embedded: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        return self == Done()


def upkeep(*, at: datetime, most: int = MOST) -> Done | None:
    """Do what is due at this moment; None if another run is at it."""
    with _alone() as alone:
        if not alone:
            return None
        done = Done()
        _publish(done, at)
        done.dated = _date(done, at, most)
        done.flagged = _each(_overdue(at)[:most], lambda post: verifying.flag_overdue(post, at=at), done)
        withheld = Publication.objects.filter(withhold_at__lte=at).order_by("withhold_at")
        done.withheld = _each(_posts(withheld[:most]), lambda post: verifying.withhold(post, at=at), done)
        metering.forget(at=at)
        delivering.forget(at=at)
        done.hashed = _each(_unhashed(most), revising.note_likeness, done)
        missing = Post.objects.filter(text=None, head__isnull=False).select_related("head")
        done.indexed = _each(missing.order_by("pk")[:most], revising.note_words, done)
        done.embedded = embedding.keep_up(most)
        return done


@contextmanager
def _alone() -> Iterator[bool]:
    """Hold the lock of upkeep, or learn that somebody else does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        (alone,) = cursor.fetchone()
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _each(posts: Iterable[Post], act: Callable[[Post], object], done: Done) -> int:
    """How many of these posts the act changed. One that fails holds up no other."""
    changed = 0
    for post in posts:
        try:
            changed += bool(act(post))
        except (InvalidDocument, Refused) as error:
            done.failed.append(f"{post.slug}: {error}")
    return changed


def _posts(publications: Iterable[Publication]) -> list[Post]:
    pks = [publication.post_id for publication in publications]
    return sorted(Post.objects.filter(pk__in=pks), key=lambda post: pks.index(post.pk))


def _publish(done: Done, at: datetime) -> None:
    ended = scheduling.publish_due(at=at)
    done.published = sum(schedule.outcome == Schedule.PUBLISHED for schedule in ended)
    done.lapsed = len(ended) - done.published


def _overdue(at: datetime) -> QuerySet[Post]:
    """Published posts whose date passed and for which no flag was raised since."""
    flags = Flag.objects.filter(
        revision__post=OuterRef("pk"),
        code=queueing.OVERDUE,
        raised_at__gte=OuterRef("publication__review_by"),
    )
    overdue = Post.objects.filter(~Exists(flags), publication__review_by__lte=at)
    return overdue.order_by("publication__review_by", "pk")


def _unhashed(most: int) -> list[Post]:
    """Posts without hashes of this method: made by an older kb, or never."""
    posts = Post.objects.filter(head__isnull=False).select_related("head")
    missing = list(posts.filter(likeness=None).order_by("pk")[:most])
    stale = Likeness.objects.stale(likeness.METHOD).order_by("method")[: most - len(missing)]
    return missing + list(posts.filter(likeness__in=[row.pk for row in stale]))


# --- Dates that follow the policies ---


def _date(done: Done, at: datetime, most: int) -> int:
    """Bring dates of verification in step with the policies; a part of all publications in each run."""
    rules = _rules()
    row, _ = Upkeep.objects.get_or_create(pk=1, defaults={"ran_at": at, "rules": rules, "done_to": 0})
    if row.rules != rules:
        row.rules, row.done_to = rules, 0
    unknown = list(Publication.objects.filter(review_by=None).order_by("pk")[:most])
    following = [] if row.done_to is None else list(_after(row.done_to)[:most])
    stale = [*unknown, *(row for row in following if row.review_by and _is_stale(row))]
    changed = _each(_posts(stale), lambda post: publishing.refresh(post, at=at), done)
    if row.done_to is not None:
        row.done_to = following[-1].pk if len(following) == most else None
    row.ran_at = at
    row.save()
    return changed


def _after(pk: int) -> QuerySet[Publication]:
    rows = Publication.objects.filter(pk__gt=pk).order_by("pk")
    return rows.select_related("revision", "approval__schedule")


def _is_stale(publication: Publication) -> bool:
    return publishing.review_by(publication.revision, publication.approval) != publication.review_by


def _rules() -> str:
    """A hash of all that decides how often a post is verified."""
    policies = VerificationPolicy.objects.order_by("pk").values_list("topic", "entity_type", "days")
    rules = [settings.KB_VERIFY_DAYS, *map(list, policies)]
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()
