"""Let administrators keep the synonyms of searches, and auditors look at them."""

from importlib import import_module

from django.db import migrations

BEFORE = import_module("kb.migrations.0003_groups")
RIGHTS = {
    "Administrators": ["view_synonym", "add_synonym", "change_synonym"],
    "Auditors": ["view_synonym"],
}


def make(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    BEFORE._permissions(apps)
    for name, codenames in RIGHTS.items():
        found = Permission.objects.filter(content_type__app_label="kb", codename__in=codenames)
        Group.objects.get_or_create(name=name)[0].permissions.add(*found)


def unmake(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    for name, codenames in RIGHTS.items():
        found = Permission.objects.filter(content_type__app_label="kb", codename__in=codenames)
        for group in Group.objects.filter(name=name):
            group.permissions.remove(*found)


class Migration(migrations.Migration):
    dependencies = [("kb", "0017_index_words")]

    operations = [migrations.RunPython(make, unmake)]
