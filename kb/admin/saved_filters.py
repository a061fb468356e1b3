"""Turn a filter of the queue into one with a name, and what its owner does with it into calls of kb.flow."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from kb.admin import queue_filter
from kb.admin.desk import REVIEW, frame
from kb.errors import Refused
from kb.flow import filtering
from kb.models import SavedFilter


class NameForm(forms.Form):
    name = forms.CharField(max_length=filtering.LONGEST, help_text="Such as: imports with a credential.")
    shared = forms.BooleanField(
        label="For all who review", required=False, help_text="Only you can rename or delete it."
    )


@require_POST
@REVIEW
def save(request: HttpRequest) -> HttpResponse:
    """Keep the filter that the queue has now."""
    asked, name = queue_filter.read(request.POST.get("filter", "")), NameForm(request.POST)
    if not (asked.is_valid() and asked.query):
        messages.error(request, "Set a filter first; then it can have a name.")
        return HttpResponseRedirect(reverse("admin:kb_queue"))
    if name.is_valid():
        given = {**name.cleaned_data, "query": asked.query}
        keep = partial(filtering.keep, **given, by=request.user, at=timezone.now())
        _said(request, keep, f"Saved as “{given['name']}”.")
    else:
        messages.error(request, f"Not saved: {_first_error(name)}")
    return HttpResponseRedirect(f"{reverse('admin:kb_queue')}?{asked.query}")


@require_http_methods(["GET", "HEAD", "POST"])
@REVIEW
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename one's own filter, or show it to others."""
    saved = _own(request, pk)
    form = NameForm(
        request.POST if request.method == "POST" else None,
        initial={"name": saved.name, "shared": saved.shared},
    )
    if request.method == "POST" and form.is_valid():
        try:
            filtering.rename(saved, **form.cleaned_data, by=request.user, at=timezone.now())
        except Refused as refused:
            form.add_error("name", str(refused))
        else:
            messages.success(request, f"The filter is now “{saved.name}”.")
            return HttpResponseRedirect(f"{reverse('admin:kb_queue')}?{saved.query}")
    status = 400 if form.errors else 200
    return frame(request, "filter", title="Saved filter", saved=saved, form=form, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@REVIEW
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    saved = _own(request, pk)
    if request.method != "POST":
        return frame(request, "filter_delete", title="Delete a saved filter", saved=saved)
    discard = partial(filtering.discard, saved, by=request.user, at=timezone.now())
    _said(request, discard, f"The filter “{saved}” is deleted.")
    return HttpResponseRedirect(reverse("admin:kb_queue"))


def _own(request: HttpRequest, pk: int) -> SavedFilter:
    # Another's filter looks like none: who may change it is no secret, but there is nothing to do there.
    return get_object_or_404(SavedFilter, pk=pk, owner=request.user)


def _said(request: HttpRequest, act: Callable[[], Any], done: str) -> None:
    try:
        act()
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, done)


def _first_error(form: forms.Form) -> str:
    return next(str(error) for errors in form.errors.values() for error in errors)


ROUTES = (
    ("queue/filters/", save, "filters"),
    ("queue/filters/<int:pk>/", change, "filter"),
    ("queue/filters/<int:pk>/delete/", delete, "filter_delete"),
)
