"""Turn a path into one of kb's doors: API, admin, site."""

from django.contrib import admin
from django.urls import include, path, re_path

from kb.api.door import NothingHere

urlpatterns = [
    path("api/v1/", include("kb.api.urls")),
    path("api/", include([re_path(r"^", NothingHere.as_view())])),
    path("admin/", admin.site.urls),
    path("", include("kb.site.urls")),
]

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"
