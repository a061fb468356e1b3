"""Let rows beside a publication end with it at its moment, and keep how far upkeep is."""

from django.db import migrations, models

WITHHOLD_AT = models.DateTimeField(
    help_text="From when readers no longer get it, unless somebody verifies it before.", null=True
)


class Migration(migrations.Migration):
    dependencies = [("kb", "0007_fill_the_queue")]

    operations = [
        *(
            migrations.AddField(model_name=name, name="withhold_at", field=WITHHOLD_AT.clone())
            for name in ("publishedrevision", "publishedentity", "publishedchecklist")
        ),
        migrations.AddIndex(
            model_name="publication",
            index=models.Index(
                condition=models.Q(("withhold_at__isnull", False)),
                fields=["withhold_at"],
                name="kb_publications_to_withhold",
            ),
        ),
        migrations.CreateModel(
            name="Upkeep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ran_at", models.DateTimeField()),
                (
                    "rules",
                    models.CharField(
                        help_text="Hash of the policies that publications follow.", max_length=64
                    ),
                ),
                (
                    "done_to",
                    models.BigIntegerField(
                        help_text="Publications up to this one follow them; None: all of them.", null=True
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "upkeep",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="kb_upkeep_is_one_row")
                ],
            },
        ),
    ]
