"""Turn two saves from the same revision into one form that loses no text of either.

Field by field: what only one side changed is taken from that side; where both did, the form holds the text of
whoever came second, with the other's beside it.
"""

from dataclasses import dataclass
from typing import Any

from kb.diff import LABELS, printed
from kb.document import Document


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that base, theirs and yours do not agree on."""

    field: str
    label: str
    base: str
    theirs: str
    yours: str
    kept: str  # "theirs", "yours" or "both": both changed it, and the form holds yours


def compare(base: Document | None, theirs: Document, yours: Document) -> list[Difference]:
    """Lay the three beside each other. Without a base every differing field counts as changed by both."""
    before = base.plain() if base else {}
    their, your = theirs.plain(), yours.plain()
    return [
        Difference(
            field=field,
            label=LABELS[field],
            base=_words(field, before.get(field)),
            theirs=_words(field, their[field]),
            yours=_words(field, your[field]),
            kept=_kept(before.get(field), their[field], your[field]),
        )
        for field in Document.model_fields
        if not (before.get(field, your[field]) == their[field] == your[field])
    ]


def merge(base: Document | None, theirs: Document, yours: Document) -> Document:
    """What the form goes on with: theirs where you left a field alone, else yours."""
    mine = {difference.field for difference in compare(base, theirs, yours) if difference.kept != "theirs"}
    return Document.read({**theirs.plain(), **{field: yours.plain()[field] for field in mine}})


def _kept(base: Any, theirs: Any, yours: Any) -> str:
    if yours == base and theirs != base:
        return "theirs"
    return "yours" if theirs in (base, yours) else "both"


def _words(field: str, value: Any) -> str:
    return "\n".join(printed(field, value))
