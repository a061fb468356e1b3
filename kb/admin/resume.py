"""Turn a post form that arrives after its login ended into a login that brings back what was typed.

The text is stored nowhere meanwhile: the login page carries it, as the form did, to the browser that sent it
and to no other. Nothing is saved until the writer presses the button again.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters

from kb.models import Post

View = Callable[..., HttpResponse]
AGAIN = "You are logged in again. Nothing is saved yet: look it over and save."
STALE = "You logged in meanwhile, in another tab perhaps. Nothing is saved yet: look it over and save again."
NO_TEXT = {"csrfmiddlewaretoken", "username", "password"}


def resumable(site: AdminSite, view: View, permission: str) -> View:
    """The admin's view of a form, whose typed text outlives its login and its token.

    A form that another site sent gets nothing of this: it meets the admin's own guards alone.
    """
    guarded = site.admin_view(view)

    # Exempt from the middleware alone: `guarded` asks for the token itself, and so does what follows here.
    @csrf_exempt
    @sensitive_post_parameters("password")
    def form(request: HttpRequest, **place: Any) -> HttpResponse:
        if request.method == "POST" and _is_of_this_site(request):
            if not site.has_permission(request):
                return _log_in(request, site, view, permission, place)
            if not _has_token(request, view):
                return never_cache(view)(request, **place, extra_context={"resumed": STALE})
        return guarded(request, **place)

    return form


def _is_of_this_site(request: HttpRequest) -> bool:
    return request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"


def _has_token(request: HttpRequest, view: View) -> bool:
    return CsrfViewMiddleware(view).process_view(request, view, (), {}) is None


@never_cache
def _log_in(
    request: HttpRequest, site: AdminSite, view: View, permission: str, place: dict[str, Any]
) -> HttpResponse:
    """Ask to log in, with the typed text in the page; then show it in its form again."""
    asked = "password" in request.POST and _has_token(request, view)
    form = AdminAuthenticationForm(request, data=request.POST if asked else None)
    if asked and form.is_valid():
        user = form.get_user()
        if user.has_perm(permission):
            login(request, user)
            return view(request, **place, extra_context={"resumed": AGAIN})
        form.add_error(None, f"{user} may not edit posts: log in as who typed this.")
    context = {
        **site.each_context(request),
        "title": "Log in",
        "opts": Post._meta,
        "form": form,
        "typed": [
            (name, value)
            for name, value in request.POST.items()
            if name not in NO_TEXT and not name.startswith("_")
        ],
    }
    return TemplateResponse(request, "admin/kb/post/login.html", context, status=403)
