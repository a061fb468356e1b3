"""Turn what is wanted of publications into a page of JSON."""

from dataclasses import asdict

from kb.api import pagination
from kb.api.door import stored
from kb.api.selecting import part, with_expanded
from kb.reading.listing import Estimate, counted, listed


def posts(request, values, wanted):
    """A page of the posts that are wanted, each as it is stored unless something else is asked for."""
    expand = values["expand"]
    found = listed(
        wanted,
        order=values["ordering"] or "-published_at",
        cursor=values["cursor"],
        limit=values["limit"],
        columns=("card_json", *(f"{name}_json" for name in expand)),
        scope=values["scope"],
    )
    cards = [
        with_expanded(
            part(card, values["selected"]),
            {name: each.encode() for name, each in zip(expand, more, strict=True)},
        )
        for card, *more in found.page.rows
    ]
    count = None if values["count"] == "none" else found.count
    if values["count"] == "exact" and not found.count.exact:
        count = Estimate(counted(wanted), exact=True)
    body = pagination.envelope(request.path, request.GET, found.page, cards, count=count and asdict(count))
    return stored(request, body, changed_at=found.changed_at)
