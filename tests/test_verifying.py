"""Verification: a record of its own that renews a date, and what happens when nobody makes one."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import Error, transaction
from django.test import override_settings

from kb.choices import ChangeKind, State, Truth
from kb.errors import Refused
from kb.flow import publishing, queueing, reviewing, revising, verifying
from kb.models import (
    Change,
    Decision,
    Flag,
    Notice,
    Oversight,
    Post,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    QueueItem,
    Revision,
    Verification,
    VerificationPolicy,
)
from tests.conftest import BeginWith

pytestmark = pytest.mark.django_db(databases=["default", "reading"])

DAY = timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)  # for what the database's own clock decides

Publish = Callable[..., Publication]
MakePost = Callable[..., Post]


@pytest.fixture
def post(begin_with: BeginWith, make_post: MakePost, publish: Publish) -> Post:
    content = {
        "topic": "databases / backups",
        "entities": [{"name": "postgresql", "type": "tool"}],
        "checklists": [{"title": "Before", "items": ["look"]}],
    }
    begin_with(lambda: publish(make_post(**content)))
    return Post.objects.get()


def verify(post: Post, by: User, at: datetime, **changed: Any) -> Verification:
    approval = publishing.approval_shown(post)
    seen = {"published": approval.fingerprint if approval else "", "checked": "Ran every command."}
    return verifying.verify(post, **{**seen, **changed}, by=by, at=at)


def review_by(post: Post) -> datetime | None:
    return Publication.objects.get(post=post).review_by


def answers(post: Post) -> list[str | None]:
    row = Publication.objects.get(post=post)
    detail, meta, card = (json.loads(getattr(row, f"{name}_json")) for name in ("detail", "meta", "card"))
    return [detail["review"]["review_by"], meta["review"]["review_by"], card["review_by"]]


def rows(post: Post) -> dict[str, Any]:
    """What verifying must leave as it is."""
    return {
        "post": Post.objects.filter(pk=post.pk).values().get(),
        "revisions": list(Revision.objects.filter(post=post).values()),
        "decisions": list(Decision.objects.filter(revision__post=post).values()),
        "html": Publication.objects.values_list("html", "fingerprint", "number", "approval").get(post=post),
    }


def make_verifier(*names: str) -> User:
    """Somebody with these rights and no others."""
    user = User.objects.create_user("verifier", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    return User.objects.get(pk=user.pk)


# --- The word itself ---


def test_a_verification_says_who_when_what_and_of_which_content(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    found = verify(post, people.reviewer, now + DAY, evidence=" https://ci.example.com/run/7 ")

    publication = Publication.objects.get(post=post)
    assert (found.by, found.at, found.checked) == (people.reviewer, now + DAY, "Ran every command.")
    assert (found.revision_id, found.fingerprint) == (publication.revision_id, publication.fingerprint)
    assert found.evidence == "https://ci.example.com/run/7"


def test_verifying_changes_no_content_no_revision_and_no_approval(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    before = rows(post)

    verify(post, people.reviewer, now + DAY)

    assert rows(post) == before


def test_editing_and_approving_verify_nothing(
    post: Post, people: SimpleNamespace, now: datetime, publish: Publish
) -> None:
    changed = post.document().model_copy(update={"brief": "New."})
    note = revising.ChangeNote("Because.")
    revising.save(post, changed, base_number=1, by=people.editor, at=now + DAY, note=note)
    publish(post)

    assert not Verification.objects.exists()


def test_a_verification_is_never_changed_or_deleted(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    found = verify(post, people.reviewer, now)

    for act in (
        lambda: Verification.objects.filter(pk=found.pk).update(checked="Nothing."),
        lambda: Verification.objects.filter(pk=found.pk).delete(),
    ):
        with pytest.raises(Error, match="kb_what_was_frozen_stays"), transaction.atomic():
            act()


def test_readers_get_the_new_date_and_the_feed_tells_so(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    before = answers(post)

    verify(post, people.reviewer, now + 10 * DAY)

    assert before == ["2027-02-21"] * 3
    assert answers(post) == ["2027-03-03"] * 3
    assert list(Change.objects.values_list("kind", flat=True)) == [ChangeKind.PUBLISHED, ChangeKind.UPDATED]
    assert publishing.rebuild().changed == []


def test_a_later_approval_of_other_content_starts_its_own_time(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    verify(post, people.reviewer, now + 50 * DAY)
    changed = post.document().model_copy(update={"brief": "New."})
    note = revising.ChangeNote("Because.")
    revising.save(post, changed, base_number=1, by=people.editor, at=now + 51 * DAY, note=note)
    post.refresh_from_db()
    assert post.head
    seen = {"number": 2, "fingerprint": post.head.fingerprint}
    reviewing.approve(post, **seen, by=people.reviewer, at=now + 52 * DAY)

    assert review_by(post) == now + 142 * DAY


# --- Refusals ---


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"published": "0" * 64}, "changed"),
        ({"checked": "  "}, "text_missing"),
        ({"checked": "x" * 10_001}, "too_long"),
        ({"checked": "a\x00b"}, "too_long"),
        ({"evidence": "javascript:alert(1)"}, "bad_link"),
        ({"evidence": "/a/path"}, "bad_link"),
        ({"evidence": "https://example.com/" + "x" * 2_000}, "bad_link"),
    ],
)
def test_what_is_no_verification_is_refused(
    post: Post, people: SimpleNamespace, now: datetime, changed: dict[str, str], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        verify(post, people.reviewer, now, **changed)

    assert refused.value.code == code
    assert not Verification.objects.exists()


def test_what_readers_do_not_have_cannot_be_verified(
    make_post: MakePost, people: SimpleNamespace, now: datetime
) -> None:
    with pytest.raises(Refused) as refused:
        verify(make_post(), people.reviewer, now)

    assert refused.value.code == "not_published"


@pytest.mark.parametrize("who", ["editor", "auditor", "stranger"])
def test_who_has_no_right_and_is_named_by_no_policy_may_not(
    post: Post, people: SimpleNamespace, now: datetime, who: str
) -> None:
    with pytest.raises(Refused) as refused:
        verify(post, getattr(people, who), now)

    assert refused.value.code == "not_allowed"


@pytest.mark.parametrize("named", ["verifier", "group"])
def test_who_the_policy_names_may_verify_if_they_may_see_the_post(
    post: Post, people: SimpleNamespace, now: datetime, named: str
) -> None:
    group = Group.objects.create(name="Owners")
    seeing, blind = make_verifier("view_post"), people.stranger
    for user in (seeing, blind):
        VerificationPolicy.objects.all().delete()
        user.groups.add(group)
        names = {"verifier": user} if named == "verifier" else {"group": group}
        VerificationPolicy.objects.create(topic="databases", days=30, **names)
        if user == seeing:
            assert verify(post, user, now).by == seeing
        else:
            with pytest.raises(Refused) as refused:
                verify(post, user, now)
            assert refused.value.code == "not_allowed"


def test_the_author_may_verify_what_somebody_else_approved(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    people.editor.user_permissions.add(Permission.objects.get(codename="verify_post"))

    assert verify(post, User.objects.get(pk=people.editor.pk), now).by == people.editor


# --- Fresh, due, overdue ---


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (90 * DAY, Truth.FRESH),
        (14 * DAY + timedelta(microseconds=1), Truth.FRESH),
        (14 * DAY, Truth.DUE),
        (timedelta(microseconds=1), Truth.DUE),
        (timedelta(), Truth.OVERDUE),
        (-365 * DAY, Truth.OVERDUE),
    ],
)
def test_truth_turns_from_fresh_to_due_to_overdue_at_its_moments(
    now: datetime, before: timedelta, expected: Truth
) -> None:
    assert verifying.truth(now, now - before) == expected


def test_the_longest_topic_counts_then_the_type_with_the_fewest_days_then_the_default(post: Post) -> None:
    document = post.document()
    found = [verifying.policy_for(document).days]
    for given in (
        {"entity_type": "area", "days": 1},  # not named
        {"topic": "backups", "days": 2},  # no beginning
        {"entity_type": "tool", "days": 60},
        {"topic": "data", "days": 50},
        {"topic": "Databases / back", "days": 70},
        {"topic": "databases / backups and more", "days": 3},
    ):
        VerificationPolicy.objects.create(**given)
        found.append(verifying.policy_for(document).days)

    assert found == [90, 90, 90, 60, 50, 70, 70]


@override_settings(KB_VERIFY_DAYS=7)
def test_the_default_is_a_setting(post: Post) -> None:
    assert verifying.policy_for(post.document()).days == 7


def test_of_two_types_the_one_with_fewer_days_counts(make_post: MakePost) -> None:
    post = make_post(entities=[{"name": "a", "type": "tool"}, {"name": "b", "type": "area"}])
    VerificationPolicy.objects.create(entity_type="tool", days=40)
    VerificationPolicy.objects.create(entity_type="area", days=20)

    assert verifying.policy_for(post.document()).days == 20


# --- Overdue ---


def test_an_overdue_post_gets_one_flag_that_puts_it_into_the_queue(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    early = verifying.flag_overdue(post, at=now + 90 * DAY - timedelta(seconds=1))
    flag = verifying.flag_overdue(post, at=now + 90 * DAY)
    again = verifying.flag_overdue(post, at=now + 91 * DAY)

    assert (early, again) == (None, None)
    assert flag
    assert flag.sentence == "Somebody should have verified by 21 February 2027 that it is still true."
    assert (flag.severity, flag.raised_by) == ("advisory", None)
    assert QueueItem.objects.open().get(post=post).codes == [
        "missing_owner",
        "missing_rollback",
        queueing.OVERDUE,
    ]
    post.refresh_from_db()
    assert post.state == State.SETTLED


def test_verifying_closes_the_flag_with_a_note_and_the_post_leaves_the_queue(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    flag = verifying.flag_overdue(post, at=now + 90 * DAY)
    assert flag

    verify(post, people.reviewer, now + 91 * DAY)

    flag.refresh_from_db()
    assert (flag.closed_by, flag.closing_note) == (people.reviewer, "Verified: Ran every command.")
    assert not QueueItem.objects.open().exists()
    assert verifying.flag_overdue(post, at=now + 180 * DAY) is None
    assert verifying.flag_overdue(post, at=now + 181 * DAY) is not None


def test_who_closes_the_flag_without_verifying_is_not_asked_again_before_the_next_date(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    flag = verifying.flag_overdue(post, at=now + 90 * DAY)
    assert flag
    reviewing.close_flag(flag, by=people.reviewer, at=now + 91 * DAY, note="The owner is on it.")

    assert verifying.flag_overdue(post, at=now + 92 * DAY) is None


def test_the_flag_goes_along_to_later_revisions_until_an_approval_vouches_anew(
    post: Post, people: SimpleNamespace, now: datetime
) -> None:
    verifying.flag_overdue(post, at=now + 90 * DAY)
    changed = post.document().model_copy(update={"brief": "New."})
    note = revising.ChangeNote("Because.")
    revising.save(post, changed, base_number=1, by=people.editor, at=now + 91 * DAY, note=note)
    post.refresh_from_db()
    assert post.head
    carried = post.head.flags.open().filter(code=queueing.OVERDUE)
    assert carried.count() == 1
    decision = reviewing.approve(
        post, number=2, fingerprint=post.head.fingerprint, by=people.reviewer, at=now + 92 * DAY
    )

    assert not carried.exists()
    assert Flag.objects.get(revision=post.head, code=queueing.OVERDUE).settled_by == decision
    assert not QueueItem.objects.open().exists()


def test_those_whom_the_policy_names_are_told(post: Post, people: SimpleNamespace, now: datetime) -> None:
    group = Group.objects.create(name="Owners")
    for user in (people.editor, people.second_editor):
        user.groups.add(group)
    VerificationPolicy.objects.create(topic="databases", days=90, verifier=people.editor, group=group)

    verifying.flag_overdue(post, at=now + 90 * DAY)

    assert sorted(Notice.objects.values_list("user__username", flat=True)) == ["editor", "second_editor"]


# --- Withholding ---


def of_readers() -> list[int]:
    """How many rows of each kind readers get."""
    kinds = (Publication, PublishedRevision, PublishedEntity, PublishedChecklist)
    return [kind.reading.count() for kind in kinds]


@pytest.fixture
def old(make_post: MakePost, people: SimpleNamespace) -> Post:
    """Published long before the database's clock: overdue for years."""
    post = make_post(
        entities=[{"name": "postgresql", "type": "tool"}], checklists=[{"title": "Before", "items": ["look"]}]
    )
    assert post.head
    seen = {"number": 1, "fingerprint": post.head.fingerprint}
    reviewing.approve(post, **seen, by=people.reviewer, at=LONG_AGO)
    return post


@pytest.mark.django_db(databases=["default", "reading"], transaction=True)
def test_readers_lose_a_post_at_its_moment_though_nobody_acts(
    old: Post, people: SimpleNamespace, now: datetime
) -> None:
    before = of_readers()
    verifying.set_withholding(old, on=True, by=people.reviewer, at=now)

    assert before == [1, 1, 1, 1]
    assert of_readers() == [0, 0, 0, 0]
    assert Publication.objects.count() == 1


@pytest.mark.django_db(databases=["default", "reading"], transaction=True)
def test_what_another_post_names_stays_when_one_is_withheld(
    post: Post, old: Post, people: SimpleNamespace, now: datetime
) -> None:
    verifying.set_withholding(old, on=True, by=people.reviewer, at=now)
    meanwhile = of_readers()
    verifying.withhold(old, at=now)

    assert meanwhile == of_readers() == [1, 1, 1, 1]
    assert PublishedEntity.objects.get().posts == PublishedChecklist.objects.get().posts == 1


def test_withholding_takes_the_post_away_and_verifying_brings_back_what_was_approved(
    old: Post, people: SimpleNamespace, now: datetime
) -> None:
    shown = Publication.objects.values("html", "fingerprint", "approval", "number").get(post=old)
    verifying.set_withholding(old, on=True, by=people.reviewer, at=LONG_AGO + DAY)
    early = verifying.withhold(old, at=LONG_AGO + 89 * DAY)
    gone = verifying.withhold(old, at=LONG_AGO + 90 * DAY)
    changed = old.document().model_copy(update={"body": "Nobody approved this."})
    note = revising.ChangeNote("Because.")
    revising.save(old, changed, base_number=1, by=people.editor, at=now, note=note)
    left = Publication.objects.count()

    verify(old, people.reviewer, now)

    assert (early, gone, left) == (False, True, 0)
    assert Publication.objects.values("html", "fingerprint", "approval", "number").get(post=old) == shown
    assert list(Change.objects.values_list("kind", flat=True)) == [
        *(ChangeKind.PUBLISHED, ChangeKind.WITHDRAWN, ChangeKind.PUBLISHED)
    ]
    assert Oversight.objects.values_list("withhold_when_overdue", "withheld_at").get() == (True, None)
    assert review_by(old) == Publication.objects.get().withhold_at == now + 90 * DAY


def test_switching_it_off_brings_a_withheld_post_back(
    old: Post, people: SimpleNamespace, now: datetime
) -> None:
    verifying.set_withholding(old, on=True, by=people.reviewer, at=LONG_AGO)
    verifying.withhold(old, at=now)

    verifying.set_withholding(old, on=False, by=people.reviewer, at=now)

    assert Publication.objects.get(post=old).withhold_at is None
    assert Publication.reading.model.objects.count() == 1


def test_a_new_approval_brings_a_withheld_post_back_with_the_new_content(
    old: Post, people: SimpleNamespace, now: datetime
) -> None:
    verifying.set_withholding(old, on=True, by=people.reviewer, at=LONG_AGO)
    verifying.withhold(old, at=now)
    changed = old.document().model_copy(update={"brief": "New."})
    note = revising.ChangeNote("Because.")
    revising.save(old, changed, base_number=1, by=people.editor, at=now, note=note)
    old.refresh_from_db()
    assert old.head
    reviewing.approve(old, number=2, fingerprint=old.head.fingerprint, by=people.reviewer, at=now)

    assert Publication.objects.get(post=old).number == 2
    assert Oversight.objects.get().withheld_at is None


def test_what_was_withdrawn_is_not_brought_back_by_any_of_this(
    old: Post, people: SimpleNamespace, now: datetime
) -> None:
    verifying.set_withholding(old, on=True, by=people.reviewer, at=LONG_AGO)
    verifying.withhold(old, at=now)
    reviewing.withdraw(old, by=people.reviewer, at=now, comment="No longer true.")

    verifying.set_withholding(old, on=False, by=people.reviewer, at=now)
    with pytest.raises(Refused) as refused:
        verify(old, people.reviewer, now)

    assert refused.value.code == "not_published"
    assert not Publication.objects.exists()


def test_only_who_may_publish_decides_on_withholding(
    old: Post, people: SimpleNamespace, now: datetime
) -> None:
    for who in (people.editor, people.auditor):
        with pytest.raises(Refused) as refused:
            verifying.set_withholding(old, on=True, by=who, at=now)
        assert refused.value.code == "not_allowed"
    assert not Oversight.objects.exists()


# --- Policies ---


def test_only_administrators_write_policies_for_a_topic_or_a_type(people: SimpleNamespace) -> None:
    policy = VerificationPolicy(topic="databases", days=30)
    both = VerificationPolicy(topic="databases", entity_type="tool", days=30)

    for given, who, code in (
        (policy, people.reviewer, "not_allowed"),
        (both, people.administrator, "bad_policy"),
        (VerificationPolicy(days=30), people.administrator, "bad_policy"),
    ):
        with pytest.raises(Refused) as refused:
            verifying.write_policy(given, by=who)
        assert refused.value.code == code

    verifying.write_policy(policy, by=people.administrator)
    with pytest.raises(Refused):
        verifying.remove_policy(policy, by=people.reviewer)
    verifying.remove_policy(policy, by=people.administrator)
    assert not VerificationPolicy.objects.exists()
