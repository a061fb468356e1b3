"""The alphanode page: every key lands in its field, and whatever comes gives a Record or a sentence."""

from dataclasses import fields
from datetime import date
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.choices import BodyFormat
from kb.errors import SourceError
from kb.render import render
from kb.sources import alphanode, plaintext
from kb.sources.record import MAX_RECORD, Record

DATA = Path(__file__).parent / "data"
NOTE = (DATA / "alphanode-note.txt").read_bytes()
SAMPLE = Path(__file__).parents[2] / "shared/samples/alphanode-010444.txt"


def page(*meta: str, body: str = "a title\n\nsome text.", site: str = "alphanode") -> bytes:
    return "\n".join([body, "", f"{site} post meta", "", *meta]).encode()


def read(content: bytes) -> Record | SourceError:
    found = list(alphanode.read(BytesIO(content), "note.txt"))
    assert len(found) == 1
    return found[0]


def problems(content: bytes) -> list[str]:
    error = read(content)
    assert isinstance(error, SourceError)
    return [f"{error.place} {problem}" for problem in error.problems]


def envelope(record: Record) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record) if field.name != "document"}


# --- The whole ---


def test_every_key_of_a_page_lands_in_its_field():
    record = alphanode.parse(NOTE, "alphanode-note.txt")

    told = envelope(record)
    assert told == {
        "slug": "field-notes-on-shortening-slow-queries-for-django-sites-020555",
        "reference": "anp-ref-020555-1111",
        "source": "alphanode",
        "source_id": "alphanode-020555",
        "source_hash": "0123456789abcdef01234567",
        "source_status": "drafted",
        "source_version": "0.3.0",
        "source_last_reviewed": date(2026, 2, 28),
        "view_count": 120,
        "content": NOTE,
        "format": "alphanode",
        "place": "alphanode-note.txt:1",
        "unknown": (
            "score.style",
            "revision.reviewer",
            "mood",
            "licencecc0",
            "audience",
            "entities.1.weight",
            "payload.batch_name",
            "payload.rows",
        ),
    }
    assert record.document.plain() == {
        "title": "field notes on shortening slow queries for django sites",
        "body": NOTE_BODY,
        "body_format": "markdown",
        "topic": "shortening slow queries / django sites",
        "summary": "this summary explains shortening slow queries in django sites: measure, change, measure.",
        "outline": [
            {"label": "context", "text": "after an incident"},
            {"label": "recommended action", "text": "measure first: then change"},
            {"label": "", "text": "see https://example.org/plans"},
        ],
        "brief": "written like a careful draft.",
        "stack": ["django sites", "backend"],
        "tools": ["psql", "git"],
        "code_language": "python",
        "difficulty": "intermediate",
        "reading_time": 7,
        "scores": {"quality": 61, "freshness": 88, "depth": 40, "clarity": 100},
        "checklists": [
            {"title": "rollback checklist", "items": ["drop the new index", "tell the people on call"]}
        ],
        "entities": [
            {"name": "django sites", "type": "stack"},
            {"name": "shortening slow queries", "type": "problem"},
        ],
        "images": [
            {
                "source": "unsplash",
                "url": "https://images.unsplash.com/photo-1?w=1200&q=80",
                "caption": "shortening slow queries with django sites visual reference 1",
            },
            {
                "source": "pexels",
                "url": "https://images.example.org/photo-2",
                "caption": "shortening slow queries with django sites visual reference 2",
            },
        ],
        "payload": {
            "source_id": "alphanode-020555",
            "generator": "anp content synthesizer",
            "paragraphs": 5,
            "scenario": "after an incident",
            "seed": 20555,
            "batch_name": "load: test",
            "rows": ["one", "two"],
            "score.style": "55",
            "revision.reviewer": "nobody",
            "mood": "calm",
            "audience": ["developers", "operators"],
            "entities.1.weight": "3",
            "unknown lines": ["licencecc0"],
        },
        "notes": ["content is generated and should be reviewed before indexing"],
        "flags": {
            "ai_generated_style": True,
            "has_images": True,
            "image_heavy": False,
            "needs_human_review": True,
        },
        "owner": "",
        "expected_result": "",
        "rollback_note": "",
    }


NOTE_BODY = r"""
when a site grows, shortening slow queries stops being an afterthought. this alphanode note walks through django sites after an incident.

## what to measure first

write the p95 down before you touch an index. \*then\* compare it with pg_stat_statements, and with \<query> comments in the log.

1\. one number is enough
2\. two numbers are a report

## release checklist

- note the p95
- add the index concurrently
- drop the old index
  - only after a week

## rollback checklist

- drop the new index
- tell the people on call

## final notes

keep the owner, expected result, and rollback note in the same place.
""".strip()  # noqa: E501  (paragraphs are one line)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample lies beside the project, not in it")
def test_every_key_of_the_sample_lands_in_its_field():
    content = SAMPLE.read_bytes()

    record = alphanode.parse(content, "alphanode-010444.txt")

    told = envelope(record)
    assert told == {
        "slug": "field-notes-on-documenting-production-defaults-for-python-services-010444",
        "reference": "anp-ref-010444-8555",
        "source": "alphanode",
        "source_id": "alphanode-010444",
        "source_hash": "a064268496ac3716b8a203e6",
        "source_status": "drafted",
        "source_version": "1.1.0",
        "source_last_reviewed": date(2026, 1, 1),
        "view_count": 337041,
        "content": content,
        "format": "alphanode",
        "place": "alphanode-010444.txt:1",
        "unknown": (),
    }
    plain = record.document.plain()
    assert plain.pop("body") == SAMPLE_BODY
    assert plain == {
        "title": "field notes on documenting production defaults for python services",
        "body_format": "markdown",
        "topic": "documenting production defaults / python services",
        "summary": "this ai-style technical summary explains documenting production defaults in python "
        "services, with emphasis on measurement, safe defaults, rollback planning, and maintainable "
        "documentation.",
        "outline": [
            {"label": "context", "text": "before a major migration"},
            {"label": "problem", "text": "documenting production defaults"},
            {"label": "stack", "text": "python services"},
            {
                "label": "recommended action",
                "text": "measure first, change carefully, document the result",
            },
        ],
        "brief": "the article is written like a careful ai generated engineering draft: it explains the "
        "reason for the change, lists operational checks, and avoids pretending that one command fixes "
        "every production case.",
        "stack": ["python services", "backend", "python"],
        "tools": ["fastapi", "pytest", "uvicorn", "ruff", "git", "logs"],
        "code_language": "python",
        "difficulty": "advanced",
        "reading_time": 12,
        "scores": {"quality": 74, "freshness": 69, "depth": 72, "clarity": 94},
        "checklists": [
            {
                "title": "implementation checklist",
                "items": [
                    "run linting",
                    "run unit tests",
                    "run one integration check",
                    "verify staging config",
                    "tag the release",
                ],
            }
        ],
        "entities": [
            {"name": "python services", "type": "stack"},
            {"name": "backend", "type": "area"},
            {"name": "documenting production defaults", "type": "problem"},
        ],
        "images": [
            {
                "source": "unsplash",
                "url": "https://images.unsplash.com/photo-1515879218367-8466d910aaa4"
                "?auto=format&fit=crop&w=1200&q=80",
                "caption": "documenting production defaults with python services visual reference 1",
            }
        ],
        "payload": {
            "source_id": "alphanode-010444",
            "generator": "anp content synthesizer",
            "paragraphs": 7,
            "scenario": "before a major migration",
            "seed": 10444,
        },
        "notes": [
            "sanitized array meta is expected to render as a list in the frontend box",
            "view count is synthetic and only used for testing meta volume",
            "content is generated for import/load testing and should be reviewed before indexing",
        ],
        "flags": {
            "ai_generated_style": True,
            "has_images": True,
            "image_heavy": False,
            "needs_human_review": False,
        },
        "owner": "",
        "expected_result": "",
        "rollback_note": "",
    }


SAMPLE_BODY = """
when a project grows, documenting production defaults stops being a small cleanup task and becomes part of the way the team ships software. this alphanode note walks through a practical approach to python services before a major migration.

## security and maintenance notes

write the final notes immediately after the change ships. include the reason for the change, the files touched, the command used, and the metric that improved. this turns a one-time fix into reusable team knowledge.

avoid mixing content decisions with infrastructure decisions. templates, query rules, and cache behavior should be separate enough that changing one does not unexpectedly break the others.

a good production pattern has a small surface area. it should be easy to test, easy to disable, and easy to explain to another developer in a few minutes. for this python services case, keep the owner, expected result, and rollback note in the same place.

security hardening works best as a checklist. confirm permissions, secrets, headers, upload limits, and logging. do not hide security settings inside unrelated code because future reviewers will miss them. the alphanode approach is to prefer a small verified change over a broad rewrite.

## the practical approach

when the feature touches user input, validate at the boundary and keep error messages specific. a good error message should explain what failed, what value was expected, and whether the request can be retried safely.

treat staging as a rehearsal, not just a place to click around. copy the important configuration, test the real deployment command, and confirm that a rollback can be executed without searching through old notes. for this python services case, keep the owner, expected result, and rollback note in the same place.

## implementation checklist

- run linting
- run unit tests
- run one integration check
- verify staging config
- tag the release

## final notes

the best result is not only a faster or cleaner python services implementation. it is a change that another developer can inspect, understand, and safely repeat. keep the final commands, metrics, and assumptions close to the article so future maintenance is easier.
""".strip()  # noqa: E501  (paragraphs are one line)


# --- Variations ---


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.split(b"Similar Posts")[0],
        lambda content: content.replace(b"\nsummary", b"\n\nsummary"),
    ],
    ids=["with a BOM", "with CRLF", "without Similar Posts", "with blank lines"],
)
def test_the_same_note_in_other_bytes_is_the_same_content(change):
    record = alphanode.parse(change(NOTE), "note.txt")

    assert record.document == alphanode.parse(NOTE, "note.txt").document
    assert record.content == change(NOTE)


def test_another_sites_name_is_the_source_when_the_id_has_no_prefix():
    record = alphanode.parse(page("referenceR-1", site="Beta Node"), "note.txt")

    assert (record.source, record.source_id, record.slug) == ("beta-node", "R-1", "a-title")


def test_two_notes_with_the_same_title_have_different_slugs():
    first = alphanode.parse(page("payload", "  • source id: alphanode-000001"), "note.txt")
    second = alphanode.parse(page("payload", "  • source id: alphanode-000002"), "note.txt")

    assert (first.slug, second.slug) == ("a-title-000001", "a-title-000002")


def test_a_long_title_keeps_the_number_at_the_end_of_the_slug():
    body = "word " * 50 + "\n\ntext."

    record = alphanode.parse(page("payload", "  • source id: alphanode-000001", body=body), "note.txt")

    assert record.slug.startswith("word-word-")
    assert record.slug.endswith("-word-000001")
    assert len(record.slug) <= 120


def test_a_topic_that_ends_like_the_header_is_a_topic():
    record = alphanode.parse(page("topichow to write post meta", "difficultybeginner"), "note.txt")

    assert record.document.topic == "how to write post meta"


def test_an_image_line_without_an_image_stays_in_the_body():
    body = "a title\n\na caption\na caption. image source: unsplash\n\nsome text."

    record = alphanode.parse(page("topicx", body=body), "note.txt")

    assert record.document.body == "a caption\na caption. image source: unsplash\n\nsome text."


def test_a_checklist_that_no_heading_names_has_no_title():
    record = alphanode.parse(page("checklist", "  • one", "  • two"), "note.txt")

    assert [(entry.title, entry.items) for entry in record.document.checklists] == [("", ("one", "two"))]


def test_field_notes_in_the_meta_block_land_in_their_fields():
    record = alphanode.parse(page("ownerplatform team", "rollback noterevert"), "note.txt")

    assert (record.document.owner, record.document.rollback_note) == ("platform team", "revert")


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        (["mood: calm"], {"mood": "calm"}),
        (["hashtags", "  • one", "  • two"], {"hashtags": ["one", "two"]}),
        (["stackoverflow", "  • a: 1", "  • b: 2"], {"stackoverflow": {"a": "1", "b": "2"}}),
        (["stackoverflow yes"], {"unknown lines": ["stackoverflow yes"]}),
        (["flags", "  • is long: maybe"], {"flags.is long": "maybe"}),
        (["seed: 5", "payload", "  • seed: 6"], {"meta.seed": "5", "seed": 6}),
        (["payload", "  • deep:", "    • a:", "      • b: c"], {"deep": {"a": {"b": "c"}}}),
    ],
)
def test_an_unknown_key_is_kept_and_reported(meta, kept):
    record = alphanode.parse(page(*meta), "note.txt")

    assert record.document.payload.model_dump(exclude_defaults=True) == kept
    assert len(record.unknown) == 1


# --- Refusals ---


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a title\n\nsome text.", "note.txt:3 got no meta block, expected a line such as “alphanode"),
        (b"", "note.txt:1 got no meta block"),
        (b"a\n\xff\n", "note.txt:2 got byte 0xff at offset 2, expected UTF-8"),
        (b"\xef\xbb\xbfa\n\xff\n", "note.txt:2 got byte 0xff at offset 5, expected UTF-8"),
        (b"a\nb\x00\n", "note.txt:2 got NUL at character 3, expected text without NUL"),
        (page("topicx", body=""), "note.txt:1 title: got nothing, expected a title in the first line"),
        (page("topicx", body="t" * 301), "note.txt:1 title: got 'ttt"),
        (page("difficultyhardish"), "note.txt:7 difficulty: got 'hardish', expected beginner,"),
        (page("reading timetwelve"), "note.txt:7 reading time: got 'twelve', expected a whole number"),
        (page("view count" + "9" * 5000), "note.txt:7 view count: got '999"),
        (page("view count-1"), "note.txt:7 view count: got -1, expected a whole number from 0 to"),
        (page("topica", "topicb"), "note.txt:8 topic: got it again (first in line 7), expected"),
        (page("mood: a", "mood: b"), "note.txt:8 mood: got it again"),
        (page("score", "  • depth: 101"), "note.txt:8 score.depth: got 101, expected"),
        (page("score", "  • depth: 1", "  • depth: 2"), "note.txt:9 score.depth: got it again"),
        (page("score", "  • high"), "note.txt:8 score: got 'high', expected a name, a colon and a value"),
        (page("flags", "  • has images: yes"), "note.txt:8 flags.has images: got 'yes', expected 0 or 1"),
        (
            page("revision", "  • last reviewed: 2026-02-30"),
            "note.txt:8 revision.last reviewed: got '2026-02-30', expected a date such as 2026-01-31",
        ),
        (page("entities", "  • name: x"), "note.txt:8 entities.0.type: got nothing, expected"),
        (page("topic", "  • x"), "note.txt:7 topic: got a list, expected one value in the same line"),
        (page("stack", "  • x", "    • y"), "note.txt:9 stack: got a list in the list"),
        (page("  • x", "topicx"), "note.txt:7 got 'x', expected a key such as “topic” before"),
        (page("payload", *(f"{' ' * n}• x" for n in range(1, 9))), "note.txt:14 payload: got a list that"),
        (page("notes", *["  • x"] * 201), "note.txt:7 notes: got"),
        (page("mood: " + "x" * 70_000), "note.txt:1 payload: got"),
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_read_says_where_and_why(content, sentence):
    assert problems(content)[0].startswith(sentence)
    assert problems(content)[0].endswith("; fix the source and import again.")


def test_all_problems_of_a_page_are_told_at_once():
    found = problems(page("difficultyhardish", "reading timetwelve", "score", "  • depth: deep"))

    assert found == [
        "note.txt:7 difficulty: got 'hardish', expected beginner, intermediate or advanced; "
        "fix the source and import again.",
        "note.txt:7 line 8, reading time: got 'twelve', expected a whole number; "
        "fix the source and import again.",
        "note.txt:7 line 10, score.depth: got 'deep', expected a whole number; "
        "fix the source and import again.",
    ]


def test_a_page_that_is_too_large_is_refused():
    assert problems(b"x" * (MAX_RECORD + 1)) == [
        f"note.txt:1 got more than {MAX_RECORD} bytes, expected one note, which is smaller; "
        "fix the source and import again."
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"x post meta\n" * 20_000,
        page(body="a title\n\n" + "short line\n\n" * 20_000),
        page(body="a title\n\n" + "  • x\n" * 20_000),
        page(body="a title\n\n" + "_*[" * 75_000),
        page(body="a title\n\n" + ". image source: " * 15_000),
        page(*["key: value"] * 20_000),
        page("stack", *["  • x"] * 20_000),
        page("payload", *["  • x"] * 20_000),
        page("checklist", *["  • x"] * 200, body="a title\n\n" + "head\n\n  • x\n\n" * 10_000),
    ],
    ids=range(9),
)  # fmt: skip
def test_hostile_sizes_take_linear_time(content):
    began = process_time()

    read(content)

    # Mostly a third of a second; what grows with the square of 20,000 lines takes many.
    assert process_time() - began < 1.5


@given(st.binary(max_size=400))
@example(b"a\n\nx post meta\n\ntopic")
def test_any_bytes_give_a_record_or_a_sentence(content):
    found = read(content)

    assert isinstance(found, Record | SourceError)
    assert str(found)


LINES = NOTE.decode().split("\n")
WORDS = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from(
        ["  • ", "•", "score", "payload", "entities", "x post meta", "  • a: b", "view count9e9"]
    ),
    st.text(max_size=30),
)


@given(
    st.lists(
        st.tuples(st.integers(0, len(LINES)), st.integers(0, 3), st.lists(WORDS, max_size=3)), max_size=6
    )
)
def test_any_change_to_a_page_gives_a_record_or_a_sentence(edits):
    lines = list(LINES)
    for at, removed, added in edits:
        lines[at : at + removed] = added

    found = read("\n".join(lines).encode("utf-8", "surrogatepass"))

    assert isinstance(found, Record | SourceError)
    assert str(found)


# --- Plain text stays plain text ---


class Text(HTMLParser):
    """The words between the tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.words.extend(data.split())


WORDS_OF_MARKDOWN = (
    "# ## - -- --- + * ** _ __ a_b ` ``` ~~ ~~~ > <b> &amp; 1. 2) === [a](b) ![a](b) [a]: | a|b |-|-| :-: \\ "
    "<http://x.y> www.x.org x word http://x.y/a_b_c (c) &copy; \\* x_ _x <!-- #x"
)
PIECES = st.sampled_from([*WORDS_OF_MARKDOWN.split(), "\t", " "]) | st.text(
    "ab_*`#-+<>&[]!|~:=.)1 \\", max_size=8
)
PLAIN = st.lists(st.lists(PIECES, max_size=5).map(" ".join), max_size=8)


@given(PLAIN)
@example(["x", "==="])
@example(["a|b", "-|-"])
@example(["x #"])
def test_plain_text_renders_as_the_same_text(lines):
    text = "\n".join(lines)

    markdown = plaintext.markdown(plaintext.blocks(plaintext.read_lines(text)))

    rendered = render(markdown, BodyFormat.MARKDOWN)
    assert Text(rendered.html).words == text.split()
    assert rendered.removed == ()


def test_emphasis_and_tags_of_a_page_are_shown_as_they_stand():
    markdown = plaintext.escape("*a* <b>c</b> snake_case _d_ [e](f) &amp; `g`")

    assert render(markdown, BodyFormat.MARKDOWN).html.strip() == (
        "<p>*a* &lt;b&gt;c&lt;/b&gt; snake_case _d_ [e](f) &amp;amp; `g`</p>"
    )
