"""Comparing two Documents: applied to the first a diff gives the second, and no change looks like none."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.diff import (
    LABELS,
    PARTS,
    Diff,
    ListChange,
    TextChange,
    ValueChange,
    apply,
    diff,
    from_json,
    lines,
    printed,
    to_json,
)
from kb.document import Document

HARMLESS = st.text("ab ()•:·,\u2028", min_size=1, max_size=6).filter(str.strip)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, 7, "7", "True", "yes", "", "a\ny: b", "a, b"]),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from("xy"), below, max_size=2),
    max_leaves=4,
)
DOCUMENTS = st.fixed_dictionaries(
    {"title": st.sampled_from(["T", "U"])},
    optional={
        "body": st.lists(st.sampled_from(["", "a", "b", "c d e f", "c d e g", "long " * 20]), max_size=7).map(
            "\n".join
        ),
        "summary": st.text("ab \n", max_size=6),
        "stack": st.lists(HARMLESS, max_size=3),
        "difficulty": st.sampled_from([None, "beginner", "advanced"]),
        "reading_time": st.sampled_from([None, 0, 1]),
        "scores": st.fixed_dictionaries({}, optional={"quality": st.sampled_from([None, 0, 7])}),
        "outline": st.lists(
            st.fixed_dictionaries({"text": HARMLESS}, optional={"label": st.sampled_from(["", "a"])}),
            max_size=2,
        ),
        "checklists": st.lists(
            st.fixed_dictionaries(
                {"items": st.lists(HARMLESS, min_size=1, max_size=2)},
                optional={"title": st.sampled_from(["", "Checklist", "• a"])},
            ),
            max_size=2,
        ),
        "entities": st.lists(
            st.fixed_dictionaries({"name": HARMLESS, "type": st.sampled_from(["a", "b", "a) (b"])}),
            max_size=2,
        ),
        "payload": st.dictionaries(st.sampled_from(["x", "y", "source id", "x · y"]), VALUES, max_size=2),
        "flags": st.fixed_dictionaries({}, optional={"has_images": st.booleans()}),
    },
).map(Document.read)


def read(**fields: Any) -> Document:
    return Document.read({"title": "T", **fields})


def only(changes: Diff) -> Any:
    (change,) = [change for part in changes.parts for change in part.changes]
    return change


def fates(change: ListChange) -> list[tuple[Any, ...]]:
    return [(item.fate, item.before, item.after) for item in change.items]


def test_every_field_of_a_document_has_a_label_and_is_in_one_part() -> None:
    assert list(LABELS) == list(Document.model_fields)
    assert sorted(field for fields in PARTS.values() for field in fields) == sorted(Document.model_fields)


def test_two_documents_of_the_same_content_do_not_differ() -> None:
    one = read(body="a\nb", payload={"x": 1, "y": 2})
    other = read(body="a\r\nb\n", payload={"y": 2, "x": 1})

    assert not diff(one, other)


@given(DOCUMENTS, DOCUMENTS)
@example(read(payload={"x": 7}), read(payload={"x": "7"}))
@example(read(payload={"x": 1}), read(payload={"x": True}))
@example(read(payload={"x": 1}), read(payload={"x": 1.0}))
@example(read(payload={"x": [1]}), read(payload={"x": [True]}))
@example(read(payload={"x": ""}), read())
@example(read(payload={"x": {"y": 1}}), read(payload={"x · y": 1}))
@example(read(payload={"x": "a\ny: b"}), read(payload={"x": "a", "y": "b"}))
@example(read(checklists=[{"items": ["a"]}]), read(checklists=[{"title": "Checklist", "items": ["a"]}]))
@example(read(entities=[{"name": "a (b)", "type": "c"}]), read(entities=[{"name": "a", "type": "b) (c"}]))
@example(read(body="a\nb"), read(body="b\na"))
@example(read(stack=["a", "b"]), read(stack=["b", "a"]))
def test_applied_to_the_first_it_gives_the_second_also_as_json(before: Document, after: Document) -> None:
    changes = diff(before, after)

    carried = from_json(json.loads(json.dumps(to_json(changes))))

    assert bool(changes) is (before.fingerprint != after.fingerprint)
    assert carried == changes
    assert apply(carried, before).fingerprint == after.fingerprint
    assert apply(diff(None, after), None).fingerprint == after.fingerprint


def test_a_diff_is_applied_to_what_it_begins_with_alone() -> None:
    with pytest.raises(ValueError, match="begins with"):
        apply(diff(read(topic="a"), read(topic="b")), read(topic="c"))


@pytest.mark.parametrize(
    ("before", "after", "part", "label", "words", "delta"),
    [
        ({"title": "T"}, {"title": "U"}, "Text", "Title", ("T", "U"), None),
        ({"topic": ""}, {"topic": "a"}, "Metadata", "Topic", ("", "a"), None),
        ({"reading_time": 3}, {"reading_time": None}, "Metadata", "Reading time (minutes)", ("3", ""), None),
        ({"scores": {"depth": 40}}, {"scores": {"depth": 28}}, "Scores", "Depth", ("40", "28"), -12),
        ({}, {"flags": {"has_images": True}}, "Flags", "Has images", ("no", "yes"), None),
        ({}, {"payload": {"seed": 7}}, "Metadata", "Payload · seed", ("", "7"), None),
        (
            {"payload": {"x": {"y": 1}}},
            {"payload": {"x": {"y": "1"}}},
            "Metadata",
            "Payload · x · y",
            ("1", '"1"'),
            None,
        ),
        ({"payload": {"x": None}}, {}, "Metadata", "Payload · x", ("null", ""), None),
    ],
)
def test_a_value_is_told_by_its_label_in_words(
    before: Any, after: Any, part: str, label: str, words: tuple[str, str], delta: int | None
) -> None:
    changes = diff(read(**before), read(**after))

    change = only(changes)
    assert isinstance(change, ValueChange)
    assert [found.name for found in changes.parts if found.changes] == [part]
    assert (change.label, (change.before_words, change.after_words), change.delta) == (label, words, delta)


@pytest.mark.parametrize(
    ("field", "before", "after", "told"),
    [
        ("stack", ["a", "b"], ["b", "a"], [("moved", "b", "b"), ("kept", "a", "a")]),
        ("tools", ["git"], ["git", "vim"], [("kept", "git", "git"), ("added", None, "vim")]),
        ("notes", ["check the disk"], ["check the disks"], [("edited", "check the disk", "check the disks")]),
        ("notes", ["one"], ["something else"], [("added", None, "something else"), ("removed", "one", None)]),
    ],
)
def test_items_of_a_list_are_kept_added_removed_moved_or_reworded(
    field: str, before: list[str], after: list[str], told: list[tuple[str, Any, Any]]
) -> None:
    change = only(diff(read(**{field: before}), read(**{field: after})))

    assert sorted(fates(change), key=str) == sorted(told, key=str)


def test_an_entity_that_is_renamed_is_not_one_that_is_replaced() -> None:
    old, renamed = {"name": "postgresql", "type": "stack"}, {"name": "postgres", "type": "stack"}
    other = {"name": "postgres", "type": "tool"}

    same_type = only(diff(read(entities=[old]), read(entities=[renamed])))
    another_type = only(diff(read(entities=[old]), read(entities=[other])))

    assert fates(same_type) == [("renamed", old, renamed)]
    assert sorted(fate for fate, _, _ in fates(another_type)) == ["added", "removed"]


def test_a_checklist_is_compared_item_by_item() -> None:
    before = [{"title": "Before", "items": ["run lint", "deploy"]}]
    after = [{"title": "Before", "items": ["run linting", "test", "deploy"]}]

    (item,) = only(diff(read(checklists=before), read(checklists=after))).items

    assert [(inner.fate, inner.after) for inner in item.inner] == [
        ("edited", "run linting"),
        ("added", "test"),
        ("kept", "deploy"),
    ]


def test_an_image_is_known_by_its_address() -> None:
    before, after = ({"url": "https://a.example/x.png", "caption": caption} for caption in ("Gate", "Door"))

    change = only(diff(read(images=[before]), read(images=[after])))

    assert [item.fate for item in change.items] == ["edited"]


def body(before: str, after: str) -> TextChange:
    change = only(diff(read(body=before), read(body=after)))
    assert isinstance(change, TextChange)
    return change


def test_inside_a_changed_line_the_words_are_told_apart() -> None:
    change = body("a\nKeep one pool.\nz", "a\nKeep two pools.\nz")

    assert [block.kind for block in change.blocks] == ["kept", "changed", "kept"]
    assert [(word.mark, word.text) for word in change.blocks[1].words] == [
        (" ", "Keep "),
        ("-", "one pool"),
        ("+", "two pools"),
        (" ", "."),
    ]


def test_a_block_that_moved_is_no_loss_and_no_gain() -> None:
    moved = "First do this.\nThen do that.\nAt last look."
    rest = "\n".join(f"Line {number} of the rest." for number in range(8))

    change = body(f"{moved}\n{rest}", f"{rest}\n{moved}")

    ends = [block for block in change.blocks if block.kind != "kept"]
    assert sorted(block.kind for block in ends) == ["moved_away", "moved_here"]
    assert len({block.move for block in ends}) == 1


def test_lines_with_little_in_common_read_as_gone_and_come() -> None:
    change = body("The server restarts at night.", "Call somebody before noon, please.")

    assert [(block.kind, block.words) for block in change.blocks] == [("changed", ())]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("\n".join(map(str, range(30_000))), "\n".join(map(str, range(60_000, 30_000, -1)))),
        pytest.param("x" + "\n" * 400_000 + "x", "y" + "\n" * 400_000 + "y"),
    ],
)
def test_what_is_too_long_to_compare_says_so_and_still_gives_the_second(before: str, after: str) -> None:
    change = body(before, after)

    assert change.coarse
    assert lines.apply(change.blocks, before) == after
    assert len(change.blocks) <= 3


def test_a_long_hostile_text_costs_no_more_comparisons_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = []
    opcodes = lines.Indel.opcodes

    class Counted:
        @staticmethod
        def opcodes(old: list[int], new: list[int]) -> Any:
            cost.append(len(old) * len(new))
            return opcodes(old, new)

    monkeypatch.setattr(lines, "Indel", Counted)
    hostile = {
        "one line": ("word " * 100_000 + "a", "word " * 100_000 + "b"),
        "shuffled": ("\n".join(map(str, range(9_000))), "\n".join(str(n ^ 1) for n in range(9_000))),
        "words": ("\n".join(["! " * 40] * 3_000), "\n".join(["! " * 39 + "?"] * 3_000)),
    }
    for before, after in hostile.values():
        cost.clear()
        assert lines.apply(lines.compare(before, after)[0], before) == after
        assert sum(cost) <= lines.MAX_LINES + lines.MAX_WORDS


@given(DOCUMENTS, DOCUMENTS)
@example({"title": "T", "payload": {"a": 7}}, {"title": "T", "payload": {"a": "7"}})
@example({"title": "T", "payload": {}}, {"title": "T", "payload": {"gone": None}})
@example({"title": "T", "payload": {"a": ["b"]}}, {"title": "T", "payload": {"a": "b"}})
@example(
    {"title": "T", "images": [{"caption": "c", "source": "", "url": "u"}]},
    {"title": "T", "images": [{"caption": "", "source": "c", "url": "u"}]},
)
def test_two_values_of_a_field_read_alike_only_if_they_are(one: Any, other: Any) -> None:
    before, after = Document.read(one).plain(), Document.read(other).plain()

    alike = [field for field in LABELS if printed(field, before[field]) == printed(field, after[field])]

    assert [field for field in alike if not same(before[field], after[field])] == []


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
