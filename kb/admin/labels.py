"""Turn states, flags and moments into the small labels that every admin page shows alike."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from kb.choices import Severity, State
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
    """Both labels of a post: what readers have, and what is going on."""
    publication = publication_of(post)
    readers = (
        label(f"Published v{publication.version}", "published") if publication else label("Not published")
    )
    return format_html("{} {}", readers, label(post.get_state_display(), KIND_OF_STATE[State(post.state)]))


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
    """A moment as "3 days ago", with the full time for machines and on hover."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    past = "just now" if timezone.now() - at < timedelta(minutes=1) else f"{timesince(at, depth=1)} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        date_format(local, "j F Y, H:i:s T"),
        past,
    )
