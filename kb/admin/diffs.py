"""Turn a diff into HTML: one renderer for every page on which people compare.

Built in Python, not in a template: a text of 200 kB has thousands of pieces. Everything that comes from a
Document passes through `_text`, which escapes it and makes visible what hides.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from kb.article import article
from kb.diff import (
    LABELS,
    Block,
    Diff,
    Item,
    ListChange,
    TextChange,
    ValueChange,
    Word,
    diff,
    item_words,
    printed,
)
from kb.document import Document
from kb.errors import InvalidDocument
from kb.render import render

VIEWS = {"unified": "Unified", "split": "Side by side", "rendered": "As readers see it"}
AROUND = 3  # kept lines shown on either side of a change
MOST_FOLDED = 300_000  # characters of kept text that a page carries to be unfolded


@dataclass(frozen=True, slots=True)
class Highlight:
    """A passage of the newer side to be marked: its field, its words, and the id that a link leads to."""

    field: str
    excerpt: str
    css_id: str
    label: str


@dataclass(frozen=True, slots=True)
class ShownPart:
    name: str
    slug: str
    fields: list[str]  # paths of what changed
    html: SafeString


@dataclass(frozen=True, slots=True)
class Shown:
    """What templates/admin/kb/diff.html shows. `placed` are the ids of highlights that found their place."""

    parts: list[ShownPart]
    view: str
    placed: frozenset[str]
    prefix: str = ""  # of the ids, where a page has two

    @property
    def changed(self) -> bool:
        return any(part.fields for part in self.parts)

    @property
    def fields(self) -> list[str]:
        """The paths of all that changed."""
        return [name for part in self.parts for name in part.fields]

    @property
    def views(self) -> list[tuple[str, str]]:
        return list(VIEWS.items())


@dataclass(frozen=True, slots=True)
class Field:
    field: str
    label: str
    after: str


def shown(
    before: Document | None,
    after: Document,
    *,
    view: str = "unified",
    highlights: Iterable[Highlight] = (),
    prefix: str = "",
) -> Shown:
    """What changed from one to the other, as HTML, part by part; unknown views read as unified."""
    view = view if view in VIEWS else "unified"
    page = _Page(before, after, view, list(highlights), prefix)
    parts = page.parts(diff(before, after))
    return Shown(parts, view, frozenset(page.placed), prefix)


def all_fields(document: Document) -> list[Field]:
    """All that a Document holds, field by field, as text."""
    plain = document.plain()
    lines = {name: "\n".join(printed(name, plain[name])) for name in LABELS}
    return [Field(name, LABELS[name], text) for name, text in lines.items() if text]


# --- Text ---

# Spaces from their first one on, and without a way back: a long run of them is read once.
_HIDDEN = re.compile(
    "[\t\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\x00-\x08\x0b-\x1f\x7f-\x9f]|(?<! ) ++(?=\n)"
)
_TAG = re.compile(r"(<[^>]*>)")


def _text(text: str) -> str:
    """Escaped, with a mark for what hides: spaces at the end of a line, tabs, invisible signs."""
    return _HIDDEN.sub(_marked, escape(text)) if _HIDDEN.search(text) else str(escape(text))


def _marked(found: re.Match[str]) -> str:
    signs = found.group()
    if signs[0] == " ":
        name, shows = f"{len(signs)} at the end of the line", "·" * len(signs)
        return f'<span class="kb-mark" title="space, {name}">{shows}</span>'
    if signs == "\t":
        return '<span class="kb-mark" title="tab">→</span>\t'
    name = unicodedata.name(signs, f"U+{ord(signs):04X}").lower()
    return f'<span class="kb-mark" title="{name}">U+{ord(signs):04X}</span>'


def _span(tag: str, text: str, *, ends_line: bool = False) -> str:
    if not text:
        return ""
    shows = _text(f"{text}\n").removesuffix("\n") if ends_line else _text(text)
    return f"<{tag}>{shows}</{tag}>"


@dataclass
class _Page:
    """One comparison on its way to HTML."""

    before: Document | None
    after: Document
    view: str
    pending: list[Highlight]
    prefix: str = ""
    placed: set[str] = field(default_factory=set)
    changes: int = 0
    folded: int = 0

    def parts(self, found: Diff) -> list[ShownPart]:
        return [
            ShownPart(
                part.name,
                part.name.lower(),
                [".".join(change.path) for change in part.changes],
                mark_safe("".join(map(self._change, part.changes))),  # noqa: S308  (escaped piece by piece)
            )
            for part in found.parts
        ]

    def _change(self, change: Any) -> str:
        match change:
            case TextChange():
                body = self._long(change)
            case ListChange():
                body = self._list(change)
            case _:
                body = self._value(change)
        name = escape(".".join(change.path))
        return f'<div class="kb-change" data-field="{name}"><h4>{escape(change.label)}</h4>{body}</div>'

    def _next(self) -> str:
        """The attributes by which keys and links find the next change."""
        self.changes += 1
        return f' id="{self.prefix}change-{self.changes}" data-change tabindex="-1"'

    # --- Values ---

    def _value(self, change: ValueChange) -> str:
        if change.words:
            gone, come = _sides(change.words)
        else:
            gone, come = _span("del", change.before_words), _span("ins", change.after_words)
        come = self._lit(change.path[0], come)
        pieces = [
            f'<span class="kb-gone">{gone}</span>' if change.before_words else "",
            f'<span class="kb-come">{come}</span>' if change.after_words else "",
        ]
        arrow = ' <span class="kb-arrow" aria-hidden="true">→</span> '
        delta = ""
        if change.delta is not None:
            signed = f"{change.delta:+}".replace("-", "−")
            delta = f' <strong class="kb-delta">{signed}</strong>'
        nothing = '<span class="kb-muted">nothing</span>'
        sides = arrow.join(piece or nothing for piece in pieces)
        return f"<p{self._next()}>{sides}{delta}</p>"

    # --- Lists ---

    def _list(self, change: ListChange) -> str:
        name = change.path[0]
        return self._items(name, change.items, ordered=change.ordered)

    def _items(self, name: str, items: Sequence[Item], *, ordered: bool) -> str:
        rows = []
        kept = [item for item in items if item.fate == "kept"]
        for item in items:
            if item.fate != "kept":
                rows.append(
                    f'<li class="kb-{item.fate}"{self._next()}>{self._item(name, item, ordered)}</li>'
                )
            elif len(kept) <= 2 * AROUND:
                text = self._lit(name, _text(item_words(name, item.after)))
                rows.append(f'<li class="kb-kept">{text}</li>')
        if len(kept) > 2 * AROUND:
            rows.append(f'<li class="kb-fold">… {len(kept)} unchanged</li>')
        return f'<ul class="kb-items">{"".join(rows)}</ul>'

    def _item(self, name: str, item: Item, ordered: bool) -> str:
        match item.fate:
            case "added":
                return "+ " + self._lit(name, _span("ins", item_words(name, item.after)))
            case "removed":
                return "− " + _span("del", item_words(name, item.before))
            case "moved":
                place = f" from {(item.before_at or 0) + 1} to {(item.after_at or 0) + 1}" if ordered else ""
                text = self._lit(name, _text(item_words(name, item.after)))
                return f'{text} <span class="kb-muted">moved{place}</span>'
        if item.inner is not None:
            return self._nested(name, item)
        word = "renamed" if item.fate == "renamed" else "reworded"
        gone, come = _span("del", item_words(name, item.before)), _span("ins", item_words(name, item.after))
        if item.words and name not in {"entities", "images"}:
            gone, come = _sides(item.words)
        come = self._lit(name, come)
        arrow = '<span class="kb-arrow" aria-hidden="true">→</span>'
        return f'{gone} {arrow} {come} <span class="kb-muted">{word}</span>'

    def _nested(self, name: str, item: Item) -> str:
        titles = [side["title"] or "(no title)" for side in (item.before, item.after)]
        title = _text(titles[1])
        if titles[0] != titles[1]:
            title = f"{_span('del', titles[0])} → {_span('ins', titles[1])}"
        return f"<strong>{title}</strong>{self._items('', item.inner or (), ordered=True)}"

    # --- Long texts ---

    def _long(self, change: TextChange) -> str:
        name = change.path[0]
        old = getattr(self.before, name, "").split("\n") if self.before else []
        if self.view == "rendered" and name == "body":
            return self._rendered()
        note = ""
        if change.coarse:
            note = '<p class="kb-note">Too long to compare in detail: all old lines, then all new ones.</p>'
        rows = "".join(self._rows(name, change.blocks, old))
        kind = "split" if self.view == "split" else "unified"
        return f'{note}<table class="kb-lines kb-lines--{kind}">{_HEADS[kind]}<tbody>{rows}</tbody></table>'

    def _rendered(self) -> str:
        sides = ((self.before, "Before", "before-"), (self.after, "Now", "now-"))
        columns = (
            f'<div class="kb-rendered"><h5>{title}</h5>'
            f'<div class="kb-preview">{_compiled(side, prefix) if side else ""}</div></div>'
            for side, title, prefix in sides
        )
        return f'<div class="kb-sides"{self._next()}>{"".join(columns)}</div>'

    def _rows(self, name: str, blocks: Sequence[Block], old: list[str]) -> Iterator[str]:
        ends = {
            (block.move, block.kind): (block.before_at if block.kind == "moved_away" else block.after_at) + 1
            for block in blocks
            if block.move
        }
        for place, block in enumerate(blocks):
            if block.kind == "kept":
                lines = old[block.before_at : block.before_at + block.count]
                yield from self._kept(name, block, lines, first=place == 0, last=place == len(blocks) - 1)
                continue
            gone, come = _sides(block.words) if block.words else _whole(block)
            come = self._lit(name, come, "\n".join(block.added))
            yield self._row(block, gone, come, _moved(block, ends))

    def _row(self, block: Block, gone: str, come: str, note: str) -> str:
        before = _numbers(block.before_at, len(block.removed))
        after = _numbers(block.after_at, len(block.added))
        go = f'<td class="kb-n">{before}</td><td class="kb-side kb-gone">{note if gone else ""}{gone}</td>'
        co = f'<td class="kb-n">{after}</td><td class="kb-side kb-come">{note if come else ""}{come}</td>'
        blank = '<td class="kb-n"></td>'
        if self.view == "split":
            return f"<tr{self._next()}>{go}{co}</tr>"
        rows = []
        if gone:
            rows.append(go.replace("</td>", f"</td>{blank}", 1))
        if come:
            rows.append(blank + co)
        first, *rest = rows
        return f"<tr{self._next()}>{first}</tr>" + "".join(f"<tr>{row}</tr>" for row in rest)

    def _kept(self, name: str, block: Block, lines: list[str], *, first: bool, last: bool) -> Iterator[str]:
        head = [] if first else lines[:AROUND]
        tail = [] if last else lines[max(len(head), len(lines) - AROUND) :]
        middle = lines[len(head) : len(lines) - len(tail)]
        at = 0
        for stretch, fold in ((head, False), (middle, len(middle) > 1), (tail, False)):
            if stretch:
                yield self._stretch(name, block.before_at + at, block.after_at + at, stretch, fold=fold)
            at += len(stretch)

    def _stretch(self, name: str, before_at: int, after_at: int, lines: list[str], *, fold: bool) -> str:
        text = "\n".join(lines)
        body, here = self._lit_kept(name, text)
        if fold:
            body = self._fold(body, len(lines), len(text), is_open=here)
        before, after = _numbers(before_at, len(lines)), _numbers(after_at, len(lines))
        if self.view == "split" and not fold:
            return (
                f'<tr><td class="kb-n">{before}</td><td class="kb-side">{escape(text)}</td>'
                f'<td class="kb-n">{after}</td><td class="kb-side">{body}</td></tr>'
            )
        span = ' colspan="3"' if self.view == "split" else ""
        numbers = f'<td class="kb-n">{before}</td>'
        if not span:
            numbers += f'<td class="kb-n">{after}</td>'
        return f'<tr>{numbers}<td class="kb-side"{span}>{body}</td></tr>'

    def _fold(self, body: str, lines: int, length: int, *, is_open: bool) -> str:
        words = f"… {lines} unchanged line{'' if lines == 1 else 's'}"
        self.folded += length
        if self.folded > MOST_FOLDED and not is_open:
            return f'<span class="kb-fold">{words}</span>'
        return (
            f'<details class="kb-fold"{" open" if is_open else ""}><summary>{words}</summary>'
            f'<div class="kb-unfolded">{body}</div></details>'
        )

    # --- Highlights ---

    def _lit(self, name: str, html: str, whole: str = "") -> str:
        """Mark what is to be seen in this piece of a field, and where it lies across pieces, their begin."""
        for highlight in [h for h in self.pending if h.field.split(".")[0] == name]:
            wanted = _wanted(highlight)
            if not wanted:
                continue
            lit = _lit_once(html, str(escape(wanted)), _lamp(highlight, wanted))
            if lit == html and wanted in whole:
                lit = _lamp(highlight, "") + html
            if lit != html:
                html = lit
                self._place(highlight)
        return html

    def _lit_kept(self, name: str, text: str) -> tuple[str, bool]:
        before = len(self.pending)
        html = self._lit(name, str(escape(text)))
        return html, len(self.pending) < before

    def _place(self, highlight: Highlight) -> None:
        self.pending.remove(highlight)
        self.placed.add(highlight.css_id)


def _wanted(highlight: Highlight) -> str:
    """The words to look for: a masked secret ends in an ellipsis that the text does not have."""
    return highlight.excerpt.removesuffix("…").strip()


def _lit_once(html: str, wanted: str, lamp: str) -> str:
    """Put the lamp in the place of these words, in text alone: no tag is touched."""
    pieces = _TAG.split(html)
    for place in range(0, len(pieces), 2):
        if wanted in pieces[place]:
            pieces[place] = pieces[place].replace(wanted, lamp, 1)
            return "".join(pieces)
    return html


def _lamp(highlight: Highlight, text: str) -> str:
    css_id, label = escape(highlight.css_id), escape(highlight.label)
    return f'<mark id="{css_id}" class="kb-lit" title="{label}" tabindex="-1">{_text(text)}</mark>'


_HEADS = {
    "unified": (
        # The columns' widths: a hidden head gives none.
        '<colgroup><col class="kb-n"><col class="kb-n"><col></colgroup>'
        '<thead class="visually-hidden"><tr><th scope="col">Old line</th><th scope="col">New line</th>'
        '<th scope="col">Text</th></tr></thead>'
    ),
    "split": (
        '<thead><tr><th scope="col" class="kb-n"><span class="visually-hidden">Line</span></th>'
        '<th scope="col">Before</th>'
        '<th scope="col" class="kb-n"><span class="visually-hidden">Line</span></th>'
        '<th scope="col">Now</th></tr></thead>'
    ),
}


def _numbers(at: int, count: int) -> str:
    if not count:
        return ""
    return str(at + 1) if count == 1 else f"{at + 1}–{at + count}"


def _moved(block: Block, ends: dict[tuple[int | None, str], int]) -> str:
    match block.kind:
        case "moved_away":
            words = f"moved to line {ends[block.move, 'moved_here']}"
        case "moved_here":
            words = f"moved from line {ends[block.move, 'moved_away']}"
        case _:
            return ""
    return f'<span class="kb-move">{words}</span>'


def _whole(block: Block) -> tuple[str, str]:
    gone, come = ("\n".join(side) for side in (block.removed, block.added))
    # A moved text stays: it is neither struck out nor underlined.
    if block.move:
        return _text(gone), _text(come)
    return _lines("del", gone, block.removed), _lines("ins", come, block.added)


def _lines(tag: str, text: str, lines: Sequence[str]) -> str:
    """The lines that went or came; a single empty one is a change too."""
    if lines and not text:
        return f'<{tag}><span class="kb-mark" title="empty line">↵</span></{tag}>'
    return _span(tag, text, ends_line=True)


def _sides(words: Sequence[Word]) -> tuple[str, str]:
    """Old and new text of a change, with what went and what came marked."""
    return _side(words, "-", "del"), _side(words, "+", "ins")


def _side(words: Sequence[Word], mark: str, tag: str) -> str:
    there = [word for word in words if word.mark in {mark, " "}]
    return "".join(
        _span(tag, word.text, ends_line=word is there[-1]) if word.mark == mark else str(escape(word.text))
        for word in there
    )


def _compiled(document: Document, prefix: str) -> str:
    try:
        return str(article(render(document.body, document.body_format).html, prefix=prefix).html)
    except InvalidDocument as error:
        return f"<p>{escape(str(error))}</p>"
