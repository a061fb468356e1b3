"""Turn what waits for a person into the desk's page of tabs, fifty rows at a time."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from kb.admin import bulk, queue_filter, tabs
from kb.admin.counts import MOST, words
from kb.admin.desk import PAGE, VIEW, frame
from kb.models import SavedFilter

MOST_SAVED = 50


@require_safe
@VIEW
def page(request: HttpRequest) -> HttpResponse:
    """One tab of the desk. An address that asks for what cannot be gets a sentence and no rows."""
    at, mine = timezone.now(), tabs.tabs_of(request.user)
    name = request.GET.get("tab", "")
    tab = next((tab for tab in mine if tab.name == name or not name), None)
    form = queue_filter.read(request.GET)
    narrows = tab is tabs.TABS[0]
    wrong = "" if tab or not mine else "There is no such list, or you may not see it: choose one of these."
    if narrows and not form.is_valid():
        wrong = "The filter asks for something that cannot be: correct it below."
    context: dict[str, Any] = {"rows": [], "further": ""}
    if tab and not wrong:
        try:
            context = _rows(tab, form if narrows else None, request, at)
        except ValueError:
            wrong = "The address names no place in this list: start from its first page."
    context |= {
        "title": "Review",
        "tab": tab,
        "summaries": tabs.summaries(request.user, at),
        "wrong": wrong,
        "form": form if narrows else None,
        "back": request.GET.urlencode(),
        **(_choices(form, request.user) if narrows else {}),
    }
    return frame(request, "queue", status=400 if wrong else 200, **context)


def _rows(
    tab: tabs.Tab, form: queue_filter.FilterForm | None, request: HttpRequest, at: datetime
) -> dict[str, Any]:
    rows = tab.rows(request.user, at)
    query = form.query if form else ""
    matching = ""
    if form and query:
        found = form.narrow(rows, user=request.user, at=at)
        few = list(found.order_by().values_list("pk", flat=True)[: MOST + 1])
        # Of few PostgreSQL is told which: to find them in order it might walk the whole queue.
        rows = found if len(few) > MOST else rows.filter(pk__in=few)
        matching = words(len(few))
    if place := request.GET.get("after", ""):
        rows = tab.order.behind(rows, place)
    shown = list(tab.fetch(tab.order.ordered(rows))[: PAGE + 1])
    here = {"tab": tab.name, **(form.given() if form else {})}
    return {
        "rows": [tab.row(row, at) for row in shown[:PAGE]],
        "matching": matching,
        "query": query,
        "further": urlencode({**here, "after": tab.order.place(shown[PAGE - 1])}) if shown[PAGE:] else "",
        "behind": bool(place),
        "first": f"{tab.address}?{query}" if query else tab.address,
    }


def _choices(form: queue_filter.FilterForm, user: Any) -> dict[str, Any]:
    """What stands around the rows of the queue: values to choose from, saved filters, whom to assign to."""
    valid = form.is_valid()
    return {
        "suggestions": queue_filter.suggestions(),
        "chips": form.chips() if valid else [],
        "acts": bulk.ACTS.values(),
        "saved": SavedFilter.objects.seen_by(user).select_related("owner")[:MOST_SAVED],
    }


ROUTES = (("queue/", page, "queue"),)
