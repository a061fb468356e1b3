"""Turn editors' and reviewers' forms into calls of kb.flow; this door asks and reports, it never writes."""

from django.apps import apps
from django.contrib import admin

# Before the first use of admin.site: kb is loaded ahead of every other app with an admin.
apps.get_app_config("admin").default_site = "kb.admin.site.KbAdminSite"

from kb.admin import entities, posts, records  # noqa: E402, F401  (they register themselves with that site)

__all__ = ["admin"]
