"""Files in and out, bytes to Records and back: one module a format, found by name or by content."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kb.errors import Problem, SourceError
from kb.sources import alphanode, jsonl
from kb.sources.record import MAX_RECORD, Record

__all__ = ["FORMATS", "Format", "Record", "detect", "read"]


@dataclass(frozen=True, slots=True)
class Format:
    looks_like: Callable[[bytes], bool]
    read: Callable[[BinaryIO, str], Iterator[Record | SourceError]]


# In the order in which they are tried.
FORMATS = {
    jsonl.NAME: Format(jsonl.looks_like, jsonl.read),
    alphanode.NAME: Format(alphanode.looks_like, alphanode.read),
}


def detect(content: bytes) -> str | None:
    """The name of the format that this beginning of a file is in."""
    return next((name for name, form in FORMATS.items() if form.looks_like(content)), None)


def read(stream: BinaryIO, name: str, *, format: str | None = None) -> Iterator[Record | SourceError]:  # noqa: A002
    """Each record of a seekable stream, or what is wrong with it. Without a format its content tells."""
    if format is None:
        beginning = stream.read(MAX_RECORD)
        stream.seek(0)
        format = detect(beginning) or _by_name(name, beginning)  # noqa: A001
        if format is None:
            yield _unknown(name, beginning)
            return
    yield from FORMATS[format].read(stream, name)


def _by_name(name: str, beginning: bytes) -> str | None:
    """What the name says, for a first line that is broken must not hide the others."""
    is_jsonl = name.lower().endswith((".jsonl", ".ndjson")) and beginning.strip()
    return jsonl.NAME if is_jsonl else None


def _unknown(name: str, beginning: bytes) -> SourceError:
    got = repr(beginning[:40])[1:] if beginning else "an empty file"
    expected = f"a file in one of the formats {', '.join(FORMATS)}"
    return SourceError(
        f"{name}:1", [Problem("", got, expected, retry="name the format or leave the file out")]
    )
