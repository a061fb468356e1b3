"""Turn what waits for somebody into a letter: at most one a day, and none without content.

Titles of drafts go to people who may see drafts and to nobody else; the owner of a post gets what readers
have anyway. No letter carries a text.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Min, Q, QuerySet, Value
from django.db.models.functions import Concat, Lower
from django.urls import reverse
from django.utils import timezone

from kb.choices import State
from kb.models import Digest, Notice, Post, Publication, QueueItem

TOP = 10  # lines of one section
SOON = timedelta(days=14)
LONG = timedelta(days=14)  # a draft that nobody touched for so long was forgotten


@dataclass(frozen=True, slots=True)
class Line:
    words: str
    path: str = ""  # of the page that it is about
    why: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: tuple[Line, ...]
    count: int

    @property
    def more(self) -> int:
        """How many there are beyond these lines."""
        return self.count - len(self.lines)


@dataclass(frozen=True, slots=True)
class Letter:
    user: User
    sections: tuple[Section, ...]

    @property
    def subject(self) -> str:
        return ", ".join(f"{section.count:,} {section.title.lower()}" for section in self.sections)


def recipients(*, at: datetime) -> QuerySet[User]:
    """Active people with an address who may have something to do: staff, and owners of what is due."""
    due = Publication.objects.filter(review_by__lte=at + SOON).exclude(post__owner="")
    owners = due.values(named=Lower("post__owner"))
    return (
        User.objects.filter(is_active=True)
        .exclude(email="")
        .exclude(digests__day=_day(at))
        .alias(
            by_username=Lower("username"),
            by_email=Lower("email"),
            by_name=Lower(Concat("first_name", Value(" "), "last_name")),
        )
        .filter(Q(is_staff=True) | Q(by_username__in=owners) | Q(by_email__in=owners) | Q(by_name__in=owners))
        .order_by("pk")
    )


def compose(user: User, *, at: datetime, since: datetime | None = None) -> Letter | None:
    """This person's letter, or None when there is nothing to say.

    `since`: only notices from then on; without it those since the person's last letter.
    """
    sections = [_due(user, at)]
    if user.has_perm("kb.view_post"):
        sections = [
            *([_awaiting(user, at)] if user.has_perm("kb.review_post") else []),
            *([_returned(user, at), _forgotten(user, at)] if user.has_perm("kb.change_post") else []),
            *sections,
            _notices(user, since or _last(user)),
        ]
    said = tuple(section for section in sections if section.count)
    return Letter(user, said) if said else None


def reserve(user: User, *, at: datetime) -> Digest | None:
    """Note that this person gets the letter of the day; None if they already got one.

    Before it is sent: who runs the command twice at once sends it once.
    """
    try:
        with transaction.atomic():
            return Digest.objects.create(user=user, day=_day(at), at=at)
    except IntegrityError:
        return None


def release(reserved: Digest) -> None:
    """The letter did not leave: the next run tries again."""
    reserved.delete()


def _awaiting(user: User, at: datetime) -> Section:
    waiting = QueueItem.objects.for_reviewer(user)
    first = waiting.aggregate(oldest=Min("since"))["oldest"]
    items = waiting.by_harm().select_related("post").only("post__title", "codes", "blocking", "since")[:TOP]
    lines = tuple(
        Line(item.post.title, reverse("admin:kb_post_review", args=[item.post_id]), _reasons(item, at))
        for item in items
    )
    title = f"Awaiting your review (the oldest for {_age(first, at)})" if first else "Awaiting your review"
    return Section(title, lines, waiting.count())


def _reasons(item: QueueItem, at: datetime) -> str:
    blocking = f"{item.blocking} blocking" if item.blocking else ""
    kinds = ", ".join(code.replace("_", " ") for code in item.codes)
    return "; ".join(part for part in (blocking, kinds, f"waiting {_age(item.since, at)}") if part)


def _returned(user: User, at: datetime) -> Section:
    return _posts("Changes requested of yours", Post.objects.filter(state=State.CHANGES_REQUESTED), user, at)


def _forgotten(user: User, at: datetime) -> Section:
    drafts = Post.objects.filter(state=State.DRAFT, updated_at__lt=at - LONG)
    return _posts("Drafts of yours that wait long", drafts, user, at)


def _posts(title: str, posts: QuerySet[Post], user: User, at: datetime) -> Section:
    mine = posts.filter(edited_by=user)
    lines = tuple(
        Line(
            post.title,
            _form(post.pk),
            f"unchanged for {_age(post.updated_at, at)}",
        )
        for post in mine.order_by("updated_at").only("title", "updated_at")[:TOP]
    )
    return Section(title, lines, mine.count())


def _due(user: User, at: datetime) -> Section:
    names = {name.strip().lower() for name in (user.username, user.email, user.get_full_name())} - {""}
    mine = (
        Publication.objects.filter(review_by__lte=at + SOON)
        .exclude(withhold_at__lte=at)  # readers lost it at that moment, before upkeep runs
        .annotate(named=Lower("post__owner"))
        .filter(named__in=names)
    )
    lines = tuple(
        Line(
            publication.title,
            publication.get_absolute_url(),
            "overdue" if publication.review_by and publication.review_by <= at else "due within 14 days",
        )
        for publication in mine.order_by("review_by", "pk").only("title", "slug", "review_by")[:TOP]
    )
    return Section("Yours to verify", lines, mine.count())


def _notices(user: User, since: datetime | None) -> Section:
    unread = Notice.objects.filter(user=user, read_at=None)
    if since:
        unread = unread.filter(at__gt=since)
    lines = tuple(
        Line(notice.sentence, _form(notice.post_id) if notice.post_id else "") for notice in unread[:TOP]
    )
    return Section("Notices", lines, unread.count())


def _form(pk: int) -> str:
    return reverse("admin:kb_post_change", args=[pk])


def _last(user: User) -> datetime | None:
    return Digest.objects.filter(user=user).values_list("at", flat=True).first()


def _day(at: datetime) -> Any:
    return timezone.localtime(at).date()


def _age(since: datetime, at: datetime) -> str:
    days = (at - since).days
    if days < 1:
        return "less than a day"
    return "1 day" if days == 1 else f"{days:,} days"
