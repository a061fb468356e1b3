"""The table of rights in the README is what the migrations make."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Group

README = Path(__file__).parent.parent / "README.md"
GROUPS = ("Editors", "Reviewers", "Administrators", "Auditors")
RIGHTS = {
    "View drafts, revisions, flags, decisions, imports": ["view_post", "view_revision", "view_flag"],
    "Write and edit posts": ["add_post", "change_post"],
    "Review: close flags, request changes": ["review_post"],
    "Publish by approving, and withdraw": ["publish_post"],
    "Verify that published posts are still true": ["verify_post"],
    "Keep criteria for reviewers and policies of verification": [
        "change_criteria",
        "change_verificationpolicy",
    ],
    "Issue and revoke access tokens": ["issue_token"],
    "Keep webhooks": ["add_hook", "change_hook"],
    "See who did what and who can do what": ["audit_post"],
    "Import posts": ["import_post"],
    "Manage users and groups": ["add_user", "change_user", "change_group"],
}


def table() -> list[str]:
    text = README.read_text(encoding="utf-8")
    return text.split("<!-- rights:start -->")[1].split("<!-- rights:end -->")[0].strip().split("\n")[2:]


@pytest.mark.django_db
@pytest.mark.usefixtures("groups")
def test_the_readme_shows_the_rights_that_groups_have() -> None:
    held = {
        name: set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
        for name in GROUPS
    }

    made = [
        f"| {right} | " + " | ".join("yes" if held[name] >= set(needed) else "no" for name in GROUPS) + " |"
        for right, needed in RIGHTS.items()
    ]

    assert table() == made


@pytest.mark.django_db
@pytest.mark.usefixtures("groups")
def test_nobody_may_delete_or_write_what_the_flow_alone_writes() -> None:
    forbidden = {
        f"{verb}_{model}"
        for verb in ("add", "change", "delete")
        for model in (
            "revision",
            "decision",
            "flag",
            "publication",
            "change",
            "receipt",
            "importrun",
            "delivery",
        )
    } | {"delete_post"}

    held = Group.objects.filter(name__in=GROUPS).values_list("permissions__codename", flat=True)

    assert forbidden & set(held) == set()
