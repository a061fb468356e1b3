"""Turn two saves from the same revision into one form that loses no text of either.

Field by field: what only one side changed is taken from that side. Where both did, texts and lists are merged
so that both changes stay; a single value is that of whoever comes second, with the other's beside it. Whoever
comes second then chooses for each field: keep mine, take theirs, or both.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from kb.admin.diffs import shown
from kb.diff import LABELS, printed
from kb.document import Document
from kb.errors import InvalidDocument
from kb.merge import Clash, is_unmerged, merge, written
from kb.models import Post, Revision

CHOICES = {"yours": "Keep mine", "theirs": "Take theirs", "both": "Both, merged"}
TEXTS = ("body", "summary", "brief", "expected_result", "rollback_note")
LISTS = ("stack", "tools", "notes", "outline", "checklists", "entities", "images")
_PLACES = re.compile(r' id="change-[0-9]+" data-change tabindex="-1"')
LONGEST = 2_000_000  # characters of a Document that a page brings back


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that base, theirs and yours do not agree on."""

    field: str
    label: str
    changed_by: str  # "theirs", "yours" or "both"
    base: list[str]  # lines, items or pairs, as people read them
    theirs: list[str]
    yours: list[str]
    their_change: SafeString | str  # since the base; empty when it stayed
    your_change: SafeString | str
    clashes: list[Clash]  # in a merged text: passages that both changed
    values: Mapping[str, Any]  # what each choice puts into the form
    held: str  # the choice that the form holds
    picked: str  # the choice that it shall hold next

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [(choice, CHOICES[choice]) for choice in CHOICES if choice in self.values]

    @property
    def is_long(self) -> bool:
        return any(len(side) > 1 for side in (self.base, self.theirs, self.yours))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Base, theirs and yours of one lost save, as the page carries them from answer to answer."""

    base: Revision | None
    theirs: Revision
    yours: Document
    differences: list[Difference]

    @property
    def kept_yours(self) -> str:
        """What was typed, for the page to bring back whatever becomes of the form."""
        return self.yours.canonical().decode()

    def merged(self) -> Document:
        """Theirs, with what each difference holds."""
        held = {difference.field: difference.values[difference.held] for difference in self.differences}
        return Document.read({**self.theirs.document.plain(), **held})

    def chosen(self, document: Document) -> Document:
        """The form's content, with the fields for which somebody chose otherwise than the form held."""
        chosen = {row.field: row.values[row.picked] for row in self.differences if row.picked != row.held}
        return Document.read({**document.plain(), **chosen}) if chosen else document


def compare(
    base: Revision | None,
    theirs: Revision,
    yours: Document,
    held: Mapping[str, str] | None = None,
    picked: Mapping[str, str] | None = None,
) -> Comparison:
    """Lay the three beside each other. Without a base every differing field counts as changed by both."""
    before = base.document if base else None
    was, their, your = (side.plain() if side else {} for side in (before, theirs.document, yours))
    differences = [
        _difference(
            (field, was.get(field), their[field], your[field]),
            [_since(before, side, field) for side in (theirs.document, yours)],
            ((held or {}).get(field, ""), (picked or {}).get(field, "")),
        )
        for field in Document.model_fields
        if not was.get(field, your[field]) == their[field] == your[field]
    ]
    return Comparison(base, theirs, yours, differences)


def carried(data: Mapping[str, str], post: Post) -> Comparison | None:
    """Read back the comparison that a page carried; None when it carried none that can be read."""
    if "merge-yours" not in data or len(data["merge-yours"]) > LONGEST:
        return None
    try:
        yours = Document.from_canonical(data["merge-yours"])
        numbers = [int(data.get(f"merge-{side}", "")[:9] or 0) for side in ("base", "theirs")]
    except (InvalidDocument, ValueError, RecursionError):
        return None
    found = {row.number: row for row in post.revisions.filter(number__in=numbers).select_related("author")}
    base, theirs = (found.get(number) for number in numbers)
    if theirs is None:
        return None
    held = {
        name.removeprefix("merge-held-"): value
        for name, value in data.items()
        if name.startswith("merge-held-")
    }
    picked = {name.removeprefix("merge-"): value for name, value in data.items() if name.startswith("merge-")}
    return compare(base, theirs, yours, held, picked)


def settled(carried: Comparison) -> Comparison:
    """The same comparison, over a form that holds what was picked."""
    held = {row.field: row.picked for row in carried.differences}
    return compare(carried.base, carried.theirs, carried.yours, held)


def unmerged(document: Document) -> list[str]:
    """The texts that still hold two passages of which somebody has to choose."""
    return [field for field in TEXTS if is_unmerged(getattr(document, field))]


def _difference(
    sides: tuple[str, Any, Any, Any],
    changes: list[SafeString | str],
    chosen: tuple[str, str],
) -> Difference:
    field, base, theirs, yours = sides
    changed_by = _changed_by(base, theirs, yours)
    values, clashes = {"yours": yours, "theirs": theirs}, []
    if changed_by == "both":
        merged, clashes = _merged(*sides)
        values |= {"both": merged} if _fits(field, merged) else {}
    first = changed_by if changed_by in values else "yours"
    held = chosen[0] if chosen[0] in values else first
    return Difference(
        field=field,
        label=LABELS[field],
        changed_by=changed_by,
        base=printed(field, base),
        theirs=printed(field, theirs),
        yours=printed(field, yours),
        their_change=changes[0],
        your_change=changes[1],
        clashes=clashes,
        values=values,
        held=held,
        picked=chosen[1] if chosen[1] in values else held,
    )


def _since(base: Document | None, side: Document, field: str) -> SafeString | str:
    """What one side changed of this field, as the comparison of revisions shows it."""
    if base is None:
        return ""
    found = shown(base, base.model_copy(update={field: getattr(side, field)}))
    # Without the ids by which keys find the next change: a page with two comparisons has each twice.
    html = "".join(_PLACES.sub("", part.html) for part in found.parts)
    return mark_safe(html)  # noqa: S308  (the renderer's own markup, less some of its attributes)


def _changed_by(base: Any, theirs: Any, yours: Any) -> str:
    if yours == base and theirs != base:
        return "theirs"
    return "yours" if theirs in (base, yours) else "both"


def _merged(field: str, base: Any, theirs: Any, yours: Any) -> tuple[Any, list[Clash]]:
    """The value with both changes, and where they clash; None for a value that is one or the other."""
    if field in TEXTS:
        pieces = merge(*((side or "").split("\n") for side in (base, theirs, yours)))
        return written(pieces), [piece for piece in pieces if isinstance(piece, Clash)]
    if field in LISTS:
        return _merged_list(base, theirs, yours), []
    if field in {"scores", "flags", "payload"}:
        return _merged_pairs(base, theirs, yours), []
    return None, []


def _fits(field: str, merged: Any) -> bool:
    """Whether a Document may hold it: two long texts may be too long together."""
    try:
        Document.read({"title": "-", field: merged})
    except InvalidDocument:
        return False
    return merged is not None


def _merged_list(*sides: Any) -> list[Any]:
    """Items that either side added, without those that either removed; of a clash both sides' items."""
    items: list[str] = []
    for piece in merge(*([json.dumps(item, sort_keys=True) for item in side or []] for side in sides)):
        if isinstance(piece, Clash):
            items += (*piece.yours, *(item for item in piece.theirs if item not in piece.yours))
        else:
            items.append(piece)
    return [json.loads(item) for item in items]


def _merged_pairs(base: Any, theirs: Any, yours: Any) -> dict[str, Any]:
    """Each key from the side that changed it; yours where both did."""
    merged = {}
    for key in {**theirs, **yours}:
        sides = [(side or {}).get(key, _ABSENT) for side in (base, theirs, yours)]
        merged[key] = sides[1] if sides[2] == sides[0] else sides[2]
    return {key: value for key, value in merged.items() if value is not _ABSENT}


_ABSENT = object()
