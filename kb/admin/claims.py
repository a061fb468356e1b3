"""Turn who works on what into claims: each act is one flow call, and back to where it was asked for."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from kb.admin import labels, queue_filter
from kb.admin.desk import REVIEW, frame
from kb.errors import Refused
from kb.flow import queueing
from kb.models import Post, QueueItem


@require_POST
@REVIEW
def take_next(request: HttpRequest) -> HttpResponse:
    return open_next(request, request.POST.get("filter", ""))


def open_next(request: HttpRequest, query: str) -> HttpResponse:
    """Claim the most harmful post that nobody holds, among those of this filter of the queue, and open it."""
    at, form = timezone.now(), queue_filter.read(query)
    if not form.is_valid():
        messages.error(request, "The filter asks for something that cannot be; nothing was taken.")
        return HttpResponseRedirect(reverse("admin:kb_queue"))
    among = form.narrow(QueueItem.objects.all(), user=request.user, at=at) if form.query else None
    item = queueing.take_next(by=request.user, at=at, among=among)
    if item:
        address = reverse("admin:kb_post_review", args=[item.post_id])
        return HttpResponseRedirect(_with(address, urlencode({"filter": form.query}) if form.query else ""))
    left = "Nothing that this filter matches is left" if form.query else "Nothing is left"
    messages.info(request, f"{left} for you to take: all is decided, claimed by others or your own work.")
    return HttpResponseRedirect(_with(reverse("admin:kb_queue"), form.query))


@require_POST
@REVIEW
def claim(request: HttpRequest, pk: int) -> HttpResponse:
    post = _post(pk)
    return _act(
        request,
        post,
        lambda: queueing.claim(post, by=request.user, at=timezone.now()),
        done=f"“{post}” is yours: others see that you are on it.",
    )


@require_POST
@REVIEW
def release(request: HttpRequest, pk: int) -> HttpResponse:
    post = _post(pk)
    return _act(
        request,
        post,
        lambda: queueing.release(post, by=request.user, at=timezone.now()),
        done=f"“{post}” is back in the queue.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@REVIEW
def take_over(request: HttpRequest, pk: int) -> HttpResponse:
    """Say who has held it and since when; then take it over, which tells them."""
    post = _post(pk)
    if request.method == "POST":
        return _act(
            request,
            post,
            lambda: queueing.take_over(post, by=request.user, at=timezone.now()),
            done=f"You took over “{post}”.",
        )
    back = request.GET.get("back")
    return frame(request, "take_over", title="Take over", post=post, back=back, **_held(request, post))


@require_POST
@REVIEW
def touch(request: HttpRequest, pk: int) -> HttpResponse:
    """A sign of life of who holds the post, from its open page: 204, or 409 when somebody else does."""
    held = queueing.touch(_post(pk), by=request.user, at=timezone.now())
    return HttpResponse(status=204 if held else 409)


def _held(request: HttpRequest, post: Post) -> dict[str, Any]:
    """Who holds a post, and since when."""
    at = timezone.now()
    item = QueueItem.objects.open().filter(post=post).select_related("claimed_by").first()
    holder = item.claimer(at) if item else None
    return {
        "claim_item": item,
        "claim_holder": holder,
        "claim_mine": holder == request.user,
        "claim_since": labels.when(item.claimed_at) if item and holder else "",
        "claim_seen": labels.when(item.claim_seen_at) if item and holder else "",
    }


def _act(request: HttpRequest, post: Post, act: Callable[[], object], *, done: str) -> HttpResponse:
    try:
        act()
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, done)
    return HttpResponseRedirect(_back(request, post))


def _back(request: HttpRequest, post: Post) -> str:
    """The queue as the form says it was, at the post's row; without a word of it the review page."""
    back = request.POST.get("back")
    if back is None:
        return _with(reverse("admin:kb_post_review", args=[post.pk]), request.GET.urlencode())
    query = QueryDict(back[: queue_filter.LONGEST_QUERY]).urlencode()
    return f"{reverse('admin:kb_queue')}?{query}#post-{post.pk}"


def _with(address: str, query: str) -> str:
    return f"{address}?{query}" if query else address


def _post(pk: int) -> Post:
    return get_object_or_404(Post.objects.select_related("head", "publication"), pk=pk)


NEXT = ("queue/next/", take_next, "queue_next")
# Below the addresses of posts.
ROUTES = (
    ("<int:pk>/claim/", claim, "claim"),
    ("<int:pk>/release/", release, "release"),
    ("<int:pk>/take-over/", take_over, "take_over"),
    ("<int:pk>/touch/", touch, "touch"),
)
