"""Turn posts into JSON as a DRF project usually does: model serializers, numbered pages, django-filter.

With what its documentation advises: related rows are prefetched, lists leave the text out, HTML is stored.
"""

import django_filters
from django.db.models import Count, F
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from kb.models import Checklist, Entity, Image, Post


class EntitySerializer(serializers.ModelSerializer):
    class Meta:
        model = Entity
        fields = ["id", "type", "name"]


class ChecklistSerializer(serializers.ModelSerializer):
    items = serializers.SlugRelatedField("text", many=True, read_only=True)

    class Meta:
        model = Checklist
        fields = ["title", "items"]


class ImageSerializer(serializers.ModelSerializer):
    class Meta:
        model = Image
        fields = ["source", "url", "caption"]


CARD = [
    *("slug", "title", "topic", "summary", "difficulty", "code_language", "stack", "tools", "reading_time"),
    *("view_count", "quality", "freshness", "depth", "clarity", "published_at", "version", "entities"),
]
META = [
    *(*CARD, "reference", "payload", "notes", "owner", "expected_result", "rollback_note", "outline"),
    *("brief", "fingerprint", "checklists", "images"),
]


class CardSerializer(serializers.ModelSerializer):
    entities = serializers.SerializerMethodField()
    published_at = serializers.DateTimeField()
    version = serializers.CharField()

    class Meta:
        model = Post
        fields = CARD

    def get_entities(self, post):
        return EntitySerializer([link.entity for link in post.post_entities.all()], many=True).data


class MetaSerializer(CardSerializer):
    fingerprint = serializers.CharField()
    checklists = ChecklistSerializer(many=True)
    images = ImageSerializer(many=True)

    class Meta(CardSerializer.Meta):
        fields = META


class DetailSerializer(MetaSerializer):
    html = serializers.CharField()

    class Meta(MetaSerializer.Meta):
        fields = [*META, "html", "body", "body_format"]


class PostFilter(django_filters.FilterSet):
    stack = django_filters.CharFilter(method="in_array")
    tool = django_filters.CharFilter(field_name="tools", method="in_array")
    entity = django_filters.CharFilter(field_name="post_entities__entity__name")

    class Meta:
        model = Post
        fields = ["topic", "difficulty", "code_language"]

    def in_array(self, rows, name, value):
        return rows.filter(**{f"{name}__contains": [value]})


def published(*columns):
    of_publication = {name: F(f"publication__{name}") for name in columns}
    rows = Post.objects.filter(publication__isnull=False).annotate(**of_publication)
    return rows.prefetch_related("post_entities__entity").order_by("-publication__published_at", "-pk")


class PostViewSet(viewsets.ReadOnlyModelViewSet):
    lookup_field = "slug"
    filterset_class = PostFilter
    serializers = {"list": CardSerializer, "meta": MetaSerializer, "retrieve": DetailSerializer}

    def get_serializer_class(self):
        return self.serializers[self.action]

    def get_queryset(self):
        if self.action == "list":
            return published("published_at", "version").defer("body")
        columns = ("published_at", "version", "fingerprint", *(["html"] if self.action == "retrieve" else []))
        return published(*columns).prefetch_related("checklists__items", "images")

    @action(detail=True)
    def meta(self, request, slug):
        return Response(self.get_serializer(self.get_object()).data)


class EntityViewSet(viewsets.ReadOnlyModelViewSet):
    queryset = Entity.objects.annotate(posts=Count("post_entities"))
    serializer_class = EntitySerializer

    def retrieve(self, request, pk):
        entity = self.get_object()
        newest = published("published_at", "version").filter(post_entities__entity=entity)[:10]
        cards = CardSerializer(newest, many=True).data
        return Response({**EntitySerializer(entity).data, "posts": entity.posts, "newest": cards})


router = DefaultRouter()
router.register("api/v1/posts", PostViewSet, basename="post")
router.register("api/v1/entities", EntityViewSet)
urlpatterns = router.urls
