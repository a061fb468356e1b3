"""What tells other systems: webhooks, the outbox of what they are told, and who changed what about them."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.crypto import salted_hmac

from kb.choices import ChangeKind
from kb.models.publication import Change

MAX_LABEL = 80
MAX_URL = 2_000


class HookQuerySet(models.QuerySet["Hook"]):
    def hearing(self, kind: str) -> Self:
        """Those that are on and want to hear of such changes."""
        return self.filter(active=True, kinds__contains=[kind])


class Hook(models.Model):
    """An address that is told of changes. It is switched off, never removed: its history stays."""

    label = models.CharField("name", max_length=MAX_LABEL)
    url = models.CharField("address", max_length=MAX_URL)
    kinds = ArrayField(models.CharField(max_length=20, choices=ChangeKind))
    salt = models.CharField(max_length=32, help_text="Makes its secret, together with SECRET_KEY.")
    active = models.BooleanField(default=True)
    off_because = models.CharField(max_length=300, blank=True, help_text="Why kb switched it off itself.")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    rests_until = models.DateTimeField(null=True, help_text="Until when no sender takes it up.")
    failing_since = models.DateTimeField(null=True, help_text="The first failure since the last success.")

    objects = HookQuerySet.as_manager()

    class Meta:
        verbose_name = "webhook"
        default_permissions = ("add", "change", "view")
        ordering = ["-active", "label"]
        constraints = [models.UniqueConstraint(fields=["label"], name="kb_one_hook_per_label")]

    def __str__(self) -> str:
        return self.label

    def key(self) -> bytes:
        """The 32 bytes that sign what it is sent. Kept nowhere: a copy of the database gives none away."""
        return salted_hmac("kb.hooks", self.salt, algorithm="sha256").digest()


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self) -> Self:
        return self.filter(state=Delivery.WAITING)

    def dead(self) -> Self:
        return self.filter(state=Delivery.DEAD)

    def due(self, at: datetime) -> Self:
        return self.waiting().filter(next_attempt_at__lte=at)


class Delivery(models.Model):
    """One message to one hook. Written together with the change that it tells."""

    WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"
    STATES = [(WAITING, "Waiting"), (DELIVERED, "Delivered"), (DEAD, "Given up")]

    hook = models.ForeignKey(
        Hook, on_delete=models.PROTECT, related_name="deliveries", verbose_name="webhook"
    )
    change = models.ForeignKey(
        Change, null=True, on_delete=models.PROTECT, related_name="+", help_text="None: a test."
    )
    payload = models.TextField(help_text="The bytes that are signed and sent, as UTF-8.")
    made_at = models.DateTimeField()
    state = models.CharField(max_length=20, choices=STATES, default=WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    delivered_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        default_permissions = ("view",)
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["hook", "change"], name="kb_one_delivery_per_hook_and_change"),
            models.CheckConstraint(
                condition=models.Q(state="delivered", delivered_at__isnull=False)
                | models.Q(state__in=["waiting", "dead"], delivered_at=None),
                name="kb_what_was_delivered_says_when",
            ),
        ]
        indexes = [
            models.Index(
                fields=["hook", "next_attempt_at"],
                condition=models.Q(state="waiting"),
                name="kb_deliveries_that_wait",
            ),
            models.Index(fields=["state", "-id"], name="kb_deliveries_by_state"),
            models.Index(
                fields=["delivered_at"],
                condition=models.Q(state="delivered"),
                name="kb_deliveries_to_forget",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message} to {self.hook}"

    @property
    def message(self) -> str:
        """Its name for the receiver, the same at each attempt: by it a second one is known."""
        return f"change-{self.change_id}" if self.change_id else f"test-{self.pk}"


class HookAct(models.Model):
    """Who did what with a hook. Never changed."""

    MADE, CHANGED, SECRET, ON, OFF = "made", "changed", "secret", "on", "off"
    KINDS = [
        (MADE, "Added"),
        (CHANGED, "Changed"),
        (SECRET, "Given a new secret"),
        (ON, "Switched on"),
        (OFF, "Switched off"),
    ]

    hook = models.ForeignKey(Hook, on_delete=models.PROTECT, related_name="acts")
    kind = models.CharField(max_length=20, choices=KINDS)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    note = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        ordering = ["-pk"]
        indexes = [models.Index(fields=["-at", "-id"], name="kb_hook_acts_newest")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.hook}"
