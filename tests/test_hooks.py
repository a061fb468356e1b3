"""Webhooks: told with the change or not at all, signed, at least once, to addresses that may be reached."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from threading import Barrier, Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections, transaction

from config import options
from kb import outgoing
from kb.errors import Refused
from kb.flow import delivering, publishing, reviewing, subscribing
from kb.flow.delivering import ATTEMPTS, Sent, deliver
from kb.flow.maintaining import upkeep
from kb.models import Change, Delivery, Hook, HookAct, Notice, Post, Publication

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]
ALL = ("published", "updated", "withdrawn")
LONG = 20  # seconds: who takes longer waits for ever


@dataclass
class Got:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Another system, which answers what it is told to, and 200 after that."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    go: Event = field(default_factory=Event)  # until then it does not answer

    def numbers(self) -> list[int]:
        return [json.loads(one.body)["data"]["number"] for one in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    system = Receiver()
    system.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            system.got.append(Got(self.path, headers, body))
            system.go.wait(LONG)
            self.send_response(system.answers.pop(0) if system.answers else 200)
            for name, value in system.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    system.url = f"http://127.0.0.1:{server.server_port}/in?kb=1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield system
    system.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock(now: datetime) -> Clock:
    return Clock(now)


@pytest.fixture(autouse=True)
def inside_may_be_reached(settings: Any) -> None:
    settings.KB_HOOK_PRIVATE = True


@pytest.fixture
def hook(receiver: Receiver, people: SimpleNamespace, now: datetime) -> Hook:
    return subscribing.make("Search", url=receiver.url, kinds=ALL, by=people.administrator, at=now)


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


# --- What is told ---


def test_a_change_comes_signed_and_says_what_the_feed_says(
    hook: Hook, receiver: Receiver, make_post: MakePost, publish: Publish, clock: Clock
) -> None:
    publish(make_post(slug="a-note"))

    sent = deliver(clock=clock)

    (got,) = receiver.got
    change = Change.objects.get()
    assert sent == Sent(delivered=1)
    assert (got.path, got.headers["content-type"]) == ("/in?kb=1", "application/json")
    assert json.loads(got.body) == {
        "type": "post.published",
        "timestamp": "2026-11-23T12:00:00Z",
        "data": {
            "number": change.pk,
            "kind": "published",
            "slug": "a-note",
            "version": "0.1.0",
            "fingerprint": change.fingerprint,
            "at": "2026-11-23T12:00:00Z",
            "url": "/api/v1/posts/a-note/",
        },
    }
    assert signature(got, subscribing.secret(hook)) == got.headers["webhook-signature"]
    assert got.headers["webhook-timestamp"] == str(int(clock.at.timestamp()))
    assert states() == ["delivered"]


def signature(got: Got, secret: str) -> str:
    """As a receiver works it out that has read the specification and nothing of kb."""
    key = base64.b64decode(secret.split("whsec_")[1])
    content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def test_a_withdrawal_is_told_with_its_name_alone(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    clock: Clock,
) -> None:
    post = make_post(slug="a-note", body="Not to be seen again.")
    publish(post)
    reviewing.withdraw(post, by=people.administrator, at=clock.at, comment="Wrong: do not tell.")

    deliver(clock=clock)

    told = json.loads(receiver.got[-1].body)
    assert (told["type"], told["data"]["slug"]) == ("post.withdrawn", "a-note")
    assert (told["data"]["version"], told["data"]["fingerprint"]) == ("", "")
    assert b"not" not in receiver.got[-1].body.replace(b"a-note", b"")


def test_of_a_draft_nobody_is_told(
    hook: Hook, make_post: MakePost, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(ask_for_review=True)
    reviewing.request_changes(
        post,
        number=1,
        fingerprint=post.head.fingerprint,
        by=people.reviewer,
        at=now,
        comment="Shorter.",
    )
    publishing.retract(post, at=now)
    publishing.refresh(post, at=now)

    assert Delivery.objects.count() == 0


def test_each_hears_of_the_kinds_that_it_asked_for_while_it_is_on(
    receiver: Receiver, make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    wanted: dict[str, Any] = {"All": ALL, "Gone": ["withdrawn"], "Off": ALL}
    hooks = {
        label: subscribing.make(label, url=receiver.url, kinds=kinds, by=people.administrator, at=now)
        for label, kinds in wanted.items()
    }
    subscribing.switch(hooks["Off"], on=False, by=people.administrator, at=now)
    post = make_post()
    publish(post)
    reviewing.withdraw(post, by=people.administrator, at=now, comment="wrong")

    told = Delivery.objects.values_list("hook__label", "change__kind")
    assert sorted(told) == [("All", "published"), ("All", "withdrawn"), ("Gone", "withdrawn")]


def test_what_is_rolled_back_is_told_to_nobody(hook: Hook, make_post: MakePost, publish: Publish) -> None:
    post = make_post()

    with transaction.atomic():
        publish(post)
        inside = (Change.objects.count(), states())
        transaction.set_rollback(True)

    assert inside == (1, ["waiting"])
    assert (Change.objects.count(), states()) == (0, [])


# --- Again and again ---


def test_what_failed_is_sent_again_under_the_same_name_and_behind_a_pause(
    hook: Hook, receiver: Receiver, make_post: MakePost, publish: Publish, clock: Clock
) -> None:
    publish(make_post())
    receiver.answers = [500]

    runs = [deliver(clock=clock), deliver(clock=clock)]
    clock.at += timedelta(seconds=20)
    runs.append(deliver(clock=clock))

    first, second = receiver.got
    assert runs == [Sent(failed=1), Sent(), Sent(delivered=1)]
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert Delivery.objects.values("attempts", "last_status", "last_error").get() == {
        "attempts": 2,
        "last_status": 200,
        "last_error": "",
    }


def test_after_the_last_attempt_it_is_given_up_and_can_be_tried_again(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    clock: Clock,
) -> None:
    publish(make_post())
    receiver.answers, began = [503] * ATTEMPTS, clock.at

    while states() == ["waiting"]:
        deliver(clock=clock)
        took = clock.at - began
        clock.at = max(clock.at, Delivery.objects.get().next_attempt_at) + timedelta(minutes=1)
    dead = Delivery.objects.get()
    given = subscribing.try_again([dead.pk, 0], by=people.administrator, at=clock.at)
    deliver(clock=clock)

    assert (dead.state, dead.attempts, dead.last_error) == ("dead", ATTEMPTS, "It answered 503.")
    assert timedelta(hours=17) < took < timedelta(hours=29)
    assert given == 1
    assert (len(receiver.got), states()) == (ATTEMPTS + 1, ["delivered"])


def test_a_failure_lets_the_rest_wait_and_holds_up_no_other_hook(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    clock: Clock,
) -> None:
    dead = "http://127.0.0.1:1/"  # nobody listens there
    subscribing.change(hook, "First", url=dead, kinds=ALL, by=people.administrator, at=clock.at)
    subscribing.make("Second", url=receiver.url, kinds=ALL, by=people.administrator, at=clock.at)
    for _ in range(3):
        publish(make_post())

    sent = deliver(clock=clock)

    numbers = list(Change.objects.order_by("pk").values_list("pk", flat=True))
    failing = Delivery.objects.filter(hook=hook).order_by("pk")
    assert sent == Sent(delivered=3, failed=1)
    assert receiver.numbers() == numbers
    assert list(failing.values_list("attempts", flat=True)) == [1, 0, 0]
    assert failing[0].last_error == "The connection failed: Connection refused."


def test_a_sender_that_breaks_off_sends_again_rather_than_never(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(make_post())

    with monkeypatch.context() as patch:
        patch.setattr(delivering, "_note_success", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deliver(clock=clock)
    soon = deliver(clock=clock)
    clock.at += delivering.LEASE
    later = deliver(clock=clock)

    assert (soon, later) == (Sent(), Sent(delivered=1))
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len(receiver.got) == 2


def test_a_hook_that_is_gone_or_fails_for_days_is_switched_off_and_its_maker_is_told(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    clock: Clock,
) -> None:
    publish(make_post())
    receiver.answers = [500, 500]
    deliver(clock=clock)
    clock.at += delivering.OFF_AFTER
    failing = deliver(clock=clock)
    hook.refresh_from_db()
    reasons = [hook.off_because]
    subscribing.switch(hook, on=True, by=people.administrator, at=clock.at)
    clock.at += timedelta(hours=1)
    receiver.answers = [410]
    gone = deliver(clock=clock)
    hook.refresh_from_db()

    assert (failing, gone) == (Sent(failed=1, off=1), Sent(dead=1, off=1))
    assert [*reasons, hook.off_because] == [
        "Every attempt failed for 3 days.",
        "The receiver said that it is gone for good (410).",
    ]
    assert not hook.active
    assert Notice.objects.filter(user=people.administrator, sentence__contains="“Search”").count() == 2
    assert list(HookAct.objects.order_by("pk").values_list("kind", "by__username")) == [
        ("made", "administrator"),
        ("off", None),
        ("on", "administrator"),
        ("off", None),
    ]


@pytest.mark.parametrize(("answer", "state"), [(200, "delivered"), (410, "dead")])
def test_upkeep_forgets_what_got_through_or_was_given_up_when_its_days_are_over(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    clock: Clock,
    settings: Any,
    answer: int,
    state: str,
) -> None:
    settings.KB_HOOK_DAYS = 7
    publish(make_post())
    receiver.answers = [answer]
    deliver(clock=clock)
    Hook.objects.update(active=True)
    publish(make_post())
    clock.at += timedelta(days=7)
    upkeep(at=clock.at)
    kept = states()
    clock.at += timedelta(seconds=1)
    upkeep(at=clock.at)

    assert (kept, states()) == ([state, "waiting"], ["waiting"])


@pytest.mark.parametrize(
    ("status", "asked", "wait"),
    [
        (503, "3600", timedelta(hours=1)),
        (429, "Mon, 23 Nov 2026 14:00:00 GMT", timedelta(hours=2)),
        (429, "99999999999", timedelta(days=1)),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1)),
        # Never sooner than after a pause of kb's own.
        *((503, asked, None) for asked in ("1", "0", "-60", "Mon, 23 Nov 2026 11:00:00 GMT")),
        *((503, asked, None) for asked in ("", "soon", "1e9", "Mon, 23 Nov 99999999999999999999 1:0:0 GMT")),
        # Other answers ask for nothing.
        (500, "3600", None),
        (301, "3600", None),
    ],
)
def test_a_receiver_may_ask_for_a_longer_pause_of_a_day_at_most(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    clock: Clock,
    status: int,
    asked: str,
    wait: timedelta | None,
) -> None:
    publish(make_post(slug="first"))
    publish(make_post(slug="second"))
    receiver.answers, receiver.headers = [status], {"Retry-After": asked}

    deliver(clock=clock)

    first = Delivery.objects.order_by("pk").values_list("next_attempt_at", flat=True)[0]
    hook.refresh_from_db()
    if wait is None:
        assert timedelta(seconds=12) <= first - clock.at <= timedelta(seconds=18)
    else:
        assert (first - clock.at, hook.rests_until) == (wait, clock.at + wait)
        clock.at += wait - timedelta(seconds=1)
        assert deliver(clock=clock) == Sent()
        clock.at += timedelta(seconds=1)
        assert deliver(clock=clock) == Sent(delivered=2)


@pytest.mark.django_db(transaction=True)
def test_of_several_senders_each_message_is_sent_by_one_in_order(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    clock: Clock,
) -> None:
    subscribing.make("Other", url=receiver.url, kinds=ALL, by=people.administrator, at=clock.at)
    for _ in range(4):
        publish(make_post())
    start = Barrier(3)

    def send() -> Sent:
        try:
            start.wait(LONG)
            return deliver(clock=clock)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as threads:
        sent = [running.result(LONG) for running in [threads.submit(send) for _ in range(3)]]

    numbers = list(Change.objects.order_by("pk").values_list("pk", flat=True))
    assert sum(one.delivered for one in sent) == 8
    # In order for each of the two: the first time that a number comes is never before a smaller one's.
    assert sorted(receiver.numbers()) == sorted(numbers * 2)
    assert list(dict.fromkeys(receiver.numbers())) == numbers


@pytest.mark.django_db(transaction=True)
def test_a_slow_receiver_holds_up_neither_publishing_nor_other_senders(
    hook: Hook,
    receiver: Receiver,
    make_post: MakePost,
    publish: Publish,
    people: SimpleNamespace,
    clock: Clock,
) -> None:
    publish(make_post())
    receiver.go.clear()

    def send() -> Sent:
        try:
            return deliver(clock=clock)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(send)
        while not receiver.got:
            assert not slow.done()
        publish(make_post())
        meanwhile = (states(), deliver(clock=clock))
        receiver.go.set()
        sent = slow.result(LONG)

    assert meanwhile == (["waiting", "waiting"], Sent())
    assert sent == Sent(delivered=2)


# --- One request ---


def post_to(url: str, *, private: bool = True) -> str:
    """How it went, in words."""
    try:
        return str(outgoing.post(url, b"{}", {}, private=private))
    except outgoing.Failed as failure:
        return str(failure)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers, receiver.headers = [302], {"Location": receiver.url}

    said = post_to(receiver.url)

    assert said == "It answered 302, and a redirect is not followed: give the address that it leads to."
    assert len(receiver.got) == 1


def test_one_that_does_not_answer_is_left(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "PATIENCE_SECONDS", 0.1)
    receiver.go.clear()

    assert post_to(receiver.url) == "It took too long to answer."


def test_one_that_answers_byte_by_byte_is_left(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "WHOLE_SECONDS", 0.1)
    receiver.go.clear()  # within the patience for one step

    assert post_to(receiver.url) == "It took too long to answer."


def test_https_needs_an_answer_in_tls(receiver: Receiver) -> None:
    assert post_to(receiver.url.replace("http:", "https:")).startswith("The connection failed: ")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "172.16.0.1", "100.64.0.1", "169.254.169.254"),
        *("0.0.0.0", "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"),
        *("[2002:7f00:1::]", "224.0.0.1", "2130706433", "127.1", "0x7f.1"),
    ],
)
def test_what_is_inside_is_reached_only_where_an_operator_says_so(
    receiver: Receiver, people: SimpleNamespace, now: datetime, settings: Any, host: str
) -> None:
    settings.KB_HOOK_PRIVATE = False
    url = receiver.url.replace("127.0.0.1", host)

    said = post_to(url, private=False)

    assert "is no public address" in said
    assert receiver.got == []
    if host[0] != "2" and host not in {"127.1", "0x7f.1"}:
        with pytest.raises(Refused, match="is no public address"):
            subscribing.make("Inside", url=url, kinds=ALL, by=people.administrator, at=now)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1"])
def test_some_addresses_are_never_reached(host: str) -> None:
    assert "is no public address" in post_to(f"http://{host}/", private=True)


def test_a_name_is_resolved_once_and_the_connection_goes_there(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = outgoing.socket.getaddrinfo

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        if host == "receiver.example":
            asked.append(host)
            return real("127.0.0.1", *args, **options)
        return real(host, *args, **options)

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", resolve)
    url = receiver.url.replace("127.0.0.1", "receiver.example")

    outside, inside = post_to(url, private=False), post_to(url)

    assert outside.startswith("receiver.example (127.0.0.1) is no public address")
    assert (inside, len(asked)) == ("200", 2)
    assert receiver.got[0].headers["host"] == url.split("/")[2]


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://example.com/", "javascript:alert(1)", "example.com/hook", "http://", "https:///x"),
        *("http://user:pw@example.com/", "http://user@example.com/", "http://example.com/#x"),
        *("http://example.com:0/", "http://example.com:99999/", "http://example.com:x/", "http://[::1/"),
        *("http://example.com/a b", "http://example.com/\r\nX: 1", "http://exämple.com/", "http://a/\x00"),
        "http://example.com/" + "x" * 2000,
    ],
)
def test_what_is_no_address_is_refused(people: SimpleNamespace, now: datetime, url: str) -> None:
    with pytest.raises(Refused) as refusal:
        subscribing.make("Bad", url=url, kinds=ALL, by=people.administrator, at=now)

    assert refusal.value.code == "bad_url"
    assert Hook.objects.count() == 0


# --- Who may, and with which secret ---


def test_only_who_has_the_right_keeps_webhooks(
    hook: Hook, receiver: Receiver, people: SimpleNamespace, now: datetime
) -> None:
    acts: list[Callable[[Any], Any]] = [
        lambda by: subscribing.make("Own", url=receiver.url, kinds=ALL, by=by, at=now),
        lambda by: subscribing.change(hook, "Own", url=receiver.url, kinds=ALL, by=by, at=now),
        lambda by: subscribing.renew(hook, by=by, at=now),
        lambda by: subscribing.switch(hook, on=False, by=by, at=now),
        lambda by: subscribing.test(hook, by=by, at=now),
        lambda by: subscribing.try_again([1], by=by, at=now),
    ]
    refused = []
    for who in (people.reviewer, people.auditor, people.stranger):
        for act in acts:
            with pytest.raises(Refused) as refusal:
                act(who)
            refused.append(refusal.value.code)

    assert refused == ["not_allowed"] * 18
    assert HookAct.objects.count() == 1


def test_what_was_done_with_a_webhook_stays(hook: Hook) -> None:
    acts = HookAct.objects.all()

    for undo in (lambda: acts.update(kind="off"), lambda: acts._raw_delete("default")):
        with pytest.raises(IntegrityError, match="kb_acts_on_webhooks_stay"), transaction.atomic():
            undo()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"label": " "}, "bad_label"),
        ({"label": "x" * 81}, "bad_label"),
        ({"label": "a\x00"}, "bad_label"),
        ({"label": "Search"}, "taken"),
        ({"kinds": []}, "bad_kinds"),
        ({"kinds": ["draft"]}, "bad_kinds"),
    ],
)
def test_what_makes_no_webhook_is_refused(
    hook: Hook, people: SimpleNamespace, now: datetime, given: dict[str, Any], code: str
) -> None:
    values = {"label": "Another", "url": hook.url, "kinds": ALL, **given}

    with pytest.raises(Refused) as refusal:
        subscribing.make(values.pop("label"), **values, by=people.administrator, at=now)

    assert refusal.value.code == code
    assert Hook.objects.count() == 1


def test_a_secret_is_of_one_webhook_changes_when_renewed_and_stands_in_no_table(
    hook: Hook, receiver: Receiver, people: SimpleNamespace, now: datetime, settings: Any
) -> None:
    other = subscribing.make("Other", url=receiver.url, kinds=ALL, by=people.administrator, at=now)
    secrets = [subscribing.secret(hook), subscribing.secret(other)]
    secrets.append(subscribing.secret(subscribing.renew(hook, by=people.administrator, at=now)))
    settings.SECRET_KEY = "another"
    secrets.append(subscribing.secret(other))

    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    assert [len(key) for key in keys] == [32] * 4
    assert len(set(keys)) == 4
    rows = json.dumps(list(Hook.objects.values()), default=str)
    assert [secret for secret in secrets if secret.removeprefix("whsec_") in rows] == []


def test_a_test_is_sent_like_any_message(
    hook: Hook, receiver: Receiver, people: SimpleNamespace, clock: Clock
) -> None:
    subscribing.test(hook, by=people.administrator, at=clock.at)
    deliver(clock=clock)
    subscribing.switch(hook, on=False, by=people.administrator, at=clock.at)

    (got,) = receiver.got
    assert json.loads(got.body) == {"type": "test", "timestamp": "2026-11-23T12:00:00Z", "data": {}}
    assert got.headers["webhook-id"].startswith("test-")
    with pytest.raises(Refused, match="is off: switch it on"):
        subscribing.test(hook, by=people.administrator, at=clock.at)


# --- The command ---


def test_the_command_sends_and_says_what_it_did(hook: Hook, make_post: MakePost, publish: Publish) -> None:
    publish(make_post())
    out = StringIO()

    call_command("deliver", stdout=out)
    call_command("deliver", stdout=out)

    assert out.getvalue() == "Deliver: 1 delivered.\nDeliver: nothing to do.\n"


def test_the_command_needs_the_key_that_makes_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    assert not options.load().secret_key()

    with pytest.raises(CommandError, match="SECRET_KEY is not set"):
        call_command("deliver")
