"""Turn what administrators want checked into versioned lists, and what a reviewer ticked into a record.

A list is never changed: a change is its next version, so that each decision keeps the words it was made with.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from kb.document import MAX_ITEMS, MAX_LINE, Document
from kb.errors import Refused
from kb.flow import permitting
from kb.models import Criteria, Decision, Tick

MAX_NAME = 80


@transaction.atomic
def write(name: str, *, topic: str = "", items: Sequence[str], by: Any, at: datetime) -> Criteria:
    """Write the next version of a list of criteria, which reviewers get from now on.

    Raises Refused `not_allowed`, `name_missing`, `items_missing`, `too_long` or `changed`.
    """
    permitting.require(by, "kb.change_criteria")
    name, items = name.strip(), [item.strip() for item in items if item.strip()]
    if not name or len(name) > MAX_NAME:
        raise Refused(f"Give the list a name of at most {MAX_NAME} characters.", code="name_missing")
    if not items:
        raise Refused(f"“{name}” needs at least one thing to check.", code="items_missing")
    if len(items) > MAX_ITEMS or any(len(item) > MAX_LINE for item in items):
        raise Refused(
            f"“{name}”: expected at most {MAX_ITEMS} lines of at most {MAX_LINE} characters.", code="too_long"
        )
    last = Criteria.objects.filter(name=name).order_by("-version").first()
    try:
        with transaction.atomic():
            return Criteria.objects.create(
                name=name,
                version=last.version + 1 if last else 1,
                topic=topic.strip(),
                items=items,
                made_by=by,
                made_at=at,
            )
    except IntegrityError:
        raise Refused(f"Somebody else just changed “{name}”: look at it again.", code="changed") from None


@transaction.atomic
def retire(name: str, *, by: Any, at: datetime) -> Criteria:
    """Give reviewers this list no longer. Raises Refused `not_allowed` or `not_there`."""
    permitting.require(by, "kb.change_criteria")
    current = Criteria.objects.current().filter(name=name).first()
    if current is None:
        raise Refused(f"There is no list “{name}” in use.", code="not_there")
    current.retired_at = at
    current.save(update_fields=["retired_at"])
    return current


def for_document(document: Document) -> list[Criteria]:
    """The lists that a reviewer of this content gets."""
    topic = document.topic.casefold()
    return [
        found
        for found in Criteria.objects.current().order_by("name")
        if topic.startswith(found.topic.casefold())
    ]


def tick(decision: Decision, ticks: Iterable[tuple[int, int]]) -> None:
    """Record what the reviewer ticked, each a list's primary key and a position in it. Raises `bad_tick`."""
    wanted = sorted(set(ticks))
    if not wanted:
        return
    lists = {found.pk: found for found in for_document(decision.revision.document)}
    for pk, item in wanted:
        if pk not in lists or not 0 <= item < len(lists[pk].items):
            raise Refused(
                "A criterion that you ticked is not on its list: reload the page and tick again.",
                code="bad_tick",
            )
    Tick.objects.bulk_create(Tick(decision=decision, criteria=lists[pk], item=item) for pk, item in wanted)
