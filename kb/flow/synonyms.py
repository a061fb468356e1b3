"""Turn what administrators say means the same into what searches look for too.

Searches see PublishedSynonym alone, which kb.flow.indexing compiles from all that is in use.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from kb import words
from kb.errors import Refused
from kb.flow import indexing, permitting, publishing
from kb.models import Synonym

MOST = 12  # words of one group
LONGEST = 80  # characters
LONGEST_PHRASE = 4  # words
MOST_GROUPS = 2000


@transaction.atomic
def write(
    meaning_the_same: Sequence[str],
    *,
    is_one_way: bool = False,
    instead_of: Synonym | None = None,
    by: Any,
    at: datetime,
) -> Synonym:
    """Let who searches for one of these find the others too; one way: who searches for the first alone.

    Raises Refused `not_allowed`, `too_few`, `too_many`, `no_word`, `too_long` or `changed`.
    """
    permitting.require(by, "kb.change_synonym")
    publishing.queue_up()
    group = _checked(meaning_the_same)
    if instead_of:
        _retire(instead_of, by, at)
    if Synonym.objects.current().count() >= MOST_GROUPS:
        raise Refused(
            f"There are {MOST_GROUPS} groups of synonyms already: retire one first.", code="too_many"
        )
    made = Synonym.objects.create(words=group, is_one_way=is_one_way, made_by=by, made_at=at)
    indexing.keep_synonyms()
    return made


@transaction.atomic
def retire(synonym: Synonym, *, by: Any, at: datetime) -> None:
    """Let searches no longer use this group. Raises Refused `not_allowed` or `changed`."""
    permitting.require(by, "kb.change_synonym")
    publishing.queue_up()
    _retire(synonym, by, at)
    indexing.keep_synonyms()


def _checked(typed: Sequence[str]) -> list[str]:
    group = list({words.key(text): " ".join(text.split()) for text in typed if text.strip()}.values())
    for text in group:
        if not 1 <= len(words.query(text).words) <= LONGEST_PHRASE or len(text) > LONGEST:
            raise Refused(
                f"“{text[:LONGEST]}” cannot be a synonym: expected 1 to {LONGEST_PHRASE} words that searches "
                f"look at, of at most {LONGEST} characters together.",
                code="no_word",
            )
    if not 2 <= len(group) <= MOST:
        raise Refused(
            f"Name 2 to {MOST} words that mean the same and are different to searches.", code="too_few"
        )
    return group


def _retire(synonym: Synonym, by: Any, at: datetime) -> None:
    changed = Synonym.objects.current().filter(pk=synonym.pk).update(retired_at=at, retired_by=by)
    if not changed:
        raise Refused(f"“{synonym}” was changed by somebody else: look at the list again.", code="changed")
