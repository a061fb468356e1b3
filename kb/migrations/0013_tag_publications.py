"""Tag publications with what they have in common, and count that."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0012_no_schedule_passes_a_blocking_flag"),
    ]

    operations = [
        migrations.AddField(
            model_name="publication",
            name="reviewed_at",
            field=models.DateTimeField(help_text="When somebody last vouched for this content.", null=True),
        ),
        migrations.CreateModel(
            name="PublishedFacet",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("all", "All"),
                            ("topic", "Topic"),
                            ("stack", "Stack"),
                            ("tool", "Tool"),
                            ("entity", "Entity"),
                            ("checklist", "Checklist"),
                            ("difficulty", "Difficulty"),
                            ("code_language", "Code Language"),
                            ("ai_involved", "Ai Involved"),
                        ],
                        max_length=20,
                    ),
                ),
                ("value", models.TextField()),
                ("posts", models.IntegerField(help_text="How many publications have it.")),
                (
                    "staying",
                    models.IntegerField(
                        help_text="How many of them have no date from which they are withheld."
                    ),
                ),
                (
                    "withhold_at",
                    models.DateTimeField(
                        help_text="From when readers no longer get it, unless somebody verifies it before.",
                        null=True,
                    ),
                ),
            ],
            options={
                "ordering": ["kind", "value"],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "value"), name="kb_one_published_facet_per_value")
                ],
            },
        ),
        migrations.CreateModel(
            name="PublishedTag",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "facet_id",
                        "published_at",
                        "publication_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("published_at", models.DateTimeField()),
                (
                    "facet",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="tags",
                        to="kb.publishedfacet",
                    ),
                ),
                (
                    "publication",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="kb.publication",
                    ),
                ),
            ],
        ),
    ]
