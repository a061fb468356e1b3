"""Reviewing: who may say what of which revision, and what each word does to the post and to its readers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, Permission

from kb import render
from kb.choices import ChangeKind, Severity, State, Verdict
from kb.document import Document
from kb.errors import Refused
from kb.flow import reviewing, revising
from kb.flow.revising import ChangeNote
from kb.models import Change, Decision, Flag, Post, Publication, Revision
from tests.forms import what_is_seen

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
Act = Callable[..., Any]
MACHINE = {"flags": {"ai_generated_style": True}}  # asks for review
SECRET = {"body": "password: hunter2hunter2"}  # a blocking flag


def newest(post: Post) -> Revision:
    return Revision.objects.filter(pk=Post.objects.get(pk=post.pk).head_id).get()


def state(post: Post) -> str:
    return Post.objects.get(pk=post.pk).state


def open_flags(post: Post) -> list[str]:
    return list(Flag.objects.open().filter(revision=newest(post)).values_list("code", flat=True))


def everything() -> dict[str, list[dict[str, Any]]]:
    models = apps.get_app_config("kb").get_models()
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


@pytest.fixture
def approve(people: SimpleNamespace, now: datetime) -> Act:
    def act(post: Post, *, revision: Revision | None = None, **given: Any) -> Decision:
        seen = revision or newest(post)
        options = {"number": seen.number, "fingerprint": seen.fingerprint, "by": people.reviewer, "at": now}
        return reviewing.approve(post, **{**options, **given})

    return act


@pytest.fixture
def request_changes(people: SimpleNamespace, now: datetime) -> Act:
    def act(post: Post, *, revision: Revision | None = None, **given: Any) -> Decision:
        seen = revision or newest(post)
        options = {"number": seen.number, "fingerprint": seen.fingerprint, "by": people.reviewer, "at": now}
        return reviewing.request_changes(post, **{**options, "comment": "Say how.", **given})

    return act


@pytest.fixture
def withdraw(people: SimpleNamespace, now: datetime) -> Act:
    def act(post: Post, **given: Any) -> Decision:
        return reviewing.withdraw(post, **{"by": people.reviewer, "at": now, "comment": "Outdated.", **given})

    return act


@pytest.fixture
def raise_flag(people: SimpleNamespace, now: datetime) -> Act:
    def act(post: Post, **given: Any) -> Flag:
        options = {"severity": Severity.BLOCKING, "sentence": "Wrong.", "by": people.reviewer, "at": now}
        return reviewing.raise_flag(post, **{**options, **given})

    return act


@pytest.fixture
def close_flag(people: SimpleNamespace, now: datetime) -> Act:
    def act(flag: Flag, **given: Any) -> Flag:
        return reviewing.close_flag(
            flag, **{"by": people.reviewer, "at": now, "note": "It is an example.", **given}
        )

    return act


@pytest.fixture
def ask_for_review(people: SimpleNamespace, now: datetime) -> Act:
    def act(post: Post, **given: Any) -> Flag:
        return reviewing.ask_for_review(post, **{"by": people.editor, "at": now, **given})

    return act


@pytest.fixture
def save(people: SimpleNamespace, now: datetime) -> Act:
    def act(post: Post, **given: Any) -> Revision | None:
        options = {name: given.pop(name) for name in ("by", "ask_for_review") if name in given}
        post.refresh_from_db()
        return revising.save(
            post,
            Document.read({**post.document().plain(), **given}),
            base_number=newest(post).number,
            **{"by": people.editor, "at": now, "note": ChangeNote("Corrected."), **options},
        )

    return act


# --- Approving ---


def test_an_approval_settles_the_post_and_gives_it_to_readers(
    make_post: MakePost, approve: Act, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(**MACHINE, ask_for_review=True)
    assert (state(post), open_flags(post)) == (
        State.WAITING,
        ["ai_generated", "missing_owner", "missing_rollback", "review_requested"],
    )

    decision = approve(post, comment=" Good. ")

    head = newest(post)
    assert Decision.objects.values().get() == {
        "id": decision.pk,
        "revision_id": head.pk,
        "fingerprint": head.fingerprint,
        "verdict": Verdict.APPROVE,
        "comment": "Good.",
        "reviewer_id": people.reviewer.pk,
        "self_approved": False,
        "takes_back_id": None,
        "at": now,
    }
    settled = Flag.objects.filter(settled_by=decision).values_list("code", "closed_at", "closed_by")
    assert list(settled) == [
        ("ai_generated", now, people.reviewer.pk),
        ("review_requested", now, people.reviewer.pk),
    ]
    assert (state(post), open_flags(post)) == (State.SETTLED, ["missing_owner", "missing_rollback"])
    assert Publication.objects.get(post=post).approval == decision


@pytest.mark.parametrize("who", ["stranger", "editor", "second_editor"])
def test_who_has_no_right_to_review_decides_nothing(
    make_post: MakePost,
    people: SimpleNamespace,
    approve: Act,
    request_changes: Act,
    raise_flag: Act,
    who: str,
) -> None:
    post = make_post()
    flag = raise_flag(post)
    before = everything()
    by = getattr(people, who)
    acts = [
        lambda: approve(post, by=by),
        lambda: request_changes(post, by=by),
        lambda: raise_flag(post, by=by),
        lambda: reviewing.close_flag(flag, by=by, at=flag.raised_at, note="It is an example."),
    ]

    for act in acts:
        with pytest.raises(Refused, match=f"{who} may not review posts") as refusal:
            act()
        assert refusal.value.code == "not_allowed"

    assert everything() == before


def test_a_reviewer_who_may_not_publish_does_not_approve(
    make_post: MakePost, people: SimpleNamespace, approve: Act, request_changes: Act
) -> None:
    post = make_post()
    people.stranger.user_permissions.add(Permission.objects.get(codename="review_post"))

    with pytest.raises(Refused, match="stranger may not publish or withdraw posts") as refusal:
        approve(post, by=people.stranger)
    decision = request_changes(post, by=people.stranger)

    assert refusal.value.code == "not_allowed"
    assert (decision.verdict, Publication.objects.count()) == (Verdict.REQUEST_CHANGES, 0)


def test_nobody_and_the_retired_are_refused_as_well(
    make_post: MakePost, people: SimpleNamespace, approve: Act
) -> None:
    post = make_post()
    people.reviewer.is_active = False

    for nobody in (AnonymousUser(), people.reviewer):
        with pytest.raises(Refused) as refusal:
            approve(post, by=nobody)
        assert refusal.value.code == "not_allowed"


def test_what_changed_since_it_was_seen_is_not_approved(
    make_post: MakePost, approve: Act, request_changes: Act, save: Act
) -> None:
    post = make_post()
    seen = newest(post)
    save(post, title="Another")
    before = everything()

    for act in (approve, request_changes):
        with pytest.raises(Refused, match="you saw revision 1, now there is revision 2") as refusal:
            act(post, revision=seen)
        assert refusal.value.code == "changed"

    assert everything() == before


def test_neither_another_fingerprint_nor_another_number_is_approved(
    make_post: MakePost, approve: Act
) -> None:
    post = make_post()

    for wrong in ({"fingerprint": "0" * 64}, {"number": 2}, {"fingerprint": ""}):
        with pytest.raises(Refused) as refusal:
            approve(post, **wrong)
        assert refusal.value.code == "changed"

    assert not Publication.objects.exists()


def test_the_same_content_is_approved_once(
    make_post: MakePost, approve: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    approve(post)
    before = everything()

    with pytest.raises(Refused, match="was already approved by reviewer") as refusal:
        approve(post, by=people.second_reviewer)

    assert refusal.value.code == "already_decided"
    assert everything() == before


def test_changes_are_requested_once(
    make_post: MakePost, request_changes: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    request_changes(post)

    with pytest.raises(Refused, match="reviewer already requested changes") as refusal:
        request_changes(post, by=people.second_reviewer)

    assert refusal.value.code == "already_decided"
    assert Decision.objects.count() == 1


def test_an_approved_content_that_is_flagged_for_review_can_be_approved_again(
    make_post: MakePost, approve: Act, raise_flag: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    first = approve(post)
    raise_flag(post, severity=Severity.ASKS, sentence="Is it still true?")
    assert state(post) == State.WAITING

    second = approve(post, by=people.second_reviewer)

    assert (state(post), Publication.objects.get().approval) == (State.SETTLED, second)
    assert Publication.objects.get().first_published_at == first.at


def test_nobody_approves_what_they_wrote(make_post: MakePost, approve: Act, people: SimpleNamespace) -> None:
    post = make_post(by=people.reviewer)

    with pytest.raises(Refused, match="another person must approve it") as refusal:
        approve(post)

    assert refusal.value.code == "own_work"
    assert not Decision.objects.exists()
    assert approve(post, by=people.second_reviewer).self_approved is False


def test_a_reviewer_who_edits_hands_the_approval_to_another(
    make_post: MakePost, approve: Act, save: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    save(post, title="Better", by=people.reviewer)

    with pytest.raises(Refused) as refusal:
        approve(post)

    assert refusal.value.code == "own_work"
    assert approve(post, by=people.second_reviewer).revision.number == 2


def test_own_content_that_another_person_restored_stays_own_work(
    make_post: MakePost, approve: Act, save: Act, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(by=people.reviewer)
    save(post, title="Another", by=people.editor)
    revising.restore(
        post, number=1, base_number=2, by=people.editor, at=now, note=ChangeNote("It was right.")
    )

    with pytest.raises(Refused) as refusal:
        approve(post)

    assert refusal.value.code == "own_work"


def test_a_comma_of_somebody_else_lets_nobody_approve_their_own_text(
    make_post: MakePost, approve: Act, save: Act, people: SimpleNamespace
) -> None:
    post = make_post(by=people.reviewer)
    save(post, title="Another", by=people.editor)

    with pytest.raises(Refused, match="You wrote some of this content") as refused:
        approve(post)

    assert refused.value.code == "own_work"
    assert approve(post, by=people.second_reviewer).revision.number == 2


def test_what_another_person_approved_counts_no_longer_as_ones_own(
    make_post: MakePost, approve: Act, save: Act, people: SimpleNamespace
) -> None:
    post = make_post(by=people.reviewer)
    approve(post, by=people.second_reviewer)
    save(post, title="Another", by=people.editor)

    assert approve(post).revision.number == 2


def test_an_installation_may_let_people_approve_their_own_work_and_it_shows(
    make_post: MakePost, approve: Act, people: SimpleNamespace, settings: Any
) -> None:
    settings.KB_ALLOW_SELF_APPROVAL = True
    own, others = make_post(by=people.reviewer), make_post()

    decisions = [approve(own), approve(others)]

    assert [decision.self_approved for decision in decisions] == [True, False]
    assert Publication.objects.count() == 2


def test_an_open_blocking_flag_holds_up_the_approval_until_it_is_closed(
    make_post: MakePost, approve: Act, raise_flag: Act, close_flag: Act
) -> None:
    post = make_post(**SECRET)
    by_hand = raise_flag(post)
    by_rule = Flag.objects.get(code="credential")

    for flag, says in ((by_rule, "2 blocking flags: close them"), (by_hand, "1 blocking flag: close it")):
        with pytest.raises(Refused, match=says) as refusal:
            approve(post)
        assert refusal.value.code == "open_blocking_flags"
        close_flag(flag)
    approve(post)

    assert state(post) == State.SETTLED


# --- Requesting changes ---


def test_a_request_for_changes_settles_what_asked_and_leaves_the_rest_open(
    make_post: MakePost, request_changes: Act, now: datetime
) -> None:
    post = make_post(**MACHINE, **SECRET, ask_for_review=True)

    decision = request_changes(post, comment=" Say how. ")

    assert (decision.verdict, decision.comment, decision.at) == (Verdict.REQUEST_CHANGES, "Say how.", now)
    assert open_flags(post) == ["credential", "missing_owner", "missing_rollback"]
    assert Flag.objects.filter(settled_by=decision).count() == 2
    assert state(post) == State.CHANGES_REQUESTED


@pytest.mark.parametrize("comment", ["", " \n "])
def test_who_requests_changes_says_which(make_post: MakePost, request_changes: Act, comment: str) -> None:
    post = make_post(title="Pool")

    with pytest.raises(Refused, match="Say what has to change in “Pool”") as refusal:
        request_changes(post, comment=comment)

    assert refusal.value.code == "comment_missing"
    assert not Decision.objects.exists()


def test_readers_keep_what_was_approved_when_changes_are_requested(
    make_post: MakePost, approve: Act, request_changes: Act, save: Act
) -> None:
    post = make_post()
    approve(post)
    save(post, title="Another")
    before = everything()["Publication"]

    request_changes(post)

    assert everything()["Publication"] == before
    assert state(post) == State.CHANGES_REQUESTED


def test_changes_of_what_is_published_can_be_requested_and_approved_after_all(
    make_post: MakePost, approve: Act, request_changes: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    approve(post)
    request_changes(post)
    assert state(post) == State.CHANGES_REQUESTED

    again = approve(post, by=people.second_reviewer)

    assert (state(post), Publication.objects.get().approval) == (State.SETTLED, again)


def test_a_new_revision_is_a_draft_again_or_waits(
    make_post: MakePost, request_changes: Act, save: Act
) -> None:
    post, other = make_post(), make_post()
    request_changes(post)
    request_changes(other)

    save(post, title="Better")
    save(other, title="Better", ask_for_review=True)

    assert (state(post), state(other)) == (State.DRAFT, State.WAITING)


def test_who_disagrees_with_a_request_may_ask_again_and_gets_another_answer(
    make_post: MakePost, request_changes: Act, ask_for_review: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    request_changes(post)

    ask_for_review(post)
    waits = Post.objects.waiting().filter(pk=post.pk).exists()
    request_changes(post, by=people.second_reviewer, comment="I see it as well.")

    assert waits
    assert (state(post), open_flags(post)) == (
        State.CHANGES_REQUESTED,
        ["missing_owner", "missing_rollback"],
    )
    assert Decision.objects.count() == 2


# --- Withdrawing ---


def test_a_withdrawal_takes_the_post_from_readers_and_tells_the_feed(
    make_post: MakePost, approve: Act, withdraw: Act, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(slug="pool")
    approve(post)
    later = now + timedelta(hours=1)

    decision = withdraw(post, at=later, comment=" Outdated. ", by=people.second_reviewer)

    assert (decision.verdict, decision.comment, decision.revision) == (
        Verdict.WITHDRAW,
        "Outdated.",
        newest(post),
    )
    assert not Publication.objects.exists()
    assert state(post) == State.DRAFT
    last = Change.objects.order_by("pk").values("kind", "slug", "version", "fingerprint", "at").last()
    assert last == {
        "kind": ChangeKind.WITHDRAWN,
        "slug": "pool",
        "version": "",
        "fingerprint": "",
        "at": later,
    }


def test_what_was_withdrawn_comes_back_by_a_new_approval_alone(
    make_post: MakePost, approve: Act, withdraw: Act, save: Act, now: datetime
) -> None:
    post = make_post()
    first = approve(post)
    withdraw(post)

    assert save(post) is None
    assert not Publication.objects.exists()
    again = approve(post, at=now + timedelta(days=1))

    publication = Publication.objects.get()
    assert (publication.approval, publication.first_published_at) == (again, first.at)
    assert state(post) == State.SETTLED


def test_a_withdrawal_names_what_readers_had_not_the_draft(
    make_post: MakePost, approve: Act, withdraw: Act, save: Act
) -> None:
    post = make_post()
    approve(post)
    save(post, title="Another", ask_for_review=True)

    decision = withdraw(post)

    assert (decision.revision.number, state(post)) == (1, State.WAITING)


@pytest.mark.parametrize("comment", ["", " \n "])
def test_who_withdraws_says_why(make_post: MakePost, approve: Act, withdraw: Act, comment: str) -> None:
    post = make_post(title="Pool")
    approve(post)

    with pytest.raises(Refused, match="Say why “Pool” is withdrawn") as refusal:
        withdraw(post, comment=comment)

    assert refusal.value.code == "comment_missing"
    assert Publication.objects.exists()


def test_what_is_not_published_cannot_be_withdrawn(make_post: MakePost, approve: Act, withdraw: Act) -> None:
    draft, gone = make_post(), make_post()
    approve(gone)
    withdraw(gone)

    for post in (draft, gone):
        with pytest.raises(Refused, match="is not published") as refusal:
            withdraw(post)
        assert refusal.value.code == "not_published"

    assert Decision.objects.filter(verdict=Verdict.WITHDRAW).count() == 1


@pytest.mark.parametrize("who", ["stranger", "editor"])
def test_who_has_no_right_to_publish_withdraws_nothing(
    make_post: MakePost, approve: Act, withdraw: Act, people: SimpleNamespace, who: str
) -> None:
    post = make_post()
    approve(post)

    with pytest.raises(Refused) as refusal:
        withdraw(post, by=getattr(people, who))

    assert refusal.value.code == "not_allowed"
    assert Publication.objects.exists()


# --- Flags ---


def test_a_flag_by_hand_goes_along_until_somebody_closes_it(
    make_post: MakePost, raise_flag: Act, close_flag: Act, save: Act, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    raised = raise_flag(post, sentence=" Wrong unit. ")
    assert state(post) == State.WAITING

    save(post, title="Better")
    brought = Flag.objects.get(revision=newest(post), code="by_hand")
    closed = close_flag(brought, note=" Right now. ")
    save(post, title="Best")

    assert (raised.sentence, raised.severity, raised.raised_by) == (
        "Wrong unit.",
        Severity.BLOCKING,
        people.reviewer,
    )
    assert (brought.sentence, brought.severity, brought.raised_by) == (
        "Wrong unit.",
        Severity.BLOCKING,
        people.reviewer,
    )
    assert (closed.closed_by, closed.closed_at, closed.closing_note) == (people.reviewer, now, "Right now.")
    assert open_flags(post) == ["missing_owner", "missing_rollback"]
    assert state(post) == State.DRAFT


@pytest.mark.parametrize(
    ("given", "code"),
    [({"sentence": " "}, "sentence_missing"), ({"severity": "fatal"}, "bad_severity")],
)
def test_a_flag_without_sense_is_refused(
    make_post: MakePost, raise_flag: Act, given: dict[str, str], code: str
) -> None:
    post = make_post()
    before = everything()

    with pytest.raises(Refused) as refusal:
        raise_flag(post, **given)

    assert refusal.value.code == code
    assert everything() == before


def test_advice_holds_nothing_up(make_post: MakePost, raise_flag: Act, approve: Act) -> None:
    post = make_post()
    raise_flag(post, severity=Severity.ADVISORY, sentence="Thin.")
    assert state(post) == State.DRAFT

    approve(post)

    assert (state(post), open_flags(post)) == (
        State.SETTLED,
        ["missing_owner", "missing_rollback", "by_hand"],
    )


def test_a_flag_on_what_is_published_waits_and_leaves_readers_what_they_have(
    make_post: MakePost, raise_flag: Act, approve: Act, close_flag: Act
) -> None:
    post = make_post()
    approve(post)

    flag = raise_flag(post)
    waiting = state(post)
    close_flag(flag)

    assert (waiting, state(post)) == (State.WAITING, State.SETTLED)
    assert Publication.objects.exists()


@pytest.mark.parametrize("note", ["", " \n "])
def test_who_closes_a_flag_says_why(make_post: MakePost, raise_flag: Act, close_flag: Act, note: str) -> None:
    flag = raise_flag(make_post())

    with pytest.raises(Refused, match="Say in the note why") as refusal:
        close_flag(flag, note=note)

    assert refusal.value.code == "note_missing"
    assert Flag.objects.open().filter(pk=flag.pk).exists()


def test_a_flag_is_closed_once(
    make_post: MakePost, raise_flag: Act, close_flag: Act, people: SimpleNamespace
) -> None:
    flag = raise_flag(make_post())
    close_flag(flag)

    with pytest.raises(Refused, match="reviewer already closed this flag") as refusal:
        close_flag(flag, by=people.second_reviewer, note="Me too.")

    flag.refresh_from_db()
    assert refusal.value.code == "already_closed"
    assert (flag.closed_by, flag.closing_note) == (people.reviewer, "It is an example.")


def test_a_flag_of_an_older_revision_is_left_to_the_newest(
    make_post: MakePost, raise_flag: Act, close_flag: Act, save: Act
) -> None:
    post = make_post()
    flag = raise_flag(post)
    save(post, title="Better")

    with pytest.raises(Refused, match="has a newer revision") as refusal:
        close_flag(flag)

    assert refusal.value.code == "changed"
    assert "by_hand" in open_flags(post)


def test_what_asks_for_review_is_answered_by_a_decision_not_by_a_note(
    make_post: MakePost, ask_for_review: Act, close_flag: Act
) -> None:
    post = make_post(**MACHINE)
    ask_for_review(post)

    for flag in Flag.objects.filter(severity=Severity.ASKS):
        with pytest.raises(Refused, match="approve the revision or request changes") as refusal:
            close_flag(flag)
        assert refusal.value.code == "asks_is_settled_by_decision"

    assert open_flags(post) == ["ai_generated", "missing_owner", "missing_rollback", "review_requested"]


# --- Asking for review ---


def test_asking_twice_is_asking_once(
    make_post: MakePost, ask_for_review: Act, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()

    first = ask_for_review(post)
    second = ask_for_review(post, by=people.second_editor)

    assert first == second
    assert (first.code, first.sentence, first.severity, first.raised_by, first.raised_at) == (
        "review_requested",
        "editor asks for a review.",
        Severity.ASKS,
        people.editor,
        now,
    )
    assert state(post) == State.WAITING


def test_who_asked_for_review_asks_for_later_revisions_as_well(
    make_post: MakePost, ask_for_review: Act, save: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    ask_for_review(post)

    save(post, title="Better", by=people.second_editor)

    assert state(post) == State.WAITING
    assert Flag.objects.get(revision=newest(post), code="review_requested").raised_by == people.editor


def test_there_is_nothing_to_ask_about_what_is_approved(
    make_post: MakePost, ask_for_review: Act, approve: Act
) -> None:
    post = make_post()
    approve(post)

    with pytest.raises(Refused, match="there is nothing to review") as refusal:
        ask_for_review(post)

    assert refusal.value.code == "already_decided"
    assert state(post) == State.SETTLED


def test_after_a_withdrawal_a_review_can_be_asked_for(
    make_post: MakePost, ask_for_review: Act, approve: Act, withdraw: Act
) -> None:
    post = make_post()
    approve(post)
    withdraw(post)

    ask_for_review(post)

    assert state(post) == State.WAITING


def test_who_has_no_right_to_edit_asks_for_nothing(
    make_post: MakePost, ask_for_review: Act, people: SimpleNamespace
) -> None:
    post = make_post()

    with pytest.raises(Refused) as refusal:
        ask_for_review(post, by=people.stranger)

    assert refusal.value.code == "not_allowed"
    assert state(post) == State.DRAFT


# --- What an approval is worth ---


def test_saving_the_same_content_keeps_the_approval(make_post: MakePost, approve: Act, save: Act) -> None:
    post = make_post()
    approve(post)
    before = everything()

    save(post)

    assert everything() == before


def test_other_content_needs_an_approval_of_its_own_and_readers_keep_the_old(
    make_post: MakePost, approve: Act, save: Act
) -> None:
    post = make_post()
    approve(post)
    before = everything()["Publication"]

    save(post, title="Another")
    after, draft = everything()["Publication"], state(post)
    approve(post)

    assert (after, draft) == (before, State.DRAFT)
    assert (Publication.objects.get().title, state(post)) == ("Another", State.SETTLED)


def test_going_back_to_approved_content_needs_another_approval(
    make_post: MakePost, approve: Act, save: Act, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(title="First")
    approve(post)
    save(post, title="Second")
    approve(post)
    revising.restore(
        post, number=1, base_number=2, by=people.editor, at=now, note=ChangeNote("It was right.")
    )

    before = Publication.objects.get().title
    approve(post)

    assert (before, Publication.objects.get().title) == ("Second", "First")


def test_a_post_that_is_gone_is_refused_not_broken(make_post: MakePost, approve: Act) -> None:
    post = make_post()
    seen = newest(post)
    gone = Post(pk=post.pk + 1, title="Gone", slug="gone", head=seen)

    with pytest.raises(Refused, match="“Gone” is no longer there") as refusal:
        approve(gone, revision=seen)

    assert refusal.value.code == "gone"


# --- What was said meanwhile ---


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refusal:
        act()
    return refusal.value.code


@pytest.mark.parametrize("said", ["a request for changes", "a flag that asks", "a closed flag"])
def test_nobody_decides_past_what_another_said_since_the_page_was_opened(
    make_post: MakePost,
    approve: Act,
    request_changes: Act,
    raise_flag: Act,
    close_flag: Act,
    people: SimpleNamespace,
    said: str,
) -> None:
    post = make_post()
    advice = raise_flag(post, severity=Severity.ADVISORY)
    opened = what_is_seen(post)
    other = people.second_reviewer
    {
        "a request for changes": lambda: request_changes(post, by=other),
        "a flag that asks": lambda: raise_flag(post, severity=Severity.ASKS, by=other),
        "a closed flag": lambda: close_flag(advice, by=other),
    }[said]()

    assert code_of(lambda: approve(post, standing=opened["standing"])) == "changed"
    assert not Publication.objects.exists()
    assert approve(post, standing=what_is_seen(post)["standing"]).verdict == Verdict.APPROVE


def test_who_withdraws_names_what_readers_had(
    make_post: MakePost, approve: Act, save: Act, withdraw: Act, people: SimpleNamespace
) -> None:
    post = make_post()
    first = approve(post)
    save(post, title="Another")
    second = approve(post, by=people.second_reviewer)

    assert code_of(lambda: withdraw(post, published=first.fingerprint)) == "changed"
    assert Publication.objects.count() == 1
    assert withdraw(post, published=second.fingerprint).verdict == Verdict.WITHDRAW


def test_a_flag_that_came_to_say_something_else_is_read_before_it_is_closed(
    make_post: MakePost, raise_flag: Act, close_flag: Act
) -> None:
    flag = raise_flag(make_post(), sentence="Kept aside as revision 4.")

    assert code_of(lambda: close_flag(flag, sentence="Kept aside as revision 3.")) == "changed"
    assert not close_flag(flag, sentence="Kept aside as revision 4.").is_open


def test_a_flag_of_several_lines_is_closed_as_a_browser_sends_it(
    make_post: MakePost, raise_flag: Act, close_flag: Act
) -> None:
    flag = raise_flag(make_post(), sentence="Two things:\nfirst, second.")

    assert not close_flag(flag, sentence="Two things:\r\nfirst, second.").is_open


def test_who_wrote_a_text_does_not_close_what_blocks_it(
    make_post: MakePost, raise_flag: Act, close_flag: Act, people: SimpleNamespace, settings: Any
) -> None:
    post = make_post(by=people.reviewer)
    blocking = raise_flag(post, by=people.second_reviewer)
    advice = raise_flag(post, severity=Severity.ADVISORY, by=people.second_reviewer)

    assert code_of(lambda: close_flag(blocking)) == "own_work"
    assert not close_flag(advice).is_open
    settings.KB_ALLOW_SELF_APPROVAL = True
    assert not close_flag(blocking).is_open


def test_what_cannot_be_compiled_any_more_is_refused_and_goes_to_nobody(
    make_post: MakePost, approve: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = make_post(body="<div><div>x</div></div>", body_format="html")
    render.render.cache_clear()
    monkeypatch.setattr(render, "MAX_NESTING", 1)  # stricter than when it was frozen
    render.render.cache_clear()

    assert code_of(lambda: approve(post)) == "not_compiled"
    assert (Decision.objects.count(), Publication.objects.count()) == (0, 0)
