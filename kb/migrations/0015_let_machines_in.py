"""Make tokens for machines, keep in the database that they only ever lose rights, and say who may issue them."""

from importlib import import_module

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

BEFORE = import_module("kb.migrations.0003_groups")
RIGHTS = {"Administrators": ["view_accesstoken", "issue_token"], "Auditors": ["view_accesstoken"]}

GUARDS = """
CREATE FUNCTION kb_a_token_is_revoked_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (NEW.label, NEW.owner_id, NEW.hash, NEW.prefix, NEW.scopes, NEW.created_by_id, NEW.created_at,
            NEW.expires_at) IS NOT DISTINCT FROM
           (OLD.label, OLD.owner_id, OLD.hash, OLD.prefix, OLD.scopes, OLD.created_by_id, OLD.created_at,
            OLD.expires_at)
       AND (OLD.revoked_at IS NULL OR (NEW.revoked_at, NEW.revoked_by_id) IS NOT DISTINCT FROM
                                      (OLD.revoked_at, OLD.revoked_by_id)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'kb_a_token_is_revoked_never_changed: % of token %', TG_OP, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_a_token_is_revoked_never_changed BEFORE UPDATE OR DELETE ON kb_accesstoken
    FOR EACH ROW EXECUTE FUNCTION kb_a_token_is_revoked_never_changed();
CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON kb_accesstoken
    EXECUTE FUNCTION kb_records_are_never_emptied();
"""
UNDO = """
DROP TRIGGER kb_records_are_never_emptied ON kb_accesstoken;
DROP TRIGGER kb_a_token_is_revoked_never_changed ON kb_accesstoken;
DROP FUNCTION kb_a_token_is_revoked_never_changed;
"""
# Counts of one minute need no log: a crash empties the table, and no replica gets it.
UNLOGGED = "ALTER TABLE kb_ratewindow SET UNLOGGED"
LOGGED = "ALTER TABLE kb_ratewindow SET LOGGED"


def _permissions(apps, codenames):
    return apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="kb", codename__in=codenames
    )


def make(apps, schema_editor):
    BEFORE._permissions(apps)
    for name, codenames in RIGHTS.items():
        found = _permissions(apps, codenames)
        missing = set(codenames) - {permission.codename for permission in found}
        if missing:
            raise RuntimeError(f"no permission {', '.join(sorted(missing))}")
        apps.get_model("auth", "Group").objects.get_or_create(name=name)[0].permissions.add(*found)


def unmake(apps, schema_editor):
    for name, codenames in RIGHTS.items():
        for group in apps.get_model("auth", "Group").objects.filter(name=name):
            group.permissions.remove(*_permissions(apps, codenames))


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0014_fill_tags"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RateWindow",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key", "minute", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="Keyed hash of a token, a person or an address.", max_length=64
                    ),
                ),
                ("minute", models.BigIntegerField(help_text="Minutes since 1970.")),
                (
                    "taken",
                    models.BigIntegerField(
                        help_text="May exceed what is allowed: what was asked for in vain counts too."
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AccessToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "label",
                    models.CharField(help_text="What it is for, such as “status page”.", max_length=80),
                ),
                ("hash", models.CharField(help_text="SHA-256 of the token.", max_length=64)),
                ("prefix", models.CharField(help_text="Its first characters, after kb_.", max_length=8)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("read", "Posts, entities, checklists and search"),
                                ("changes", "The feed of changes"),
                                ("export", "Everything at once, as a file"),
                            ],
                            max_length=20,
                        ),
                        help_text="What it may read.",
                        size=None,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(help_text="None: never.", null=True)),
                ("last_used_at", models.DateTimeField(help_text="To the minute. None: never.", null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        help_text="None: the command line.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        help_text="The person who answers for it. It stops working when their account does.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="access_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "revoked_by",
                    models.ForeignKey(
                        help_text="None, where it was revoked: the command line.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "permissions": [("issue_token", "Can issue and revoke access tokens")],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["-created_at", "-id"], name="kb_token_by_date"),
                    models.Index(
                        condition=models.Q(("revoked_at__isnull", False)),
                        fields=["-revoked_at", "-id"],
                        name="kb_token_by_revoking",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("hash",), name="kb_one_token_per_hash"),
                    models.UniqueConstraint(
                        condition=models.Q(("revoked_at", None)),
                        fields=("owner", "label"),
                        name="kb_one_token_in_use_per_owner_and_label",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("label", ""), _negated=True),
                        name="kb_a_token_says_what_it_is_for",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("scopes", []), _negated=True),
                        name="kb_a_token_may_read_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at", None), ("expires_at__gt", models.F("created_at")), _connector="OR"
                        ),
                        name="kb_a_token_expires_after_it_was_made",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("revoked_by", None), ("revoked_at__isnull", False), _connector="OR"
                        ),
                        name="kb_who_revokes_a_token_does_it_at_a_moment",
                    ),
                ],
            },
        ),
        migrations.RunSQL(UNLOGGED, LOGGED),
        migrations.RunSQL(GUARDS, UNDO),
        migrations.RunPython(make, unmake),
    ]
