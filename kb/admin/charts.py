"""Turn numbers into SVG that needs no script, no style attribute and no legend.

Marks are placed in percent, so that a chart is as wide as its place while its words keep their size. Every
scale begins at zero. Colours come from classes in charts.css, which knows both schemes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

TOP, BOTTOM, HEIGHT = 20, 140, 164  # pixels: the highest line, the zero line, the whole
PLOT = 76  # percent of the width; the rest is for the words at a line's end
BAR = 34  # pixels for a bar and its words


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a number for each moment, None where there is none, and the words at its end."""

    kind: str  # first, second: the class that colours it
    values: Sequence[float | None]
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: its parts as (kind, number), and the words that say them."""

    name: str
    parts: Sequence[tuple[str, int]]
    words: str


def lines(
    name: str, found: Sequence[Line], *, title: str, desc: str, first: str, last: str, unit: str = ""
) -> SafeString:
    """Lines over time from `first` to `last`; the one line alone has its area filled."""
    top = ceiling(max((value for line in found for value in line.values if value is not None), default=0))
    marks = format_html_join("", "{}", ((_line(line, top, filled=len(found) == 1),) for line in found))
    return format_html(
        '<svg class="kb-chart" role="img" aria-labelledby="{0}-title {0}-desc" width="100%" height="{1}">'
        '<title id="{0}-title">{2}</title><desc id="{0}-desc">{3}</desc>{4}{5}{6}'
        '<text class="kb-chart-note" x="0" y="{7}">{8}</text>'
        '<text class="kb-chart-note" x="{9}%" y="{7}" text-anchor="end">{10}</text></svg>',
        *(name, HEIGHT, title, desc, marks, _grid(top, unit), _ends(found, top)),
        *(HEIGHT - 6, first, PLOT, last),
    )


def bars(name: str, found: Sequence[Bar], *, title: str, desc: str) -> SafeString:
    """Bars beneath their words, the parts of one bar behind each other."""
    most = max((sum(number for _, number in bar.parts) for bar in found), default=0) or 1
    rows = format_html_join("", "{}", ((_bar(bar, position, most),) for position, bar in enumerate(found)))
    return format_html(
        '<svg class="kb-chart" role="img" aria-labelledby="{0}-title {0}-desc" width="100%" height="{1}">'
        '<title id="{0}-title">{2}</title><desc id="{0}-desc">{3}</desc>{4}</svg>',
        *(name, BAR * len(found), title, desc, rows),
    )


def ceiling(value: float) -> float:
    """The least of 1, 2, 4, 5 and 10 times a power of ten that is not below the value; 1 for nothing."""
    if value <= 0:
        return 1
    power = 10.0 ** ceil(log10(value) - 1)
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * 0.999_999)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _y(value: float, top: float) -> float:
    """Pixels from above."""
    return round(BOTTOM - (BOTTOM - TOP) * value / top, 1)


def _grid(top: float, unit: str) -> SafeString:
    rows = [(_y(value, top), "kb-chart-grid", value) for value in (top, top / 2)]
    drawn = format_html_join(
        "",
        '<line class="{1}" x1="0" x2="' + str(PLOT) + '%" y1="{0}" y2="{0}"/>'
        '<text class="kb-chart-note" x="0" y="{3}">{2}</text>',
        ((y, kind, f"{number(value)}{unit}", y - 4) for y, kind, value in rows),
    )
    return format_html(
        '{}<line class="kb-chart-base" x1="0" x2="{}%" y1="{}" y2="{}"/>', drawn, PLOT, BOTTOM, BOTTOM
    )


def _line(line: Line, top: float, *, filled: bool) -> SafeString:
    """In a frame of its own that is stretched to the plot; strokes keep their width."""
    last = max(len(line.values) - 1, 1)
    points = [
        (round(100 * place / last, 2), _y(value, top) - TOP)
        for place, value in enumerate(line.values)
        if value is not None
    ]
    if not points:
        return mark_safe("")
    height = BOTTOM - TOP
    path = " ".join(f"{x},{y:.1f}" for x, y in points)
    area = f"{points[0][0]},{height} {path} {points[-1][0]},{height}"
    return format_html(
        '<svg x="0" y="{}" width="{}%" height="{}" viewBox="0 0 100 {}" preserveAspectRatio="none">{}'
        '<polyline class="kb-chart-line kb-chart-line--{}" points="{}" vector-effect="non-scaling-stroke"/>'
        "</svg>",
        *(TOP, PLOT, height, height),
        format_html('<polygon class="kb-chart-area" points="{}"/>', area) if filled else "",
        *(line.kind, path),
    )


def _ends(found: Sequence[Line], top: float) -> SafeString:
    """A dot and words at the end of each line; words that would touch keep a line's height apart."""
    ends = []
    for line in found:
        here = [(place, value) for place, value in enumerate(line.values) if value is not None]
        if here:
            place, value = here[-1]
            across = PLOT * place / max(len(line.values) - 1, 1)
            ends.append((_y(value, top), across, line))
    ends.sort(key=lambda end: end[0])
    drawn, free = [], 0.0
    for y, across, line in ends:
        at = max(y + 4, free)
        free = at + 16
        drawn.append((round(across, 2), y, line.kind, PLOT + 2, at, line.words))
    return format_html_join(
        "",
        '<circle class="kb-chart-dot kb-chart-dot--{2}" cx="{0}%" cy="{1}" r="3"/>'
        '<text class="kb-chart-word kb-chart-word--{2}" x="{3}%" y="{4}">{5}</text>',
        drawn,
    )


def _bar(bar: Bar, position: int, most: int) -> SafeString:
    y = BAR * position
    start, parts = 0.0, []
    for kind, count in bar.parts:
        width = round(100 * count / most, 2)
        parts.append((kind, start, y + 20, width))
        start += width
    drawn = format_html_join(
        "", '<rect class="kb-chart-bar kb-chart-bar--{}" x="{}%" y="{}" width="{}%" height="8"/>', parts
    )
    return format_html(
        '<text class="kb-chart-name" x="0" y="{0}">{1}</text>'
        '<text class="kb-chart-word" x="100%" y="{0}" text-anchor="end">{2}</text>'
        '<rect class="kb-chart-track" x="0" y="{3}" width="100%" height="8"/>{4}',
        *(y + 14, bar.name, bar.words, y + 20, drawn),
    )
