"""Turn records into the first page's numbers: how review goes, how fresh is what readers have, what came in.

Each panel is one query over an index or a bounded window, and none of them reads a text, so that all of them
together take a fraction of a second at 100,000 posts. Nothing is cached: what a reviewer just did is in it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from kb.admin import charts, labels, reasons
from kb.choices import Verdict
from kb.models import ImportRun, Publication, QueueItem

DAYS = 90
WEEKS = 13
SOON = timedelta(days=14)
NEWEST = 1_000  # decisions that the generators are counted from
GENERATORS = 8
RUNS = 5
LIKELY_RUNNING = timedelta(hours=1)
HOUR, DAY = 3_600, 86_400  # seconds
FAR = datetime(9999, 1, 1, tzinfo=UTC)
DECIDED = (Verdict.APPROVE.value, Verdict.REQUEST_CHANGES.value, Verdict.WITHDRAW.value)


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart with its sentence, and the table behind it; without rows only `empty` is said."""

    name: str
    title: str
    said: str
    chart: SafeString | str
    head: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    empty: str = ""
    link: tuple[str, str] | None = None  # address, words


def whole(request: HttpRequest) -> dict[str, Any] | None:
    """Everything that the first page shows; None for those who may not see posts."""
    if not request.user.has_perm("kb.view_post"):
        return None
    now = timezone.now()
    links = [("admin:kb_audit", "Who did what"), ("admin:kb_rights", "Who can do what")]
    links.append(("admin:kb_signoff", "Sign-off list"))
    return {
        "panels": [backlog(now), time_to_decision(now), flags(), freshness(now), generators(now)],
        "imports": imports(now),
        "links": [(reverse(name), words) for name, words in links]
        if request.user.has_perm("kb.audit_post")
        else [],
    }


# --- Review backlog ---


def backlog(now: datetime) -> Panel:
    """How many posts waited at the end of each of the last 90 days; of today, how many wait now."""
    days = [_midnight(now) - timedelta(days=back) for back in reversed(range(DAYS))]
    came, left = _came_and_left(days)
    waiting = [QueueItem.objects.open().count()]
    # Backwards from what is known: a day began with what it ended with, less what came, plus what left.
    for number in range(DAYS - 1, 0, -1):
        waiting.append(waiting[-1] - came[number] + left[number])
    waiting.reverse()
    line = charts.Line("first", waiting, f"{waiting[-1]:,} now")
    change = waiting[-1] - waiting[-31]
    said = (
        f"{waiting[-1]:,} {_posts(waiting[-1])}, "
        + (f"{abs(change):,} {'more' if change > 0 else 'fewer'} than" if change else "as many as")
        + " 30 days ago."
    )
    return Panel(
        "backlog",
        "Review backlog",
        said,
        charts.lines(
            "backlog",
            [line],
            title="Posts that waited for a reviewer, by day",
            desc=f"{said} At most {max(waiting):,} in the last {DAYS} days.",
            first=_day(days[0]),
            last="today",
        ),
        ("Day", "Came in", "Left", "Waiting at its end"),
        [
            (f"{_day(day)}{', so far' if day == days[-1] else ''}", *numbers)
            for day, *numbers in zip(days, came, left, waiting, strict=True)
        ][::-1],
        ""
        if any(came + left + waiting)
        else "Nothing waited for a reviewer in the last 90 days. Posts come "
        "here when somebody asks for a review, or when a flag does.",
    )


def _posts(number: int) -> str:
    return "post waits" if number == 1 else "posts wait"


def _came_and_left(days: list[datetime]) -> tuple[list[int], list[int]]:
    """How many posts came to wait, and how many stopped, on each of these days."""
    with connection.cursor() as cursor:
        # A count over an index for each day: a quarter of the time of one count that groups by day.
        cursor.execute(
            "SELECT (SELECT count(*) FROM kb_queueitem WHERE since >= first AND since < next),"
            " (SELECT count(*) FROM kb_queueitem WHERE left_at >= first AND left_at < next)"
            " FROM unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY AS day(first, next, number)"
            " ORDER BY number",
            [days, [*days[1:], FAR]],
        )
        came, left = zip(*cursor.fetchall(), strict=True)
    return list(came), list(left)


# --- Time to decision ---


def time_to_decision(now: datetime) -> Panel:
    """How long posts waited that a reviewer decided on, by the week of the decision."""
    monday = _midnight(now) - timedelta(days=timezone.localtime(now).weekday())
    weeks = [monday - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT found.* FROM unnest(%s::timestamptz[], %s::timestamptz[])"
            " WITH ORDINALITY AS week(first, next, number), LATERAL ("
            "   SELECT count(*), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP"
            "          (ORDER BY extract(epoch FROM left_at - since))"
            "     FROM kb_queueitem WHERE left_at >= first AND left_at < next AND outcome = ANY(%s)"
            " ) found ORDER BY number",
            [weeks, [*weeks[1:], FAR], list(DECIDED)],
        )
        numbers = [(count, *(seconds or (None, None))) for count, seconds in cursor.fetchall()]
    halves, most = [half for _, half, _ in numbers], [nine for _, _, nine in numbers]
    decided = [(half, nine) for half, nine in zip(halves, most, strict=True) if half is not None]
    unit, seconds = ("d", DAY) if any(nine > 2 * DAY for _, nine in decided) else ("h", HOUR)
    last = decided[-1] if decided else (0, 0)
    said = (
        f"In the last week with decisions, half were made within {_long(last[0])}, nine in ten within "
        f"{_long(last[1])}."
        if decided
        else ""
    )
    return Panel(
        "decision",
        "Time to decision",
        said,
        charts.lines(
            "decision",
            [
                charts.Line("second", _scaled(most, seconds), f"90 %: {_long(last[1])}"),
                charts.Line("first", _scaled(halves, seconds), f"half: {_long(last[0])}"),
            ],
            title="Time from waiting to a decision, by week",
            desc=f"Median and ninetieth percentile in {'days' if unit == 'd' else 'hours'}. {said}",
            first=_day(weeks[0]),
            last="this week",
            unit=f" {unit}",
        ),
        ("Week of", "Decisions", "Half within", "Nine in ten within"),
        [
            (_day(week), count, _long(half), _long(nine))
            for week, (count, half, nine) in zip(weeks, numbers, strict=True)
        ][::-1],
        ""
        if decided
        else "No decisions in the last 13 weeks. With the first one this shows how long posts waited for it.",
    )


def _scaled(values: list[float | None], unit: int) -> list[float | None]:
    return [None if value is None else value / unit for value in values]


def _long(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{charts.number(seconds / HOUR)} h" if seconds < 2 * DAY else f"{charts.number(seconds / DAY)} d"


# --- Flags ---


def flags() -> Panel:
    """Open flags of what waits, by kind, as the queue keeps them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT code, sum(posts)::int"
            " FROM (SELECT codes, count(*) AS posts FROM kb_queueitem WHERE left_at IS NULL GROUP BY 1) same,"
            " unnest(codes) AS code GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        found = cursor.fetchall()
    shown = [
        charts.Bar(reasons.name(code), [("first", count)], f"{count:,}") for code, count in found[:GENERATORS]
    ]
    total = sum(count for _, count in found)
    said = f"{total:,} open {'flag' if total == 1 else 'flags'} on what waits." if found else ""
    return Panel(
        "flags",
        "Open flags by kind",
        said,
        charts.bars("flags", shown, title="Open flags by kind", desc=said),
        ("Kind", "Posts that wait"),
        [(reasons.name(code), count) for code, count in found],
        "" if found else "No open flags on anything that waits. Rules and reviewers raise them.",
        (f"{reverse('admin:kb_flag_changelist')}?closed_at__isempty=1", "All open flags"),
    )


# --- Freshness ---


def freshness(now: datetime) -> Panel:
    """How many publications are fresh, due within two weeks, overdue, or without a date."""
    found = Publication.objects.aggregate(
        fresh=Count(Value(1), filter=Q(review_by__gt=now + SOON)),
        soon=Count(Value(1), filter=Q(review_by__gt=now, review_by__lte=now + SOON)),
        overdue=Count(Value(1), filter=Q(review_by__lte=now)),
        unknown=Count(Value(1), filter=Q(review_by=None)),
    )
    named = [
        ("Fresh", "first", found["fresh"]),
        ("Due within 14 days", "soon", found["soon"]),
        ("Overdue", "overdue", found["overdue"]),
        ("Not yet known", "quiet", found["unknown"]),
    ]
    total = sum(found.values())
    shown = [
        charts.Bar(name, [(kind, count)], f"{count:,} · {_share(count, total)}")
        for name, kind, count in named
    ]
    said = f"{found['overdue']:,} of {total:,} published posts are overdue for verification." if total else ""
    return Panel(
        "freshness",
        "Freshness of what is published",
        said,
        charts.bars(
            "freshness", shown, title="Published posts by when somebody has to verify them", desc=said
        ),
        ("State", "Posts", "Share"),
        [(name, count, _share(count, total)) for name, _, count in named],
        "" if total else "Nothing is published yet. What a reviewer approves appears here.",
    )


def _share(count: int, total: int) -> str:
    share = 100 * count / (total or 1)
    return "under 1 %" if 0 < share < 1 else f"{share:.0f} %"


# --- Generators ---


def generators(now: datetime) -> Panel:
    """Approvals and returns of the last 90 days by what the post's payload names as its generator.

    From the newest decisions alone, and from the working draft: reading the frozen text of each would cost a
    hundred times as much, and generators rarely change.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(nullif(left(p.payload->>'generator', 60), ''), ''),"
            " count(*) FILTER (WHERE d.verdict = 'approve'), count(*) FILTER (WHERE d.verdict <> 'approve')"
            " FROM (SELECT revision_id, verdict FROM kb_decision WHERE at >= %s"
            "        AND verdict IN ('approve', 'request_changes') ORDER BY at DESC, id DESC LIMIT %s) d"
            " JOIN kb_revision r ON r.id = d.revision_id JOIN kb_post p ON p.id = r.post_id"
            " GROUP BY 1 ORDER BY count(*) DESC, 1",
            [now - timedelta(days=DAYS), NEWEST],
        )
        found = [(name or "Written by people", *counts) for name, *counts in cursor.fetchall()]
    shown = [
        charts.Bar(
            name,
            [("first", approved), ("returned", returned)],
            f"{approved:,} approved · {returned:,} returned",
        )
        for name, approved, returned in found[:GENERATORS]
    ]
    decided = sum(approved + returned for _, approved, returned in found)
    newest = "The newest " if decided >= NEWEST else ""
    said = f"{newest}{decided:,} decisions of the last {DAYS} days." if found else ""
    return Panel(
        "generators",
        "Approvals and returns by generator",
        said,
        charts.bars("generators", shown, title="Approvals and returns by generator", desc=said),
        ("Generator", "Approved", "Returned", "Returned, share"),
        [
            (name, approved, returned, _share(returned, approved + returned))
            for name, approved, returned in found
        ],
        ""
        if found
        else "No decisions in the last 90 days. Each approval and each return counts for what the "
        "post names as its generator.",
    )


# --- Imports ---


def imports(now: datetime) -> list[dict[str, Any]]:
    """The newest imports, with how they stand."""
    return [
        {
            "run": run,
            "address": reverse("admin:kb_importrun_change", args=[run.pk]),
            "started": labels.when(run.started_at),
            "state": _standing(run, now),
            "counts": ", ".join(f"{count:,} {outcome}" for outcome, count in run.counts.items() if count),
        }
        for run in ImportRun.objects.select_related("by").only(
            "started_at", "finished_at", "counts", "by__username"
        )[:RUNS]
    ]


def _standing(run: ImportRun, now: datetime) -> SafeString:
    if run.finished_at:
        return labels.label("Finished", "ok")
    if now - run.started_at < LIKELY_RUNNING:
        return labels.label("Running", "waiting")
    return labels.label("Broken off, or still running", "changes")


# --- Days ---


def _midnight(now: datetime) -> datetime:
    local = timezone.localtime(now)
    return timezone.make_aware(datetime.combine(local.date(), time.min))


def _day(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %Y}"
