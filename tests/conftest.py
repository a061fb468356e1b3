"""The fixed cast and makers that tests share."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from django.apps import apps
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import connections, transaction
from django.db.backends.signals import connection_created
from django.template import Context, RequestContext, Template
from django.test import TransactionTestCase
from django.test.signals import template_rendered

from kb.document import Document
from kb.flow import reviewing, revising
from kb.models import Post, Publication
from tests import emptying
from tests.emptying import empty_the_tables
from tests.template import template
from tests.worlds import remembered

# Begun first, so that no worker is left alone with one of them at the end. The slowest first.
SLOW = (
    "test_publishing.py",
    "test_quickstart.py",
    "test_canary.py",
    "test_demo.py",
    "test_state_machine.py",
    "test_admin.py",
    "test_api_docs.py",
    "test_embedded.py",
    "test_role_matrix.py",
    "test_queue.py",
    "test_races.py",
    "test_hostile.py",
    "test_review_desk.py",
    "test_database.py",
    "test_migrations.py",
    "test_reviewing.py",
    "test_editing.py",
    "test_synthesis.py",
    "test_looks.py",
    "test_search.py",
    "test_revising.py",
    "test_content.py",
    "test_api_contract.py",
    "test_api_schema.py",
    "test_site.py",
    "test_review.py",
    "test_loading.py",
)


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: each waits for PostgreSQL and Chromium nearly half of its time."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept-examples", action="store_true", help="write kb/api/examples.json anew")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow files first: `--no-loadscope-reorder` gives files to workers in this order."""
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path.name, len(SLOW)))


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make: code and collected tests live to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    """Let each worker's database begin as a copy of one that is migrated already."""
    with django_db_blocker.unblock():
        connections["default"].settings_dict["TEST"]["TEMPLATE"] = template()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let go of all connections at the end: a database with users cannot be dropped."""
    made = WeakSet[Any]()

    def keep(connection: Any, **kwargs: Any) -> None:
        made.add(connection)

    connection_created.connect(keep)
    yield
    # Also those that Django no longer names: the browser tests' event loop has a set of its own.
    with django_db_blocker.unblock():
        emptying.stop()
        for connection in made:
            connection.inc_thread_sharing()
            connection.close()
        for connection in connections.all():
            connection.close_pool()


@pytest.fixture(scope="session", autouse=True)
def quick_emptying() -> Iterator[None]:
    """Have tests with transactions of their own leave an empty database behind, by the quick way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_the_tables())
        yield


@pytest.fixture(scope="session", autouse=True)
def pages_alone_are_noted(django_test_environment: None) -> Iterator[None]:
    """Keep the context of each page for `response.context`; not that of every widget and part in it."""

    def render(template: Template, context: Context) -> Any:
        if isinstance(context, RequestContext) and context.template is template:
            template_rendered.send(sender=template, template=template, context=context)
        return template.nodelist.render(context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Template, "_render", render)
        yield


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@contextmanager
def lasting(blocker: Any) -> Iterator[None]:
    """Let what is written here last for several tests: a transaction around those of the tests.

    For fixtures of a class whose tests ask for no `people` of their own. The alias `reading` sees none of it.
    """
    with blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def people(groups: None) -> SimpleNamespace:
    return make_people()


FIRST_PERSON = 1_000_001  # no sequence gets there


def make_people() -> SimpleNamespace:
    """Two editors, two reviewers, administrator, auditor, and a stranger without rights; password "pw"."""
    members = {
        "editor": "Editors",
        "second_editor": "Editors",
        "reviewer": "Reviewers",
        "second_reviewer": "Reviewers",
        "administrator": "Administrators",
        "auditor": "Auditors",
        "stranger": "",
    }
    password = make_password("pw")
    # In bulk: most tests have them. With numbers of their own: a world that is put back knows who wrote it.
    users = User.objects.bulk_create(
        User(pk=pk, username=name, email=f"{name}@example.com", password=password, is_staff=bool(group))
        for pk, (name, group) in enumerate(members.items(), FIRST_PERSON)
    )
    found = Group.objects.in_bulk(field_name="name")
    User.groups.through.objects.bulk_create(
        User.groups.through(user=user, group=found[group])
        for user in users
        if (group := members[user.username])
    )
    return SimpleNamespace(**{user.username: user for user in users})


def make_groups() -> None:
    for migration in (
        "0003_groups",
        "0006_desk_rights",
        "0015_let_machines_in",
        "0016_webhooks",
        "0018_synonym_rights",
    ):
        import_module(f"kb.migrations.{migration}").make(apps, None)


@pytest.fixture
def groups(db: None) -> None:
    require_groups()


def require_groups() -> None:
    """The groups that the migration made; a test that emptied all tables took them along."""
    if not Group.objects.filter(name="Administrators").exists():
        make_groups()


MakePost = Callable[..., Post]
Publish = Callable[..., Publication]
BeginWith = Callable[[Callable[[], object]], None]


class Numbers:
    """Of the posts that were made, from 1."""

    last = 0

    def next(self) -> int:
        self.last += 1
        return self.last


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def make_post(people: SimpleNamespace, now: datetime, numbers: Numbers) -> MakePost:
    return post_maker(people, now, numbers)


@pytest.fixture
def publish(people: SimpleNamespace, now: datetime) -> Publish:
    return publisher(people, now)


@pytest.fixture
def begin_with(numbers: Numbers) -> BeginWith:
    """Have in the database what this function writes: made for the first test, then put back as it was.

    Nothing but people may be stored yet, and what the function writes may depend on no test.
    """

    def begin(make: Callable[[], object]) -> None:
        name = f"{make.__module__}.{make.__qualname__}"
        remembered(name, make)
        numbers.last = _last.setdefault(name, numbers.last)

    return begin


_last: dict[str, int] = {}  # number of a post in each such world


def post_maker(people: SimpleNamespace, now: datetime, numbers: Numbers | None = None) -> MakePost:
    numbers = numbers or Numbers()

    def make(*, by: User | None = None, slug: str = "", ask_for_review: bool = False, **content: Any) -> Post:
        number = numbers.next()
        content = {"title": f"Note {number}", "body": f"Text of note {number}.", **content}
        return revising.create(
            Document.read(content),
            slug=slug or f"note-{number}",
            by=by or people.editor,
            at=now,
            note=revising.ChangeNote("written for a test"),
            ask_for_review=ask_for_review,
        )

    return make


def publisher(people: SimpleNamespace, now: datetime) -> Publish:
    def approve(post: Post, *, by: User | None = None) -> Publication:
        post.refresh_from_db()
        head = post.head
        assert head is not None
        reviewing.approve(
            post, number=head.number, fingerprint=head.fingerprint, by=by or people.reviewer, at=now
        )
        return Publication.objects.get(post=post)

    return approve
