"""Turn a post's comments into rows for the pages that show them, each with where it stands now."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from kb.admin import labels
from kb.admin.history import render
from kb.diff import LABELS
from kb.document import Document
from kb.flow import commenting
from kb.models import Comment, Post, Revision

MOST = 200  # comments on one page


@dataclass(frozen=True, slots=True)
class Row:
    """A comment as it stands on the newest revision."""

    comment: Comment
    about: str  # the field's label; empty: the whole
    when: Any
    resolved: Any
    carried: bool  # made on an earlier revision, and still open
    gone: bool  # its passage is no longer there


def rows(post: Post, head: Revision, document: Document) -> list[Row]:
    """The newest comments on any revision of the post, in the order in which they were made."""
    found = (
        Comment.objects.filter(revision__post=post)
        .select_related("revision", "by", "resolved_by")
        .defer("revision__canonical")
        .order_by("-pk")[:MOST]
    )
    passages = commenting.Passages(document)
    return [_row(comment, head, passages) for comment in reversed(found)]


def _row(comment: Comment, head: Revision, passages: commenting.Passages) -> Row:
    is_open, elsewhere = comment.resolved_at is None, comment.revision_id != head.pk
    return Row(
        comment=comment,
        about=LABELS.get(comment.field.split(".")[0], comment.field),
        when=labels.when(comment.at),
        resolved=labels.when(comment.resolved_at) if comment.resolved_at else "",
        carried=is_open and elsewhere,
        gone=is_open and elsewhere and not passages.hold(comment.field, comment.quote),
    )


@require_GET
@permission_required("kb.view_post", raise_exception=True)
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """All comments on a post, for those who write it."""
    posts = labels.with_standing(Post.objects.select_related("head", "publication", "oversight"))
    post = get_object_or_404(posts, pk=pk)
    found = rows(post, post.head, post.head.document)
    return render(
        request,
        "comments",
        post,
        title="Comments",
        here="comments",
        open_comments=[{"row": row} for row in found if not row.resolved],
        resolved_comments=[{"row": row} for row in found if row.resolved],
    )
