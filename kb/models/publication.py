"""What readers may see: rows compiled from approved revisions. kb.flow.publishing alone writes them.

Readers' doors use the manager `reading`, which asks the database as the role kb_reading.
"""

from datetime import UTC, datetime
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.db import models
from django.db.models.functions import Coalesce, Lower, Now
from django.urls import reverse

from kb.choices import ChangeKind, FacetKind


class ReadingManager(models.Manager):
    """Rows as readers see them: through the alias `reading`, whose role may SELECT publications alone."""

    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().using("reading")


class PresentManager(ReadingManager):
    """Without what is withheld from some moment on, once that moment has come: nobody need act for that."""

    def get_queryset(self) -> models.QuerySet:
        present = models.Q(withhold_at__isnull=True) | models.Q(withhold_at__gt=Now())
        return super().get_queryset().filter(present)


def _withhold_at() -> models.DateTimeField:
    return models.DateTimeField(
        null=True, help_text="From when readers no longer get it, unless somebody verifies it before."
    )


class TsQuery(SearchQuery):
    """A tsquery as kb.words writes it; PostgreSQL's own parser would cut its words once more."""

    def __init__(self, tsquery: str) -> None:
        super().__init__(tsquery, search_type="raw")
        self.tsquery = tsquery

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        return "CAST(%s AS tsquery)", [self.tsquery]


class PublicationQuerySet(models.QuerySet["Publication"]):
    def newest_first(self) -> Self:
        return self.order_by("-published_at", "-id")


class Publication(models.Model):
    readers_may_see = True

    post = models.OneToOneField("kb.Post", on_delete=models.PROTECT, related_name="publication")
    revision = models.ForeignKey("kb.Revision", on_delete=models.PROTECT, related_name="+")
    approval = models.ForeignKey("kb.Decision", on_delete=models.PROTECT, related_name="+")
    fingerprint = models.CharField(max_length=64)
    slug = models.SlugField(max_length=200, unique=True)
    reference = models.CharField(max_length=200, blank=True)
    number = models.PositiveIntegerField()
    version = models.CharField(max_length=60)
    published_at = models.DateTimeField(help_text="From when the approval of this revision holds.")
    first_published_at = models.DateTimeField()
    reviewed_at = models.DateTimeField(null=True, help_text="When somebody last vouched for this content.")
    review_by = models.DateTimeField(
        null=True, db_index=True, help_text="By when somebody verifies it; None: compiled by an older kb."
    )
    withhold_at = _withhold_at()

    # Ready to send.
    html = models.TextField()
    detail_json = models.TextField()
    card_json = models.TextField()
    meta_json = models.TextField()
    etag = models.CharField(max_length=64, help_text="SHA-256 over the stored answers.")

    # To filter by.
    title = models.CharField(max_length=300)
    topic = models.CharField(max_length=500, blank=True)
    summary = models.TextField(blank=True)
    difficulty = models.CharField(max_length=20, blank=True)
    code_language = models.CharField(max_length=60, blank=True)
    stack = ArrayField(models.TextField(), default=list)
    tools = ArrayField(models.TextField(), default=list)
    entities = ArrayField(models.TextField(), default=list, help_text="Keys, “type:name”.")
    checklists = ArrayField(models.TextField(), default=list, help_text="Keys of PublishedChecklist.")
    reading_time = models.PositiveSmallIntegerField(null=True)
    quality = models.PositiveSmallIntegerField(null=True)
    freshness = models.PositiveSmallIntegerField(null=True)
    depth = models.PositiveSmallIntegerField(null=True)
    clarity = models.PositiveSmallIntegerField(null=True)
    ai_involved = models.BooleanField()

    objects = models.Manager.from_queryset(PublicationQuerySet)()
    reading = PresentManager.from_queryset(PublicationQuerySet)()

    class Meta:
        ordering = ["-published_at", "-id"]
        indexes = [
            # With what lists test, so that a range of it is found in the index alone.
            models.Index(
                fields=["published_at", "id"],
                include=[
                    *("withhold_at", "reviewed_at", "review_by", "reading_time"),
                    *("quality", "freshness", "depth", "clarity"),
                ],
                name="kb_publication_newest",
            ),
            models.Index(Coalesce("reviewed_at", "published_at"), "id", name="kb_publication_by_review"),
            models.Index(Coalesce("quality", 0), "published_at", "id", name="kb_publication_by_quality"),
            models.Index(fields=["title", "id"], name="kb_publication_by_title"),
            models.Index(
                fields=["withhold_at"],
                condition=models.Q(withhold_at__isnull=False),
                name="kb_publications_to_withhold",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("site:post", args=[self.slug])

    def facets(self) -> set[tuple[str, str]]:
        """What lists and counts find it by: kind and value of PublishedFacet."""
        several = {
            FacetKind.STACK: self.stack,
            FacetKind.TOOL: self.tools,
            FacetKind.ENTITY: self.entities,
            FacetKind.CHECKLIST: self.checklists,
        }
        one = {
            FacetKind.TOPIC: self.topic,
            FacetKind.DIFFICULTY: self.difficulty,
            FacetKind.CODE_LANGUAGE: self.code_language,
            FacetKind.AI_INVOLVED: "true" if self.ai_involved else "false",
        }
        return {
            (FacetKind.ALL.value, ""),
            *((kind.value, value) for kind, values in several.items() for value in values),
            *((kind.value, value) for kind, value in one.items() if value),
        }


class PublishedFacet(models.Model):
    """A value that publications have in common, with how many there are: counted as they come and go."""

    readers_may_see = True

    kind = models.CharField(max_length=20, choices=FacetKind)
    value = models.TextField()
    posts = models.IntegerField(help_text="How many publications have it.")
    staying = models.IntegerField(help_text="How many of them have no date from which they are withheld.")
    withhold_at = _withhold_at()

    objects = models.Manager()
    reading = PresentManager()

    class Meta:
        ordering = ["kind", "value"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "value"], name="kb_one_published_facet_per_value")
        ]
        indexes = [models.Index(fields=["kind", "-posts", "value"], name="kb_facets_by_posts")]

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class PublishedTag(models.Model):
    """That a publication has a facet. The primary key is the order in which lists show those with a facet."""

    readers_may_see = True

    pk = models.CompositePrimaryKey("facet_id", "published_at", "publication_id")
    # Without constraints in the database: kb.flow.tagging writes these rows with what they name.
    facet = models.ForeignKey(
        PublishedFacet, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="tags"
    )
    published_at = models.DateTimeField()
    publication = models.ForeignKey(
        Publication, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    objects = models.Manager()
    reading = ReadingManager()

    def __str__(self) -> str:
        return f"{self.facet_id} of {self.publication_id}"


class PublishedRevision(models.Model):
    """A revision that was approved and whose post is published now."""

    readers_may_see = True

    post_slug = models.SlugField(max_length=200)
    revision = models.OneToOneField("kb.Revision", on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    version = models.CharField(max_length=60)
    fingerprint = models.CharField(max_length=64)
    approved_at = models.DateTimeField()
    document_json = models.TextField(help_text="The Document with all its fields.")
    withhold_at = _withhold_at()

    objects = models.Manager()
    reading = PresentManager()

    class Meta:
        ordering = ["post_slug", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["post_slug", "number"], name="kb_one_published_revision_per_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.post_slug} v{self.version}"


class PublishedEntity(models.Model):
    """An entity that at least one publication names."""

    readers_may_see = True

    key = models.TextField(unique=True, help_text="“type:name”, as in Publication.entities.")
    type = models.CharField(max_length=60)
    name = models.CharField(max_length=500)
    slug = models.CharField(max_length=100, help_text="Part of the address, unique within the type.")
    posts = models.PositiveIntegerField(help_text="How many publications name it.")
    withhold_at = _withhold_at()

    objects = models.Manager()
    reading = PresentManager()

    class Meta:
        ordering = ["type", "name"]
        constraints = [
            models.UniqueConstraint(fields=["type", "slug"], name="kb_one_published_entity_per_address")
        ]
        indexes = [
            models.Index(fields=["type", "name", "id"], name="kb_entities_by_name"),
            models.Index(fields=["posts", "id"], name="kb_entities_by_posts"),
            models.Index(OpClass(Lower("name"), name="text_pattern_ops"), name="kb_published_entity_by_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("site:entity", args=[self.type, self.slug])


class PublishedChecklist(models.Model):
    """A checklist that at least one publication carries; equal lists are one row."""

    readers_may_see = True

    key = models.CharField(max_length=64, unique=True, help_text="SHA-256 of title and items.")
    title = models.CharField(max_length=500, blank=True)
    items = ArrayField(models.TextField())
    posts = models.PositiveIntegerField(help_text="How many publications carry it.")
    withhold_at = _withhold_at()

    objects = models.Manager()
    reading = PresentManager()

    class Meta:
        ordering = ["title", "key"]

    def __str__(self) -> str:
        return self.title or "Checklist"


class PublishedVector(models.Model):
    """Where the meaning of a publication points, by the model of this name.

    The vector itself is the column `vector` of pgvector's type halfvec, and no field: it is there once
    `manage.py meaning` was run on a server that has pgvector. SQL of kb.flow.embedding writes it, and that of
    kb.reading asks for it.
    """

    readers_may_see = True

    publication = models.OneToOneField(
        Publication, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    model = models.CharField(max_length=60, help_text="Name of the model that made it.")
    fingerprint = models.CharField(max_length=64, help_text="Of the content that it was made of.")

    objects = models.Manager()
    reading = ReadingManager()

    def __str__(self) -> str:
        return f"Vector of publication {self.publication_id}"


def moment(at: datetime) -> str:
    """A moment as every answer writes it, in UTC with a Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Change(models.Model):
    """One entry of the feed. Numbers grow in the order of commits: a lock makes publishers queue."""

    readers_may_see = True

    kind = models.CharField(max_length=20, choices=ChangeKind)
    slug = models.SlugField(max_length=200)
    version = models.CharField(max_length=60, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()

    objects = models.Manager()
    reading = ReadingManager()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.slug}"

    def entry(self) -> dict[str, Any]:
        """What consumers are told, by the feed and by webhooks alike."""
        return {
            "number": self.pk,
            "kind": self.kind,
            "slug": self.slug,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "at": moment(self.at),
            "url": reverse("api:post", args=[self.slug]),
        }


class PublishedText(models.Model):
    """What searches look at of one publication: made by kb.words, written by kb.flow.indexing."""

    readers_may_see = True

    publication = models.OneToOneField(
        Publication, primary_key=True, on_delete=models.CASCADE, related_name="text"
    )
    published_at = models.DateTimeField()
    withhold_at = _withhold_at()
    length = models.IntegerField(help_text="Words, those of heavier fields counted more often.")
    words = SearchVectorField()

    objects = models.Manager()
    reading = PresentManager()

    class Meta:
        indexes = [
            models.Index(fields=["-published_at", "-publication"], name="kb_published_text_newest"),
            # Without a list of what is still to be sorted in: each search would read all of it.
            GinIndex(fields=["words"], name="kb_published_text_by_word", fastupdate=False),
        ]

    def __str__(self) -> str:
        return f"Text of publication {self.publication_id}"


class PublishedSpelling(models.Model):
    """The words of one publication, as written but folded: what PublishedWord counts.

    Beside the text, whose rows stay short enough to lie in the table itself.
    """

    readers_may_see = True

    publication = models.OneToOneField(
        Publication, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    words = ArrayField(models.TextField())

    objects = models.Manager()
    reading = ReadingManager()

    def __str__(self) -> str:
        return f"Spelling of publication {self.publication_id}"


class PublishedTerm(models.Model):
    """A lexeme that at least one publication has."""

    readers_may_see = True

    lexeme = models.TextField(primary_key=True)
    posts = models.IntegerField(help_text="How many publications have it.")

    objects = models.Manager()
    reading = ReadingManager()

    def __str__(self) -> str:
        return self.lexeme


class PublishedWord(models.Model):
    """A word as publications write it: what to suggest, and what was meant by a mistyped one."""

    readers_may_see = True

    word = models.TextField(primary_key=True)
    posts = models.IntegerField(help_text="How many publications have it.")
    near = ArrayField(models.TextField(), help_text="The word, and it without any one of its letters.")

    objects = models.Manager()
    reading = ReadingManager()

    class Meta:
        indexes = [GinIndex(fields=["near"], name="kb_published_word_near", fastupdate=False)]

    def __str__(self) -> str:
        return self.word


class PublishedTotals(models.Model):
    """How much there is to search: one row."""

    readers_may_see = True

    posts = models.IntegerField()
    length = models.BigIntegerField(help_text="The lengths of all texts together.")

    objects = models.Manager()
    reading = ReadingManager()

    def __str__(self) -> str:
        return f"{self.posts} posts"


class PublishedSynonym(models.Model):
    """What else to look for: compiled from the synonyms that administrators keep."""

    readers_may_see = True

    lexemes = models.TextField(primary_key=True, help_text="Of the word or words that were typed.")
    words = ArrayField(models.TextField(), help_text="What they stand for too, as somebody would type it.")

    objects = models.Manager()
    reading = ReadingManager()

    def __str__(self) -> str:
        return self.lexemes
