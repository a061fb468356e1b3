"""Posts: an identity that never changes, and the working draft that editors change."""

from collections.abc import Collection
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator
from django.db import models
from django.urls import reverse

from kb import document
from kb.choices import BodyFormat, Difficulty, Severity, State, Verdict
from kb.models.entity import Entity

DEMO_SOURCE = "kb-demo"  # the one source whose posts may be removed altogether


def _score() -> models.PositiveSmallIntegerField:
    return models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(100)], help_text="0 to 100."
    )


def _lines(help_text: str) -> ArrayField:
    return ArrayField(
        models.CharField(max_length=document.MAX_LINE), default=list, blank=True, help_text=help_text
    )


class PostQuerySet(models.QuerySet["Post"]):
    def waiting(self) -> Self:
        """Those on which a reviewer has to say something."""
        return self.filter(state=State.WAITING)

    def published(self) -> Self:
        return self.filter(publication__isnull=False)

    def unpublished(self) -> Self:
        return self.filter(publication__isnull=True)

    def demo(self) -> Self:
        return self.filter(source=DEMO_SOURCE)

    def flagged(self, code: str) -> Self:
        """Those whose newest revision has an open flag of this code."""
        return self.filter(head__flags__code=code, head__flags__closed_at__isnull=True)

    def blocked(self) -> Self:
        return self.filter(
            head__flags__severity=Severity.BLOCKING, head__flags__closed_at__isnull=True
        ).distinct()

    def with_parts(self) -> Self:
        """Fetch what `Post.document()` reads in a fixed number of queries."""
        return self.prefetch_related("checklists__items", "post_entities__entity", "images")


class Post(models.Model):
    # Identity: a trigger keeps it as it is, for revisions, approvals and links outside lean on it.
    slug = models.SlugField(
        max_length=200,
        unique=True,
        help_text="The post's address. Fixed once saved, so that links never break.",
    )
    reference = models.CharField(
        max_length=200, blank=True, help_text="The source's own reference. Fixed once saved."
    )
    source = models.CharField(
        max_length=60, blank=True, help_text="Which source the post came from; empty: written here."
    )
    source_id = models.CharField(max_length=200, blank=True, help_text="The post's name in its source.")

    # What the source claims. Readers see none of it but the view count.
    source_status = models.CharField(
        max_length=60, blank=True, help_text="As the source said; kb decides itself."
    )
    source_version = models.CharField(max_length=60, blank=True, help_text="As the source said.")
    source_last_reviewed = models.DateField(
        null=True, blank=True, help_text="As the source said; no proof that anybody reviewed it here."
    )
    source_hash = models.CharField(max_length=200, blank=True, help_text="The source's own hash.")
    view_count = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="A metric: changes without a new revision."
    )

    # State: written by kb.flow alone.
    head = models.ForeignKey(
        "kb.Revision", null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    state = models.CharField(max_length=20, choices=State, default=State.DRAFT, editable=False, db_index=True)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Author of the newest revision.",
    )
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)

    # The working draft: field by field what a Document holds.
    title = models.CharField(max_length=300, help_text="One line that says what the note is about.")
    body = models.TextField(blank=True, help_text="The note itself, in the format named above.")
    body_format = models.CharField(
        max_length=20,
        choices=[(BodyFormat.MARKDOWN.value, "Markdown"), (BodyFormat.HTML.value, "HTML")],
        default=BodyFormat.MARKDOWN.value,
        help_text="HTML is cleaned before anybody sees it; what is removed raises a blocking flag.",
    )
    topic = models.CharField(
        max_length=500, blank=True, help_text="Such as: production defaults / python services."
    )
    summary = models.TextField(
        blank=True, help_text="Two or three sentences; shown in lists and first in the meta box."
    )
    outline = models.JSONField(
        default=list, blank=True, help_text="One point a line, as “label: text”. The label may be missing."
    )
    brief = models.TextField(blank=True, help_text="What the generator was told, or how to read this note.")
    stack = _lines("Technologies the note is about, one a line.")
    tools = _lines("Tools the reader needs, one a line.")
    code_language = models.CharField(max_length=60, blank=True, help_text="Language of the code samples.")
    difficulty = models.CharField(
        max_length=20,
        blank=True,
        choices=[(level.value, level.value.capitalize()) for level in Difficulty],
        help_text="What a reader should bring along.",
    )
    reading_time = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Minutes.")
    quality = _score()
    freshness = _score()
    depth = _score()
    clarity = _score()
    ai_generated_style = models.BooleanField(
        default=False, help_text="Reads as drafted by a machine: asks for review."
    )
    has_images = models.BooleanField(default=False)
    image_heavy = models.BooleanField(default=False, help_text="Mostly pictures: raises an advisory flag.")
    needs_human_review = models.BooleanField(
        default=False, help_text="The source asks for a person's review."
    )
    payload = models.JSONField(
        default=dict, blank=True, help_text="What the generator said about its work, as a JSON object."
    )
    notes = _lines("Remarks about the note itself, one a line.")
    owner = models.CharField(
        max_length=500, blank=True, help_text="The person or team that answers for this note."
    )
    expected_result = models.TextField(blank=True, help_text="What is true after a reader followed the note.")
    rollback_note = models.TextField(blank=True, help_text="How to get back if it goes wrong.")

    objects = PostQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "-pk"]
        permissions = [
            ("review_post", "Can approve, request changes and close flags"),
            ("publish_post", "Can publish by approving, and withdraw"),
            ("import_post", "Can import posts"),
            ("verify_post", "Can verify that published posts are still true"),
            ("audit_post", "Can see who did what and who can do what"),
        ]
        indexes = [
            models.Index(fields=["-updated_at", "-id"], name="kb_post_by_update"),
            models.Index(fields=["topic"], name="kb_post_by_topic"),
            models.Index(fields=["source"], name="kb_post_by_source"),
            models.Index(fields=["edited_by", "state", "-updated_at"], name="kb_post_by_editor"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "source_id"],
                condition=~models.Q(source_id=""),
                name="kb_one_post_per_source_record",
            ),
            models.CheckConstraint(condition=~models.Q(title=""), name="kb_a_post_has_a_title"),
            *(
                models.CheckConstraint(
                    condition=models.Q(**{f"{name}__isnull": True}) | models.Q(**{f"{name}__lte": 100}),
                    name=f"kb_{name}_is_at_most_100",
                )
                for name in ("quality", "freshness", "depth", "clarity")
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The post's address for readers; it answers once the post is published."""
        return reverse("site:post", args=[self.slug])

    def current_state(self, severities: Collection[str] | None = None) -> State:
        """What is going on, from the newest revision's last decision and its open flags.

        `severities` are those of these flags, where the caller has read them.
        """
        if self.head is None:
            return State.DRAFT
        verdict = self.head.decisions.in_force().values_list("verdict", flat=True).first()
        if severities is None:
            severities = set(self.head.flags.open().values_list("severity", flat=True))
        holding_up = {severity for severity in severities if severity != Severity.ADVISORY}
        if verdict == Verdict.REQUEST_CHANGES and Severity.ASKS not in holding_up:
            return State.CHANGES_REQUESTED
        if holding_up:
            return State.WAITING
        return State.SETTLED if verdict == Verdict.APPROVE else State.DRAFT

    def document(self) -> document.Document:
        """The working draft as a Document. Raises InvalidDocument if the tables hold what no Document may."""
        return document.Document.read(
            {
                **{name: getattr(self, name) for name in SAME_NAME},
                "difficulty": self.difficulty or None,
                "scores": {name: getattr(self, name) for name in document.Scores.model_fields},
                "flags": {name: getattr(self, name) for name in document.SourceFlags.model_fields},
                "checklists": [checklist.plain() for checklist in self.checklists.all()],
                "entities": [
                    {"name": link.entity.name, "type": link.entity.type} for link in self.post_entities.all()
                ],
                "images": [image.plain() for image in self.images.all()],
            }
        )


# Document fields that are columns of Post under the same name and with the same meaning.
SAME_NAME = (
    "title",
    "body",
    "body_format",
    "topic",
    "summary",
    "outline",
    "brief",
    "stack",
    "tools",
    "code_language",
    "reading_time",
    "payload",
    "notes",
    "owner",
    "expected_result",
    "rollback_note",
)


class Checklist(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="checklists")
    position = models.PositiveSmallIntegerField(default=0)
    title = models.CharField(max_length=document.MAX_LINE, blank=True, help_text="What the list is for.")

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.title or "Checklist"

    def plain(self) -> dict[str, object]:
        return {"title": self.title, "items": [item.text for item in self.items.all()]}


class ChecklistItem(models.Model):
    checklist = models.ForeignKey(Checklist, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField(default=0)
    text = models.CharField(
        max_length=document.MAX_LINE, help_text="One thing that a reader should carry out."
    )

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.text


class PostEntity(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="post_entities")
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="post_entities")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]
        verbose_name = "entity"
        verbose_name_plural = "entities"

    def __str__(self) -> str:
        return str(self.entity)


class Image(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="images")
    position = models.PositiveSmallIntegerField(default=0)
    source = models.CharField(
        max_length=document.MAX_LINE, blank=True, help_text="Whom to credit, such as unsplash."
    )
    url = models.CharField(max_length=2000, help_text="Starts with https:// or http://.")
    caption = models.CharField(max_length=document.MAX_LINE, blank=True, help_text="What the picture shows.")

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.caption or self.url

    def plain(self) -> dict[str, object]:
        return {"source": self.source, "url": self.url, "caption": self.caption}
