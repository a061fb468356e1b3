"""Make the three groups and give them their rights."""

from django.db import migrations

SEEN = [
    "post",
    "revision",
    "flag",
    "decision",
    "entity",
    "checklist",
    "checklistitem",
    "image",
    "postentity",
    "importrun",
    "receipt",
    "sourcerecord",
    "publication",
    "change",
]
PARTS = ["checklist", "checklistitem", "image", "postentity"]

EDIT = [
    *(f"view_{name}" for name in SEEN),
    "add_post",
    "change_post",
    *(f"{verb}_{part}" for verb in ("add", "change", "delete") for part in PARTS),
    "add_entity",
    "change_entity",
]
REVIEW = [*EDIT, "review_post", "publish_post"]
ADMINISTER = [*REVIEW, "import_post", "delete_entity"]
ACCOUNTS = [f"{verb}_{model}" for verb in ("view", "add", "change", "delete") for model in ("user", "group")]


def _permissions(apps):
    """Django makes permissions after the last migration; the groups need them now."""
    from django.contrib.auth.management import create_permissions

    for label in ("auth", "kb"):
        config = apps.get_app_config(label)
        had = getattr(config, "models_module", None)
        config.models_module = True  # the historical app has none, and Django would pass it over
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = had


def make(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    _permissions(apps)
    for name, app_label, codenames in [
        ("Editors", "kb", EDIT),
        ("Reviewers", "kb", REVIEW),
        ("Administrators", "kb", ADMINISTER),
        ("Administrators", "auth", ACCOUNTS),
    ]:
        found = Permission.objects.filter(content_type__app_label=app_label, codename__in=codenames)
        missing = set(codenames) - {permission.codename for permission in found}
        if missing:
            raise RuntimeError(f"no permission {', '.join(sorted(missing))}")
        Group.objects.get_or_create(name=name)[0].permissions.add(*found)


def unmake(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(
        name__in=["Editors", "Reviewers", "Administrators"]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("kb", "0002_guards"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make, unmake)]
