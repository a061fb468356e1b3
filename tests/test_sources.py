"""The registry of formats: found by name, or from the content itself."""

from io import BytesIO
from pathlib import Path

import pytest

from kb import sources
from kb.errors import SourceError
from kb.sources import Record, alphanode, jsonl
from kb.sources.record import slugify

DATA = Path(__file__).parent / "data"
NOTE = (DATA / "alphanode-note.txt").read_bytes()
LINE = jsonl.write(alphanode.parse(NOTE, "note.txt"))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (NOTE, "alphanode"),
        (NOTE.replace(b"\n", b"\r\n"), "alphanode"),
        (b"\xef\xbb\xbf" + NOTE, "alphanode"),
        (b"{ a title in braces }\n" + NOTE, "alphanode"),
        (b"a title\n" * 100_000 + NOTE, "alphanode"),
        (LINE, "jsonl"),
        (b"\xef\xbb\xbf\n\n" + LINE, "jsonl"),
        (b'{ "slug": "a", truncated', "jsonl"),
        (b'{\n  "a": 1\n}\n', None),
        (b"a title\n\nsome text", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_the_content_tells_its_format(content, name):
    assert sources.detect(content) == name


@pytest.mark.parametrize(("content", "name"), [(NOTE, "alphanode"), (LINE, "jsonl")])
def test_every_format_reads_what_it_detects(content, name):
    (found,) = sources.read(BytesIO(content), "file")
    (named,) = sources.read(BytesIO(content), "file", format=name)

    assert isinstance(found, Record)
    assert found.format == name
    assert found == named


def test_a_file_in_no_known_format_is_refused():
    (error,) = sources.read(BytesIO(b"\x89PNG\r\n\x1a\n"), "picture.png")

    assert isinstance(error, SourceError)
    assert str(error) == (
        "picture.png:1: got '\\x89PNG\\r\\n\\x1a\\n', expected a file in one of the formats jsonl, "
        "alphanode; name the format or leave the file out."
    )


@pytest.mark.parametrize(
    "name", ["not-utf8.txt", "nul.txt", "no-meta.txt", "scrambled.txt", "deep.jsonl", "bad.jsonl"]
)
def test_hostile_files_are_refused_with_a_place_in_every_format(name):
    path = DATA / "hostile" / name
    for format_ in sources.FORMATS:
        with path.open("rb") as stream:
            found = list(sources.read(stream, name, format=format_))

        assert found
        assert all(isinstance(entry, SourceError) for entry in found)
        assert all(str(entry).startswith(f"{name}:") for entry in found)


@pytest.mark.parametrize(
    ("text", "tail", "slug"),
    [
        ("A title, with: marks!", "", "a-title-with-marks"),
        ("Größe über Straße", "7", "groe-uber-strae-7"),
        ("日本語", "000123", "000123"),
        ("日本語", "", ""),
        ("x" * 300, "9", "x" * 118 + "-9"),
    ],
)
def test_slugs_are_short_plain_words(text, tail, slug):
    assert slugify(text, tail=tail) == slug
