"""Describe the JSON of each answer. Nothing is serialised here: what is stored goes out as it is.

tests/test_api_schema.py holds real answers against these shapes.
"""

from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DateTimeField,
    DictField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
)

from kb.choices import BodyFormat, ChangeKind, Difficulty

# The Document describes itself; kb.api.schema puts it among the components.
DOCUMENT = {"$ref": "#/components/schemas/Document"}
LINES = {"type": "string", "description": "One JSON object a line."}
JSON_SCHEMA = {"type": "object", "description": "A JSON Schema, draft 2020-12.", "additionalProperties": True}


REVIEW_BY = "By when a person verifies again that it is true; from the day after, that is overdue."


def _lines(**kwargs) -> ListField:
    return ListField(child=CharField(), **kwargs)


def _score() -> IntegerField:
    return IntegerField(min_value=0, max_value=100, allow_null=True)


def _count(**kwargs) -> IntegerField:
    return IntegerField(min_value=0, **kwargs)


def _address(what: str, **kwargs) -> CharField:
    return CharField(help_text=f"Address of {what}, without the host.", **kwargs)


def _difficulty() -> ChoiceField:
    return ChoiceField([level.value for level in Difficulty], allow_null=True)


class Fault(Serializer):
    parameter = CharField()
    code = ChoiceField(["unknown", "repeated", "empty", "invalid", "missing"])
    got = CharField()
    expected = CharField()
    nearest = CharField(allow_null=True, help_text="The right name, for one that is almost right.")
    detail = CharField()


class Problem(Serializer):
    type = CharField()
    title = CharField()
    status = IntegerField()
    code = CharField(help_text="Stable, for programs.")
    detail = CharField(help_text="For people.")
    parameter = CharField(required=False, help_text="The query parameter that is wrong, the first of them.")
    errors = Fault(many=True, required=False, help_text="Every parameter that is wrong.")
    offers = _lines(required=False, help_text="The media types that this address has.")
    scope = CharField(required=False, help_text="What the access token lacks.")
    retry = BooleanField(help_text="Whether the same request may succeed later.")
    request_id = CharField(help_text="As in the header X-Request-ID. Name it when you report trouble.")


class Links(Serializer):
    posts = CharField()
    entities = CharField()
    checklists = CharField()
    search = CharField()
    suggest = CharField()
    facets = CharField()
    changes = CharField()
    export = CharField()
    status = CharField()
    document_schema = CharField()
    schema = CharField()
    docs = CharField()


class Root(Serializer):
    name = CharField()
    version = CharField()
    links = Links()


class Scores(Serializer):
    quality = _score()
    freshness = _score()
    depth = _score()
    clarity = _score()


class EntityName(Serializer):
    name = CharField()
    type = CharField()


class EntityLink(EntityName):
    url = _address("the entity")


class Card(Serializer):
    """A post as lists show it."""

    slug = CharField()
    url = _address("the post")
    title = CharField()
    topic = CharField()
    summary = CharField()
    difficulty = _difficulty()
    code_language = CharField()
    stack = _lines()
    tools = _lines()
    entities = EntityName(many=True)
    reading_time = _count(allow_null=True, help_text="Minutes.")
    view_count = _count(allow_null=True)
    scores = Scores()
    ai_involved = BooleanField()
    version = CharField()
    published_at = DateTimeField()
    review_by = DateField(help_text=REVIEW_BY)
    expanded = DictField(required=False, child=JSONField(), help_text="With `expand`: `meta`, the meta JSON.")


class SimilarReason(Serializer):
    kind = CharField(help_text="topic, stack, tool, an entity's type, or meaning.")
    values = _lines(help_text="What both posts have; none for meaning.")
    text = CharField(help_text="For people.")


class SimilarPost(Serializer):
    post = Card()
    score = FloatField(min_value=0, help_text="To compare within this answer; the scale may change.")
    reasons = SimilarReason(many=True)


class SimilarPosts(Serializer):
    results = SimilarPost(many=True)


class OutlinePoint(Serializer):
    label = CharField()
    text = CharField()


class ListWithItems(Serializer):
    title = CharField()
    items = _lines()


class Image(Serializer):
    source = CharField(help_text="Whom to credit.")
    url = CharField(help_text="http or https.")
    caption = CharField()


class SourceFlags(Serializer):
    ai_generated_style = BooleanField()
    has_images = BooleanField()
    image_heavy = BooleanField()
    needs_human_review = BooleanField()


class RevisionName(Serializer):
    number = _count()
    version = CharField()
    fingerprint = CharField()


class Review(Serializer):
    """What a person vouches for, derived from records."""

    reviewed = BooleanField(help_text="Whether a person approved exactly this content.")
    at = DateTimeField()
    version = CharField()
    fingerprint = CharField(help_text="SHA-256 of the Document.")
    ai_involved = BooleanField()
    review_by = DateField(help_text=REVIEW_BY)


class PostLinks(Serializer):
    meta = _address("the meta JSON")
    revisions = _address("the approved revisions")


class Post(Serializer):
    slug = CharField()
    url = _address("the post")
    reference = CharField()
    title = CharField()
    html = CharField(help_text="Sanitised.")
    body = CharField(help_text="The text as it was written; if that is HTML, without what was not safe.")
    body_format = ChoiceField([form.value for form in BodyFormat])
    topic = CharField()
    summary = CharField()
    outline = OutlinePoint(many=True)
    brief = CharField()
    stack = _lines()
    tools = _lines()
    code_language = CharField()
    difficulty = _difficulty()
    reading_time = _count(allow_null=True, help_text="Minutes.")
    view_count = _count(allow_null=True)
    scores = Scores()
    checklists = ListWithItems(many=True)
    entities = EntityLink(many=True)
    images = Image(many=True)
    payload = DictField(child=JSONField())
    notes = _lines()
    flags = SourceFlags()
    owner = CharField()
    expected_result = CharField()
    rollback_note = CharField()
    revision = RevisionName()
    review = Review()
    published_at = DateTimeField()
    first_published_at = DateTimeField()
    links = PostLinks()
    expanded = DictField(
        required=False,
        child=JSONField(),
        help_text="With `expand`: `meta`, the latest `revisions`, and the `entities` with their counts.",
    )


class MetaRevision(Serializer):
    status = CharField()
    version = CharField()
    last_reviewed = DateField(allow_null=True)


class Meta(Serializer):
    title = CharField()
    slug = CharField()
    topic = CharField()
    summary = CharField()
    ai_outline = OutlinePoint(many=True)
    ai_brief = CharField()
    stack = _lines()
    tools = _lines()
    code_language = CharField()
    difficulty = _difficulty()
    reading_time = _count(allow_null=True, help_text="Minutes.")
    view_count = _count(allow_null=True)
    score = Scores()
    revision = MetaRevision()
    reference = CharField()
    hash = CharField(help_text="The source's own.")
    flags = SourceFlags()
    checklist = _lines()
    entities = EntityName(many=True)
    image_sources = Image(many=True)
    payload = DictField(child=JSONField())
    notes = _lines()
    owner = CharField()
    expected_result = CharField()
    rollback_note = CharField()
    review = Review()


class Revision(RevisionName):
    approved_at = DateTimeField()
    url = _address("the revision's Document")


class RowsLinks(Serializer):
    posts = _address("the posts")


class Entity(EntityName):
    slug = CharField(help_text="Unique within its type.")
    posts = _count(help_text="How many published posts name it.")
    url = _address("the entity")
    links = RowsLinks()


class EntityWithPosts(Entity):
    newest = Card(many=True)


class Checklist(Serializer):
    key = CharField()
    title = CharField()
    items = _lines()
    posts = _count(help_text="How many published posts carry it.")
    url = _address("the checklist")
    links = RowsLinks()


class ChecklistWithPosts(Checklist):
    newest = Card(many=True)


class Page(Serializer):
    next = _address("the next page", allow_null=True)
    previous = _address("the page before", allow_null=True)


class Count(Serializer):
    value = _count()
    exact = BooleanField(help_text="Whether it was counted; an estimate otherwise.")


class PostPage(Page):
    count = Count(allow_null=True, help_text="How many there are on all pages; null for count=none.")
    results = Card(many=True)


class RevisionPage(Page):
    results = Revision(many=True)


class EntityPage(Page):
    results = Entity(many=True)


class ChecklistPage(Page):
    results = Checklist(many=True)


class Change(Serializer):
    number = _count()
    kind = ChoiceField([kind.value for kind in ChangeKind])
    slug = CharField()
    version = CharField()
    fingerprint = CharField()
    at = DateTimeField()
    url = _address("the post; 404 once it is withdrawn")


class ChangePage(Serializer):
    next = CharField(help_text="Where to go on: always there, also when nothing is left for now.")
    more = BooleanField(help_text="Whether entries are waiting there already.")
    results = Change(many=True)


class Correction(Serializer):
    typed = CharField(help_text="No post has it.")
    used = CharField(help_text="What was looked for instead.")


class FacetCount(Serializer):
    value = CharField()
    posts = _count(help_text="How many of the posts that were found.")


class Reason(Serializer):
    field = ChoiceField(["title", "topic", "stack", "tools", "entities", "summary", "body"])
    words = _lines(help_text="As the post writes them.")


class Hit(Serializer):
    post = Card()
    score = FloatField(help_text="Comparable within one answer alone.")
    by = _lines(help_text="Why it is here: words, meaning.")
    title = CharField(help_text="Safe HTML: text and <mark>.")
    summary = CharField(help_text="Safe HTML: text and <mark>.")
    passage = CharField(help_text="The best passage of the body, safe HTML; empty where no word is in it.")
    reasons = Reason(many=True)


class SearchPage(Serializer):
    next = _address("the next page", allow_null=True)
    total = _count(help_text="How many of the best posts can be reached, at most 1000.")
    total_is_exact = BooleanField(help_text="False: there are more.")
    widened = BooleanField(help_text="Few posts have all words, so some of these lack some.")
    corrections = Correction(many=True)
    synonyms = _lines(help_text="What was looked for too.")
    facets = DictField(
        child=FacetCount(many=True), help_text="By kind: topic, stack, tool, entity and so on."
    )
    results = Hit(many=True)


class SuggestedPost(Serializer):
    slug = CharField()
    title = CharField()
    url = _address("the post")


class SuggestedEntity(EntityName):
    posts = _count()
    url = _address("the entity")


class Suggestions(Serializer):
    queries = _lines(help_text="To go on with.")
    posts = SuggestedPost(many=True)
    entities = SuggestedEntity(many=True)


class FacetValue(Serializer):
    value = CharField()
    posts = _count(help_text="How many posts have it.")


class FacetsByKind(Serializer):
    topic = FacetValue(many=True, required=False)
    stack = FacetValue(many=True, required=False)
    tool = FacetValue(many=True, required=False)
    entity = FacetValue(many=True, required=False)
    checklist = FacetValue(many=True, required=False)
    difficulty = FacetValue(many=True, required=False)
    code_language = FacetValue(many=True, required=False)
    ai_involved = FacetValue(many=True, required=False)


class Facets(Serializer):
    posts = Count(help_text="How many posts fit.")
    counted = _count(help_text="Over how many of them the facets are counted, the newest.")
    exact = BooleanField(help_text="Whether that is all of them.")
    facets = FacetsByKind()


class DiffPart(Serializer):
    name = CharField(help_text="What reviewers look at together: Text, Metadata, Entities ...")
    changes = ListField(child=DictField(child=JSONField()), help_text="Each names its path and its kind.")


class Diff(Serializer):
    to = RevisionName()
    parts = DiffPart(many=True, help_text="Without those in which nothing changed.")

    def get_fields(self):
        # A word of Python, so it cannot be an attribute.
        return {"from": RevisionName(), **super().get_fields()}


class NewestChange(Serializer):
    number = _count()
    at = DateTimeField()


class SearchByMeaning(Serializer):
    on = BooleanField()
    why_not = CharField(help_text="For whoever runs this installation; empty where it is on.")


class Status(Serializer):
    version = CharField(help_text="Of kb.")
    read_access = ChoiceField(["public", "authenticated"])
    posts = _count(help_text="How many are published.")
    entities = _count()
    checklists = _count()
    newest_change = NewestChange(allow_null=True, help_text="As in the feed.")
    search_by_meaning = SearchByMeaning()
