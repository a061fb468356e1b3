"""Turn Django's admin into kb's: its name, and the number of posts that wait for a reviewer."""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest

from kb.models import Post


class KbAdminSite(admin.AdminSite):
    site_header = settings.KB_SITE_NAME
    site_title = settings.KB_SITE_NAME
    index_title = "Editing and review"
    index_template = "admin/kb/index.html"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # A function, for most pages do not ask.
        return {**super().each_context(request), "kb_waiting": partial(waiting, request)}


def waiting(request: HttpRequest) -> int | None:
    """How many posts wait for review; None for those who may not see posts."""
    return Post.objects.waiting().count() if request.user.has_perm("kb.view_post") else None
