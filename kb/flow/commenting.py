"""Turn a remark on a revision into a comment that stays until somebody resolves it; it decides nothing."""

from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import transaction

from kb.document import Document
from kb.errors import InvalidDocument, Refused
from kb.flow import permitting
from kb.flow.flagging import texts
from kb.models import Comment, Post
from kb.render import render, words

MAX_TEXT = 10_000
MAX_QUOTE = 2_000


@transaction.atomic
def add(
    post: Post, *, number: int, field: str = "", quote: str = "", text: str, by: Any, at: datetime
) -> Comment:
    """Remark on a revision: on the whole, on a field, or on a passage of it as the field had it.

    Raises Refused `not_allowed`, `text_missing`, `too_long`, `no_such_revision` or `no_such_passage`.
    """
    permitting.require_one(by, "kb.review_post", "kb.change_post")
    text, quote = text.strip(), quote.strip()
    if not text:
        raise Refused(f"Say something about “{post}”: the comment is empty.", code="text_missing")
    if len(text) > MAX_TEXT or len(quote) > MAX_QUOTE:
        raise Refused(
            f"Too long: expected at most {MAX_TEXT} characters, and {MAX_QUOTE} of the passage.",
            code="too_long",
        )
    revision = post.revisions.filter(number=number).first()
    if revision is None:
        raise Refused(f"“{post}” has no revision {number}.", code="no_such_revision")
    if (field or quote) and not holds(revision.document, field, quote):
        raise Refused(
            f"Revision {number} of “{post}” does not hold that passage: mark it again.",
            code="no_such_passage",
        )
    return Comment.objects.create(revision=revision, field=field, quote=quote, text=text, by=by, at=at)


@transaction.atomic
def resolve(comment: Comment, *, by: Any, at: datetime) -> Comment:
    """Say that a comment needs no more attention; twice is once. Raises Refused `not_allowed`."""
    permitting.require_one(by, "kb.review_post", "kb.change_post")
    comment = Comment.objects.select_for_update().get(pk=comment.pk)
    if comment.resolved_at is None:
        comment.resolved_at, comment.resolved_by = at, by
        comment.save(update_fields=["resolved_at", "resolved_by"])
    return comment


@transaction.atomic
def reopen(comment: Comment, *, by: Any, at: datetime) -> Comment:
    """Take a resolution back. Raises Refused `not_allowed`."""
    permitting.require_one(by, "kb.review_post", "kb.change_post")
    comment = Comment.objects.select_for_update().get(pk=comment.pk)
    comment.resolved_at = comment.resolved_by = None
    comment.save(update_fields=["resolved_at", "resolved_by"])
    return comment


class Passages:
    """What a document says, as it is written and as readers see it; each is read once, for many questions."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.plain = document.plain()

    @cached_property
    def written(self) -> list[tuple[str, str]]:
        return [(path, " ".join(text.split())) for path, text in texts(self.plain)]

    @cached_property
    def read(self) -> str:
        try:
            return " ".join(words(render(self.document.body, self.document.body_format).html).split())
        except InvalidDocument:
            return ""

    def hold(self, field: str, quote: str) -> bool:
        """Whether the field (empty: any) holds this passage."""
        name = field.split(".", maxsplit=1)[0]
        if name and name not in self.plain:
            return False
        wanted = " ".join(quote.split())
        if not wanted:
            return True
        places = (
            text for path, text in self.written if not field or path == field or path.startswith(f"{field}.")
        )
        return any(wanted in text for text in places) or (name in {"", "body"} and wanted in self.read)


def holds(document: Document, field: str, quote: str) -> bool:
    """Whether the field (empty: any) holds this passage, as it is written or as readers see it."""
    return Passages(document).hold(field, quote)
