"""Turn a path into one of kb's doors: API, admin, site."""

import importlib.util

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls)]
for _door, _prefix in (("kb.api.urls", "api/v1/"), ("kb.site.urls", "")):
    try:
        _found = importlib.util.find_spec(_door)
    except ModuleNotFoundError:
        _found = None
    if _found:
        urlpatterns.append(path(_prefix, include(_door)))

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"
