"""Keep a vector for what is published, and tell by which method near duplicates were hashed.

The column for the vector itself comes with pgvector: `manage.py meaning` adds it where the server has that.
"""

import django.db.models.deletion
from django.db import migrations, models

GUARD = """
CREATE TRIGGER kb_publishing_alone_writes_what_readers_see
    BEFORE INSERT OR UPDATE OR DELETE ON kb_publishedvector
    FOR EACH STATEMENT EXECUTE FUNCTION kb_publishing_alone_writes_what_readers_see();
"""
UNGUARD = "DROP TRIGGER kb_publishing_alone_writes_what_readers_see ON kb_publishedvector;"


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0019_index_lists"),
    ]

    operations = [
        migrations.CreateModel(
            name="PublishedVector",
            fields=[
                (
                    "publication",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="kb.publication",
                    ),
                ),
                ("model", models.CharField(help_text="Name of the model that made it.", max_length=60)),
                (
                    "fingerprint",
                    models.CharField(help_text="Of the content that it was made of.", max_length=64),
                ),
            ],
        ),
        migrations.RunSQL(GUARD, UNGUARD),
        migrations.AddField(
            model_name="likeness",
            name="method",
            field=models.BigIntegerField(
                default=0,
                help_text="kb.likeness.METHOD at that time: bands of another method are made again.",
            ),
        ),
        migrations.AddIndex(
            model_name="likeness",
            index=models.Index(fields=["method"], name="kb_likeness_by_method"),
        ),
        migrations.AddField(
            model_name="upkeep",
            name="embedded_to",
            field=models.BigIntegerField(
                default=0,
                help_text="What changes up to this one published has its vector, where there are vectors.",
            ),
        ),
    ]
