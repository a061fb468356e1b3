"""Turn a filter of the queue into one with a name, for oneself or for all who review."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from kb.errors import Refused
from kb.flow import permitting
from kb.models import SavedFilter

LONGEST = 80  # characters of a name, as the column has them


@transaction.atomic
def keep(name: str, *, query: str, shared: bool, by: Any, at: datetime) -> SavedFilter:
    """Save a filter under a name of one's own. Raises Refused `not_allowed`, `bad_name` or `name_taken`."""
    permitting.require(by, "kb.review_post")
    return _saved(SavedFilter(owner=by, name=_name(name), query=query, shared=shared))


@transaction.atomic
def rename(saved: SavedFilter, *, name: str, shared: bool, by: Any, at: datetime) -> SavedFilter:
    """Give one's own filter another name, or show it to others. Raises as `keep` does, and `not_yours`."""
    _require_own(saved, by)
    saved.name, saved.shared = _name(name), shared
    return _saved(saved)


@transaction.atomic
def discard(saved: SavedFilter, *, by: Any, at: datetime) -> None:
    """Delete one's own filter. Raises Refused `not_allowed` or `not_yours`."""
    _require_own(saved, by)
    saved.delete()


def _require_own(saved: SavedFilter, by: Any) -> None:
    permitting.require(by, "kb.review_post")
    if saved.owner_id != by.pk:
        raise Refused(f"“{saved}” is {saved.owner}'s filter: ask them to change it.", code="not_yours")


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST:
        raise Refused(f"Give the filter a name of at most {LONGEST} characters.", code="bad_name")
    return name


def _saved(saved: SavedFilter) -> SavedFilter:
    try:
        with transaction.atomic():
            saved.save()
    except IntegrityError:
        raise Refused(
            f"You have a filter with the name “{saved.name}” already: choose another name.", code="name_taken"
        ) from None
    return saved
