"""Turn a person's word that something published is still true into a record and a new date for readers.

Verifying never edits, and editing never verifies: content, revision and approval stay as they are. Whoever
may verify may do so for their own text as well, for an approval by somebody else came before; the record
names them. Whether a post is due follows from its date and the clock, and is never stored.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.dateformat import format as date_format

from kb.choices import DUE_WITHIN, Severity, Truth
from kb.document import Document
from kb.errors import Refused
from kb.flow import noticing, permitting, publishing, queueing
from kb.flow.reviewing import head, lock
from kb.models import Decision, Flag, Oversight, Post, Publication, Verification, VerificationPolicy
from kb.render import safe_url

MOST_TEXT = 10_000  # characters
MOST_LINK = 2_000


def truth(review_by: datetime, at: datetime) -> Truth:
    """Whether what is published is vouched for: due in the 14 days before its date, overdue from there on."""
    if at >= review_by:
        return Truth.OVERDUE
    return Truth.DUE if at >= review_by - DUE_WITHIN else Truth.FRESH


def policy_for(document: Document) -> VerificationPolicy:
    """How often this content is verified, and by whom."""
    return VerificationPolicy.objects.for_document(document)


def may_verify(user: Any, policy: VerificationPolicy) -> bool:
    """Whether this person may: by right, or because the policy names them or a group of theirs."""
    if user.has_perm("kb.verify_post"):
        return True
    named = policy.verifier_id == user.pk or (
        policy.group_id is not None and user.groups.filter(pk=policy.group_id).exists()
    )
    return bool(named and user.has_perm("kb.view_post"))


@transaction.atomic
def verify(
    post: Post, *, published: str, checked: str, evidence: str = "", by: Any, at: datetime
) -> Verification:
    """Record that what is published is still true, and give readers its new date; a withheld post comes back.

    `published` is the fingerprint that was seen. Raises Refused: `not_allowed`, `not_published`, `changed`,
    `text_missing`, `too_long` or `bad_link`.
    """
    # Before the lock: who may not keeps nobody waiting.
    if not may_verify(by, policy_for(_approval_shown(post).revision.document)):
        permitting.require(by, "kb.verify_post")
    post = lock(post)
    approval = _approval_shown(post)
    if published != approval.fingerprint:
        raise Refused(
            f"Readers have another revision of “{post}” since you opened it: {approval.revision.number}, "
            f"v{approval.revision.version}. Read it and verify again.",
            code="changed",
        )
    verification = Verification.objects.create(
        revision=approval.revision,
        fingerprint=published,
        by=by,
        at=at,
        checked=_checked(checked, post),
        evidence=_link(evidence),
    )
    _close_overdue(post, verification)
    _renew(post, approval, at=at)
    queueing.settle(post, by=by, at=at)
    return verification


def _approval_shown(post: Post) -> Decision:
    approval = publishing.approval_shown(post)
    if approval is None:
        raise Refused(f"“{post}” is not published, so there is nothing to verify.", code="not_published")
    return approval


def _checked(text: str, post: Post) -> str:
    if not text.strip():
        raise Refused(f"Say what you checked in “{post}”, and how.", code="text_missing")
    if len(text) > MOST_TEXT or "\x00" in text:
        raise Refused(
            f"What was checked: expected at most {MOST_TEXT} characters without NUL; shorten it.",
            code="too_long",
        )
    return text.strip()


def _link(text: str) -> str:
    text = text.strip()
    if text and (len(text) > MOST_LINK or safe_url(text) is None):
        raise Refused(
            "Evidence: expected an address such as https://example.com/page; correct it, or leave it out.",
            code="bad_link",
        )
    return text


def _close_overdue(post: Post, verification: Verification) -> None:
    Flag.objects.open().filter(revision=post.head_id, code=queueing.OVERDUE).update(
        closed_at=verification.at,
        closed_by=verification.by,
        closing_note=f"Verified: {verification.checked}",
    )


def _renew(post: Post, approval: Decision, *, at: datetime) -> None:
    """Compile what readers have anew, or bring it back to them if it was withheld."""
    if Publication.objects.filter(post=post).exists():
        publishing.refresh(post, at=at)
    else:
        publishing.publish(approval, at=at)


# --- When nobody verified in time ---


@transaction.atomic
def flag_overdue(post: Post, *, at: datetime) -> Flag | None:
    """Put a post whose verification is overdue into the queue, once for each date that passed.

    Who closes the flag without verifying is not asked again before the next date.
    """
    post = lock(post)
    publication = Publication.objects.filter(post=post).select_related("revision").first()
    if publication is None or publication.review_by is None or at < publication.review_by:
        return None
    raised = Flag.objects.filter(
        revision__post=post, code=queueing.OVERDUE, raised_at__gte=publication.review_by
    )
    standing = Flag.objects.open().filter(revision=post.head_id, code=queueing.OVERDUE)
    if raised.exists() or standing.exists():
        return None
    flag = Flag.objects.create(
        revision=head(post),
        code=queueing.OVERDUE,
        severity=Severity.ADVISORY,
        sentence=f"Somebody should have verified by {_day(publication.review_by)} that it is still true.",
        evidence=[{"field": "", "excerpt": f"published: revision {publication.number}"}],
        raised_at=at,
    )
    for person in _verifiers(policy_for(publication.revision.document)):
        noticing.tell(person, f"“{post}” waits for your verification: {flag.sentence}", post=post, at=at)
    queueing.settle(post, at=at)
    return flag


def _verifiers(policy: VerificationPolicy) -> Iterable[Any]:
    """Whom the policy names; nobody in particular where it names nobody."""
    named = Q(pk=policy.verifier_id) | Q(groups=policy.group_id or 0)
    return get_user_model().objects.filter(named, is_active=True).distinct()


def _day(at: datetime) -> str:
    return date_format(timezone.localtime(at), "j F Y")


@transaction.atomic
def set_withholding(post: Post, *, on: bool, by: Any, at: datetime) -> Oversight:
    """Let readers lose this post while its verification is overdue, or no longer.

    Off brings a withheld post back: what comes is what was approved. Raises Refused `not_allowed`.
    """
    permitting.require(by, "kb.publish_post")
    post = lock(post)
    approval = publishing.approval_shown(post)
    oversight, _ = Oversight.objects.update_or_create(
        post=post, defaults={"withhold_when_overdue": on, "set_by": by}
    )
    if approval and not (on and oversight.withheld_at):
        _renew(post, approval, at=at)
        oversight.refresh_from_db(fields=["withheld_at"])
    return oversight


@transaction.atomic
def withhold(post: Post, *, at: datetime) -> bool:
    """Take a post from readers whose moment for that has come; say whether there was one.

    Since that moment no reader gets it; now the feed tells so, and the lists beside it count without it.
    """
    post = lock(post)
    if not Publication.objects.filter(post=post, withhold_at__lte=at).exists():
        return False
    publishing.retract(post, at=at)
    Oversight.objects.filter(post=post).update(withheld_at=at)
    queueing.settle(post, at=at)
    return True


# --- How often ---


@transaction.atomic
def write_policy(policy: VerificationPolicy, *, by: Any) -> VerificationPolicy:
    """Keep how often posts of a topic or a type are verified; upkeep brings it to what is published.

    Raises Refused `not_allowed` or `bad_policy`.
    """
    permitting.require(by, f"kb.{'change' if policy.pk else 'add'}_verificationpolicy")
    if bool(policy.topic) == bool(policy.entity_type):
        raise Refused("A policy is for a topic or for a type of entity: give one of them.", code="bad_policy")
    # Behind whoever publishes by the old one, so that upkeep, which looks later, leaves none out.
    publishing.queue_up()
    policy.save()
    return policy


@transaction.atomic
def remove_policy(policy: VerificationPolicy, *, by: Any) -> None:
    """Let the next policy, or the default, count in the place of this one. Raises Refused `not_allowed`."""
    permitting.require(by, "kb.delete_verificationpolicy")
    publishing.queue_up()
    policy.delete()
