"""Turn editors' and reviewers' forms into calls of kb.flow; this door asks and reports, it never writes."""

from django.contrib import admin

from kb.admin import entities, posts, records, site, verification  # noqa: F401  (they register themselves)

site.dress(admin.site)
