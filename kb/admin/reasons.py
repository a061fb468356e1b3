"""Turn an item of the queue into the words that say why it stands where it does, the gravest first."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.timesince import timesince

from kb.admin import labels
from kb.choices import Origin
from kb.models import Post, QueueItem

# Codes of flags as labels of a row, and how grave each looks.
GRAVE = {
    "credential": ("Credential", "blocking"),
    "removed_markup": ("Unsafe markup", "blocking"),
    "import_conflict": ("Import conflict", "blocking"),
    "reader_report": ("Reader report", "advisory"),
    "verification_overdue": ("Verification overdue", "advisory"),
    "by_hand": ("Flagged by a person", "asks"),
    "needs_human_review": ("Source asks for review", "asks"),
    "ai_generated": ("Drafted by a machine", "asks"),
    "review_requested": ("Review asked for", "asks"),
}
SLIGHT = {"missing_owner": "no owner", "missing_rollback": "no rollback note", "image_heavy": "image heavy"}
# Said in other words: the score itself.
SAID = {"low_score"}
MANY_VIEWS = 9  # from here on they count as harm: see kb.flow.queueing
SCORES = ("quality", "freshness", "depth", "clarity")


def grave(item: QueueItem) -> list[Any]:
    """What weighs: labels for what blocks, what asks, who reads it, what scores low."""
    shown = [labels.label(text, kind) for code, (text, kind) in GRAVE.items() if code in item.codes]
    if item.blocking:
        shown.insert(0, labels.label(_blocking(item.blocking), "blocking"))
    if item.readers >= MANY_VIEWS:
        shown.append(labels.label(f"{item.readers:,} views"))
    score = _lowest(item.post)
    if score and score[1] < settings.KB_SCORE_THRESHOLD:
        shown.append(labels.label(f"{score[0].capitalize()} {score[1]}", "advisory"))
    return shown


def name(code: str) -> str:
    """What a flag of this code is called: the same in the queue and in what is counted."""
    return GRAVE[code][0] if code in GRAVE else SLIGHT.get(code, code.replace("_", " ")).capitalize()


def _blocking(count: int) -> str:
    return f"{count} blocking flag{'s' if count > 1 else ''}"


def slight(item: QueueItem, at: datetime) -> str:
    """What else to know: how long it waits, where it came from, what is missing."""
    words = [waiting(item.since, at), *_origin(item)]
    rest = [code for code in item.codes if code not in GRAVE and code not in SAID]
    words += [SLIGHT.get(code, code.replace("_", " ")) for code in rest]
    return " · ".join(words)


def waiting(since: datetime, at: datetime) -> str:
    return f"Waiting {timesince(since, at, depth=1)}"


def _origin(item: QueueItem) -> list[str]:
    words = []
    if item.post.head and item.post.head.origin in {Origin.IMPORT, Origin.ASIDE}:
        words.append("imported")
    if item.generator:
        words.append(f"by {item.generator}"[:120])
    return words


def harm(item: QueueItem, at: datetime) -> dict[str, Any]:
    """What the queue is ordered by: points, and days of waiting."""
    days = max(0, (at - item.since).days)
    return {"sum": item.points + days, "points": item.points, "days": days}


def _lowest(post: Post) -> tuple[str, int] | None:
    scores = [(name, score) for name in SCORES if (score := getattr(post, name)) is not None]
    return min(scores, key=lambda pair: pair[1], default=None)
