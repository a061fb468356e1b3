"""The comparison of two Documents: no change looks like none, and both sides can be read out of it."""

import json
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.diff import LABELS, MAX_LINES, FieldChange, Line, diff, printed
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
        "body": st.text("ab \n", max_size=12),
        "summary": st.text("ab \n", max_size=6),
        "stack": st.lists(HARMLESS, max_size=2),
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


def side(change: FieldChange, mark: str) -> str:
    return "\n".join(line.text for line in change.lines if line.mark in {" ", mark})


def test_every_field_of_a_document_has_a_label() -> None:
    assert list(LABELS) == list(Document.model_fields)


def test_two_documents_of_the_same_content_do_not_differ() -> None:
    one = read(body="a\nb", payload={"x": 1, "y": 2})
    other = read(body="a\r\nb\n", payload={"y": 2, "x": 1})

    assert diff(one, other) == []


@pytest.mark.parametrize(
    ("field", "before", "after", "kind", "lines"),
    [
        ("title", "T", "U", "value", ["-T", "+U"]),
        ("body", "a\nb\nc", "a\nx\nc", "text", [" a", "-b", "+x", " c"]),
        ("body_format", "markdown", "html", "value", ["-markdown", "+html"]),
        ("topic", "", "a", "value", ["+a"]),
        ("summary", "a", "", "text", ["-a"]),
        ("outline", [{"text": "a"}], [{"label": "l", "text": "a"}], "list", ["-a", "+l: a"]),
        ("brief", "a", "b", "text", ["-a", "+b"]),
        ("stack", ["a", "b"], ["b"], "list", ["-a", " b"]),
        ("tools", [], ["a"], "list", ["+a"]),
        ("code_language", "", "go", "value", ["+go"]),
        ("difficulty", None, "advanced", "value", ["+advanced"]),
        ("reading_time", 3, None, "value", ["-3"]),
        ("scores", {"quality": 1}, {"quality": 1, "depth": 0}, "list", [" quality: 1", "+depth: 0"]),
        (
            "checklists",
            [{"items": ["a"]}],
            [{"items": ["a", "b"]}],
            "list",
            [" (no title)", " • a", "+• b"],
        ),
        ("entities", [], [{"name": "a", "type": "tool"}], "list", ["+a (tool)"]),
        ("images", [], [{"url": "u", "source": "s", "caption": "c"}], "list", ["+c · s · u"]),
        ("payload", {}, {"x": {"y": [1, 2]}, "seed": 3}, "list", ["+seed: 3", "+x · y: 1, 2"]),
        ("notes", ["a"], ["b"], "list", ["-a", "+b"]),
        (
            "flags",
            {},
            {"has_images": True},
            "list",
            [
                " ai generated style: no",
                "-has images: no",
                "+has images: yes",
                " image heavy: no",
                " needs human review: no",
            ],
        ),
        ("owner", "a", "b", "value", ["-a", "+b"]),
        ("expected_result", "", "a\nb", "text", ["+a", "+b"]),
        ("rollback_note", "a", "b", "text", ["-a", "+b"]),
    ],
)
def test_a_change_is_told_with_its_label_and_lines(
    field: str, before: Any, after: Any, kind: Any, lines: list[str]
) -> None:
    (change,) = diff(read(**{field: before}), read(**{field: after}))

    assert change == FieldChange(
        field=field,
        label=LABELS[field],
        kind=kind,
        before="\n".join(line[1:] for line in lines if line[0] != "+"),
        after="\n".join(line[1:] for line in lines if line[0] != "-"),
        lines=tuple(Line(line[0], line[1:]) for line in lines),  # type: ignore[arg-type]
    )


def test_a_first_revision_tells_what_is_there_and_nothing_empty() -> None:
    changes = diff(None, read(stack=["a"]))

    assert [(change.field, side(change, "+"), side(change, "-")) for change in changes] == [
        ("title", "T", ""),
        ("body_format", "markdown", ""),
        ("stack", "a", ""),
        ("flags", "\n".join(line.text for line in changes[-1].lines), ""),
    ]


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
def test_two_contents_differ_somewhere_and_both_can_be_read_out_of_it(
    before: Document, after: Document
) -> None:
    changes = diff(before, after)

    assert bool(changes) is (before.fingerprint != after.fingerprint)
    for change in changes:
        assert any(line.mark != " " for line in change.lines)
        assert (side(change, "-"), side(change, "+")) == (change.before, change.after)


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


def test_a_change_beside_a_change_is_not_hidden_by_it() -> None:
    before = read(payload={"retries": 7, "limit": 1})
    after = read(payload={"retries": "7", "limit": 2, "empty": {}, "gone": None})

    (change,) = diff(before, after)

    assert [f"{line.mark}{line.text}" for line in change.lines] == [
        "-retries: 7",
        "-limit: 1",
        '+retries: "7"',
        "+limit: 2",
        "+empty: {}",
        "+gone: null",
    ]


def test_beyond_the_limit_all_is_gone_and_added() -> None:
    before, after = ["x"] * (MAX_LINES - 199), ["x"] * 200
    started = process_time()

    (change,) = diff(read(body="\n".join(before)), read(body="\n".join(after)))

    assert change.lines == (*(Line("-", text) for text in before), *(Line("+", text) for text in after))
    assert process_time() - started < 1
