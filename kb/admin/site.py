"""Turn Django's admin into kb's: its name, its order, and what waits in the head of every page."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods

from kb.admin import (
    audit,
    bulk,
    claims,
    dashboard,
    notices,
    queue,
    rights,
    saved_filters,
    signoff,
    tabs,
    undo,
)

Context = dict[str, Any]
View = Callable[..., HttpResponse]
# Pages that belong to no model: route below kb/, view, name.
ROUTES = (
    *(*queue.ROUTES, claims.NEXT, *bulk.ROUTES, *saved_filters.ROUTES, *notices.ROUTES),
    *(*audit.PAGES, *rights.PAGES, *signoff.PAGES),
)
ORDER = (
    "Post",
    "Entity",
    "Flag",
    "Decision",
    "Revision",
    "Criteria",
    "Synonym",
    "Report",
    "VerificationPolicy",
    "ImportRun",
    "Receipt",
    "AccessToken",
    "Hook",
    "Delivery",
)


class ListAdmin(admin.ModelAdmin):
    """A list that bears its own name, not “Select post to change”."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})


def dress(site: AdminSite) -> None:
    """Make this site kb's. Django built it before any app could name a class of its own."""
    site.site_header = site.site_title = settings.KB_SITE_NAME
    site.index_title = "Editing and review"
    # The lists need its room, and the breadcrumbs lead everywhere.
    site.enable_nav_sidebar = False
    site.index_template = "admin/kb/index.html"
    site.empty_value_display = "–"
    site.get_app_list = partial(_in_order, site.get_app_list)  # type: ignore[method-assign]
    site.each_context = partial(_context, site.each_context)  # type: ignore[method-assign]
    site.admin_view = partial(_view, site.admin_view)  # type: ignore[method-assign]
    site.get_urls = partial(_urls, site, site.get_urls)  # type: ignore[method-assign]


def _view(inherited: Callable[[View], View], view: View, cacheable: bool = False) -> View:
    """A view as the admin guards it: for the methods that it knows, and kept by no cache.

    Django answers a DELETE as it does a GET, as if it had deleted; and lets caches keep the pages on which
    one changes a password, which name the user.
    """
    return inherited(require_http_methods(["GET", "HEAD", "POST"])(view))


def _in_order(
    inherited: Callable[..., list[Context]], request: HttpRequest, app_label: str | None = None
) -> list[Context]:
    """The apps with kb first, and of kb what people come for first, not what the alphabet says."""
    apps = inherited(request, app_label)
    for app in apps:
        if app["app_label"] == "kb":
            app["models"].sort(key=lambda model: ORDER.index(model["object_name"]))
    return sorted(apps, key=lambda app: app["app_label"] != "kb")


def _context(inherited: Callable[[HttpRequest], Context], request: HttpRequest) -> Context:
    # Functions, for most pages do not ask.
    return {
        **inherited(request),
        "kb_desk": partial(tabs.header, request),
        "kb_tabs": partial(_tabs, request),
        "kb_whole": partial(dashboard.whole, request),
        "kb_undo": partial(undo.offered, request),
    }


def _tabs(request: HttpRequest) -> list[Context]:
    return tabs.summaries(request.user, timezone.now())


def _urls(site: AdminSite, inherited: Callable[[], list[Any]]) -> list[Any]:
    mine: list[URLPattern] = [
        path(f"kb/{route}", site.admin_view(view), name=f"kb_{name}") for route, view, name in ROUTES
    ]
    # Before Django's own, whose last one takes whatever is left.
    return [*mine, *inherited()]
