"""Turn editors' and reviewers' forms into calls of kb.flow; this door asks and reports, it never writes."""

from django.contrib import admin

# They register themselves.
from kb.admin import criteria, entities, hooks, posts, records, site, synonyms, tokens, verification  # noqa: F401

site.dress(admin.site)
