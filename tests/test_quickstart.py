"""The main job in one command: people, demo content and a server, also the second time, and its end."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command

from kb.flow import demonstrating
from kb.management import demo
from kb.management.commands import quickstart
from kb.models import Post

PROJECT = Path(__file__).parent.parent
NAMES = ["administrator", "editor", "reviewer"]


@pytest.fixture
def few_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real server test writes all of them; here four say as much."""
    notes = demo.notes()[-4:]
    monkeypatch.setattr(demo, "notes", lambda: notes)


def set_up(**options: Any) -> str:
    out = StringIO()
    call_command("quickstart", no_serve=True, stdout=out, **options)
    return out.getvalue()


def passwords(said: str) -> dict[str, str]:
    return dict(re.findall(r"^  (editor|reviewer|administrator) +(\S{16})$", said, re.MULTILINE))


# --- Setting up ---


@pytest.mark.usefixtures("groups", "few_notes")
def test_three_people_get_a_group_and_a_password_that_is_printed_and_works() -> None:
    said = set_up()

    shown = passwords(said)
    assert sorted(shown) == NAMES
    assert len(set(shown.values())) == 3
    for name, password in shown.items():
        user = authenticate(username=name, password=password)
        assert isinstance(user, User)
        assert (user.is_staff, user.is_superuser) == (True, False)
        assert [group.name for group in user.groups.all()] == [f"{name.capitalize()}s"]


@pytest.mark.usefixtures("groups", "few_notes")
def test_the_second_time_says_that_they_exist_and_how_to_reset_and_changes_nothing() -> None:
    shown = passwords(set_up())
    models = [*apps.get_app_config("kb").get_models(), User, Group]
    before = {model: list(model._default_manager.order_by("pk").values()) for model in models}

    said = set_up()

    assert {model: list(model._default_manager.order_by("pk").values()) for model in models} == before
    assert passwords(said) == {}
    assert not any(password in said for password in shown.values())
    assert "editor, reviewer, administrator exist already" in said
    assert "manage.py changepassword editor" in said
    assert "Demo posts: there already" in said


@pytest.mark.usefixtures("groups", "few_notes")
def test_somebody_who_has_the_name_already_keeps_password_and_groups_and_the_refusal_says_what_to_do() -> (
    None
):
    User.objects.create_user("reviewer", password="her own")

    with pytest.raises(CommandError, match=r"reviewer may not .* Put the users .* into the groups"):
        set_up()

    reviewer = authenticate(username="reviewer", password="her own")
    assert isinstance(reviewer, User)
    assert not reviewer.groups.exists()


@pytest.mark.usefixtures("groups", "few_notes")
def test_being_ended_half_way_is_no_failure_and_the_next_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(number: int, frame: object) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(quickstart.Command, "_tell", lambda self, number, total: ended(number, total))
        said = set_up()
    half = Post.objects.count()
    set_up()

    assert "Stopped." in said
    assert (half, Post.objects.count()) == (2, 4)


@pytest.mark.usefixtures("groups", "few_notes")
def test_without_demo_posts_no_post_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up()
    assert quickstart.shown_slug() in {note.record.slug for note in demo.notes()}

    demonstrating.remove(at=Post.objects.latest("updated_at").updated_at)

    assert quickstart.shown_slug() == ""


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80.5", ""])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="expected a number from 1 to 65535"):
        call_command("quickstart", f"--port={text}")


def test_a_port_that_is_taken_is_refused_before_anything_is_written() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]

        # No database fixture: touching it would fail.
        with pytest.raises(CommandError, match=rf"Port {taken} .* choose another, such as .*--port \d+"):
            call_command("quickstart", port=taken)


# --- The whole, on a machine that knows nothing of kb ---


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that root's system account can enter, unlike pytest's own: nothing is left elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="kb-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start `manage.py quickstart` with a data folder of its own and no setting but that."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    processes: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "manage.py"), "quickstart", *arguments],
            cwd=folder,
            env={**kept, "KB_DATA_DIR": "data"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        assert process.stdout
        process.stdout.close()


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    pytest.fail(f"ended with {process.wait()} before it said {text!r}:\n{''.join(lines)}")


def processes_of(folder: Path) -> list[str]:
    """The command lines of all living processes that name the folder, or work with kb's data in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if command and (str(folder) in command or f"KB_DATA_DIR={folder}" in environment):
            found.append(command)
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for left processes in /proc")
def test_one_command_gives_a_running_kb_and_ends_without_a_trace(
    start: Start, free_port: int, folder: Path
) -> None:
    # Ended in the middle of writing, without a chance to tidy up: what follows goes on from there.
    killed = start("--no-serve")
    read_until(killed, "administrator")
    time.sleep(0.5)
    killed.kill()
    killed.wait()

    for ending, demo_posts in ((signal.SIGINT, r"\d+ written"), (signal.SIGTERM, "there already")):
        running = start("--port", str(free_port))
        said = read_until(running, "Ctrl-C")
        curl = next(line for line in said.splitlines() if line.startswith("  curl "))
        answer = subprocess.run(shlex.split(curl), capture_output=True, text=True, check=True).stdout
        assert processes_of(folder / "data") != []
        running.send_signal(ending)
        assert running.wait(30) == 0

        meta = json.loads(answer)
        assert (meta["slug"], meta["review"]["reviewed"]) == (demo.SHOWN_FIRST, True)
        assert re.search(rf"Demo posts: {demo_posts}; \d+ are published, \d+ wait for review", said)
        assert f"http://127.0.0.1:{free_port}/admin/" in said
        assert processes_of(folder / "data") == []
        quickstart.require_free(free_port)
