"""The Document: one canonical form, one fingerprint, and a place and a reason for whatever it refuses."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from kb.document import (
    MAX_BODY,
    MAX_ITEMS,
    MAX_LINE,
    MAX_NUMBER,
    MAX_PARAGRAPH,
    MAX_PAYLOAD,
    VOLATILE,
    Document,
    json_schema,
)
from kb.errors import InvalidDocument, Problem

# Each field with a value that is not its default: what is content, and so changes the fingerprint.
# What changes without a new revision belongs into VOLATILE, beside the Document.
FULL: dict[str, Any] = {
    "title": "Measure first, “then” change",
    "body": "    code\n\nSome *text*.",
    "body_format": "html",
    "topic": "production defaults",
    "summary": "How to change\na default.",
    "outline": [{"label": "context", "text": "before a migration"}],
    "brief": "Be careful.",
    "stack": ["python services", "backend"],
    "tools": ["uvicorn"],
    "code_language": "python",
    "difficulty": "advanced",
    "reading_time": 12,
    "scores": {"quality": 74, "freshness": 69, "depth": 72, "clarity": 0},
    "checklists": [{"title": "Before release", "items": ["run linting", "tag it"]}],
    "entities": [{"name": "python services", "type": "stack"}],
    "images": [{"source": "unsplash", "url": "https://images.example.com/1.png", "caption": "A picture"}],
    "payload": {
        "source_id": "a-1",
        "generator": "synthesizer",
        "paragraphs": 7,
        "scenario": "audit",
        "seed": -10444,
        "extra": {"share": 0.5, "more": [None, True]},
    },
    "notes": ["a note"],
    "flags": {
        "ai_generated_style": True,
        "has_images": True,
        "image_heavy": True,
        "needs_human_review": True,
    },
    "owner": "Platform team",
    "expected_result": "Defaults are documented.",
    "rollback_note": "Revert.",
}
CANONICAL = (
    '{"body":"    code\\n\\nSome *text*.","body_format":"html","brief":"Be careful.",'
    '"checklists":[{"items":["run linting","tag it"],"title":"Before release"}],"code_language":"python",'
    '"difficulty":"advanced","entities":[{"name":"python services","type":"stack"}],'
    '"expected_result":"Defaults are documented.","flags":{"ai_generated_style":true,"has_images":true,'
    '"image_heavy":true,"needs_human_review":true},"images":[{"caption":"A picture","source":"unsplash",'
    '"url":"https://images.example.com/1.png"}],"notes":["a note"],"outline":[{"label":"context",'
    '"text":"before a migration"}],"owner":"Platform team","payload":{"extra":{"more":[null,true],'
    '"share":0.5},"generator":"synthesizer","paragraphs":7,"scenario":"audit","seed":-10444,'
    '"source_id":"a-1"},"reading_time":12,"rollback_note":"Revert.","scores":{"clarity":0,"depth":72,'
    '"freshness":69,"quality":74},"stack":["python services","backend"],'
    '"summary":"How to change\\na default.",'
    '"title":"Measure first, “then” change","tools":["uvicorn"],"topic":"production defaults"}'
)


def read(**fields: Any) -> Document:
    return Document.read({"title": "T", **fields})


def problems(**fields: Any) -> list[Problem]:
    with pytest.raises(InvalidDocument) as refused:
        read(**fields)
    return refused.value.problems


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value that holds no other."""
    match value:
        case dict():
            for key, part in value.items():
                yield from leaves(part, (*path, key))
        case list():
            for position, part in enumerate(value):
                yield from leaves(part, (*path, position))
        case _:
            yield path


OTHER = {"body_format": "markdown", "difficulty": "beginner"}


def with_other(path: tuple[Any, ...]) -> dict[str, Any]:
    """FULL with another value at this path."""
    data: Any = json.loads(json.dumps(FULL))
    *way, last = path
    place = data
    for step in way:
        place = place[step]
    match place[last]:
        case bool(value):
            place[last] = not value
        case int(value) | float(value):
            place[last] = value + 1
        case None:
            place[last] = "something"
        case value:
            place[last] = OTHER.get(last, f"{value}x")
    return data


def parts(model: type[BaseModel], data: Any, place: str = "") -> Iterator[tuple[str, type[BaseModel], Any]]:
    """Document and its parts, each with what FULL says there."""
    yield place, model, data
    for name, field in model.model_fields.items():
        for below in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(below, type) and issubclass(below, BaseModel):
                given = data[name][0] if isinstance(data[name], list) else data[name]
                yield from parts(below, given, f"{place}.{name}".lstrip("."))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_NUMBER, MAX_NUMBER)
    | st.floats(-1e9, 1e9)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), below, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: depth(value) < 6)
lines = st.text("ab :()•·\u00e9", min_size=1, max_size=8).filter(str.strip)
documents = st.fixed_dictionaries(
    {"title": lines},
    optional={
        "body": st.text("ab \n\r|*<", max_size=20),
        "summary": st.text("ab \n", max_size=10),
        "stack": st.lists(lines, max_size=3),
        "reading_time": st.none() | st.integers(0, 10_000),
        "scores": st.fixed_dictionaries({}, optional={"quality": st.none() | st.integers(0, 100)}),
        "checklists": st.lists(
            st.fixed_dictionaries(
                {"items": st.lists(lines, min_size=1, max_size=3)}, optional={"title": lines}
            ),
            max_size=2,
        ),
        "payload": st.dictionaries(st.text("xyz", min_size=1, max_size=3), json_values, max_size=3),
        "flags": st.fixed_dictionaries({}, optional={"has_images": st.booleans()}),
    },
).map(Document.read)


def depth(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, below), default=0)


# --- Canonical form and fingerprint -------------------------------------------------------------------------
def test_the_canonical_form_of_a_full_document_stays_as_it_is() -> None:
    document = Document.read(FULL)

    assert document.canonical().decode() == CANONICAL
    assert document.fingerprint == "b8845880f8d263a2fe0fe54d29f9cc503abe2f11c97e10ff8580c35b17c2bbd0"


def test_the_canonical_form_of_a_title_alone_stays_as_it_is() -> None:
    document = read()

    assert document.canonical() == b'{"title":"T"}'
    assert document.fingerprint == hashlib.sha256(b'{"title":"T"}').hexdigest()


@given(documents)
def test_reading_back_what_was_written_keeps_the_fingerprint(document: Document) -> None:
    again = [Document.from_canonical(document.canonical()), Document.read(document.plain())]

    assert [found.canonical() for found in again] == [document.canonical()] * 2


@given(documents, st.randoms(use_true_random=False))
def test_the_order_of_keys_is_no_content(document: Document, chance: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = sorted(value)
            chance.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert Document.read(shuffled(document.plain())).fingerprint == document.fingerprint


@pytest.mark.parametrize("path", list(leaves(FULL)), ids=lambda path: ".".join(map(str, path)))
def test_any_changed_value_changes_the_fingerprint(path: tuple[Any, ...]) -> None:
    changed = Document.read(with_other(path))

    assert changed.fingerprint != Document.read(FULL).fingerprint


@pytest.mark.parametrize("field", [field for field in Document.model_fields if field != "title"])
def test_leaving_a_field_out_changes_the_fingerprint(field: str) -> None:
    less = {key: value for key, value in FULL.items() if key != field}

    assert Document.read(less).fingerprint != Document.read(FULL).fingerprint


@pytest.mark.parametrize("field", ["stack", "tools", "notes", "outline", "checklists", "entities", "images"])
def test_the_order_of_a_list_is_content(field: str) -> None:
    first = FULL[field][0]
    second = "another" if isinstance(first, str) else {**first, next(iter(first)): "another"}

    there, back = read(**{field: [first, second]}), read(**{field: [second, first]})

    assert there.fingerprint != back.fingerprint


@pytest.mark.parametrize(("place", "model", "data"), list(parts(Document, FULL)))
def test_every_field_is_classed_as_content_or_volatile(place: str, model: type[BaseModel], data: Any) -> None:
    unclassed = set(model.model_fields) - set(data)

    assert not unclassed, (
        f"{model.__name__} has new fields {sorted(unclassed)}: if they are content, give them a value in "
        f"FULL of this file (at {place or 'its top'}); if not, keep them beside the Document, in VOLATILE."
    )


def test_volatile_metrics_are_no_field_of_a_document() -> None:
    assert frozenset({"view_count"}) == VOLATILE
    assert not VOLATILE & set(Document.model_fields)
    assert problems(view_count=3) == [Problem("view_count", "3", "no such field")]


# --- What is the same content -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"body": "a\r\nb\rc"}, {"body": "a\nb\nc"}),
        ({"body": "\n\r\n    code\n\n \t"}, {"body": "    code"}),
        ({"summary": " \na\r\n b \n"}, {"summary": "a\n b"}),
        ({"topic": "\ta \r\n"}, {"topic": "a"}),
        ({"stack": [" a "]}, {"stack": ["a"]}),
        ({"payload": {"x": -0.0}}, {"payload": {"x": 0}}),
        ({"payload": {"x": [0.0]}}, {"payload": {"x": [0]}}),
        ({"payload": {"generator": "", "seed": None}}, {}),
        ({"difficulty": None, "scores": {"quality": None}, "flags": {"has_images": False}}, {}),
    ],
)
def test_these_are_the_same_content(given: dict[str, Any], same: dict[str, Any]) -> None:
    assert read(**given).canonical() == read(**same).canonical()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"body": "  a"}, {"body": "a"}),
        ({"payload": {"x": 1}}, {"payload": {"x": 1.0}}),
        ({"payload": {"x": 1}}, {"payload": {"x": True}}),
        ({"payload": {"x": 7}}, {"payload": {"x": "7"}}),
        ({"payload": {"x": None}}, {}),
        ({"scores": {"quality": 0}}, {}),
        ({"reading_time": 0}, {}),
        ({"topic": "\u00e9"}, {"topic": "e\u0301"}),
    ],
)
def test_these_are_not_the_same_content(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert read(**one).fingerprint != read(**other).fingerprint


def test_arrays_are_never_null() -> None:
    arrays = ("stack", "tools", "notes", "outline", "checklists", "entities", "images")

    document = read(**dict.fromkeys(arrays))

    assert {name: document.plain()[name] for name in arrays} == {name: [] for name in arrays}


def test_a_document_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().title = "another"


@pytest.mark.parametrize(
    ("fields", "involved"),
    [
        ({}, False),
        ({"flags": {"needs_human_review": True}, "payload": {"seed": 1}}, False),
        ({"flags": {"ai_generated_style": True}}, True),
        ({"payload": {"generator": "g"}}, True),
    ],
)
def test_the_content_says_whether_a_machine_had_a_hand_in_it(fields: dict[str, Any], involved: bool) -> None:
    assert read(**fields).ai_involved is involved


# --- What is refused ----------------------------------------------------------------------------------------
WHOLE = "finite numbers up to 2**53 - 1, x is not one"
DEEP: list[Any] = []
for _ in range(5_000):
    DEEP = [DEEP]


def shown(value: Any) -> str:
    return repr(value)[:80]


LONG = "x" * (MAX_BODY + 1)


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"title": ""}, "title", "at least 1 character"),
        ({"title": " \n"}, "title", "at least 1 character"),
        ({"title": "a\nb"}, "title", "a single line"),
        ({"title": LONG[:301]}, "title", "at most 300 characters"),
        ({"title": 5}, "title", "string"),
        ({"topic": None}, "topic", "string"),
        ({"topic": LONG[: MAX_LINE + 1]}, "topic", f"at most {MAX_LINE} characters"),
        ({"body": LONG}, "body", f"at most {MAX_BODY} characters"),
        ({"summary": LONG[: MAX_PARAGRAPH + 1]}, "summary", f"at most {MAX_PARAGRAPH} characters"),
        ({"code_language": LONG[:61]}, "code_language", "at most 60 characters"),
        ({"body": "a\x00"}, "body", "text without NUL, there is one at character 1"),
        ({"owner": "ab\udc80"}, "owner", "Unicode text, there is a lone surrogate at character 2"),
        ({"notes": ["a"] * (MAX_ITEMS + 1)}, "notes", f"at most {MAX_ITEMS} items"),
        ({"difficulty": "hardish"}, "difficulty", "beginner, intermediate or advanced"),
        ({"body_format": "rtf"}, "body_format", "markdown or html"),
        ({"reading_time": 1.0}, "reading_time", "integer"),
        ({"reading_time": True}, "reading_time", "integer"),
        ({"reading_time": "12"}, "reading_time", "integer"),
        ({"reading_time": -1}, "reading_time", "greater than or equal to 0"),
        ({"reading_time": 10_001}, "reading_time", "less than or equal to 10000"),
        ({"payload": {"x": float("nan")}}, "payload", WHOLE),
        ({"payload": {"x": float("-inf")}}, "payload", WHOLE),
        ({"payload": {"x": 2**53}}, "payload", WHOLE),
        ({"payload": {"x": 10**400}}, "payload", WHOLE),
        ({"payload": {"a\x00": 1}}, "payload", "text without NUL, there is one at character 1"),
        (
            {"payload": {"a": {"\ud800": 1}}},
            "payload",
            "Unicode text, there is a lone surrogate at character 0",
        ),
        ({"payload": {"x": LONG[:MAX_PAYLOAD]}}, "payload", f"at most {MAX_PAYLOAD} bytes of JSON"),
        ({"payload": {"x": {1}}}, "payload", "JSON values, x is a set"),
        (
            {"payload": {"x": {"a": [[[[[1]]]]]}}},
            "payload",
            "at most 6 levels, x.a.0.0.0.0.0 goes deeper",
        ),
    ],
)
def test_what_is_refused_has_a_place_and_a_reason(fields: dict[str, Any], field: str, expected: str) -> None:
    (given,) = fields.values()

    assert problems(**fields) == [Problem(field, shown(given), expected)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"scores": {"quality": 101}}, Problem("scores.quality", "101", "less than or equal to 100")),
        ({"scores": {"quality": 7.0}}, Problem("scores.quality", "7.0", "integer")),
        ({"scores": {"speed": 1}}, Problem("scores.speed", "1", "no such field")),
        ({"payload": {"seed": 1.0}}, Problem("payload.seed", "1.0", "integer")),
        ({"payload": {"generator": 5}}, Problem("payload.generator", "5", "string")),
        ({"stack": ["a", ""]}, Problem("stack.1", "''", "at least 1 character")),
        ({"checklists": [{"items": []}]}, Problem("checklists.0.items", "[]", "at least 1 item")),
        ({"checklists": [{"title": "a"}]}, Problem("checklists.0.items", "nothing", "field required")),
        (
            {"checklists": [{"items": ["a", "b\nc"]}]},
            Problem("checklists.0.items.1", "'b\\nc'", "a single line"),
        ),
        ({"entities": [{"name": "a"}]}, Problem("entities.0.type", "nothing", "field required")),
        ({"images": [{"url": ""}]}, Problem("images.0.url", "''", "at least 1 character")),
    ],
)
def test_what_is_refused_inside_a_part_has_a_dotted_place(fields: dict[str, Any], problem: Problem) -> None:
    assert problems(**fields) == [problem]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert problems(title="", colour="red", scores={"depth": -1}) == [
        Problem("title", "''", "at least 1 character"),
        Problem("scores.depth", "-1", "greater than or equal to 0"),
        Problem("colour", "'red'", "no such field"),
    ]


def test_a_title_is_required() -> None:
    with pytest.raises(InvalidDocument) as refused:
        Document.read({"body": "x"})

    assert str(refused.value) == (
        "title: got nothing, expected field required; fix the source and import again."
    )


@pytest.mark.parametrize("bad", [":", "/", "a:b", "a/b"])
def test_the_type_of_an_entity_holds_neither_colon_nor_slash(bad: str) -> None:
    (problem,) = problems(entities=[{"name": "a", "type": bad}])

    assert problem.field == "entities.0.type"


@pytest.mark.parametrize("field", ["title", "stack", "checklists", "scores", "unknown"])
def test_deep_nesting_in_any_field_is_refused(field: str) -> None:
    found = problems(**{field: DEEP})

    assert [(problem.field.partition(".")[0], problem.got) for problem in found] == [
        (field, "deeper nesting")
    ]


def test_deep_nesting_in_a_payload_is_refused_with_its_place() -> None:
    assert problems(payload={"x": DEEP}) == [
        Problem("payload", "deeper nesting", "at most 6 levels, x.0.0.0.0.0.0 goes deeper")
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"title": LONG[:300]},
        {"body": LONG[:MAX_BODY]},
        {"topic": LONG[:MAX_LINE]},
        {"notes": ["a"] * MAX_ITEMS},
        {"payload": {"x": LONG[: MAX_PAYLOAD - len('{"x": ""}')]}},
        {"payload": {"x": [[[[[1]]]]]}},
        {"payload": {"x": MAX_NUMBER, "y": -MAX_NUMBER, "seed": MAX_NUMBER}},
        {"reading_time": 10_000, "scores": {"quality": 100}},
    ],
)
def test_what_just_fits_is_taken(fields: dict[str, Any]) -> None:
    document = read(**fields)

    assert Document.from_canonical(document.canonical()) == document


# --- JSON Schema --------------------------------------------------------------------------------------------
def test_the_json_schema_is_valid_and_takes_what_a_document_prints() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    for document in (Document.read(FULL), read()):
        assert [error.message for error in validator.iter_errors(document.plain())] == []
        assert [error.message for error in validator.iter_errors(json.loads(document.canonical()))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"title": ""},
        {"title": 5},
        {"title": "T", "colour": "red"},
        {"title": "T", "difficulty": "hardish"},
    ],
)
def test_the_json_schema_refuses_what_a_document_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument):
        Document.read(wrong)

    assert list(Draft202012Validator(json_schema()).iter_errors(wrong))
