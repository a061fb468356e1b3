"""What waits: posts for a reviewer, notices for their reader, typed text for its save."""

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

CLAIM_LASTS = timedelta(minutes=30)  # without a sign of life


class QueueItemQuerySet(models.QuerySet["QueueItem"]):
    def open(self) -> Self:
        return self.filter(left_at__isnull=True)

    def by_harm(self) -> Self:
        """The most harmful first."""
        return self.order_by("-rank", "pk")

    def for_reviewer(self, user: Any) -> Self:
        """Open ones on which this person may decide: they wrote none of it, or may approve their own."""
        if settings.KB_ALLOW_SELF_APPROVAL:
            return self.open()
        return self.open().exclude(writers__contains=[user.pk])

    def unclaimed(self, at: datetime) -> Self:
        return self.filter(models.Q(claimed_by=None) | models.Q(claim_seen_at__lte=at - CLAIM_LASTS))

    def held_by(self, user: Any, at: datetime) -> Self:
        """Those that this person claimed, with a sign of life since."""
        return self.filter(claimed_by=user, claim_seen_at__gt=at - CLAIM_LASTS)


class QueueItem(models.Model):
    """A post from when it came to need a reviewer until it no longer did. Written by kb.flow.queueing alone.

    The row is derived: it can be made again from flags, decisions and revisions. `rank` sorts by harm: a
    point of harm weighs as much as a day of waiting, so that the order of two posts never changes by itself.
    """

    post = models.ForeignKey("kb.Post", on_delete=models.CASCADE, related_name="queue_items")
    since = models.DateTimeField(help_text="When the post came to need a reviewer.")
    left_at = models.DateTimeField(null=True, help_text="None: it still does.")
    left_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    outcome = models.CharField(
        max_length=20, blank=True, help_text="The decision's verdict; “settled”: without one."
    )

    # Why it is where it is.
    rank = models.BigIntegerField(help_text="Points of harm x 86,400 - seconds of `since`.")
    points = models.PositiveIntegerField(default=0)
    blocking = models.PositiveSmallIntegerField(default=0, help_text="Open blocking flags.")
    codes = ArrayField(models.CharField(max_length=40), default=list, help_text="Codes of the open flags.")
    readers = models.PositiveBigIntegerField(default=0, help_text="View count.")
    lowest_score = models.PositiveSmallIntegerField(null=True)
    writers = ArrayField(
        models.BigIntegerField(), default=list, help_text="Whose work it is: they may not approve it."
    )

    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="claims"
    )
    claimed_at = models.DateTimeField(null=True)
    claim_seen_at = models.DateTimeField(null=True, help_text="The claimer's last sign of life.")

    objects = QueueItemQuerySet.as_manager()

    class Meta:
        ordering = ["-rank", "pk"]
        indexes = [
            models.Index(
                fields=["-rank", "id"], condition=models.Q(left_at__isnull=True), name="kb_queue_by_harm"
            ),
            models.Index(fields=["since"], condition=models.Q(left_at__isnull=True), name="kb_queue_by_age"),
            models.Index(fields=["since", "left_at"], name="kb_queue_over_time"),
            models.Index(fields=["left_at", "since"], include=["outcome"], name="kb_queue_left"),
            models.Index(
                fields=["claimed_by"], condition=models.Q(left_at__isnull=True), name="kb_queue_claims"
            ),
            GinIndex(fields=["codes"], condition=models.Q(left_at__isnull=True), name="kb_queue_by_flag"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["post"],
                condition=models.Q(left_at__isnull=True),
                name="kb_a_post_waits_once_at_a_time",
            ),
            models.CheckConstraint(
                condition=models.Q(claimed_by=None, claimed_at=None, claim_seen_at=None)
                | models.Q(claimed_by__isnull=False, claimed_at__isnull=False, claim_seen_at__isnull=False),
                name="kb_a_claim_says_who_and_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.post} since {self.since:%Y-%m-%d %H:%M}"

    def claimer(self, at: datetime) -> Any:
        """Who holds it now: None when nobody claimed it, or gave no sign of life for 30 minutes."""
        if self.claim_seen_at is None or self.claim_seen_at <= at - CLAIM_LASTS:
            return None
        return self.claimed_by


class SavedFilterQuerySet(models.QuerySet["SavedFilter"]):
    def seen_by(self, user: Any) -> Self:
        """One's own, and those that others show to all."""
        return self.filter(models.Q(owner=user) | models.Q(shared=True))


class SavedFilter(models.Model):
    """A filter of the queue under a name, for oneself or for all."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters"
    )
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True, help_text="The address's query, such as flag=credential&topic=db.")
    shared = models.BooleanField(default=False, help_text="Everybody who reviews sees it.")

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="kb_one_saved_filter_per_name")]

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """Something that a person should know, shown in the admin until it is read."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    at = models.DateTimeField()
    sentence = models.TextField()
    post = models.ForeignKey(
        "kb.Post", null=True, on_delete=models.CASCADE, related_name="notices", help_text="Where to look."
    )
    read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["user", "-id"], condition=models.Q(read_at__isnull=True), name="kb_unread_notices"
            ),
            models.Index(fields=["user", "-id"], name="kb_notices_of_a_person"),
        ]

    def __str__(self) -> str:
        return self.sentence


class Digest(models.Model):
    """That a person got their mail of a day: nobody gets two."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="digests")
    day = models.DateField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-day", "pk"]
        constraints = [models.UniqueConstraint(fields=["user", "day"], name="kb_one_digest_a_day")]

    def __str__(self) -> str:
        return f"Digest of {self.day:%Y-%m-%d} for {self.user}"


class WorkingCopy(models.Model):
    """What somebody typed into the post form and did not save yet. Private, and changes no status."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="working_copies"
    )
    post = models.ForeignKey(
        "kb.Post",
        null=True,
        on_delete=models.CASCADE,
        related_name="working_copies",
        help_text="None: a new one.",
    )
    base_number = models.PositiveIntegerField(null=True, help_text="The revision that the form began with.")
    fields = models.JSONField(help_text="The form's fields as the browser would send them.")
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-updated_at"]
        verbose_name_plural = "working copies"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "post"], nulls_distinct=False, name="kb_one_working_copy_per_person_and_post"
            )
        ]

    def __str__(self) -> str:
        return f"{self.post or 'New post'}, {self.user}"
