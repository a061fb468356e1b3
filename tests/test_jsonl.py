"""JSON Lines: what is written reads back as the same record, and a bad line says where and why."""

import json
from dataclasses import replace
from datetime import date
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.choices import BodyFormat, Difficulty
from kb.document import MAX_NUMBER, Document
from kb.errors import SourceError
from kb.sources import jsonl
from kb.sources.record import MAX_RECORD, Record

DOCUMENT = '"document":{"title":"a title"}'


def read(content: bytes) -> list[Record | SourceError]:
    return list(jsonl.read(BytesIO(content), "posts.jsonl"))


def problems(line: str | bytes) -> list[str]:
    (error,) = read(line.encode() if isinstance(line, str) else line)
    assert isinstance(error, SourceError)
    assert error.place == "posts.jsonl:1"
    return [str(problem) for problem in error.problems]


def same(record: Record) -> Record:
    """Without what depends on where it was read."""
    return replace(record, content=b"", place="", format="", unknown=())


# --- Reading ---


def test_a_line_holds_the_envelope_and_the_document():
    line = json.dumps(
        {
            "slug": "a-title",
            "reference": "R-1",
            "source": "wiki",
            "source_id": "wiki-1",
            "source_hash": "abc",
            "source_status": "drafted",
            "source_version": "1.2.3",
            "source_last_reviewed": "2026-01-31",
            "view_count": 17,
            "document": {
                "title": "a title",
                "scores": {"depth": 4},
                "payload": {"batch": {"rows": [1, 2.5]}},
            },
        }
    ).encode()

    assert read(line + b"\n") == [
        Record(
            document=Document.read(
                {"title": "a title", "scores": {"depth": 4}, "payload": {"batch": {"rows": [1, 2.5]}}}
            ),
            slug="a-title",
            reference="R-1",
            source="wiki",
            source_id="wiki-1",
            source_hash="abc",
            source_status="drafted",
            source_version="1.2.3",
            source_last_reviewed=date(2026, 1, 31),
            view_count=17,
            content=line,
            format="jsonl",
            place="posts.jsonl:1",
        )
    ]


def test_one_bad_line_does_not_stop_the_others():
    lines = [f"{{{DOCUMENT}}}", "", "{", f"{{{DOCUMENT}}}", "[]"]

    found = read("\n".join(lines).encode())

    assert [(type(entry), entry.place) for entry in found] == [
        (Record, "posts.jsonl:1"),
        (SourceError, "posts.jsonl:3"),
        (Record, "posts.jsonl:4"),
        (SourceError, "posts.jsonl:5"),
    ]


def test_a_bom_and_crlf_are_no_content():
    (plain,) = read(f"{{{DOCUMENT}}}\n".encode())
    (other,) = read(b"\xef\xbb\xbf" + f"{{{DOCUMENT}}}\r\n".encode())

    assert isinstance(plain, Record)
    assert isinstance(other, Record)
    assert same(other) == same(plain)
    assert other.content == f"{{{DOCUMENT}}}\r".encode()


def test_an_unknown_key_of_the_envelope_is_reported_and_kept_in_the_bytes():
    line = f'{{"mood":"calm",{DOCUMENT},"rank":3}}'.encode()

    (record,) = read(line)

    assert isinstance(record, Record)
    assert record.unknown == ("mood", "rank")
    assert record.content == line


def test_a_line_that_is_too_long_is_skipped_to_its_end():
    long = b'{"slug":"' + b"x" * (MAX_RECORD + 200_000) + b'"}\n'

    found = read(long + f"{{{DOCUMENT}}}\n".encode())

    assert [entry.place for entry in found] == ["posts.jsonl:1", "posts.jsonl:2"]
    assert str(found[0]).startswith(
        f"posts.jsonl:1: got more than {MAX_RECORD} bytes, expected a shorter line"
    )
    assert isinstance(found[1], Record)


# --- Refusals ---


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "got the end of the line at character 1, expected JSON ("),
        ("null", "got 'null', expected an object with the envelope's keys and “document”"),
        ("{}", "document: got nothing, expected the Document, an object"),
        ('{"document":[]}', "document: got [], expected the Document, an object"),
        ('{"document":{}}', "document.title: got nothing, expected"),
        ('{"document":{"title":"x","mood":1}}', "document.mood: got 1, expected no such field"),
        ('{"document":{"title":"x","title":"y"}}', "document.title: got the same key again, expected each k"),
        (f'{{"slug":"a","slug":"a",{DOCUMENT}}}', "slug: got the same key again, expected each key once"),
        ('{"document":{"title":"x","payload":{"a":[{"b":1,"b":1}]}}}', "document.payload.a.0.b: got the sam"),
        ('{"document":{"title":"x","payload":{"a":NaN}}}', "document.payload.a: got NaN, expected finite nu"),
        ('{"document":{"title":"x","payload":{"a":[-Infinity]}}}', "document.payload.a.0: got -Infinity, ex"),
        ('{"document":{"title":"x","payload":{"a":1e999}}}', "document.payload.a: got 1e999, expected finit"),
        (f'{{"view_count":{MAX_NUMBER + 1},{DOCUMENT}}}', "view_count: got 9007199254740992, expected finit"),
        (f'{{"view_count":{"9" * 10_000},{DOCUMENT}}}', f"view_count: got {'9' * 40}, expected finite numbe"),
        (f'{{"view_count":true,{DOCUMENT}}}', "view_count: got True, expected a whole number from 0"),
        (f'{{"view_count":-1,{DOCUMENT}}}', "view_count: got -1, expected a whole number from 0"),
        (f'{{"source_last_reviewed":"2026-13-01",{DOCUMENT}}}', "source_last_reviewed: got '2026-13-01', ex"),
        (f'{{"source_last_reviewed":17,{DOCUMENT}}}', "source_last_reviewed: got 17, expected a date such a"),
        (f'{{"slug":"../x",{DOCUMENT}}}', "slug: got '../x', expected letters a to z, digits"),
        (f'{{"source":"{"x" * 61}",{DOCUMENT}}}', "source: got 'xxx"),
        (f'{{"source_id":"a\\u0000",{DOCUMENT}}}', "source_id: got 'a\\x00', expected a single line of Unic"),
        (f'{{"source_id":"\\ud800",{DOCUMENT}}}', "source_id: got '\\ud800', expected a single line of Unic"),
        (f'{{"source_id":7,{DOCUMENT}}}', "source_id: got 7, expected a single line of Unicode text"),
        ('{"document":{"title":"x","body":"\\ud800"}}', "document.body: got '\\ud800', expected Unicode tex"),
        ('{"document":{"title":"x","body":"\\u0000"}}', "document.body: got '\\x00', expected text without"),
        ('{"document":{"title":"x","reading_time":"12"}}', "document.reading_time: got '12', expected"),
        (b'{"document":{"title":"\xff"}}', "got byte 0xff at offset 22 of the line, expected UTF-8"),
        ('{"document":' + "[" * 40 + "]" * 40 + "}", "document.0.0"),
        ('{"a":"[{","document":' + "[" * 200_000, "document: got deeper nesting, expected at most 32 levels"),
        ('{"document":{"payload":' + '{"a":' * 200_000, "document: got deeper nesting, expected at most 32"),
        (b"x" * 300, "got 'xxxxxxxxxxxxxxxxxxxx' at character 0, expected JSON ("),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_says_which_field_and_why(line, sentence):
    (problem,) = problems(line)

    assert problem.startswith(sentence)
    assert problem.endswith("; fix the source and import again.")


def test_all_problems_of_a_line_are_told_at_once():
    found = problems('{"view_count":-1,"document":{"scores":{"depth":101},"difficulty":"hardish"}}')

    assert [problem.split(":")[0] for problem in found] == [
        "view_count",
        "document.title",
        "document.difficulty",
        "document.scores.depth",
    ]


@given(st.binary(max_size=200))
@example(b"{")
@example(b'{"document":')
def test_any_bytes_give_records_or_sentences(content):
    for found in read(content):
        assert isinstance(found, Record | SourceError)
        assert str(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*jsonl.ENVELOPE, "document", "mood"])
FIELDS = st.sampled_from(list(Document.model_fields))


@given(st.dictionaries(KEYS, JSON | st.dictionaries(FIELDS, JSON, max_size=6), max_size=6))
def test_any_json_object_gives_a_record_or_a_sentence(data):
    (found,) = read(json.dumps(data).encode())

    assert isinstance(found, Record | SourceError)
    assert str(found)


# --- Both ways ---

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
LINE = TEXT.map(lambda text: " ".join(text.split()))
ITEM = LINE.filter(bool)
SCORE = st.none() | st.integers(0, 100)
NUMBER = st.integers(-MAX_NUMBER, MAX_NUMBER) | st.floats(-1e15, 1e15)
EXTRAS = st.dictionaries(
    TEXT.filter(lambda key: key not in {"source_id", "generator", "paragraphs", "scenario", "seed"}),
    st.one_of(
        st.none(),
        st.booleans(),
        NUMBER,
        TEXT,
        st.lists(NUMBER, max_size=2),
        st.dictionaries(TEXT, TEXT, max_size=2),
    ),
    max_size=3,
)


def parts(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(fields), max_size=3)


DOCUMENTS = st.fixed_dictionaries(
    {
        "title": ITEM,
        "body": TEXT,
        "body_format": st.sampled_from(BodyFormat),
        "topic": LINE,
        "summary": TEXT,
        "outline": parts(label=LINE.map(lambda text: text.replace(":", "")), text=ITEM),
        "brief": TEXT,
        "stack": st.lists(ITEM, max_size=3),
        "tools": st.lists(ITEM, max_size=3),
        "code_language": LINE,
        "difficulty": st.none() | st.sampled_from(Difficulty),
        "reading_time": st.none() | st.integers(0, 10_000),
        "scores": st.fixed_dictionaries(dict.fromkeys(("quality", "freshness", "depth", "clarity"), SCORE)),
        "checklists": parts(title=LINE, items=st.lists(ITEM, min_size=1, max_size=3)),
        "entities": parts(name=ITEM, type=ITEM.filter(lambda text: not set(text) & set(":/"))),
        "images": parts(source=LINE, url=ITEM, caption=LINE),
        "payload": EXTRAS,
        "notes": st.lists(ITEM, max_size=3),
        "flags": st.fixed_dictionaries({"ai_generated_style": st.booleans(), "image_heavy": st.booleans()}),
        "owner": LINE,
        "expected_result": TEXT,
        "rollback_note": TEXT,
    }
).map(Document.read)

RECORDS = st.builds(
    Record,
    document=DOCUMENTS,
    slug=st.from_regex(r"[-a-zA-Z0-9_]{0,20}", fullmatch=True),
    reference=LINE,
    source=LINE,
    source_id=LINE,
    source_hash=LINE,
    source_status=LINE,
    source_version=LINE,
    source_last_reviewed=st.none() | st.dates(),
    view_count=st.none() | st.integers(0, MAX_NUMBER),
)


@given(RECORDS)
def test_a_written_record_reads_back_as_itself(record):
    line = jsonl.write(record)

    (found,) = read(line)

    assert line.count(b"\n") == 1
    assert isinstance(found, Record), str(found)
    assert same(found) == record
    assert found.document.fingerprint == record.document.fingerprint
    assert found.unknown == ()
    assert jsonl.write(found) == line
