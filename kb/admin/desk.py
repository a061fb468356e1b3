"""Turn what a page of the review desk holds into an answer: its frame, and who may see it."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest
from django.template.response import TemplateResponse

from kb.models import Post

PAGE = 50  # rows
VIEW = permission_required("kb.view_post", raise_exception=True)
REVIEW = permission_required("kb.review_post", raise_exception=True)


def frame(request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
    shared = {**admin.site.each_context(request), "opts": Post._meta}
    return TemplateResponse(request, f"admin/kb/queue/{template}.html", {**shared, **context}, status=status)
