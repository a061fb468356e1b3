"""Turn states, flags and moments into the small labels that every admin page shows alike."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from kb.choices import Severity, State, Truth
from kb.flow import verifying
from kb.models import Flag, Post, Publication

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


def states(post: Post) -> SafeString:
    """The labels of a post: what readers have, whether it is due for verification, and what is going on."""
    found = [*_of_readers(post), label(post.get_state_display(), KIND_OF_STATE[State(post.state)])]
    return format_html_join(" ", "{}", ((one,) for one in found))


def _of_readers(post: Post) -> list[SafeString]:
    publication = publication_of(post)
    if publication is None:
        return [label("Withheld", "blocking") if _is_withheld(post) else label("Not published")]
    due = truth(publication.review_by, timezone.now()) if publication.review_by else ""
    return [label(f"Published v{publication.version}", "published"), *([due] if due else [])]


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
