"""Note who got their mail of a day, and index what the audit pages read by moment and number."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0008_withhold_from_a_moment"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Digest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-day", "pk"],
            },
        ),
        migrations.RemoveIndex(
            model_name="decision",
            name="kb_decision_by_date",
        ),
        migrations.RemoveIndex(
            model_name="flag",
            name="kb_flag_by_date",
        ),
        migrations.RemoveIndex(
            model_name="flag",
            name="kb_flag_by_closing",
        ),
        migrations.RemoveIndex(
            model_name="queueitem",
            name="kb_queue_left",
        ),
        migrations.RemoveIndex(
            model_name="revision",
            name="kb_revision_by_date",
        ),
        migrations.AddIndex(
            model_name="comment",
            index=models.Index(fields=["-at", "-id"], name="kb_comment_by_date"),
        ),
        migrations.AddIndex(
            model_name="comment",
            index=models.Index(
                condition=models.Q(("resolved_at__isnull", False)),
                fields=["-resolved_at", "-id"],
                name="kb_comment_by_resolving",
            ),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["-at", "-id"], name="kb_decision_by_date"),
        ),
        migrations.AddIndex(
            model_name="flag",
            index=models.Index(fields=["-raised_at", "-id"], name="kb_flag_by_date"),
        ),
        migrations.AddIndex(
            model_name="flag",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", False)),
                fields=["-closed_at", "-id"],
                name="kb_flag_by_closing",
            ),
        ),
        migrations.AddIndex(
            model_name="queueitem",
            index=models.Index(fields=["left_at", "since"], include=("outcome",), name="kb_queue_left"),
        ),
        migrations.AddIndex(
            model_name="report",
            index=models.Index(fields=["-at", "-id"], name="kb_report_by_date"),
        ),
        migrations.AddIndex(
            model_name="revision",
            index=models.Index(fields=["-created_at", "-id"], name="kb_revision_by_date"),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)),
                fields=["-ended_at", "-id"],
                name="kb_schedule_by_end",
            ),
        ),
        migrations.AddIndex(
            model_name="verification",
            index=models.Index(fields=["-at", "-id"], name="kb_verification_by_date"),
        ),
        migrations.AddField(
            model_name="digest",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="digests",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="digest",
            constraint=models.UniqueConstraint(fields=("user", "day"), name="kb_one_digest_a_day"),
        ),
    ]
