"""Turn an administrator's word into leave for a machine to read, and take that leave back for good."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from kb import access_token
from kb.choices import Scope
from kb.errors import Refused
from kb.flow import permitting
from kb.models import AccessToken

MAX_LABEL = 80


@transaction.atomic
def issue(
    label: str,
    *,
    owner: Any,
    scopes: Iterable[str],
    expires_at: datetime | None,
    by: Any = None,
    at: datetime,
) -> tuple[AccessToken, str]:
    """Issue a token, and give it beside its record: this once, for only its hash is kept.

    `by` None is the command line. Raises Refused `not_allowed`, `bad_label`, `bad_scope`, `bad_owner`,
    `bad_expiry` or `label_taken`.
    """
    if by is not None:
        permitting.require(by, "kb.issue_token")
    label, wanted = label.strip(), set(scopes)
    _refuse_nonsense(label, wanted, owner, expires_at, at)
    token = access_token.make()
    try:
        with transaction.atomic():
            made = AccessToken.objects.create(
                label=label,
                owner=owner,
                hash=access_token.digest(token),
                prefix=access_token.shown(token),
                scopes=[scope for scope in Scope.values if scope in wanted],
                created_by=by,
                created_at=at,
                expires_at=expires_at,
            )
    except IntegrityError:
        raise Refused(
            f"{owner} has a token “{label}” already: revoke that one first, or choose another label.",
            code="label_taken",
        ) from None
    return made, token


def _refuse_nonsense(
    label: str, wanted: set[str], owner: Any, expires_at: datetime | None, at: datetime
) -> None:
    if not label or len(label) > MAX_LABEL or not label.isprintable():
        raise Refused(
            f"Say in 1 to {MAX_LABEL} characters what the token is for, on one line.", code="bad_label"
        )
    if not wanted or wanted - set(Scope.values):
        raise Refused(
            f"Choose what the token may read: one or more of {', '.join(Scope.values)}.", code="bad_scope"
        )
    if not owner.is_active:
        raise Refused(f"{owner} is not active: a token of theirs would not work.", code="bad_owner")
    if expires_at and expires_at <= at:
        raise Refused("The token would have expired already: choose a later day.", code="bad_expiry")


@transaction.atomic
def revoke(token: AccessToken, *, by: Any = None, at: datetime) -> AccessToken:
    """End a token: the next request with it is refused. Raises Refused `not_allowed` or `revoked`."""
    if by is not None:
        permitting.require(by, "kb.issue_token")
    found = AccessToken.objects.select_for_update().get(pk=token.pk)
    if found.revoked_at:
        raise Refused(f"“{found}” was revoked already.", code="revoked")
    found.revoked_by, found.revoked_at = by, at
    found.save(update_fields=["revoked_by", "revoked_at"])
    return found
