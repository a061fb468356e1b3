"""Turn a fresh machine into a running kb with people and demo content; a second time changes nothing."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper
from django.urls import reverse
from django.utils import timezone

from config.options import PROJECT
from kb.errors import Refused
from kb.flow import demonstrating, embedding
from kb.management import demo
from kb.models import Post, Publication
from kb.models.post import DEMO_SOURCE

HOST = "127.0.0.1"
GROUPS = {"editor": "Editors", "reviewer": "Reviewers", "administrator": "Administrators"}
# One process: the threads share its connections to the database.
THREADS = 4
PATIENCE_SECONDS = 60
STOPPING_SECONDS = 10
# Commands that run beside the server, and the seconds from one run of each to the next.
BESIDE = {"upkeep": 30, "deliver": 5}


class Stopped(BaseException):
    """Somebody asked the command to end. No Exception, so that nothing on the way takes it for a failure."""


class Command(BaseCommand):
    help = (
        "Try kb on this machine: set up the database, three users and demo content, then serve on "
        f"{HOST}. Needs no settings. Safe to repeat; `remove_demo` removes the demo content."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="Set up and end; serve nothing.")
        parser.add_argument("--port", type=port, default=8000, help="Port to serve on (default: 8000).")

    def handle(self, *args: Any, **options: Any) -> None:
        serve, number = not options["no_serve"], options["port"]
        if serve:
            require_free(number)
        try:
            with stopped_by_signals():
                self._set_up()
                if serve:
                    self._serve(number)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {error}") from error
        except Stopped:
            self._say("Stopped. Run the same command again to go on where you were.")

    def _say(self, line: str = "") -> None:
        self.stdout.write(line)
        self.stdout.flush()

    # --- Setting up ---

    def _set_up(self) -> None:
        self._say(f"Database: {where_the_data_is()}")
        call_command("migrate", verbosity=0, interactive=False)
        self._say("Tables and groups: ready")
        self._make_users()
        self._make_posts()
        self._make_meaning()

    def _make_users(self) -> None:
        made = {name: password for name in GROUPS if (password := make_user(name))}
        if made:
            self._say("Users (the passwords are shown this once):")
        for name, password in made.items():
            self._say(f"  {name:<14} {password}")
        there = [name for name in GROUPS if name not in made]
        if there:
            self._say(f"Users: {', '.join(there)} exist already and keep their passwords")
        self._say(f"  forgotten? manage.py changepassword {(there or ['editor'])[0]}")

    def _make_posts(self) -> None:
        people = User.objects.in_bulk(list(GROUPS), field_name="username")
        try:
            written = demonstrating.seed(
                notes := demo.notes(),
                cast=demonstrating.Cast(**people),
                at=timezone.now(),
                tell=lambda number: self._tell(number, len(notes)),
            )
        except Refused as error:
            raise CommandError(
                f"The demo content could not be written: {error} Put the users {', '.join(GROUPS)} "
                f"into the groups {', '.join(GROUPS.values())}, in this order, and start again."
            ) from error
        waiting = Post.objects.demo().waiting().count()
        published = Post.objects.demo().published().count()
        what = f"{written} written" if written else "there already"
        self._say(f"Demo posts: {what}; {published} are published, {waiting} wait for review")

    def _make_meaning(self) -> None:
        """Vectors, where this machine has what they need; words find posts everywhere."""
        try:
            model = embedding.set_up()
        except Refused as refused:
            self._say(str(refused))
            return
        made = sum(embedding.fill(model))
        embedding.index(model)
        self._say(f"Search by meaning: on, {made} posts embedded")

    def _tell(self, number: int, total: int) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\rDemo posts: {number} of {total}", ending="\r")
            self.stdout.flush()

    # --- Serving ---

    def _serve(self, number: int) -> None:
        let_go_of_connections()
        server = begin(server_command(number))
        beside: list[subprocess.Popen[bytes]] = []
        try:
            wait_until_it_answers(server, number)
            # Bit by bit, so that none is forgotten if somebody stops this now.
            beside.extend(begin(again_and_again(name)) for name in BESIDE)
            self._say(self._welcome(number))
            server.wait()
        finally:
            for process in (*beside, server):
                stop(process)
        raise CommandError(
            f"The server ended by itself with status {server.returncode}; its last lines say why."
        )

    def _welcome(self, number: int) -> str:
        root = f"http://{HOST}:{number}"
        places = {
            "Site": reverse("site:home"),
            "Admin": reverse("admin:index"),
            "Review queue": reverse("admin:kb_queue"),
            "API": reverse("api:root"),
            "API docs": reverse("api:docs"),
            "Meta box in a page": reverse("site:embed"),
        }
        lines = ["", "kb is ready.", "", *(f"  {name:<20}{root}{path}" for name, path in places.items())]
        slug = shown_slug()
        if slug and settings.KB_READ_ACCESS == "public":
            lines += [
                "",
                "A published post's meta data as JSON:",
                "",
                f"  curl -s {root}{reverse('api:meta', args=[slug])}",
            ]
        return "\n".join(
            [
                *lines,
                "",
                "Try this first: sign in to the admin as reviewer, open a post that waits for review,",
                "approve it, then reload the site: it is the newest post there.",
                "",
                "Ctrl-C stops the server and the database. `manage.py remove_demo` removes the demo content.",
            ]
        )


def let_go_of_connections() -> None:
    """Leave the connections to the server. The embedded database stays up as long as this process."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if isinstance(connection, PostgresWrapper):
            connection.close_pool()


def port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise ArgumentTypeError(f"got {text!r}, expected a number from 1 to 65535")
    return int(text)


def require_free(number: int) -> None:
    """Raise CommandError if nobody can listen on this port now."""
    other = number + 1 if number < 65_535 else 8000
    with socket.socket() as probe:
        # As servers do: connections of a server that just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
        except OSError as error:
            raise CommandError(
                f"Port {number} of {HOST} cannot be used ({error.strerror}): end what uses it, or "
                f"choose another, such as `manage.py quickstart --port {other}`."
            ) from error


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn Ctrl-C, a closed terminal and `kill` into Stopped, so that everything is put away in order."""

    def stop_now(number: int, frame: FrameType | None) -> None:
        # Once is enough: a second Ctrl-C shall not cut short what the first one began.
        for name in before:
            signal.signal(name, signal.SIG_IGN)
        raise Stopped

    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for name in before:
        signal.signal(name, stop_now)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def where_the_data_is() -> str:
    parts = settings.DATABASES["default"]
    if "data_dir" in parts["OPTIONS"]:
        return f"embedded PostgreSQL in {settings.KB_DATA_DIR}"
    return f"{parts['NAME']} on {parts['HOST'] or 'the local server'}, as DATABASE_URL says"


@transaction.atomic
def make_user(name: str) -> str:
    """Make the user with a random password and give that, or "" if there is a user of this name."""
    if User.objects.filter(username=name).exists():
        return ""
    password = secrets.token_urlsafe(12)
    # No superuser, who passes any check: the group gives every right of kb and over accounts.
    user = User.objects.create_user(name, password=password, is_staff=True)
    user.groups.add(Group.objects.get(name=GROUPS[name]))
    return password


def shown_slug() -> str:
    """A published demo post's slug, the nicest one if it is still there."""
    published = Publication.objects.filter(post__source=DEMO_SOURCE).values_list("slug", flat=True)
    return demo.SHOWN_FIRST if demo.SHOWN_FIRST in published else next(iter(published), "")


def server_command(number: int) -> list[str]:
    options = {
        "interface": "wsgi",
        "host": HOST,
        "port": number,
        "workers": 1,
        "blocking-threads": THREADS,
        "workers-kill-timeout": STOPPING_SECONDS // 2,
        "log-level": "warning",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "granian", *words, "config.wsgi:application"]


def begin(words: list[str]) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches this process alone, which then stops the others in order.
    return subprocess.Popen(words, cwd=PROJECT, env=environment(), start_new_session=True)  # noqa: S603  (fixed words)


def again_and_again(name: str) -> list[str]:
    """The command that does what is due while the server answers."""
    return [sys.executable, str(PROJECT / "manage.py"), name, "--every", str(BESIDE[name])]


def environment() -> dict[str, str]:
    # Whole: the server works in the project's folder, where a relative path would lead elsewhere.
    return {**os.environ, "KB_DATA_DIR": str(Path(settings.KB_DATA_DIR).absolute())}


def wait_until_it_answers(server: "subprocess.Popen[bytes]", number: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not answers(number):
        if server.poll() is not None:
            raise CommandError(
                f"The server did not start (status {server.returncode}); the lines above say why. "
                "If the port was taken meanwhile, choose another with --port."
            )
        if time.monotonic() > deadline:
            raise CommandError(f"The server did not answer within {PATIENCE_SECONDS} seconds; try again.")
        time.sleep(0.1)


def answers(number: int) -> bool:
    # No urllib: a proxy from the environment would be asked for our own address.
    connection = http.client.HTTPConnection(HOST, number, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server and its worker, or what runs beside it; they get some seconds to finish what they do."""
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        # Its session holds the server and its worker, nothing else.
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
