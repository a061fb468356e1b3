"""The gate: what the database itself refuses, whatever code runs."""

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from kb.choices import Severity, Verdict
from kb.document import Document
from kb.flow import reviewing, revising
from kb.models import (
    Change,
    Decision,
    Flag,
    Post,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    Revision,
)

pytestmark = pytest.mark.django_db


def refused(name: str):
    return pytest.raises(DatabaseError, match=name)


def decide(revision: Revision, by: User, now, verdict: str = Verdict.APPROVE, **fields) -> Decision:
    given = {"fingerprint": revision.fingerprint, "at": now, "comment": "seen", **fields}
    return Decision.objects.create(revision=revision, reviewer=by, verdict=verdict, **given)


def test_a_revision_is_never_updated(make_post) -> None:
    head = make_post().head

    with refused("kb_what_was_frozen_stays"):
        Revision.objects.filter(pk=head.pk).update(reason="another story")


def test_a_revision_is_never_deleted(make_post) -> None:
    post = make_post()

    with refused("kb_what_was_frozen_stays"):
        Revision.objects.filter(post=post)._raw_delete("default")


def test_a_revision_stays_even_when_a_transaction_claims_to_remove_demo_content(make_post) -> None:
    post = make_post()

    with refused("kb_what_was_frozen_stays"), transaction.atomic():
        connection.cursor().execute("SET LOCAL kb.removing_demo = 'on'")
        Revision.objects.filter(post=post)._raw_delete("default")


def test_a_decision_is_never_changed(make_post, people, now) -> None:
    decision = decide(make_post().head, people.reviewer, now, Verdict.REQUEST_CHANGES)

    with refused("kb_what_was_frozen_stays"):
        Decision.objects.filter(pk=decision.pk).update(verdict=Verdict.APPROVE)


def test_a_fingerprint_is_the_hash_of_what_was_frozen(make_post) -> None:
    head = make_post().head
    head.pk, head.number, head.fingerprint = None, 2, "0" * 64

    with refused("kb_a_fingerprint_is_the_hash_of_its_document"):
        head.save(force_insert=True)


def test_a_number_is_given_once(make_post) -> None:
    head = make_post().head
    head.pk = None

    with refused("kb_one_revision_per_number"):
        head.save(force_insert=True)


def test_an_approval_names_the_fingerprint_of_its_revision(make_post, people, now) -> None:
    with refused("kb_a_decision_names_what_was_seen"):
        decide(make_post().head, people.reviewer, now, fingerprint="0" * 64)


def test_the_author_cannot_approve_past_the_flow(make_post, people, now) -> None:
    post = make_post(by=people.reviewer)

    with refused("kb_nobody_approves_their_own_work"):
        decide(post.head, people.reviewer, now)


def test_nor_who_wrote_part_of_it_since_the_last_approval(make_post, people, now) -> None:
    post = make_post(by=people.reviewer)
    revising.save(
        post,
        Document.read({"title": "Another"}),
        base_number=1,
        by=people.editor,
        at=now,
        note=revising.ChangeNote("Renamed."),
    )
    post.refresh_from_db()

    with refused("kb_nobody_approves_their_own_work"):
        decide(post.head, people.reviewer, now)


def test_no_approval_gets_past_an_open_blocking_flag(make_post, people, now) -> None:
    post = make_post()
    reviewing.raise_flag(post, severity=Severity.BLOCKING, sentence="Wrong.", by=people.reviewer, at=now)

    with refused("kb_no_approval_over_a_blocking_flag"):
        decide(post.head, people.reviewer, now)


def test_a_publication_needs_an_approval_of_its_own_revision(make_post, publish) -> None:
    publication = publish(make_post())
    other = make_post()

    with refused("kb_only_what_was_approved_is_published"):
        Publication.objects.filter(pk=publication.pk).update(post=other)


def test_a_publication_cannot_change_its_fingerprint(make_post, publish) -> None:
    publication = publish(make_post())

    with refused("kb_only_what_was_approved_is_published"):
        Publication.objects.filter(pk=publication.pk).update(fingerprint="0" * 64)


def test_a_request_for_changes_publishes_nothing(make_post, publish, people, now) -> None:
    publication = publish(make_post())
    post = make_post()
    decision = decide(post.head, people.reviewer, now, Verdict.REQUEST_CHANGES)
    publication.pk = None
    publication.post, publication.revision, publication.approval = post, post.head, decision
    publication.slug, publication.fingerprint = post.slug, post.head.fingerprint

    with refused("kb_only_what_was_approved_is_published"):
        publication.save(force_insert=True)


def test_a_withdrawn_approval_publishes_nothing_again(make_post, publish, people, now) -> None:
    publication = publish(make_post())
    reviewing.withdraw(publication.post, by=people.reviewer, at=now, comment="Outdated.")
    publication.pk = None

    with refused("kb_what_was_withdrawn_needs_a_new_approval"):
        publication.save(force_insert=True)


def test_a_withdrawal_ends_the_approvals_of_earlier_revisions_too(make_post, publish, people, now) -> None:
    post = make_post()
    first = publish(post)
    revising.save(
        post,
        Document.read({"title": "Another"}),
        base_number=1,
        by=people.editor,
        at=now,
        note=revising.ChangeNote("Renamed."),
    )
    publish(post)
    reviewing.withdraw(post, by=people.reviewer, at=now, comment="Outdated.")
    first.pk = None

    with refused("kb_what_was_withdrawn_needs_a_new_approval"):
        first.save(force_insert=True)


@pytest.mark.parametrize("field", ["slug", "reference", "source", "source_id"])
def test_an_identity_stays(make_post, field: str) -> None:
    post = make_post()

    with refused("kb_an_identity_stays"):
        Post.objects.filter(pk=post.pk).update(**{field: "another"})


def test_a_closed_flag_says_who_and_why(make_post, people, now) -> None:
    flag = reviewing.raise_flag(
        make_post(), severity=Severity.ADVISORY, sentence="Thin.", by=people.reviewer, at=now
    )

    with refused("kb_a_closed_flag_says_who_and_why"):
        Flag.objects.filter(pk=flag.pk).update(closed_at=now)


@pytest.mark.parametrize(
    "change", [{"closing_note": "Another."}, {"severity": "advisory"}, {"closed_at": None}, {"sentence": "x"}]
)
def test_a_closed_flag_stays_as_it_was_closed(make_post, people, now, change: dict) -> None:
    flag = reviewing.raise_flag(
        make_post(), severity=Severity.BLOCKING, sentence="Wrong.", by=people.reviewer, at=now
    )
    reviewing.close_flag(flag, by=people.second_reviewer, at=now, note="It is right.")

    with refused("kb_a_flag_is_closed_never_removed"):
        Flag.objects.filter(pk=flag.pk).update(**change)


def test_an_open_flag_keeps_its_gravity_and_is_never_deleted(make_post, people, now) -> None:
    flag = reviewing.raise_flag(
        make_post(), severity=Severity.BLOCKING, sentence="Wrong.", by=people.reviewer, at=now
    )

    with refused("kb_a_flag_is_closed_never_removed"), transaction.atomic():
        Flag.objects.filter(pk=flag.pk).update(severity=Severity.ADVISORY)
    with refused("kb_a_flag_is_closed_never_removed"):
        Flag.objects.filter(pk=flag.pk)._raw_delete("default")


@pytest.mark.parametrize("table", ["kb_revision", "kb_decision", "kb_flag", "kb_sourcerecord"])
def test_records_are_never_emptied(table: str) -> None:
    with refused("kb_records_are_never_emptied"), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize(
    "model", [Publication, PublishedRevision, PublishedEntity, PublishedChecklist, Change]
)
def test_publishing_alone_writes_what_readers_see(publish, make_post, model: type) -> None:
    publish(make_post(entities=[{"name": "a", "type": "b"}], checklists=[{"items": ["c"]}]))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL kb.publishing = 'off'")  # as in any transaction that is not publishing's

    for write in (
        lambda: model.objects.update(id=F("id")),
        lambda: model.objects.all()._raw_delete("default"),
        lambda: model.objects.get().save(force_insert=True),
    ):
        with refused("kb_publishing_alone_writes_what_readers_see"), transaction.atomic():
            write()
