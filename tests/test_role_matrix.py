"""Who gets what at which address: tests/data/role-matrix.txt has a line for each route and each method.

The walk is done once. What a request writes is rolled back, so none sees what another did. POST has an empty
body; POST+ brings what somebody would send who means it.

A new address, or another answer on purpose: delete tests/data/role-matrix.txt and run this module. It writes
the table anew and fails once; read the difference line by line before you commit it.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client, override_settings
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve, reverse

from kb.choices import Severity
from kb.document import Checklist, Document
from kb.flow import (
    commenting,
    criteria,
    issuing,
    publishing,
    reporting,
    reviewing,
    revising,
    subscribing,
    synonyms,
)
from kb.models import (
    Decision,
    Delivery,
    Entity,
    Flag,
    ImportRun,
    Notice,
    Post,
    Publication,
    Receipt,
    Report,
    SavedFilter,
    VerificationPolicy,
)
from tests.conftest import empty_the_tables, make_groups
from tests.forms import Form, what_is_seen

pytestmark = pytest.mark.django_db(databases=["default", "reading"])

TABLE = Path(__file__).parent / "data" / "role-matrix.txt"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "POST+", "PUT", "PATCH", "DELETE")
SAFE = ("GET", "HEAD", "OPTIONS")
STAFF = ("editor", "reviewer", "administrator", "auditor")
ROLES = ("anonymous", "stranger", *STAFF)
# Who may read is a setting, and only those without a login feel it.
COLUMNS = (("anonymous", "public"), *((who, "authenticated") for who in ROLES))
# Acts that say nothing but that they are wanted.
WORDLESS = (
    *(f"/admin/kb/post/<int:pk>/{act}/" for act in ("claim", "take-over", "release", "touch")),
    "/admin/kb/post/<int:pk>/review/take-back/<int:decision>/",
    "/admin/kb/post/<int:pk>/review/reopen-flag/<int:flag>/",
    *(f"/admin/kb/post/<int:pk>/comments/<int:comment>/{act}/" for act in ("resolve", "reopen")),
    "/admin/kb/criteria/<int:pk>/retire/",
    "/admin/kb/accesstoken/<int:pk>/revoke/",
    *(f"/admin/kb/hook/<int:pk>/{act}/" for act in ("secret", "test")),
    "/admin/kb/delivery/<int:pk>/again/",
    "/admin/kb/synonym/<int:pk>/retire/",
    "/admin/kb/queue/next/",
    "/admin/kb/queue/filters/<int:pk>/delete/",
    "/admin/kb/notices/<int:pk>/",
    "/admin/kb/notices/read/",
)
HOOK = {"url": "https://receiver.example/", "kinds": ["published"]}
LOGINS = {"site:login", "admin:login"}
LEGEND = """\
# What each role gets at each address: see tests/test_role_matrix.py.
# A number is the status of the answer; "login" is a redirect to a page that asks to log in.
# public: without a login where KB_READ_ACCESS=public; all other columns where it is "authenticated".
# stranger: logged in, without any right. POST: with an empty body. POST+: with what the form asks for.
"""


class Request(NamedTuple):
    route: str
    method: str
    who: str
    access: str  # KB_READ_ACCESS


class Answer(NamedTuple):
    status: int
    shown: str  # as the table has it
    cache: str
    wrote: bool  # or locked a row to write


Walk = dict[Request, Answer]


# --- Addresses ----------------------------------------------------------------------------------------------
def routes(resolver: URLResolver | None = None, before: str = "/") -> Iterator[str]:
    """Every pattern that kb knows, in one piece."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = f"{before}{pattern.pattern}"
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from routes(pattern, route)


def address(route: str, world: SimpleNamespace) -> str:
    """Where this route leads to something that is there."""
    if route in world.addresses:
        return str(world.addresses[route])
    known = {
        **world.parts,
        "object_id": next((pk for place, pk in world.objects.items() if route.startswith(place)), ""),
        "id": world.objects["/admin/auth/user/"],
    }
    found = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: str(known[part[1]]), route)
    assert not re.search(r"[<>()^$]", found), f"{route}: give it an address in make_world()"
    return found


# --- What is there ------------------------------------------------------------------------------------------
def make_world() -> SimpleNamespace:
    """One post that is published and whose next revision waits, and one of everything else."""
    if not Group.objects.filter(name="Administrators").exists():
        make_groups()
    people = {
        "stranger": User.objects.create_user("stranger", password="pw"),
        **{name: _staff(name, f"{name.capitalize()}s") for name in STAFF},
    }
    post = _post(people["editor"], people["reviewer"])
    flag = post.head.flags.open().get(code="missing_owner")
    unused = Entity.objects.create(name="unused", type="tool")
    run = ImportRun.objects.create(by=people["administrator"], started_at=NOW)
    comment = commenting.add(post, number=2, text="Why?", by=people["reviewer"], at=NOW)
    checked = criteria.write("Every note", items=["It runs"], by=people["administrator"], at=NOW)
    same = synonyms.write(["k8s", "kubernetes"], by=people["administrator"], at=NOW)
    receipt = Receipt.objects.create(run=run, place="a.txt:1", outcome="created", post=post)
    checklist = publishing.checklist_key(Checklist(title="Before", items=("run linting",)))
    saved = SavedFilter.objects.create(owner=people["reviewer"], name="Old ones", query="age=30")
    token, _ = issuing.issue("status page", owner=people["editor"], scopes=["read"], expires_at=None, at=NOW)
    notice = Notice.objects.create(user=people["reviewer"], sentence="Look.", post=post, at=NOW)
    autocomplete = "app_label=kb&model_name=postentity&field_name=entity&term=un"
    hook = subscribing.make("Index", **HOOK, by=people["administrator"], at=NOW)
    told = Delivery.objects.create(hook=hook, payload="{}", made_at=NOW, next_attempt_at=NOW, state="dead")
    type_of_posts = ContentType.objects.get_for_model(Post).pk
    return SimpleNamespace(
        people=people,
        post=post,
        parts={
            "pk": post.pk,
            "slug": post.slug,
            "number": 1,
            "other": 1,
            "to": 1,
            "flag": flag.pk,
            "key": checklist,
            "comment": comment.pk,
            "decision": Decision.objects.get().pk,
        },
        objects={
            "/admin/kb/post/": post.pk,
            "/admin/kb/entity/": unused.pk,
            "/admin/kb/criteria/": checked.pk,
            "/admin/kb/synonym/": same.pk,
            "/admin/kb/importrun/": run.pk,
            "/admin/kb/accesstoken/": token.pk,
            "/admin/kb/receipt/": receipt.pk,
            "/admin/kb/revision/": post.head.pk,
            "/admin/kb/flag/": flag.pk,
            "/admin/kb/decision/": Decision.objects.get().pk,
            "/admin/kb/report/": _report(post).pk,
            "/admin/kb/verificationpolicy/": VerificationPolicy.objects.create(topic="unused", days=9).pk,
            "/admin/kb/hook/": hook.pk,
            "/admin/kb/delivery/": told.pk,
            "/admin/auth/user/": User.objects.create_user("somebody", password="pw").pk,
            "/admin/auth/group/": Group.objects.create(name="Nobody yet").pk,
        },
        addresses={
            "/admin/kb/criteria/<int:pk>/retire/": f"/admin/kb/criteria/{checked.pk}/retire/",
            **{
                f"/admin/kb/hook/<int:pk>/{act}/": f"/admin/kb/hook/{hook.pk}/{act}/"
                for act in ("secret", "switch", "test")
            },
            "/admin/kb/delivery/<int:pk>/again/": f"/admin/kb/delivery/{told.pk}/again/",
            "/admin/kb/synonym/<int:pk>/retire/": f"/admin/kb/synonym/{same.pk}/retire/",
            "/admin/kb/accesstoken/<int:pk>/revoke/": f"/admin/kb/accesstoken/{token.pk}/revoke/",
            "/admin/autocomplete/": f"/admin/autocomplete/?{autocomplete}",
            "/admin/r/<path:content_type_id>/<path:object_id>/": f"/admin/r/{type_of_posts}/{post.pk}/",
            "/admin/^(?P<app_label>kb|auth)/$": "/admin/kb/",
            "/admin/kb/queue/filters/<int:pk>/": f"/admin/kb/queue/filters/{saved.pk}/",
            "/admin/kb/queue/filters/<int:pk>/delete/": f"/admin/kb/queue/filters/{saved.pk}/delete/",
            "/admin/kb/notices/<int:pk>/": f"/admin/kb/notices/{notice.pk}/",
            "/admin/(?P<url>.*)$": "/admin/nothing/",
            "/api/v1/entities/<str:type>/<str:slug>/": "/api/v1/entities/stack/python/",
            "/api/v1/entities/<str:type>/<str:slug>/posts/": "/api/v1/entities/stack/python/posts/",
            "/api/^": "/api/v1/nothing/",
            "/entities/<str:type>/<str:slug>/": "/entities/stack/python/",
        },
    )


def _report(post: Post) -> Report:
    return reporting.report(post.slug, kind="wrong", sentence="No.", sender="192.0.2.7", at=NOW)


def _staff(name: str, group: str) -> User:
    user = User.objects.create_user(name, password="pw", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


def _post(editor: User, reviewer: User) -> Post:
    content = {
        "title": "A note",
        "checklists": [{"title": "Before", "items": ["run linting"]}],
        "entities": [{"name": "python", "type": "stack"}],
    }
    note = revising.ChangeNote("written for a test")
    post = revising.create(Document.read(content), slug="a-note", by=editor, at=NOW, note=note)
    seen = {"number": 1, "fingerprint": post.head.fingerprint}
    reviewing.approve(post, **seen, by=reviewer, at=NOW)
    changed = Document.read({**content, "brief": "Changed."})
    revising.save(post, changed, base_number=1, by=editor, at=NOW, note=note, ask_for_review=True)
    return Post.objects.get(pk=post.pk)


def filled(world: SimpleNamespace) -> dict[str, dict[str, Any]]:
    """What somebody would send to these routes who means it."""
    head = world.post.head
    on_page = what_is_seen(world.post)
    flag = Flag.objects.get(pk=world.parts["flag"])
    client = Client()
    client.force_login(world.people["editor"])

    def form(name: str, *args: Any) -> dict[str, str]:
        page = client.get(reverse(f"admin:kb_post_{name}", args=args)).content.decode()
        data = Form(page, "post_form").data
        del data["writer"]  # a form that somebody else opened would only ask again
        return {**data, "brief": "New.", "reason": "Because.", "_save": "1"}

    login = {"username": "administrator", "password": "pw"}
    password = {"password1": "correct-horse-9", "password2": "correct-horse-9", "usable_password": "true"}
    user = {"username": "renamed", "date_joined_0": "2026-11-23", "date_joined_1": "12:00:00"}
    acts = "/admin/kb/post/<int:pk>/review"
    deleting = {
        f"{place}<path:object_id>/delete/": {"post": "yes"} for place in world.objects if "admin" in place
    }
    somebody = world.objects["/admin/auth/user/"]
    return {
        "/login/": login,
        "/admin/login/": login,
        "/admin/password_change/": {
            "old_password": "pw",
            "new_password1": "correct-horse-9",
            "new_password2": "correct-horse-9",
        },
        f"{acts}/approve/": on_page,
        f"{acts}/request-changes/": {**on_page, "comment": "Shorter."},
        f"{acts}/raise-flag/": {"severity": Severity.BLOCKING, "sentence": "Wrong."},
        f"{acts}/close-flag/<int:flag>/": {
            "note": "Settled.",
            "sentence": flag.sentence,
        },
        f"{acts}/withdraw/": {
            "published": Publication.objects.get(post=world.post).fingerprint,
            "comment": "Outdated.",
        },
        "/admin/kb/post/<int:pk>/verify/still-true/": {
            "published": Publication.objects.get(post=world.post).fingerprint,
            "checked": "Ran it.",
        },
        "/admin/kb/post/<int:pk>/verify/withholding/": {"on": "1"},
        "/admin/kb/verificationpolicy/add/": {"topic": "databases", "days": 30},
        "/admin/kb/verificationpolicy/<path:object_id>/change/": {"topic": "databases", "days": 30},
        "/posts/<slug:slug>/report/": {"kind": "wrong", "sentence": "No."},
        **{route: {} for route in WORDLESS},
        "/admin/kb/queue/preview/": {"act": "return", "post": world.post.pk, "comment": "Shorter."},
        "/admin/kb/queue/do/": {
            "act": "return",
            "comment": "Shorter.",
            "rows-TOTAL_FORMS": 1,
            "rows-INITIAL_FORMS": 1,
            "rows-0-post": world.post.pk,
            **{f"rows-0-{name}": value for name, value in on_page.items()},
        },
        "/admin/kb/queue/filters/": {"name": "Mine", "filter": "age=7"},
        "/admin/kb/queue/filters/<int:pk>/": {"name": "Renamed"},
        f"{acts}/comment/": {"number": head.number, "text": "Why?"},
        f"{acts}/mend/": {"number": head.number, "field": "summary", "text": "New.", "reason": "Typo"},
        "/admin/kb/accesstoken/add/": {"label": "feed", "owner": "editor", "scopes": "read", "lasts": "30"},
        "/admin/kb/criteria/add/": {"name": "New", "items": "It runs"},
        "/admin/kb/criteria/<path:object_id>/change/": {"seen": 1, "items": "It runs\nIt ends"},
        "/admin/kb/hook/add/": {"label": "New", **HOOK},
        "/admin/kb/hook/<path:object_id>/change/": {"label": "Renamed", **HOOK},
        "/admin/kb/hook/<int:pk>/switch/": {"on": "0"},
        "/admin/kb/delivery/": {
            "action": "try_again",
            "_selected_action": world.objects["/admin/kb/delivery/"],
        },
        "/admin/kb/synonym/add/": {"words": "ci\ncontinuous integration"},
        "/admin/kb/synonym/<path:object_id>/change/": {"words": "k8s\nkubernetes\nkube"},
        "/admin/kb/post/": {"action": "ask_for_review", "_selected_action": world.post.pk},
        "/admin/kb/post/add/": {**form("add"), "title": "Another note"},
        "/admin/kb/post/<path:object_id>/change/": form("change", world.post.pk),
        "/admin/kb/post/check/": form("change", world.post.pk),
        "/admin/kb/post/keep/": form("change", world.post.pk),
        "/admin/kb/post/discard/": {"post": world.post.pk},
        "/admin/kb/post/<int:pk>/history/<int:number>/restore/": {
            "base_number": head.number,
            "reason": "It was better.",
        },
        "/admin/kb/entity/add/": {"name": "new", "type": "tool", "aliases": ""},
        "/admin/kb/entity/<path:object_id>/change/": {"aliases": "never used"},
        "/admin/auth/user/add/": {**password, "username": "new"},
        "/admin/auth/user/<path:object_id>/change/": user,
        "/admin/auth/user/<id>/password/": password,
        "/admin/auth/user/": {
            "action": "delete_selected",
            "_selected_action": somebody,
            "post": "yes",
        },
        "/admin/auth/group/add/": {"name": "New"},
        "/admin/auth/group/<path:object_id>/change/": {"name": "Renamed"},
        **deleting,
    }


# --- The walk -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def seen(django_db_setup: None, django_db_blocker: Any) -> Walk:
    # A session inside its cookie is a query less for each request.
    quick = override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    with django_db_blocker.unblock(), quick:
        logging.disable(logging.WARNING)
        try:
            world = make_world()
            with known_people(world):
                return walk(world)
        finally:
            logging.disable(logging.NOTSET)
            empty_the_tables()


@contextmanager
def known_people(world: SimpleNamespace) -> Iterator[None]:
    """Fetch nobody and nobody's rights anew for each request: they are the same in all."""
    people = {user.pk: User.objects.get(pk=user.pk) for user in world.people.values()}
    for user in people.values():
        user.get_all_permissions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelBackend, "get_user", lambda backend, pk: copy(people[int(pk)]))
        yield


@contextmanager
def one_transaction() -> Iterator[None]:
    """It begins anew after each request that wrote; most write nothing and need no end of their own."""
    transaction.set_autocommit(False)
    try:
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def walk(world: SimpleNamespace) -> Walk:
    forms = filled(world)
    visitors = {who: Visitor() for who in ROLES}
    for who, user in world.people.items():
        visitors[who].force_login(user)
    found = {}
    for access in ("public", "authenticated"):
        with override_settings(KB_READ_ACCESS=access), one_transaction():
            for route, method, who in product(routes(), METHODS, ROLES):
                # The admin asks nobody for this setting: the first column shows it.
                if access == "public" and who != "anonymous" and route.startswith("/admin/"):
                    continue
                if method == "POST+" and route not in forms:
                    continue
                data = forms[route] if method == "POST+" else {}
                ask = Request(route, method, who, access)
                found[ask] = visitors[who].ask(method.removesuffix("+"), address(route, world), data)
    return found


class Visitor(Client):
    """Somebody whose requests leave no trace, neither in the database nor in their own cookies."""

    def request(self, **request: Any) -> Any:
        # Without what Client notes down of templates, exceptions and cookies: the walk is long.
        return self.handler(self._base_environ(**request))

    def ask(self, method: str, path: str, data: dict[str, Any]) -> Answer:
        queries = Queries()
        with connection.execute_wrapper(queries):
            response = self.post(path, data) if method == "POST" else self.generic(method, path)
        if response.streaming:
            response.getvalue()
        wrote = queries.number > 0 and has_written()
        if wrote:
            transaction.rollback()
        cache = response.headers.get("Cache-Control", "")
        return Answer(response.status_code, _shown(response), cache, wrote)


class Queries:
    """How many there were: who asked nothing of the database wrote nothing there."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, execute: Any, *args: Any) -> Any:
        self.number += 1
        return execute(*args)


def has_written() -> bool:
    with connection.cursor() as cursor:
        # PostgreSQL gives a transaction its number with the first row that it writes or locks.
        cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        return bool(cursor.fetchone()[0])


def _shown(response: Any) -> str:
    if response.status_code == 302:
        with suppress(Resolver404):
            if resolve(urlsplit(response.headers["Location"]).path).view_name in LOGINS:
                return "login"
    return str(response.status_code)


# --- The table ----------------------------------------------------------------------------------------------
def rows(walked: Walk) -> list[str]:
    """Route and method, then what each role gets."""
    asked = sorted({(ask.route, METHODS.index(ask.method)) for ask in walked})
    return [
        _row(
            route, METHODS[method], *(walked[Request(route, METHODS[method], *who)].shown for who in COLUMNS)
        )
        for route, method in asked
    ]


def _row(route: str, method: str, *answers: str) -> str:
    return f"{route:<66}{method:<9}{''.join(f'{answer:<14}' for answer in answers)}".rstrip()


def listed() -> list[str]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


# --- Tests --------------------------------------------------------------------------------------------------
def test_every_answer_is_the_one_in_the_table(seen: Walk) -> None:
    found = rows(seen)
    if not TABLE.exists():
        names = ("public" if access == "public" else who for who, access in COLUMNS)
        TABLE.write_text(
            "\n".join([LEGEND + _row("# route", "method", *names), *found, ""]), encoding="utf-8"
        )
        pytest.fail(f"{TABLE} was missing and is written anew: read it before you commit it")

    assert listed() == found


def test_every_address_that_kb_knows_is_in_the_table_and_no_other() -> None:
    known = sorted(set(routes()))

    assert sorted({line.split()[0] for line in listed()}) == known


# What follows would hold of no table that was written anew and not read.
def test_no_answer_is_an_error_of_ours(seen: Walk) -> None:
    assert {ask: answer.shown for ask, answer in seen.items() if answer.status >= 500} == {}


def test_who_is_not_staff_gets_nothing_of_the_admin_but_its_login(seen: Walk) -> None:
    inside = {
        ask.route
        for ask, answer in seen.items()
        if ask.route.startswith("/admin/") and ask.who not in STAFF and answer.shown != "login"
    }

    assert inside == {"/admin/login/", "/admin/logout/"}


def test_without_a_login_nothing_is_read_where_reading_asks_for_one(seen: Walk) -> None:
    open_to_all = {
        ask.route
        for ask, answer in seen.items()
        if (ask.who, ask.access, ask.method) == ("anonymous", "authenticated", "GET") and answer.status == 200
    }

    assert open_to_all == {"/login/", "/admin/login/", "/robots.txt"}


def test_who_logged_in_reads_the_same_whether_or_not_all_may_read(seen: Walk) -> None:
    differing = {
        ask
        for ask, answer in seen.items()
        if (ask.who, ask.access) in {(who, "public") for who in ROLES[1:]}
        and answer != seen[ask._replace(access="authenticated")]
    }

    assert Request("/api/v1/posts/", "GET", "stranger", "public") in seen
    assert differing == set()


def test_a_stranger_and_all_of_the_staff_get_the_same_of_what_readers_see(seen: Walk) -> None:
    differing = {
        ask
        for ask, answer in seen.items()
        if ask.who in STAFF
        and not ask.route.startswith("/admin/")
        and answer != seen[ask._replace(who="stranger")]
    }

    assert differing == set()


def test_an_editor_decides_nothing_and_sees_no_accounts(seen: Walk) -> None:
    places = ("/admin/kb/post/<int:pk>/review/", "/admin/auth/")
    got = {
        ask.route
        for ask, answer in seen.items()
        if ask.who == "editor" and ask.route.startswith(places) and answer.status == 200
    }
    decided = {(ask.route, ask.method) for ask in did(seen, "editor") if ask.route.startswith(places)}

    assert (got, decided) == (set(), set())


def test_each_role_does_what_its_rights_say_and_no_more(seen: Walk) -> None:
    account = {"/admin/login/", "/admin/password_change/", "/login/"}
    post = "/admin/kb/post/"
    writing = {
        f"{post}",
        f"{post}add/",
        f"{post}<path:object_id>/change/",
        f"{post}<int:pk>/history/<int:number>/restore/",
        "/admin/kb/entity/add/",
        "/admin/kb/entity/<path:object_id>/change/",
        f"{post}<int:pk>/comments/<int:comment>/resolve/",
        f"{post}<int:pk>/comments/<int:comment>/reopen/",
    }
    acts = (
        *("approve", "request-changes", "raise-flag", "close-flag/<int:flag>", "withdraw", "comment", "mend"),
        *("take-back/<int:decision>", "reopen-flag/<int:flag>"),
    )
    deciding = {f"{post}<int:pk>/review/{act}/" for act in acts}
    deciding |= {f"{post}<int:pk>/verify/{act}/" for act in ("still-true", "withholding")}
    queueing = {
        *(f"{post}<int:pk>/{act}/" for act in ("claim", "take-over", "release")),
        "/admin/kb/queue/next/",
        "/admin/kb/queue/filters/",
    }
    own = {
        *(f"/admin/kb/queue/filters/<int:pk>/{act}" for act in ("", "delete/")),
        *(f"/admin/kb/notices/{act}/" for act in ("<int:pk>", "read")),
    }
    administering = {
        "/admin/kb/criteria/add/",
        "/admin/kb/criteria/<path:object_id>/change/",
        "/admin/kb/criteria/<int:pk>/retire/",
        "/admin/kb/accesstoken/<int:pk>/revoke/",
        # Adding one, or giving it another secret, shows the secret and so sends nobody elsewhere.
        "/admin/kb/hook/<path:object_id>/change/",
        *(f"/admin/kb/hook/<int:pk>/{act}/" for act in ("switch", "test")),
        "/admin/kb/delivery/",
        "/admin/kb/delivery/<int:pk>/again/",
        "/admin/kb/synonym/add/",
        "/admin/kb/synonym/<path:object_id>/change/",
        "/admin/kb/synonym/<int:pk>/retire/",
        "/admin/kb/entity/<path:object_id>/delete/",
        "/admin/auth/user/",
        "/admin/auth/user/<id>/password/",
        *(
            f"/admin/auth/{model}/{act}/"
            for model in ("user", "group")
            for act in ("add", "<path:object_id>/change", "<path:object_id>/delete")
        ),
        *(
            f"/admin/kb/verificationpolicy/{act}/"
            for act in ("add", "<path:object_id>/change", "<path:object_id>/delete")
        ),
    }
    reported = {"/posts/<slug:slug>/report/"}

    done = {who: {ask.route for ask in did(seen, who) if ask.method == "POST+"} for who in ROLES}

    assert done == {
        "anonymous": {"/admin/login/", "/login/"} | reported,
        "stranger": {"/admin/login/", "/login/"} | reported,
        "editor": account | reported | writing,
        "reviewer": account | reported | writing | deciding | queueing | own,
        "administrator": account | reported | writing | deciding | queueing | administering,
        "auditor": account | reported,
    }


def test_only_a_form_that_was_taken_writes(seen: Walk) -> None:
    wrote = {ask for ask, answer in seen.items() if answer.wrote}
    refused = {ask for ask in wrote if seen[ask].status in {400, 401, 403, 404, 405} or ask.method in SAFE}
    unasked = {(ask.route, ask.method) for ask in wrote if ask.method != "POST+"}

    assert len(wrote) > 50
    assert refused == set()
    # Its one field may be empty.
    empty = ("/admin/kb/entity/<path:object_id>/change/", "POST")
    assert unasked - {(route, "POST") for route in WORDLESS} == {empty}


def test_no_page_of_the_admin_is_kept_by_any_cache(seen: Walk) -> None:
    kept = {
        ask.route
        for ask, answer in seen.items()
        if ask.route.startswith("/admin/") and "no-store" not in answer.cache
    }

    assert kept == set()


def did(walked: Walk, who: str) -> set[Request]:
    """What this role asked for and got done."""
    return {ask for ask, answer in walked.items() if ask.who == who and answer.wrote and answer.status == 302}
