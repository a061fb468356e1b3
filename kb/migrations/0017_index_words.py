"""Index the words of what is published and of drafts by kb's own analysis, in place of PostgreSQL's."""

import json
from collections import namedtuple
from html import unescape

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from kb import words
from kb.render import words as text_of

TABLES = ("text", "spelling", "term", "word", "totals", "synonym")
GUARD = "".join(
    f"""
CREATE TRIGGER kb_publishing_alone_writes_what_readers_see
    BEFORE INSERT OR UPDATE OR DELETE ON kb_published{table}
    FOR EACH STATEMENT EXECUTE FUNCTION kb_publishing_alone_writes_what_readers_see();
"""
    for table in TABLES
)
UNGUARD = "".join(
    f"DROP TRIGGER kb_publishing_alone_writes_what_readers_see ON kb_published{table};" for table in TABLES
)
# Rows of up to a page lie in the table, uncompressed: ranking reads a thousand of them.
SHORT_ROWS = "ALTER TABLE kb_publishedtext SET (toast_tuple_target = 8160)"
LONG_ROWS = "ALTER TABLE kb_publishedtext RESET (toast_tuple_target)"
# Statistics would keep words of withdrawn posts where readers' role can see them, and change plans by chance.
COLUMNS_OF_WORDS = ("text.words", "spelling.words", "term.lexeme", "word.word", "word.near")
NO_STATISTICS, STATISTICS = (
    "".join(
        f"ALTER TABLE kb_published{table} ALTER COLUMN {column} SET STATISTICS {target};"
        for table, column in (name.split(".") for name in COLUMNS_OF_WORDS)
    )
    for target in (0, -1)
)
COLUMNS = "id published_at withhold_at title topic stack tools entities summary html detail_json"
Row = namedtuple("Row", COLUMNS)
PUBLISHED = f"SELECT {', '.join(COLUMNS.split())} FROM kb_publication ORDER BY id"  # noqa: S608
COUNT = """
INSERT INTO kb_publishedterm (lexeme, posts)
    SELECT word, ndoc FROM ts_stat('SELECT words FROM kb_publishedtext');
INSERT INTO kb_publishedword (word, posts, near)
    SELECT new.word, new.posts, ARRAY(
        SELECT new.word UNION SELECT overlay(new.word PLACING '' FROM at FOR 1)
          FROM generate_series(1, char_length(new.word)) AS at ORDER BY 1)
      FROM (SELECT word, count(*) AS posts FROM kb_publishedspelling s, unnest(s.words) AS word
             GROUP BY word) AS new;
INSERT INTO kb_publishedtotals (id, posts, length)
    SELECT 1, count(*), coalesce(sum(length), 0) FROM kb_publishedtext;
"""


def fill(apps, schema_editor):
    """Index what is published already; drafts follow with the next runs of `manage.py upkeep`."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT set_config('kb.publishing', 'on', true)")
        cursor.execute(PUBLISHED)
        for row in cursor.fetchall():
            index(cursor, Row(*row))
        cursor.execute(COUNT)
        cursor.execute("SELECT set_config('kb.publishing', 'off', true)")


def index(cursor, row):
    detail = json.loads(row.detail_json)
    names = [key.split(":", 1)[1] for key in row.entities]
    made = words.vector(
        (
            row.title,
            "\n".join((row.topic, *row.stack, *row.tools, *names)),
            "\n".join((row.summary, detail["brief"], *(point["text"] for point in detail["outline"]))),
            unescape(text_of(row.html.replace("<", " <"))),
        )
    )
    cursor.execute(
        "INSERT INTO kb_publishedtext (publication_id, published_at, withhold_at, length, words)"
        " VALUES (%s, %s, %s, %s, %s::tsvector)",
        [row.id, row.published_at, row.withhold_at, made.length, made.literal],
    )
    cursor.execute(
        "INSERT INTO kb_publishedspelling (publication_id, words) VALUES (%s, %s)",
        [row.id, sorted(made.words)],
    )


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0016_webhooks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PostText",
            fields=[
                (
                    "post",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="text",
                        serialize=False,
                        to="kb.post",
                    ),
                ),
                ("words", django.contrib.postgres.search.SearchVectorField()),
            ],
        ),
        migrations.CreateModel(
            name="PublishedSpelling",
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
                (
                    "words",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PublishedSynonym",
            fields=[
                (
                    "lexemes",
                    models.TextField(
                        help_text="Of the word or words that were typed.", primary_key=True, serialize=False
                    ),
                ),
                (
                    "words",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        help_text="What they stand for too, as somebody would type it.",
                        size=None,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PublishedTerm",
            fields=[
                ("lexeme", models.TextField(primary_key=True, serialize=False)),
                ("posts", models.IntegerField(help_text="How many publications have it.")),
            ],
        ),
        migrations.CreateModel(
            name="PublishedText",
            fields=[
                (
                    "publication",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="text",
                        serialize=False,
                        to="kb.publication",
                    ),
                ),
                ("published_at", models.DateTimeField()),
                (
                    "withhold_at",
                    models.DateTimeField(
                        help_text="From when readers no longer get it, unless somebody verifies it before.",
                        null=True,
                    ),
                ),
                (
                    "length",
                    models.IntegerField(help_text="Words, those of heavier fields counted more often."),
                ),
                ("words", django.contrib.postgres.search.SearchVectorField()),
            ],
        ),
        migrations.CreateModel(
            name="PublishedTotals",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("posts", models.IntegerField()),
                ("length", models.BigIntegerField(help_text="The lengths of all texts together.")),
            ],
        ),
        migrations.CreateModel(
            name="PublishedWord",
            fields=[
                ("word", models.TextField(primary_key=True, serialize=False)),
                ("posts", models.IntegerField(help_text="How many publications have it.")),
                (
                    "near",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        help_text="The word, and it without any one of its letters.",
                        size=None,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Synonym",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "words",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=80),
                        help_text="One word or short phrase a line.",
                        size=None,
                    ),
                ),
                (
                    "is_one_way",
                    models.BooleanField(
                        default=False,
                        help_text="The first finds the others, but not the other way round.",
                        verbose_name="one way",
                    ),
                ),
                ("made_at", models.DateTimeField()),
                (
                    "retired_at",
                    models.DateTimeField(help_text="Since when searches no longer use it.", null=True),
                ),
            ],
            options={
                "ordering": ["words", "pk"],
            },
        ),
        migrations.RemoveIndex(
            model_name="publication",
            name="kb_publication_search",
        ),
        migrations.RemoveField(
            model_name="publication",
            name="search",
        ),
        migrations.AddIndex(
            model_name="publishedentity",
            index=models.Index(
                django.contrib.postgres.indexes.OpClass(
                    django.db.models.functions.text.Lower("name"), name="text_pattern_ops"
                ),
                name="kb_published_entity_by_name",
            ),
        ),
        migrations.AddIndex(
            model_name="posttext",
            index=django.contrib.postgres.indexes.GinIndex(
                fastupdate=False, fields=["words"], name="kb_post_text_by_word"
            ),
        ),
        migrations.AddIndex(
            model_name="publishedtext",
            index=models.Index(fields=["-published_at", "-publication"], name="kb_published_text_newest"),
        ),
        migrations.AddIndex(
            model_name="publishedtext",
            index=django.contrib.postgres.indexes.GinIndex(
                fastupdate=False, fields=["words"], name="kb_published_text_by_word"
            ),
        ),
        migrations.AddIndex(
            model_name="publishedword",
            index=django.contrib.postgres.indexes.GinIndex(
                fastupdate=False, fields=["near"], name="kb_published_word_near"
            ),
        ),
        migrations.AddField(
            model_name="synonym",
            name="made_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="synonym",
            name="retired_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(SHORT_ROWS, LONG_ROWS),
        migrations.RunSQL(NO_STATISTICS, STATISTICS),
        migrations.RunSQL(GUARD, UNGUARD),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
