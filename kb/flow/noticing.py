"""Turn what somebody should know into a notice that waits for them in the admin."""

from datetime import datetime
from typing import Any

from kb.models import Notice, Post


def tell(
    person: Any, sentence: str, *, post: Post | None = None, by: Any = None, at: datetime
) -> Notice | None:
    """Leave a notice for this person; nobody is told what they did themselves."""
    if person is None or (by is not None and person.pk == by.pk):
        return None
    return Notice.objects.create(user=person, sentence=sentence, post=post, at=at)


def read(*, by: Any, at: datetime, notice: Notice | None = None) -> int:
    """Note that a person read this notice of theirs, or all of them; give how many were new to them."""
    unread = Notice.objects.filter(user=by, read_at=None)
    if notice is not None:
        unread = unread.filter(pk=notice.pk)
    return unread.update(read_at=at)
