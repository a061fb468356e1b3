"""What reviewers keep beside their decisions: criteria, comments, scheduled publications, likenesses."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from kb import words
from kb.document import MAX_LINE
from kb.models.post import Post
from kb.models.revision import Decision, Revision


class CriteriaQuerySet(models.QuerySet["Criteria"]):
    def current(self) -> Self:
        """The newest version of each list that is not retired."""
        newer = Criteria.objects.filter(name=models.OuterRef("name"), version__gt=models.OuterRef("version"))
        return self.filter(~models.Exists(newer), retired_at__isnull=True)


class Criteria(models.Model):
    """One version of a list of what a reviewer checks. A change makes a new version."""

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    topic = models.CharField(
        max_length=500, blank=True, help_text="Posts whose topic begins so; empty: every post."
    )
    items = ArrayField(models.CharField(max_length=MAX_LINE), help_text="One thing to check a line.")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, help_text="Since when reviewers no longer get it.")

    objects = CriteriaQuerySet.as_manager()

    class Meta:
        ordering = ["name", "-version"]
        verbose_name_plural = "criteria"
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="kb_one_list_of_criteria_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.name} (version {self.version})"


class Tick(models.Model):
    """A criterion that a reviewer ticked; belongs to the decision and is frozen with it."""

    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="ticks")
    criteria = models.ForeignKey(Criteria, on_delete=models.PROTECT, related_name="ticks")
    item = models.PositiveSmallIntegerField(help_text="Position in the list, from 0.")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["decision", "criteria", "item"], name="kb_a_tick_counts_once")
        ]

    def __str__(self) -> str:
        return self.criteria.items[self.item]


class CommentQuerySet(models.QuerySet["Comment"]):
    def open(self) -> Self:
        return self.filter(resolved_at__isnull=True)


class Comment(models.Model):
    """A remark on a field or a passage of one revision. Later revisions show it until it is resolved."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="comments")
    field = models.CharField(
        max_length=100, blank=True, help_text="Dotted path in the Document; empty: the whole."
    )
    quote = models.TextField(blank=True, help_text="The passage, as the field had it.")
    text = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="comments")
    at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = CommentQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["-at", "-id"], name="kb_comment_by_date"),
            models.Index(
                fields=["-resolved_at", "-id"],
                condition=models.Q(resolved_at__isnull=False),
                name="kb_comment_by_resolving",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=~models.Q(text=""), name="kb_a_comment_says_something"),
            models.CheckConstraint(
                condition=models.Q(resolved_at=None, resolved_by=None)
                | models.Q(resolved_at__isnull=False, resolved_by__isnull=False),
                name="kb_a_resolved_comment_says_who",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class Schedule(models.Model):
    """When an approval takes effect. Until it is published the approval reaches no reader."""

    PENDING, PUBLISHED, LAPSED, TAKEN_BACK = "pending", "published", "lapsed", "taken_back"
    OUTCOMES = [
        (PENDING, "Waits for its time"),
        (PUBLISHED, "Published"),
        (LAPSED, "Lapsed: the draft changed before its time"),
        (TAKEN_BACK, "Taken back"),
    ]

    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="schedule")
    publish_at = models.DateTimeField()
    outcome = models.CharField(max_length=20, choices=OUTCOMES, default=PENDING)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["publish_at"]
        indexes = [
            models.Index(
                fields=["publish_at"], condition=models.Q(outcome="pending"), name="kb_pending_schedules"
            ),
            models.Index(
                fields=["-ended_at", "-id"],
                condition=models.Q(ended_at__isnull=False),
                name="kb_schedule_by_end",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(outcome="pending", ended_at__isnull=True)
                | (~models.Q(outcome="pending") & models.Q(ended_at__isnull=False)),
                name="kb_a_schedule_ends_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()}, {self.publish_at:%Y-%m-%d %H:%M}"


MOST_CANDIDATES = 200  # posts with a common band that are looked at


class LikenessQuerySet(models.QuerySet["Likeness"]):
    def near(self, post: Post) -> Self:
        """Those of other posts that share a band: candidates to compare in full."""
        own = post.likeness.bands if hasattr(post, "likeness") else []
        return self.filter(bands__overlap=own).exclude(post=post) if own else self.none()

    def likest(self, post: Post, most: int) -> list[int]:
        """The posts that share most bands with this one, most first: likely the likest."""
        own = set(post.likeness.bands) if hasattr(post, "likeness") else set()
        candidates = self.near(post).values_list("post", "bands")[:MOST_CANDIDATES]
        shared = sorted(candidates, key=lambda row: (-len(own.intersection(row[1])), row[0]))
        return [pk for pk, _bands in shared[:most]]

    def stale(self, method: int) -> Self:
        """Those that another method made: their bands meet none of this one but by chance."""
        # As two ranges: the index knows no "other than".
        return self.filter(models.Q(method__lt=method) | models.Q(method__gt=method))


class Likeness(models.Model):
    """Hashes of a post's newest text, of which near duplicates share some; see kb.likeness."""

    post = models.OneToOneField(Post, primary_key=True, on_delete=models.CASCADE, related_name="likeness")
    fingerprint = models.CharField(max_length=64, help_text="Of the revision that was hashed.")
    bands = ArrayField(models.BigIntegerField(), default=list)
    method = models.BigIntegerField(
        default=0, help_text="kb.likeness.METHOD at that time: bands of another method are made again."
    )

    objects = LikenessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "likenesses"
        indexes = [
            GinIndex(fields=["bands"], name="kb_likeness_bands"),
            models.Index(fields=["method"], name="kb_likeness_by_method"),
        ]

    def __str__(self) -> str:
        return f"Likeness of {self.post}"


class PostText(models.Model):
    """What the list of posts is searched by: the words of each post's newest text, drafts too."""

    post = models.OneToOneField(Post, primary_key=True, on_delete=models.CASCADE, related_name="text")
    words = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="kb_post_text_by_word", fastupdate=False)]

    def __str__(self) -> str:
        return f"Text of {self.post}"


class SynonymQuerySet(models.QuerySet["Synonym"]):
    def current(self) -> Self:
        return self.filter(retired_at__isnull=True)


class Synonym(models.Model):
    """Words that mean the same to searches. A change retires the row and makes another one."""

    words = ArrayField(models.CharField(max_length=80), help_text="One word or short phrase a line.")
    is_one_way = models.BooleanField(
        "one way", default=False, help_text="The first finds the others, but not the other way round."
    )
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()
    retired_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    retired_at = models.DateTimeField(null=True, help_text="Since when searches no longer use it.")

    objects = SynonymQuerySet.as_manager()

    class Meta:
        ordering = ["words", "pk"]

    def __str__(self) -> str:
        return (" → " if self.is_one_way else " = ").join([self.words[0], ", ".join(self.words[1:])])

    def expansions(self) -> dict[str, list[str]]:
        """What each of its words also looks for."""
        typed = self.words[:1] if self.is_one_way else self.words
        return {
            word: [other for other in self.words if words.key(other) != words.key(word)] for word in typed
        }
