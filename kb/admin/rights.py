"""Turn groups, people and settings into a page that says who can do what, and through what."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET

from kb.admin import tables
from kb.admin.audit import AUDIT, moment

PAGE = 50
# What each right lets somebody do, in the order of the work; the short name heads a column.
WORDS = {
    "kb.view_post": ("See drafts", "See drafts, revisions, flags and decisions"),
    "kb.add_post": ("Write", "Write new posts"),
    "kb.change_post": ("Edit", "Edit posts, restore revisions and ask for review"),
    "kb.review_post": ("Review", "Request changes, raise and close flags"),
    "kb.publish_post": ("Publish", "Publish by approving (with Review), and withdraw"),
    "kb.verify_post": ("Verify", "Verify that published posts are still true"),
    "kb.import_post": ("Import", "Import posts"),
    "kb.issue_token": ("Tokens", "Issue and revoke access tokens of machines"),
    "kb.change_hook": ("Webhooks", "Say which systems are told of what is published"),
    "kb.audit_post": ("Audit", "See who did what and who can do what"),
    "auth.change_user": ("Accounts", "Give people groups and rights: whoever can, can get every right"),
    "auth.change_group": ("Groups", "Give groups rights: whoever is in one, gets them"),
}
HEAD = (
    "username",
    "name",
    "email",
    "active",
    "staff",
    "superuser",
    "right",
    "words",
    "through",
    "last login",
)


@dataclass(frozen=True, slots=True)
class Right:
    key: str  # "kb.review_post"
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Person:
    user: User
    groups: list[str]
    through: dict[str, list[str]]  # right's key to what gives it: groups, "directly", "superuser"


class PeopleForm(forms.Form):
    who = forms.CharField(
        label="Name",
        required=False,
        max_length=150,
        help_text="Part of the username, name or e-mail address.",
    )
    right = forms.ChoiceField(
        label="Who can",
        required=False,
        choices=[
            ("", "Anything, or nothing"),
            *((key, words) for key, (_, words) in WORDS.items()),
        ],
        error_messages={"invalid_choice": "There is no such right; choose one of the list."},
    )


@require_GET
@AUDIT
def page(request: HttpRequest) -> HttpResponseBase:
    """The rights with their groups, then the people with theirs."""
    form = PeopleForm(request.GET)
    if not form.is_valid() and request.GET.get("format"):
        return HttpResponse("There is no such right.", status=400, content_type="text/plain")
    found = people(form) if form.is_valid() else User.objects.none()
    if request.GET.get("format"):
        return tables.answer("rights", request.GET["format"], HEAD, _rows(found))
    chosen = Paginator(found, PAGE).get_page(request.GET.get("page"))
    groups = _groups()
    query = {name: request.GET[name] for name in form.fields if request.GET.get(name)}
    context = {
        **admin.site.each_context(request),
        "title": "Who can do what",
        "form": form,
        "query": f"{urlencode(query)}&" if query else "",
        "rights": [(right, _holders(right, groups)) for right in rights()],
        "others": _others(groups),
        "page": chosen,
        "people": [
            {
                "person": person,
                "cells": _cells(person),
                "login": moment(person.user.last_login, seconds=False),
            }
            for person in persons(chosen, groups)
        ],
        "superusers": User.objects.filter(is_superuser=True, is_active=True).count(),
        "self_approval": settings.KB_ALLOW_SELF_APPROVAL,
        "public": settings.KB_READ_ACCESS == "public",
    }
    return TemplateResponse(
        request, "admin/kb/whole/rights.html", context, status=200 if form.is_valid() else 400
    )


PAGES = (("rights/", page, "rights"),)


def rights() -> list[Right]:
    return [Right(key, name, words) for key, (name, words) in WORDS.items()]


def people(form: PeopleForm) -> QuerySet[User]:
    """Whom the form asks for: those who are active first, each by name."""
    found = User.objects.order_by("-is_active", "username")
    who, right = form.cleaned_data["who"], form.cleaned_data["right"]
    if who:
        parts = ("username", "first_name", "last_name", "email")
        found = found.filter(Q(*((f"{part}__icontains", who) for part in parts), _connector=Q.OR))
    if right:
        label, codename = right.split(".")
        held = Permission.objects.filter(content_type__app_label=label, codename=codename)
        # By subqueries: a join gives somebody with two such groups twice.
        by_group = User.groups.through.objects.filter(group__permissions__in=held).values("user")
        found = found.filter(Q(is_superuser=True) | Q(user_permissions__in=held) | Q(pk__in=by_group))
    return found


def persons(users: Iterable[User], groups: dict[int, tuple[str, set[str]]]) -> Iterator[Person]:
    """Each with what gives them each right. Needs their groups and own permissions fetched."""
    for user in _fetched(users):
        mine = [groups[group.pk] for group in user.groups.all() if group.pk in groups]
        own = {_key(permission) for permission in user.user_permissions.all()}
        through = {
            key: [
                *(name for name, held in mine if key in held),
                *(["directly"] if key in own else []),
                *(["superuser"] if user.is_superuser else []),
            ]
            for key in WORDS
        }
        yield Person(user, [name for name, _ in mine], {key: by for key, by in through.items() if by})


def _fetched(users: Iterable[User]) -> list[User]:
    found = list(users)
    prefetch_related_objects(found, "groups", "user_permissions__content_type")
    return found


def _groups() -> dict[int, tuple[str, set[str]]]:
    """Each group's name and the keys of its rights, in two queries."""
    found = Group.objects.order_by("name").prefetch_related("permissions__content_type")
    return {group.pk: (group.name, {_key(held) for held in group.permissions.all()}) for group in found}


def _key(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def _holders(right: Right, groups: dict[int, tuple[str, set[str]]]) -> list[str]:
    return [name for name, held in groups.values() if right.key in held]


def _others(groups: dict[int, tuple[str, set[str]]]) -> list[tuple[str, list[str]]]:
    """Django's finer rights that some group has, so that nothing is left out."""
    keys = sorted({key for _, held in groups.values() for key in held} - set(WORDS))
    return [(key, [name for name, held in groups.values() if key in held]) for key in keys]


def _cells(person: Person) -> list[tuple[Right, str]]:
    return [(right, ", ".join(person.through.get(right.key, ()))) for right in rights()]


def _rows(found: QuerySet[User]) -> Iterator[tuple[Any, ...]]:
    """A row for each person and right; one without a right for those who have none."""
    groups = _groups()
    for number in Paginator(found, 500):
        for person in persons(number, groups):
            user = person.user
            shared = (
                *(user.username, user.get_full_name(), user.email),
                *(user.is_active, user.is_staff, user.is_superuser),
            )
            for key, by in (person.through or {"": []}).items():
                words = WORDS[key][1] if key else "no right"
                yield (*shared, key, words, by, user.last_login)
