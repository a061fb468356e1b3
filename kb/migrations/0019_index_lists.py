"""Index the orders of lists, with what lists test beside them, and drop what tags have replaced."""

from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    dependencies = [("kb", "0018_synonym_rights")]

    operations = [
        *(
            migrations.RemoveIndex("publication", f"kb_publication_{name}")
            for name in ("newest", "by_topic", "by_stack", "by_tool", "by_entity", "by_checklist")
        ),
        migrations.AddIndex(
            "publication",
            models.Index(
                fields=["published_at", "id"],
                include=[
                    *("withhold_at", "reviewed_at", "review_by", "reading_time"),
                    *("quality", "freshness", "depth", "clarity"),
                ],
                name="kb_publication_newest",
            ),
        ),
        migrations.AddIndex(
            "publication",
            models.Index(Coalesce("reviewed_at", "published_at"), "id", name="kb_publication_by_review"),
        ),
        migrations.AddIndex(
            "publication",
            models.Index(
                Coalesce("quality", 0),
                "published_at",
                "id",
                name="kb_publication_by_quality",
            ),
        ),
        migrations.AddIndex(
            "publication", models.Index(fields=["title", "id"], name="kb_publication_by_title")
        ),
        migrations.AddIndex(
            "publishedfacet", models.Index(fields=["kind", "-posts", "value"], name="kb_facets_by_posts")
        ),
        migrations.AddIndex(
            "publishedentity", models.Index(fields=["type", "name", "id"], name="kb_entities_by_name")
        ),
        migrations.AddIndex(
            "publishedentity", models.Index(fields=["posts", "id"], name="kb_entities_by_posts")
        ),
    ]
