"""Revising: what a person writes is frozen whole, numbered, and never lost to somebody else's save."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb.choices import Bump, Origin, State
from kb.document import Document
from kb.errors import Conflict, InvalidDocument, Refused
from kb.flow import reviewing, revising
from kb.flow.revising import ChangeNote
from kb.models import Checklist, ChecklistItem, Entity, Image, Post, PostEntity, Revision

pytestmark = pytest.mark.django_db

MakePost = Callable[..., Post]
PYTHON = {"name": "python", "type": "stack"}
FULL: dict[str, Any] = {
    "title": "Tune the pool",
    "body": "Keep it *small*.",
    "body_format": "markdown",
    "topic": "production defaults",
    "summary": "How to size a pool.",
    "outline": [{"label": "context", "text": "before a migration"}, {"text": "no label: here"}],
    "brief": "Be careful.",
    "stack": ["postgresql", "backend"],
    "tools": ["psql", "pgbench"],
    "code_language": "sql",
    "difficulty": "advanced",
    "reading_time": 12,
    "scores": {"quality": 74, "freshness": 0, "depth": None, "clarity": 100},
    "checklists": [
        {"title": "Before", "items": ["measure", "tell", "measure"]},
        {"title": "", "items": ["measure again"]},
    ],
    "entities": [{"name": "postgresql", "type": "stack"}, PYTHON, {"name": "postgresql", "type": "stack"}],
    "images": [
        {"source": "unsplash", "url": "https://images.example.com/1.png", "caption": "A picture"},
        {"source": "", "url": "not an address", "caption": ""},
    ],
    "payload": {"source_id": "a-1", "generator": "writer", "seed": 7, "further": {"kept": [1, 2.5, None]}},
    "notes": ["a note"],
    "flags": {"ai_generated_style": True, "has_images": True},
    "owner": "Platform team",
    "expected_result": "Fewer timeouts.",
    "rollback_note": "Set it back.",
}


@pytest.fixture
def save(people: SimpleNamespace, now: datetime) -> Callable[..., Revision | None]:
    """Change some fields of the draft, as an editor who just opened it."""

    def change(post: Post, *, base_number: int | None = None, **options: Any) -> Revision | None:
        post.refresh_from_db()
        assert post.head is not None
        given = {"by": people.editor, "at": now, "note": ChangeNote("Corrected."), "version": ""}
        given |= {name: options.pop(name) for name in [*given, "ask_for_review"] if name in options}
        return revising.save(
            post,
            Document.read({**post.document().plain(), **options}),
            base_number=post.head.number if base_number is None else base_number,
            **given,
        )

    return change


def everything() -> dict[str, list[dict[str, Any]]]:
    models = apps.get_app_config("kb").get_models()
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


# --- A new post ---


def test_a_new_post_is_a_draft_with_its_first_revision(people: SimpleNamespace, now: datetime) -> None:
    note = ChangeNote(" Written down. ", "config/pool.py", "pgbench -c 8", "p95 120 ms")

    post = revising.create(Document.read(FULL), slug="pool", by=people.editor, at=now, note=note)

    head = Revision.objects.values().get()
    assert (post.slug, post.created_at, post.updated_at) == ("pool", now, now)
    assert {name: head[name] for name in head if name not in {"id", "canonical", "fingerprint"}} == {
        "post_id": post.pk,
        "number": 1,
        "version": "0.1.0",
        "origin": Origin.PERSON,
        "author_id": people.editor.pk,
        "parent_id": None,
        "source_hash": "",
        "reason": "Written down.",
        "files_touched": "config/pool.py",
        "command_used": "pgbench -c 8",
        "metric_improved": "p95 120 ms",
        "import_run_id": None,
        "created_at": now,
    }
    assert Document.from_canonical(head["canonical"]) == Document.read(FULL)
    assert post.head_id == head["id"]


@pytest.mark.parametrize(("asks", "state"), [(False, State.DRAFT), (True, State.WAITING)])
def test_a_new_post_waits_for_review_if_its_author_asks(
    make_post: MakePost, asks: bool, state: State
) -> None:
    assert make_post(ask_for_review=asks).state == state


def test_an_address_is_made_of_the_title_and_is_free(people: SimpleNamespace, now: datetime) -> None:
    def slug_of(title: str) -> str:
        document = Document.read({"title": title})
        return revising.create(document, by=people.editor, at=now, note=ChangeNote("New.")).slug

    assert [slug_of(title) for title in ("Tune the Pool!", "tune the pool", "Tune: the pool")] == [
        "tune-the-pool",
        "tune-the-pool-2",
        "tune-the-pool-3",
    ]
    assert [slug_of("數據庫"), slug_of("…")] == ["note", "note-2"]
    assert [len(slug_of("x" * 300)), len(slug_of("x" * 300))] == [200, 182]


@pytest.mark.parametrize("slug", ["Pool", "the pool", "pool/1", "-pool", "päll", "x" * 201])
def test_an_address_of_other_signs_is_refused(make_post: MakePost, slug: str) -> None:
    with pytest.raises(Refused, match="expected small letters, digits and hyphens") as refusal:
        make_post(slug=slug)

    assert refusal.value.code == "bad_slug"
    assert not Post.objects.exists()


def test_an_address_is_given_once(make_post: MakePost) -> None:
    make_post(slug="pool")

    with pytest.raises(Refused, match="already has the address “pool”") as refusal:
        make_post(slug="pool")

    assert refusal.value.code == "slug_taken"
    assert Post.objects.count() == 1


def test_who_has_no_right_writes_nothing(make_post: MakePost, people: SimpleNamespace) -> None:
    with pytest.raises(Refused, match="stranger may not write posts") as refusal:
        make_post(by=people.stranger)

    assert refusal.value.code == "not_allowed"
    assert not Post.objects.exists()


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_new_post_needs_a_reason(people: SimpleNamespace, now: datetime, reason: str) -> None:
    with pytest.raises(Refused, match="Say in the change note why") as refusal:
        revising.create(Document.read({"title": "A"}), by=people.editor, at=now, note=ChangeNote(reason))

    assert refusal.value.code == "reason_missing"
    assert not Post.objects.exists()


def test_content_that_cannot_be_compiled_is_refused_when_it_is_written(
    make_post: MakePost, settings: Any
) -> None:
    settings.KB_FLAG_RULES_OFF = ["removed_markup"]

    with pytest.raises(InvalidDocument, match="elements inside each other"):
        make_post(body="<div>" * 100, body_format="html")

    assert not Post.objects.exists()


# --- A change ---


def test_a_change_becomes_the_draft_and_a_revision(
    make_post: MakePost, save: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(**FULL)
    later = now + timedelta(hours=1)
    changed = {
        "body": "Rewritten.",
        "checklists": [{"title": "After", "items": ["b", "a"]}],
        "entities": [PYTHON],
        "images": [],
    }

    revision = save(post, by=people.second_editor, at=later, **changed)

    post.refresh_from_db()
    document = Document.read({**FULL, **changed})
    assert post.document() == document
    assert revision.document == document
    assert (post.head, post.updated_at) == (revision, later)
    assert (revision.number, revision.parent.number, revision.author) == (2, 1, people.second_editor)
    assert (revision.origin, revision.reason, revision.created_at) == (Origin.PERSON, "Corrected.", later)


def test_parts_are_written_in_the_order_of_the_document_and_none_stays_behind(
    make_post: MakePost, save: Any
) -> None:
    post = make_post(**FULL)

    save(
        post, checklists=FULL["checklists"][::-1], entities=FULL["entities"][1:], images=FULL["images"][::-1]
    )

    checklists = Checklist.objects.filter(post=post).values_list("position", "title")
    items = ChecklistItem.objects.order_by("checklist__position", "position").values_list("position", "text")
    entities = PostEntity.objects.filter(post=post).values_list("position", "entity__name")
    images = Image.objects.filter(post=post).values_list("position", "url")
    assert list(checklists) == [(0, ""), (1, "Before")]
    assert list(items) == [(0, "measure again"), (0, "measure"), (1, "tell"), (2, "measure")]
    assert list(entities) == [(0, "python"), (1, "postgresql")]
    assert list(images) == [(0, "not an address"), (1, "https://images.example.com/1.png")]


def test_posts_share_the_rows_of_entities(make_post: MakePost, save: Any) -> None:
    first = make_post(entities=[PYTHON, {"name": "Python", "type": "stack"}])
    second = make_post(entities=[{"name": "python", "type": "tool"}])

    save(second, entities=[{"name": "python", "type": "tool"}, PYTHON])
    save(first, entities=[])

    rows = Entity.objects.order_by("type", "name").values_list("type", "name", "post_entities__post")
    assert sorted(rows, key=str) == [
        ("stack", "Python", None),
        ("stack", "python", second.pk),
        ("tool", "python", second.pk),
    ]


def test_numbers_grow_by_one_and_each_revision_names_its_parent(make_post: MakePost, save: Any) -> None:
    post = make_post()
    for number in (2, 3, 4):
        save(post, notes=[f"note {number}"])

    chain = Revision.objects.order_by("number").values_list("number", "parent__number")
    assert list(chain) == [(1, None), (2, 1), (3, 2), (4, 3)]


def test_identity_and_claims_stay_through_changes(people: SimpleNamespace, now: datetime, save: Any) -> None:
    post = revising.create(
        Document.read({"title": "Tune the pool"}),
        by=people.editor,
        at=now,
        note=ChangeNote("New."),
        source="wiki",
        source_id="7",
    )
    Post.objects.filter(pk=post.pk).update(view_count=9, source_hash="abc", source_status="revised")
    kept = ("slug", "reference", "source", "source_id", "view_count", "source_hash", "source_status")
    before = Post.objects.values(*kept, "created_at").get()

    save(post, title="Another title", at=now + timedelta(days=1))

    assert Post.objects.values(*kept, "created_at").get() == before


def test_the_same_content_makes_no_revision(make_post: MakePost, save: Any, now: datetime) -> None:
    post = make_post(**FULL)
    before = everything()

    revision = save(post, at=now + timedelta(days=1), body="Keep it *small*.\r\n\n", note=ChangeNote(""))

    assert revision is None
    assert everything() == before


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_change_needs_a_reason(make_post: MakePost, save: Any, reason: str) -> None:
    post = make_post()
    before = everything()

    with pytest.raises(Refused) as refusal:
        save(post, title="Another", note=ChangeNote(reason))

    assert refusal.value.code == "reason_missing"
    assert everything() == before


def test_who_has_no_right_changes_nothing(
    make_post: MakePost, save: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    before = everything()

    with pytest.raises(Refused, match="stranger may not edit posts") as saving:
        save(post, title="Another", by=people.stranger)
    with pytest.raises(Refused) as restoring:
        revising.restore(
            post, number=1, base_number=1, by=people.stranger, at=now, note=ChangeNote("Because.")
        )

    assert (saving.value.code, restoring.value.code) == ("not_allowed", "not_allowed")
    assert everything() == before


def test_who_comes_second_is_told_and_nothing_is_written(
    make_post: MakePost, save: Any, people: SimpleNamespace
) -> None:
    post = make_post(title="Pool")
    save(post, title="Pool, by the first", by=people.second_editor)
    save(post, summary="By the first, too.", by=people.second_editor)
    before = everything()

    with pytest.raises(Conflict, match="was changed by second_editor since you opened it") as lost:
        save(post, title="Pool, by the second", base_number=1)

    assert (lost.value.base_number, lost.value.current_number, lost.value.code) == (1, 3, "conflict")
    assert everything() == before


def test_a_conflict_comes_before_a_missing_reason_and_equal_content(make_post: MakePost, save: Any) -> None:
    post = make_post(title="Pool")
    save(post, title="Tune the pool")

    with pytest.raises(Conflict):
        save(post, base_number=1, note=ChangeNote(""))


def test_saving_may_ask_for_review(make_post: MakePost, save: Any) -> None:
    post = make_post()

    save(post, title="Ready", ask_for_review=True)

    post.refresh_from_db()
    assert post.state == State.WAITING


def test_saving_the_same_content_may_still_ask_for_review(make_post: MakePost, save: Any) -> None:
    post = make_post()

    revision = save(post, ask_for_review=True)

    post.refresh_from_db()
    assert (revision, post.state) == (None, State.WAITING)


def test_asking_with_an_approved_content_asks_for_nothing(
    make_post: MakePost, save: Any, publish: Any
) -> None:
    post = make_post()
    publish(post)

    assert save(post, ask_for_review=True) is None
    post.refresh_from_db()
    assert post.state == State.SETTLED


# --- Versions ---

TEXT = " ".join(f"word{number}" for number in range(100))
BEFORE = {"title": "Pool", "body": TEXT, "stack": ["postgresql"], "topic": "defaults"}
ABOUT = "the note is about something else: topic or stack changed"
DO = "what a reader has to do changed"


@pytest.mark.parametrize(
    ("changed", "version", "bump", "reason"),
    [
        ({"topic": "limits"}, "2.0.0", Bump.MAJOR, ABOUT),
        ({"stack": []}, "2.0.0", Bump.MAJOR, ABOUT),
        ({"body": "all new"}, "2.0.0", Bump.MAJOR, "more than half of the text is new"),
        ({"checklists": [{"items": ["look"]}]}, "1.3.0", Bump.MINOR, DO),
        ({"expected_result": "It holds."}, "1.3.0", Bump.MINOR, DO),
        ({"rollback_note": "Set it back."}, "1.3.0", Bump.MINOR, DO),
        ({"tools": ["psql"]}, "1.3.0", Bump.MINOR, DO),
        ({"body": f"{TEXT} and twenty new {TEXT[:110]}"}, "1.3.0", Bump.MINOR, "part of the text is new"),
        ({"body": f"{TEXT} end"}, "1.2.4", Bump.PATCH, "small corrections or metadata"),
        ({"summary": "Short."}, "1.2.4", Bump.PATCH, "small corrections or metadata"),
    ],
)
def test_a_version_is_proposed_from_what_changed(
    changed: dict[str, Any], version: str, bump: Bump, reason: str
) -> None:
    before, after = Document.read(BEFORE), Document.read({**BEFORE, **changed})

    assert revising.propose(before, after, "1.2.3") == (version, bump, reason)


def test_a_first_version_is_proposed_for_what_is_new() -> None:
    proposal = revising.propose(None, Document.read(BEFORE), "")

    assert proposal == ("0.1.0", Bump.MINOR, "first revision")


def test_a_save_takes_the_proposed_version_or_the_one_given(make_post: MakePost, save: Any) -> None:
    post = make_post(**BEFORE)

    versions = [
        save(post, summary="Short.").version,
        save(post, tools=["psql"]).version,
        save(post, topic="limits").version,
        save(post, notes=["n"], version="1.0.10").version,
        save(post, notes=["m"]).version,
    ]

    assert versions == ["0.1.1", "0.2.0", "1.0.0", "1.0.10", "1.0.11"]


@pytest.mark.parametrize(
    "version", ["0.1.0", "0.0.9", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0\n", "١.0.0"]
)
def test_a_version_that_is_too_low_or_malformed_is_refused(
    make_post: MakePost, save: Any, version: str
) -> None:
    post = make_post()
    before = everything()

    with pytest.raises(Refused, match="Version: got “") as refusal:
        save(post, title="Another", version=version)

    assert refusal.value.code == "bad_version"
    assert everything() == before


def test_a_version_is_compared_by_its_numbers(make_post: MakePost, save: Any) -> None:
    post = make_post()
    save(post, notes=["a"], version="0.9.0")

    assert save(post, notes=["b"], version="0.10.0").version == "0.10.0"


# --- Restoring ---


def test_an_old_revision_comes_back_as_a_new_one(
    make_post: MakePost, save: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(**FULL)
    save(post, title="Another", checklists=[], entities=[], images=[])
    later = now + timedelta(days=1)

    revision = revising.restore(
        post, number=1, base_number=2, by=people.second_editor, at=later, note=ChangeNote("It was right.")
    )

    post.refresh_from_db()
    assert revision is not None
    assert post.document() == revision.document == Document.read(FULL)
    assert revision.fingerprint == post.revisions.get(number=1).fingerprint
    assert (revision.number, revision.origin, revision.author) == (3, Origin.RESTORE, people.second_editor)
    assert (revision.parent, revision.version, post.updated_at) == (
        post.revisions.get(number=2),
        "0.3.0",
        later,
    )


def test_restoring_what_is_there_makes_no_revision(
    make_post: MakePost, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post()
    before = everything()

    restored = revising.restore(post, number=1, base_number=1, by=people.editor, at=now, note=ChangeNote(""))

    assert restored is None
    assert everything() == before


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"number": 3}, "no_such_revision"),
        ({"base_number": 1}, "conflict"),
        ({"note": ChangeNote(" ")}, "reason_missing"),
    ],
)
def test_a_restore_that_makes_no_sense_is_refused(
    make_post: MakePost,
    save: Any,
    people: SimpleNamespace,
    now: datetime,
    given: dict[str, Any],
    code: str,
) -> None:
    post = make_post()
    save(post, title="Another")
    before = everything()
    right = {"number": 1, "base_number": 2, "note": ChangeNote("It was right.")}

    with pytest.raises(Refused) as refusal:
        revising.restore(post, by=people.editor, at=now, **{**right, **given})

    assert refusal.value.code == code
    assert everything() == before


def test_a_revision_of_another_post_is_not_restored(
    make_post: MakePost, save: Any, people: SimpleNamespace, now: datetime
) -> None:
    post, other = make_post(), make_post()
    save(other, title="Another")

    with pytest.raises(Refused) as refusal:
        revising.restore(post, number=2, base_number=1, by=people.editor, at=now, note=ChangeNote("Why."))

    assert refusal.value.code == "no_such_revision"


def test_readers_keep_the_published_content_through_changes_and_restores(
    make_post: MakePost, save: Any, publish: Any, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(**{**FULL, "images": []})
    publish(post)
    before = everything()["Publication"]

    save(post, title="Another")
    revising.restore(
        post, number=1, base_number=2, by=people.editor, at=now, note=ChangeNote("It was right.")
    )

    post.refresh_from_db()
    assert everything()["Publication"] == before
    assert post.state == State.WAITING  # for review again: the approval was of revision 1
    assert reviewing.head(post).number == 3


# --- Any content ---

SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n")
LINE = st.text(SIGNS, min_size=1, max_size=30).filter(str.strip)
MAYBE = st.one_of(st.just(""), st.text(SIGNS, max_size=30))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=120)
LINES = st.lists(LINE, max_size=3)
SCORE = st.none() | st.integers(0, 100)
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
KEY = st.text("abcdefghij_-. äß", min_size=1, max_size=8).map(lambda text: f"x {text}")
CONTENT = st.fixed_dictionaries(
    {
        "title": LINE,
        "body": TEXTS,
        "body_format": st.sampled_from(["markdown", "html"]),
        "topic": MAYBE,
        "summary": TEXTS,
        "outline": st.lists(
            st.fixed_dictionaries({"label": MAYBE.map(lambda text: text.replace(":", "")), "text": LINE}),
            max_size=3,
        ),
        "brief": TEXTS,
        "stack": LINES,
        "tools": LINES,
        "code_language": MAYBE,
        "difficulty": st.sampled_from([None, "beginner", "intermediate", "advanced"]),
        "reading_time": st.none() | st.integers(0, 10_000),
        "scores": st.fixed_dictionaries(dict.fromkeys(("quality", "freshness", "depth", "clarity"), SCORE)),
        "checklists": st.lists(
            st.fixed_dictionaries({"title": MAYBE, "items": st.lists(LINE, min_size=1, max_size=3)}),
            max_size=3,
        ),
        "entities": st.lists(
            st.fixed_dictionaries({"name": LINE, "type": st.sampled_from(["stack", "área", "CI, CD"])}),
            max_size=4,
        ),
        "images": st.lists(
            st.fixed_dictionaries({"source": MAYBE, "url": LINE, "caption": MAYBE}), max_size=3
        ),
        "payload": st.fixed_dictionaries(
            {"generator": MAYBE, "seed": st.none() | st.integers(-(2**53) + 1, 2**53 - 1)}
        ).flatmap(lambda known: st.dictionaries(KEY, JSON, max_size=3).map(lambda more: {**more, **known})),
        "notes": LINES,
        "flags": st.fixed_dictionaries(
            {"ai_generated_style": st.booleans(), "needs_human_review": st.booleans()}
        ),
        "owner": MAYBE,
        "expected_result": TEXTS,
        "rollback_note": TEXTS,
    }
)


@given(first=CONTENT, second=CONTENT)
@settings(
    max_examples=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_content_comes_back_as_it_was_saved(
    people: SimpleNamespace, now: datetime, first: dict[str, Any], second: dict[str, Any]
) -> None:
    created, saved = Document.read(first), Document.read(second)
    note = ChangeNote("Because.")

    post = revising.create(created, by=people.editor, at=now, note=note)
    was = (Post.objects.get(pk=post.pk).document(), Revision.objects.get(post=post).document)
    revision = revising.save(post, saved, base_number=1, by=people.editor, at=now, note=note)
    now_is = Post.objects.get(pk=post.pk).document()

    assert was == (created, created)
    assert {document.fingerprint for document in was} == {created.fingerprint}
    assert now_is == saved
    assert now_is.fingerprint == saved.fingerprint
    assert (revision is None) == (created == saved)
    assert revision is None or Revision.objects.get(pk=revision.pk).document == saved
