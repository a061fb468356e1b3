"""Turn an actor and an act into leave to go on, or a refusal that names the missing right."""

from typing import Any

from kb.errors import Refused

ACTS = {
    "kb.add_post": "write posts",
    "kb.change_post": "edit posts",
    "kb.review_post": "review posts",
    "kb.publish_post": "publish or withdraw posts",
    "kb.import_post": "import posts",
    "kb.verify_post": "verify what is published",
    **{
        f"kb.{verb}_verificationpolicy": "say how often posts are verified"
        for verb in ("add", "change", "delete")
    },
    **{f"kb.{verb}_hook": "say which systems are told of changes" for verb in ("add", "change")},
    "kb.change_criteria": "keep the criteria for reviewers",
    "kb.issue_token": "issue or revoke access tokens",
    "kb.change_synonym": "keep the synonyms of searches",
}


def require_one(by: Any, *permissions: str) -> None:
    """Raise Refused `not_allowed` unless the user has at least one of these rights."""
    if not any(by.has_perm(permission) for permission in permissions):
        acts = " or ".join(ACTS[permission] for permission in permissions)
        raise Refused(f"{by} may not {acts}: ask an administrator for that right.", code="not_allowed")


def require(by: Any, *permissions: str) -> None:
    """Raise Refused `not_allowed` unless the user has all these rights."""
    for permission in permissions:
        if not by.has_perm(permission):
            raise Refused(
                f"{by} may not {ACTS[permission]}: ask an administrator for that right.", code="not_allowed"
            )
