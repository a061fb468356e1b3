"""Give the groups their rights at the review desk, and make the group that may audit."""

from importlib import import_module

from django.db import migrations

BEFORE = import_module("kb.migrations.0003_groups")
SEEN = [
    *("queueitem", "comment", "criteria", "tick", "schedule", "verification", "verificationpolicy", "report"),
    *("oversight",),
]
EDIT = [f"view_{name}" for name in SEEN]
RIGHTS = {
    "Editors": EDIT,
    "Reviewers": [*EDIT, "verify_post"],
    "Administrators": [
        *EDIT,
        *("verify_post", "audit_post", "add_criteria", "change_criteria"),
        *(f"{verb}_verificationpolicy" for verb in ("add", "change", "delete")),
    ],
    # They look at everything and change nothing.
    "Auditors": [*(f"view_{name}" for name in (*BEFORE.SEEN, *SEEN)), "audit_post"],
}


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
    Group.objects.filter(name="Auditors").delete()
    for name, codenames in RIGHTS.items():
        for group in Group.objects.filter(name=name):
            group.permissions.remove(
                *Permission.objects.filter(content_type__app_label="kb", codename__in=codenames)
            )


class Migration(migrations.Migration):
    dependencies = [("kb", "0005_desk_guards")]

    operations = [migrations.RunPython(make, unmake)]
