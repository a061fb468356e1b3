"""Turn what waits for a person into the tabs of the review desk, each with a number that is cheap to know."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from kb.admin import labels, reasons
from kb.admin.counts import Bounded, words
from kb.admin.keyset import Keyset
from kb.choices import State, Verdict
from kb.models import Decision, Notice, Post, Publication, QueueItem

SOON = timedelta(days=14)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tab:
    """One list of the desk: whose rows, in which order, and what it says when there are none."""

    name: str
    title: str
    right: str
    rows: Callable[[Any, datetime], QuerySet[Any]]
    fetch: Callable[[QuerySet[Any]], QuerySet[Any]]  # with what `row` reads, and nothing heavy
    row: Callable[[Any, datetime], Row]
    order: Keyset
    age: tuple[str, str]  # an order, and the field of its first row that says how old the oldest is
    oldest: str  # the words before that
    about: str
    empty: str

    @property
    def address(self) -> str:
        query = "" if self is TABS[0] else f"?tab={self.name}"
        return f"{reverse('admin:kb_queue')}{query}"


def tabs_of(user: Any) -> list[Tab]:
    return [tab for tab in TABS if user.has_perm(tab.right)]


def header(request: HttpRequest) -> dict[str, Any] | None:
    """The number on a person's first tab, and how many notices they did not read; None without the right."""
    tabs = tabs_of(request.user) if request.user.is_staff else []
    if not tabs:
        return None
    first = tabs[0].rows(request.user, timezone.now())
    unread = Notice.objects.filter(user=request.user, read_at=None)
    review, notices = _one(request.user, Bounded(first), Bounded(unread))
    return {"tab": tabs[0], "review": review and words(review), "notices": notices and words(notices)}


def summaries(user: Any, at: datetime) -> list[dict[str, Any]]:
    """Each tab with its number and the age of its oldest row, in one query."""
    tabs = tabs_of(user)
    asked = []
    for tab in tabs:
        rows = tab.rows(user, at)
        by, field = tab.age
        asked += [Bounded(rows), Subquery(rows.order_by(by).values(field)[:1])]
    found = _one(user, *asked) if tabs else ()
    return [
        {
            "tab": tab,
            "count": words(count),
            "any": bool(count),
            "oldest": labels.when(oldest) if count else "",
        }
        for tab, count, oldest in zip(tabs, found[::2], found[1::2], strict=True)
    ]


def _one(user: Any, *expressions: Any) -> tuple[Any, ...]:
    """What these say, in one query: the row of the person who asks carries them."""
    return User.objects.filter(pk=user.pk).order_by().values_list(*expressions).get()


def _about(post: Post, *, review: bool) -> Row:
    page = "review" if review else "change"
    address = reverse(f"admin:kb_post_{page}", args=[post.pk])
    return {"pk": post.pk, "title": post.title, "topic": post.topic, "address": address}


# --- Awaiting your review ---


def _awaiting(user: Any, at: datetime) -> QuerySet[QueueItem]:
    return QueueItem.objects.for_reviewer(user)


def with_posts(items: QuerySet[QueueItem]) -> QuerySet[QueueItem]:
    return (
        items.select_related("post__head", "claimed_by")
        .annotate(generator=KeyTextTransform("generator", "post__payload"))
        .only(
            *("rank", "since", "points", "blocking", "codes", "readers", "lowest_score"),
            *("claimed_by", "claimed_at", "claim_seen_at"),
            *(f"post__{name}" for name in ("title", "topic", *reasons.SCORES)),
            *("post__head__origin", "post__head__number"),
            *(f"claimed_by__{name}" for name in ("username", "first_name", "last_name")),
        )
    )


def _awaiting_row(item: QueueItem, at: datetime) -> Row:
    return {
        **_about(item.post, review=True),
        "harm": reasons.harm(item, at),
        "grave": reasons.grave(item),
        "slight": reasons.slight(item, at),
        "claimer": item.claimer(at),
        "minutes": minutes(item.claimed_at, at),
    }


def minutes(since: datetime | None, at: datetime) -> str:
    number = int((at - since).total_seconds() // 60) if since else 0
    return "for less than a minute" if number < 1 else f"for {number} minute{'s' if number > 1 else ''}"


# --- Mine ---


def _returned(user: Any, at: datetime) -> QuerySet[Post]:
    return Post.objects.filter(edited_by=user, state=State.CHANGES_REQUESTED)


def _with_what_was_asked(posts: QuerySet[Post]) -> QuerySet[Post]:
    asked = Decision.objects.in_force().filter(revision=OuterRef("head"), verdict=Verdict.REQUEST_CHANGES)
    return posts.annotate(
        comment=Subquery(asked.order_by("-pk").values("comment")[:1]),
        reviewer=Subquery(asked.order_by("-pk").values("reviewer__username")[:1]),
        asked_at=Subquery(asked.order_by("-pk").values("at")[:1]),
    ).only("title", "topic", "updated_at")


def _returned_row(post: Post, at: datetime) -> Row:
    return {
        **_about(post, review=False),
        "comment": post.comment,
        "who": post.reviewer,
        "when": labels.when(post.asked_at),
    }


def _drafts(user: Any, at: datetime) -> QuerySet[Post]:
    return Post.objects.filter(edited_by=user, state=State.DRAFT)


def _with_states(posts: QuerySet[Post]) -> QuerySet[Post]:
    return (
        labels.with_standing(posts)
        .select_related("publication", "head", "oversight")
        .only(
            *("title", "topic", "state", "updated_at", "head__number", "head__version"),
            *("publication__version", "publication__review_by", "oversight__withheld_at"),
        )
    )


def _draft_row(post: Post, at: datetime) -> Row:
    return {
        **_about(post, review=False),
        "states": labels.states(post),
        "head": post.head,
        "when": labels.when(post.updated_at),
    }


# --- Due for verification ---


def _due(user: Any, at: datetime) -> QuerySet[Publication]:
    return Publication.objects.filter(review_by__lte=at + SOON)


def _with_owner(publications: QuerySet[Publication]) -> QuerySet[Publication]:
    return publications.annotate(owner=F("post__owner"), views=F("post__view_count")).only(
        "title", "topic", "version", "review_by", "post_id"
    )


def _due_row(publication: Publication, at: datetime) -> Row:
    return {
        "pk": publication.post_id,
        "title": publication.title,
        "topic": publication.topic,
        "address": reverse("admin:kb_post_review", args=[publication.post_id]),
        "overdue": publication.review_by <= at,
        "when": labels.when(publication.review_by),
        "version": publication.version,
        "owner": publication.owner,
        "views": publication.views,
    }


# --- Recent decisions ---


def _decided(user: Any, at: datetime) -> QuerySet[Decision]:
    return Decision.objects.filter(reviewer=user)


def _with_revisions(decisions: QuerySet[Decision]) -> QuerySet[Decision]:
    return decisions.select_related("revision__post").only(
        *("verdict", "comment", "at", "revision__number", "revision__version"),
        *("revision__post__title", "revision__post__topic"),
    )


KIND_OF_VERDICT = {Verdict.APPROVE: "ok", Verdict.REQUEST_CHANGES: "changes"}


def _decided_row(decision: Decision, at: datetime) -> Row:
    verdict = Verdict(decision.verdict)
    return {
        **_about(decision.revision.post, review=True),
        "verdict": labels.label(verdict.label, KIND_OF_VERDICT.get(verdict, "")),
        "revision": decision.revision,
        "comment": decision.comment,
        "when": labels.when(decision.at),
    }


TABS = (
    Tab(
        name="awaiting",
        title="Awaiting your review",
        right="kb.review_post",
        rows=_awaiting,
        fetch=with_posts,
        row=_awaiting_row,
        order=Keyset("-rank", "pk"),
        age=("since", "since"),
        oldest="Oldest came",
        about="What readers could come to harm by stands first. Your own work is not offered to you.",
        empty="Nothing waits for you. A post comes here when its author asks for a review, when a rule or an "
        "import flags it, or when a reader reports it; what you wrote yourself waits for somebody else.",
    ),
    Tab(
        name="returned",
        title="Changes requested (mine)",
        right="kb.change_post",
        rows=_returned,
        fetch=_with_what_was_asked,
        row=_returned_row,
        order=Keyset("updated_at", "pk", of_moments=True),
        age=("updated_at", "updated_at"),
        oldest="Oldest edited",
        about="A reviewer asked you to change these. Edit them and ask for another review.",
        empty="No reviewer asks you for changes. What one sends back to you comes here with the comment.",
    ),
    Tab(
        name="drafts",
        title="My drafts",
        right="kb.change_post",
        rows=_drafts,
        fetch=_with_states,
        row=_draft_row,
        order=Keyset("-updated_at", "-pk", of_moments=True),
        age=("updated_at", "updated_at"),
        oldest="Oldest edited",
        about="You edited these last, and asked nobody for a review yet.",
        empty="No drafts of yours. What you save without asking for a review stays here until you do.",
    ),
    Tab(
        name="due",
        title="Due for verification",
        right="kb.verify_post",
        rows=_due,
        fetch=_with_owner,
        row=_due_row,
        order=Keyset("review_by", "pk", of_moments=True),
        age=("review_by", "review_by"),
        oldest="First due",
        about="Published posts that somebody should check again, within 14 days or already overdue.",
        empty="Nothing is due. A published post comes here 14 days before somebody should check that it is "
        "still true.",
    ),
    Tab(
        name="decided",
        title="Recent decisions",
        right="kb.review_post",
        rows=_decided,
        fetch=_with_revisions,
        row=_decided_row,
        order=Keyset("-id", "-pk"),
        age=("-pk", "at"),
        oldest="Latest",
        about="What you decided, the newest first.",
        empty="You decided nothing yet. Each approval and each request for changes of yours is kept here.",
    ),
)
