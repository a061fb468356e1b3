"""Make room for webhooks and for what waits for them, and let administrators keep them."""

from importlib import import_module

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

STAYS = """
CREATE FUNCTION kb_acts_on_webhooks_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'kb_acts_on_webhooks_stay: % of %', TG_OP, OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_acts_on_webhooks_stay BEFORE UPDATE OR DELETE ON kb_hookact
    FOR EACH ROW EXECUTE FUNCTION kb_acts_on_webhooks_stay();
CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON kb_hookact
    EXECUTE FUNCTION kb_records_are_never_emptied();
"""
UNDO = """
DROP TRIGGER kb_records_are_never_emptied ON kb_hookact;
DROP TRIGGER kb_acts_on_webhooks_stay ON kb_hookact;
DROP FUNCTION kb_acts_on_webhooks_stay;
"""
BEFORE = import_module("kb.migrations.0003_groups")
SEEN = ["view_hook", "view_delivery"]
RIGHTS = {"Administrators": [*SEEN, "add_hook", "change_hook"], "Auditors": SEEN}


def make(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    BEFORE._permissions(apps)
    for name, codenames in RIGHTS.items():
        found = Permission.objects.filter(content_type__app_label="kb", codename__in=codenames)
        missing = set(codenames) - {permission.codename for permission in found}
        if missing:
            raise RuntimeError(f"no permission {', '.join(sorted(missing))}")
        Group.objects.get_or_create(name=name)[0].permissions.add(*found)


def unmake(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    for name, codenames in RIGHTS.items():
        for group in Group.objects.filter(name=name):
            group.permissions.remove(
                *Permission.objects.filter(content_type__app_label="kb", codename__in=codenames)
            )


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0015_let_machines_in"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Hook",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("label", models.CharField(max_length=80, verbose_name="name")),
                ("url", models.CharField(max_length=2000, verbose_name="address")),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("published", "Published"),
                                ("updated", "Updated"),
                                ("withdrawn", "Withdrawn"),
                            ],
                            max_length=20,
                        ),
                        size=None,
                    ),
                ),
                (
                    "salt",
                    models.CharField(help_text="Makes its secret, together with SECRET_KEY.", max_length=32),
                ),
                ("active", models.BooleanField(default=True)),
                (
                    "off_because",
                    models.CharField(blank=True, help_text="Why kb switched it off itself.", max_length=300),
                ),
                ("made_at", models.DateTimeField()),
                (
                    "rests_until",
                    models.DateTimeField(help_text="Until when no sender takes it up.", null=True),
                ),
                (
                    "failing_since",
                    models.DateTimeField(help_text="The first failure since the last success.", null=True),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook",
                "ordering": ["-active", "label"],
                "default_permissions": ("add", "change", "view"),
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("payload", models.TextField(help_text="The bytes that are signed and sent, as UTF-8.")),
                ("made_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("delivered", "Delivered"), ("dead", "Given up")],
                        default="waiting",
                        max_length=20,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField()),
                ("last_status", models.PositiveSmallIntegerField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=300)),
                ("delivered_at", models.DateTimeField(null=True)),
                (
                    "change",
                    models.ForeignKey(
                        help_text="None: a test.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="kb.change",
                    ),
                ),
                (
                    "hook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="kb.hook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
                "ordering": ["-pk"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="HookAct",
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
                            ("made", "Added"),
                            ("changed", "Changed"),
                            ("secret", "Given a new secret"),
                            ("on", "Switched on"),
                            ("off", "Switched off"),
                        ],
                        max_length=20,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("note", models.TextField(blank=True)),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "hook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="acts", to="kb.hook"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="hook",
            constraint=models.UniqueConstraint(fields=("label",), name="kb_one_hook_per_label"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "waiting")),
                fields=["hook", "next_attempt_at"],
                name="kb_deliveries_that_wait",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["state", "-id"], name="kb_deliveries_by_state"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "delivered")),
                fields=["delivered_at"],
                name="kb_deliveries_to_forget",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(
                fields=("hook", "change"), name="kb_one_delivery_per_hook_and_change"
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("delivered_at__isnull", False), ("state", "delivered")),
                    models.Q(("delivered_at", None), ("state__in", ["waiting", "dead"])),
                    _connector="OR",
                ),
                name="kb_what_was_delivered_says_when",
            ),
        ),
        migrations.AddIndex(
            model_name="hookact",
            index=models.Index(fields=["-at", "-id"], name="kb_hook_acts_newest"),
        ),
        migrations.RunSQL(STAYS, UNDO),
        migrations.RunPython(make, unmake),
    ]
