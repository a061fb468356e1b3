"""Turn Django's admin into kb's: its name, and the number of posts that wait for a reviewer."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest

from kb.models import Post

Context = dict[str, Any]


def dress(site: AdminSite) -> None:
    """Make this site kb's. Django built it before any app could name a class of its own."""
    site.site_header = site.site_title = settings.KB_SITE_NAME
    site.index_title = "Editing and review"
    # The lists need its room, and the breadcrumbs lead everywhere.
    site.enable_nav_sidebar = False
    site.index_template = "admin/kb/index.html"
    site.each_context = partial(_context, site.each_context)  # type: ignore[method-assign]


def _context(inherited: Callable[[HttpRequest], Context], request: HttpRequest) -> Context:
    # A function, for most pages do not ask.
    return {**inherited(request), "kb_waiting": partial(waiting, request)}


def waiting(request: HttpRequest) -> int | None:
    """How many posts wait for review; None for those who may not see posts."""
    return Post.objects.waiting().count() if request.user.has_perm("kb.view_post") else None
