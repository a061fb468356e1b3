"""Revisions, and what people and rules said of them. Triggers keep both as they were written."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from kb.choices import Origin, Severity, Verdict
from kb.document import Document
from kb.models.imports import ImportRun
from kb.models.post import Post


class Revision(models.Model):
    """A frozen Document. Never changed, never deleted (but with the demo content)."""

    post = models.ForeignKey(Post, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    version = models.CharField(max_length=60, help_text="Semantic version: major.minor.patch.")
    origin = models.CharField(max_length=20, choices=Origin)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="revisions"
    )
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="children")
    # Text, not JSONB: the bytes that were hashed are the bytes that are kept.
    canonical = models.TextField()
    fingerprint = models.CharField(max_length=64)
    source_hash = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    files_touched = models.TextField(blank=True)
    command_used = models.TextField(blank=True)
    metric_improved = models.TextField(blank=True)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="revisions")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["post", "-number"]
        indexes = [models.Index(fields=["-created_at", "-id"], name="kb_revision_by_date")]
        constraints = [
            models.UniqueConstraint(fields=["post", "number"], name="kb_one_revision_per_number"),
            models.CheckConstraint(
                condition=~models.Q(origin__in=[Origin.PERSON, Origin.RESTORE])
                | (models.Q(author__isnull=False) & ~models.Q(reason="")),
                name="kb_a_person_gives_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"Revision {self.number} (v{self.version})"

    @property
    def document(self) -> Document:
        return Document.from_canonical(self.canonical)


class SourceRecord(models.Model):
    """The bytes of one source record as they came, for an export that returns them unchanged."""

    revision = models.OneToOneField(Revision, on_delete=models.PROTECT, related_name="source_record")
    format = models.CharField(max_length=20)
    place = models.TextField(help_text="File and line.")
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.place


class DecisionQuerySet(models.QuerySet["Decision"]):
    def in_force(self) -> Self:
        """Those that were not taken back."""
        return self.exclude(verdict=Verdict.TAKE_BACK).filter(taken_back_by__isnull=True)

    def approvals(self) -> Self:
        return self.in_force().filter(verdict=Verdict.APPROVE)

    def vouching(self) -> Self:
        """Approvals that still say something of their content: none that lapsed or was withdrawn since."""
        later = Decision.objects.filter(
            revision__post=OuterRef("revision__post"), verdict=Verdict.WITHDRAW, pk__gt=OuterRef("pk")
        )
        return self.approvals().exclude(schedule__outcome="lapsed").exclude(Exists(later))

    def effective(self) -> Self:
        """Approvals whose time has come: those that may reach readers."""
        return self.approvals().filter(Q(schedule=None) | Q(schedule__outcome="published"))


class Decision(models.Model):
    """What a reviewer said of one fingerprint. Never changed, never deleted."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="decisions")
    fingerprint = models.CharField(max_length=64)
    verdict = models.CharField(max_length=20, choices=Verdict)
    comment = models.TextField(blank=True)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="decisions")
    self_approved = models.BooleanField(
        default=False, help_text="The installation allowed the author to approve."
    )
    at = models.DateTimeField()
    takes_back = models.OneToOneField(
        "self",
        null=True,
        on_delete=models.PROTECT,
        related_name="taken_back_by",
        help_text="The decision that this one undoes.",
    )

    objects = DecisionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["reviewer", "-id"], name="kb_decisions_of_a_person"),
            models.Index(fields=["-at", "-id"], name="kb_decision_by_date"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(verdict__in=[Verdict.APPROVE, Verdict.TAKE_BACK]) | ~models.Q(comment=""),
                name="kb_who_refuses_says_why",
            ),
            models.CheckConstraint(
                condition=models.Q(verdict=Verdict.TAKE_BACK, takes_back__isnull=False)
                | (~models.Q(verdict=Verdict.TAKE_BACK) & models.Q(takes_back__isnull=True)),
                name="kb_what_is_taken_back_is_named",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} by {self.reviewer}"

    @property
    def effective_at(self) -> datetime:
        """From when an approval holds for readers: at once, or at the time that its reviewer chose."""
        schedule = getattr(self, "schedule", None)
        return schedule.publish_at if schedule else self.at


class FlagQuerySet(models.QuerySet["Flag"]):
    def open(self) -> Self:
        return self.filter(closed_at__isnull=True)

    def blocking(self) -> Self:
        return self.filter(severity=Severity.BLOCKING)

    def holding_up(self) -> Self:
        """Those for which somebody has to act: open, and not mere advice."""
        return self.open().exclude(severity=Severity.ADVISORY)


class Flag(models.Model):
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="flags")
    code = models.CharField(max_length=40)
    severity = models.CharField(max_length=20, choices=Severity)
    sentence = models.TextField(help_text="Why a person should look, in one sentence.")
    # [{"field": "body", "excerpt": "..."}]: where to look; "revision" names one to compare with.
    evidence = models.JSONField(default=list, blank=True)
    raised_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="None: a rule.",
    )
    raised_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    closing_note = models.TextField(blank=True)
    settled_by = models.ForeignKey(
        Decision, null=True, on_delete=models.PROTECT, related_name="settled_flags"
    )

    objects = FlagQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["code", "revision"], condition=models.Q(closed_at__isnull=True), name="kb_open_flags"
            ),
            models.Index(fields=["-raised_at", "-id"], name="kb_flag_by_date"),
            models.Index(
                fields=["-closed_at", "-id"],
                condition=models.Q(closed_at__isnull=False),
                name="kb_flag_by_closing",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(closed_at__isnull=True, closed_by__isnull=True, closing_note="")
                | (
                    models.Q(closed_at__isnull=False, closed_by__isnull=False)
                    & (~models.Q(closing_note="") | models.Q(settled_by__isnull=False))
                ),
                name="kb_a_closed_flag_says_who_and_why",
            ),
            models.CheckConstraint(
                condition=~models.Q(severity=Severity.BLOCKING) | models.Q(settled_by__isnull=True),
                name="kb_no_decision_settles_a_blocking_flag",
            ),
            models.UniqueConstraint(
                fields=["revision", "code"],
                condition=models.Q(raised_by__isnull=True, closed_at__isnull=True),
                name="kb_a_rule_has_one_open_flag_per_revision",
            ),
        ]

    def __str__(self) -> str:
        return self.sentence

    @property
    def is_open(self) -> bool:
        return self.closed_at is None
