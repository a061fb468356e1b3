"""What machines read with: tokens, and how much of a minute each reader has used. No reader sees either."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Q

from kb import access_token
from kb.choices import Scope

SOON = timedelta(days=14)


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def valid(self, at: datetime) -> Self:
        """Those that open the door at this moment: not revoked, not expired, their owner active."""
        running = Q(expires_at=None) | Q(expires_at__gt=at)
        return self.filter(running, revoked_at=None, owner__is_active=True)


class AccessToken(models.Model):
    """Leave for a machine to read. The token itself is shown once and never kept."""

    label = models.CharField(max_length=80, help_text="What it is for, such as “status page”.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="access_tokens",
        help_text="The person who answers for it. It stops working when their account does.",
    )
    hash = models.CharField(max_length=64, help_text="SHA-256 of the token.")
    prefix = models.CharField(max_length=access_token.SHOWN, help_text="Its first characters, after kb_.")
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope), help_text="What it may read.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="None: the command line.",
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, help_text="None: never.")
    last_used_at = models.DateTimeField(null=True, help_text="To the minute. None: never.")
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="None, where it was revoked: the command line.",
    )
    revoked_at = models.DateTimeField(null=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        permissions = [("issue_token", "Can issue and revoke access tokens")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="kb_token_by_date"),
            models.Index(
                fields=["-revoked_at", "-id"],
                condition=Q(revoked_at__isnull=False),
                name="kb_token_by_revoking",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["hash"], name="kb_one_token_per_hash"),
            # Also what keeps a form that is sent twice from issuing two.
            models.UniqueConstraint(
                fields=["owner", "label"],
                condition=Q(revoked_at=None),
                name="kb_one_token_in_use_per_owner_and_label",
            ),
            models.CheckConstraint(condition=~Q(label=""), name="kb_a_token_says_what_it_is_for"),
            models.CheckConstraint(condition=~Q(scopes=[]), name="kb_a_token_may_read_something"),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=models.F("created_at")),
                name="kb_a_token_expires_after_it_was_made",
            ),
            models.CheckConstraint(
                condition=Q(revoked_by=None) | Q(revoked_at__isnull=False),
                name="kb_who_revokes_a_token_does_it_at_a_moment",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({access_token.PREFIX}{self.prefix}…)"

    def state(self, at: datetime) -> str:
        """Why it does not work at this moment, or “active” or “expiring”. Needs its owner fetched."""
        if self.revoked_at:
            return "revoked"
        if self.expires_at and self.expires_at <= at:
            return "expired"
        if not self.owner.is_active:
            return "inactive"
        return "expiring" if self.expires_at and self.expires_at <= at + SOON else "active"


def opening(token: str, at: datetime) -> tuple[int, list[str], datetime | None] | None:
    """The pk, scopes and last use of this token if it is valid; None if not.

    Machines ask with every request, and to write this statement anew takes Django longer than PostgreSQL to
    answer it.
    """
    sql, values = _statement()
    given: dict[Any, Any] = {_AT: at, _HASH: access_token.digest(token)}
    with connection.cursor() as cursor:
        cursor.execute(sql, [given.get(value, value) for value in values])
        found: tuple[int, list[str], datetime | None] | None = cursor.fetchone()
    return found


_AT, _HASH = datetime(1970, 1, 1, tzinfo=UTC), "hash"  # stand where the values will


@cache
def _statement() -> tuple[str, tuple[Any, ...]]:
    found = AccessToken.objects.valid(_AT).filter(hash=_HASH).order_by()
    sql, values = found.values_list("pk", "scopes", "last_used_at").query.sql_with_params()
    return sql, tuple(values)


class RateWindow(models.Model):
    """How many requests processes took for one reader's minute. Unlogged: a crash may forget it."""

    pk = models.CompositePrimaryKey("key", "minute")
    key = models.CharField(max_length=64, help_text="Keyed hash of a token, a person or an address.")
    minute = models.BigIntegerField(help_text="Minutes since 1970.")
    taken = models.BigIntegerField(
        help_text="May exceed what is allowed: what was asked for in vain counts too."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.key[:8]} in minute {self.minute}"
