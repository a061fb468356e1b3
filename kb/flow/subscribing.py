"""Turn an administrator's wish into hooks: who is told of what is published, with which secret, and again.

A hook's secret is made from SECRET_KEY and a salt, shown to whoever makes it, and kept nowhere.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.crypto import get_random_string

from kb import outgoing
from kb.choices import ChangeKind
from kb.errors import Refused
from kb.flow import permitting, telling
from kb.models import Delivery, Hook, HookAct
from kb.models.hooks import MAX_LABEL, MAX_URL

CHANGE = "kb.change_hook"


@transaction.atomic
def make(label: str, *, url: str, kinds: Collection[str], by: Any, at: datetime) -> Hook:
    """Tell this address of such changes from now on; `secret` gives its secret.

    Raises Refused: `not_allowed`, `bad_label`, `bad_url`, `bad_kinds` or `taken`.
    """
    permitting.require(by, "kb.add_hook")
    hook = _saved(Hook(salt=_salt(), made_by=by, made_at=at), _checked(label, url, kinds))
    _note(hook, HookAct.MADE, by, at, _told(hook))
    return hook


@transaction.atomic
def change(hook: Hook, label: str, *, url: str, kinds: Collection[str], by: Any, at: datetime) -> Hook:
    """Raises Refused as `make` does."""
    permitting.require(by, CHANGE)
    wanted = _checked(label, url, kinds)
    hook = _lock(hook)
    before = (hook.label, _told(hook))
    hook = _saved(hook, wanted)
    if (hook.label, _told(hook)) != before:
        _note(hook, HookAct.CHANGED, by, at, f"{_told(hook)}; before: {', '.join(before)}")
    return hook


def secret(hook: Hook) -> str:
    """What signs its messages, to be shown to whoever just made it."""
    return outgoing.secret(hook.key())


@transaction.atomic
def renew(hook: Hook, *, by: Any, at: datetime) -> Hook:
    """Give a hook another secret. The old one signs nothing from now on. Raises Refused `not_allowed`."""
    permitting.require(by, CHANGE)
    hook = _lock(hook)
    hook.salt = _salt()
    hook.save(update_fields=["salt"])
    _note(hook, HookAct.SECRET, by, at)
    return hook


@transaction.atomic
def switch(hook: Hook, *, on: bool, by: Any, at: datetime) -> Hook:
    """Tell a hook again, what waited for it first, or no longer. Raises Refused `not_allowed`."""
    permitting.require(by, CHANGE)
    hook = _lock(hook)
    if hook.active == on:
        return hook
    hook.active, hook.off_because = on, ""
    hook.failing_since = hook.rests_until = None
    hook.save(update_fields=["active", "off_because", "failing_since", "rests_until"])
    _note(hook, HookAct.ON if on else HookAct.OFF, by, at)
    return hook


@transaction.atomic
def test(hook: Hook, *, by: Any, at: datetime) -> Delivery:
    """Let a message wait that says nothing. Raises Refused `not_allowed` or `off`."""
    permitting.require(by, CHANGE)
    hook = _lock(hook)
    if not hook.active:
        raise Refused(f"“{hook}” is off: switch it on, then test it.", code="off")
    return telling.leave(hook, telling.message("test", {}, at=at), at=at)


@transaction.atomic
def try_again(deliveries: Iterable[int], *, by: Any, at: datetime) -> int:
    """Let those of these that were given up wait once more, as if new; give how many.

    Raises Refused `not_allowed`.
    """
    permitting.require(by, CHANGE)
    given_up = Delivery.objects.dead().filter(pk__in=list(deliveries))
    return given_up.update(state=Delivery.WAITING, attempts=0, next_attempt_at=at)


def _checked(label: str, url: str, kinds: Collection[str]) -> dict[str, Any]:
    """The columns that these words make."""
    label, url = label.strip(), url.strip()
    if not label or len(label) > MAX_LABEL or "\x00" in label:
        raise Refused(f"Give the webhook a name of at most {MAX_LABEL} characters.", code="bad_label")
    if len(url) > MAX_URL:
        raise Refused(f"An address has at most {MAX_URL} characters.", code="bad_url")
    try:
        outgoing.Place.read(url, private=settings.KB_HOOK_PRIVATE)
    except ValueError as error:
        raise Refused(str(error), code="bad_url") from None
    known = [kind.value for kind in ChangeKind if kind in kinds]
    if not known:
        raise Refused("Choose at least one kind of change.", code="bad_kinds")
    return {"label": label, "url": url, "kinds": known}


def _saved(hook: Hook, columns: dict[str, Any]) -> Hook:
    for name, value in columns.items():
        setattr(hook, name, value)
    try:
        with transaction.atomic():
            hook.save()
    except IntegrityError:
        raise Refused(f"There is a webhook “{hook}” already: choose another name.", code="taken") from None
    return hook


def _lock(hook: Hook) -> Hook:
    return Hook.objects.select_for_update().get(pk=hook.pk)


def _salt() -> str:
    return get_random_string(32)


def _told(hook: Hook) -> str:
    return f"{', '.join(hook.kinds)} to {hook.url}"


def _note(hook: Hook, kind: str, by: Any, at: datetime, note: str = "") -> None:
    HookAct.objects.create(hook=hook, kind=kind, by=by, at=at, note=note)
