"""Turn what a person should know into a list, the newest first; opening one, or saying so, makes it read."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from kb.admin import labels
from kb.admin.desk import PAGE, VIEW, frame
from kb.admin.keyset import Keyset
from kb.flow import noticing
from kb.models import Notice

ORDER = Keyset("-id", "-pk")


@require_safe
@VIEW
def page(request: HttpRequest) -> HttpResponse:
    notices = Notice.objects.filter(user=request.user).select_related("post").defer("post__body")
    place, wrong = request.GET.get("after", ""), ""
    try:
        notices = ORDER.behind(notices, place) if place else notices
    except ValueError:
        notices, wrong = notices.none(), "The address names no place in this list: start from its first page."
    found = list(ORDER.ordered(notices)[: PAGE + 1])
    context: dict[str, Any] = {
        "rows": [{"notice": notice, "when": labels.when(notice.at)} for notice in found[:PAGE]],
        "unread": Notice.objects.filter(user=request.user, read_at=None).exists(),
        "further": ORDER.place(found[PAGE - 1]) if len(found) > PAGE else "",
        "behind": bool(place),
        "wrong": wrong,
    }
    return frame(request, "notices", title="Notices", status=400 if wrong else 200, **context)


@require_POST
@VIEW
def open_one(request: HttpRequest, pk: int) -> HttpResponse:
    """Note that it was read, and go to what it is about."""
    notice = get_object_or_404(Notice, pk=pk, user=request.user)
    noticing.read(by=request.user, at=timezone.now(), notice=notice)
    if notice.post_id is None:
        return HttpResponseRedirect(reverse("admin:kb_notices"))
    page = "review" if request.user.has_perm("kb.review_post") else "change"
    return HttpResponseRedirect(reverse(f"admin:kb_post_{page}", args=[notice.post_id]))


@require_POST
@VIEW
def read_all(request: HttpRequest) -> HttpResponse:
    count = noticing.read(by=request.user, at=timezone.now())
    messages.success(request, f"{count} {'notice' if count == 1 else 'notices'} marked as read.")
    return HttpResponseRedirect(reverse("admin:kb_notices"))


ROUTES = (
    ("notices/", page, "notices"),
    ("notices/<int:pk>/", open_one, "notice"),
    ("notices/read/", read_all, "notices_read"),
)
