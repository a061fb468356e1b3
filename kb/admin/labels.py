"""Turn states, flags and moments into the small labels that every admin page shows alike."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from kb.choices import Severity, State, Truth, Verdict
from kb.flow import verifying
from kb.models import Decision, Flag, Post, Publication, Schedule

KIND_OF_STATE = {
    State.DRAFT: "draft",
    State.WAITING: "waiting",
    State.CHANGES_REQUESTED: "changes",
    State.SETTLED: "ok",
}
WORDS_OF_SEVERITY = {
    Severity.BLOCKING: "{} blocking",
    Severity.ASKS: "{} for review",
    Severity.ADVISORY: "{} advisory",
}


def label(text: str, kind: str = "") -> SafeString:
    if kind:
        return format_html('<span class="kb-label kb-label--{}">{}</span>', kind, text)
    return format_html('<span class="kb-label">{}</span>', text)


def publication_of(post: Post) -> Publication | None:
    return getattr(post, "publication", None)


def with_standing(posts: QuerySet[Post]) -> QuerySet[Post]:
    """Fetch along what `states` says beyond the post's own columns."""
    withdrawn = Decision.objects.filter(verdict=Verdict.WITHDRAW, revision__post=OuterRef("pk"))
    pending = Schedule.objects.filter(outcome=Schedule.PENDING, decision__revision=OuterRef("head"))
    return posts.annotate(
        was_withdrawn=Exists(withdrawn), publishes_at=Subquery(pending.values("publish_at")[:1])
    )


def states(post: Post) -> SafeString:
    """The labels of a post: what readers have, whether it is due for verification, and what is going on."""
    publishes_at, was_withdrawn = _standing(post)
    found = _of_readers(post, was_withdrawn=was_withdrawn)
    if publishes_at:
        found.append(label(f"Approved, publishes {moment(publishes_at)}", "ok"))
    elif not (was_withdrawn and publication_of(post) is None and post.state == State.DRAFT):
        found.append(label(post.get_state_display(), KIND_OF_STATE[State(post.state)]))
    return format_html_join(" ", "{}", ((one,) for one in found))


def _of_readers(post: Post, *, was_withdrawn: bool) -> list[SafeString]:
    publication = publication_of(post)
    if publication is None and _is_withheld(post):
        return [label("Withheld", "blocking")]
    if publication is None:
        return [label("Withdrawn", "withdrawn") if was_withdrawn else label("Not published")]
    due = truth(publication.review_by, timezone.now()) if publication.review_by else ""
    return [label(f"Published v{publication.version}", "published"), *([due] if due else [])]


def _standing(post: Post) -> tuple[datetime | None, bool]:
    """When what was approved is due, and whether the post was withdrawn once; asked for if not fetched."""
    found: Any = post
    if not hasattr(found, "was_withdrawn"):
        found = with_standing(Post.objects.filter(pk=post.pk)).only("pk").get()
    return found.publishes_at, found.was_withdrawn


def _is_withheld(post: Post) -> bool:
    """Whether readers lost it; asked only where the caller fetched it along, for lists show many posts."""
    fetched = type(post).oversight.is_cached(post)
    return bool(fetched and getattr(post, "oversight", None) and post.oversight.withheld_at)


def truth(review_by: datetime, at: datetime) -> SafeString | str:
    """A label for what is due or overdue; nothing for what is fresh."""
    found = verifying.truth(review_by, at)
    kind = {Truth.DUE: "advisory", Truth.OVERDUE: "blocking"}.get(found)
    return label(found.label, kind) if kind else ""


def day(at: datetime) -> SafeString:
    """A moment to come, as its day."""
    local = timezone.localtime(at)
    words = date_format(local, "j F Y")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        date_format(local, "j F Y, H:i:s T"),
        words,
    )


def flags(found: list[Flag]) -> SafeString:
    """How many flags of each severity, the gravest first."""
    numbers = {severity: sum(flag.severity == severity for flag in found) for severity in WORDS_OF_SEVERITY}
    return format_html_join(
        " ",
        "{}",
        (
            (label(WORDS_OF_SEVERITY[severity].format(number), severity),)
            for severity, number in numbers.items()
            if number
        ),
    )


def when(at: datetime | None) -> SafeString | str:
    """A moment as "3 days ago" or "in 3 days", with the full time for machines and on hover."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        date_format(local, "j F Y, H:i:s T"),
        _words(at),
    )


def _words(at: datetime) -> str:
    away = timezone.now() - at
    if abs(away) < timedelta(minutes=1):
        return "just now"
    return f"{timesince(at, depth=1)} ago" if away > timedelta(0) else f"in {timeuntil(at, depth=1)}"


def moment(at: datetime) -> str:
    """A moment as a short date and time in the site's time zone, named."""
    return date_format(timezone.localtime(at), "j M Y, H:i T")


def minutes(since: datetime, now: datetime) -> str:
    """How long ago, in whole minutes."""
    number = max(1, int((now - since).total_seconds() // 60))
    return f"{number} minute{'' if number == 1 else 's'}"
