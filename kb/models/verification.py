"""Whether what is published is still true: verifications, how often they are due, and what readers report."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from kb.choices import ReportKind
from kb.document import Document
from kb.models.post import Post
from kb.models.revision import Flag, Revision


class Verification(models.Model):
    """A person's statement that what is published is still true. Never changed, never deleted."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="verifications")
    fingerprint = models.CharField(max_length=64)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="verifications")
    at = models.DateTimeField()
    checked = models.TextField(help_text="What was checked, and how.")
    evidence = models.CharField(max_length=2000, blank=True, help_text="A link to what proves it.")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["-at", "-id"], name="kb_verification_by_date")]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(checked=""), name="kb_a_verification_says_what_was_checked"
            )
        ]

    def __str__(self) -> str:
        return f"Verified by {self.by}"


class VerificationPolicyQuerySet(models.QuerySet["VerificationPolicy"]):
    def for_document(self, document: Document) -> "VerificationPolicy":
        """The one that counts: the longest topic, else the type with the fewest days, else KB_VERIFY_DAYS."""
        topic, types = document.topic.casefold(), {entity.type for entity in document.entities}
        found: list[VerificationPolicy] = list(self)
        by_topic = [one for one in found if one.topic and topic.startswith(one.topic.casefold())]
        if by_topic:
            return max(by_topic, key=lambda policy: len(policy.topic))
        by_type = [one for one in found if one.entity_type in types]
        default = VerificationPolicy(days=settings.KB_VERIFY_DAYS)
        return min(by_type, key=lambda policy: policy.days, default=default)


class VerificationPolicy(models.Model):
    """How often posts of a topic, or about entities of a type, are verified, and by whom."""

    topic = models.CharField(max_length=500, blank=True, help_text="Posts whose topic begins so.")
    entity_type = models.CharField(
        max_length=60, blank=True, help_text="Posts that name an entity of this type."
    )
    days = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="Days from one verification to the next.",
    )
    verifier = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    objects = VerificationPolicyQuerySet.as_manager()

    class Meta:
        ordering = ["topic", "entity_type"]
        verbose_name_plural = "verification policies"
        constraints = [
            models.UniqueConstraint(
                fields=["topic", "entity_type"], name="kb_one_policy_per_topic_and_entity_type"
            ),
            models.CheckConstraint(
                condition=(models.Q(topic="") & ~models.Q(entity_type=""))
                | (~models.Q(topic="") & models.Q(entity_type="")),
                name="kb_a_policy_is_for_a_topic_or_an_entity_type",
            ),
            models.CheckConstraint(
                condition=models.Q(days__gte=1, days__lte=3650), name="kb_a_policy_has_1_to_3650_days"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic or self.entity_type}: every {self.days} days"


class Report(models.Model):
    """A reader's word that something published is wrong, outdated or unclear. Kept as it was said."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="reports")
    kind = models.CharField(max_length=20, choices=ReportKind)
    sentence = models.TextField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="reports",
        help_text="None: a reader without a login.",
    )
    sender = models.CharField(max_length=64, help_text="Keyed hash of who sent it, to limit how often.")
    at = models.DateTimeField()
    flag = models.ForeignKey(Flag, null=True, on_delete=models.PROTECT, related_name="reports")

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["sender", "at"], name="kb_reports_by_sender"),
            models.Index(fields=["-at", "-id"], name="kb_report_by_date"),
        ]
        constraints = [
            models.CheckConstraint(condition=~models.Q(sentence=""), name="kb_a_report_says_something")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.sentence}"


class Oversight(models.Model):
    """What an editor set for one post about its verification; no part of the content."""

    post = models.OneToOneField(Post, primary_key=True, on_delete=models.CASCADE, related_name="oversight")
    withhold_when_overdue = models.BooleanField(
        default=False, help_text="Readers lose the post while its verification is overdue."
    )
    withheld_at = models.DateTimeField(null=True, help_text="Since when readers lack it for that reason.")
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        verbose_name_plural = "oversight"

    def __str__(self) -> str:
        return f"Oversight of {self.post}"


class Upkeep(models.Model):
    """The one row that says when upkeep last ran, and how far it is with the dates of publications."""

    ran_at = models.DateTimeField()
    rules = models.CharField(max_length=64, help_text="Hash of the policies that publications follow.")
    done_to = models.BigIntegerField(
        null=True, help_text="Publications up to this one follow them; None: all of them."
    )
    embedded_to = models.BigIntegerField(
        default=0, help_text="What changes up to this one published has its vector, where there are vectors."
    )

    class Meta:
        verbose_name_plural = "upkeep"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="kb_upkeep_is_one_row")]

    def __str__(self) -> str:
        return f"Upkeep of {self.ran_at:%Y-%m-%d %H:%M}"
