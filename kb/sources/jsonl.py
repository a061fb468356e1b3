"""JSON Lines, one record a line: the envelope's keys, and the Document under "document". Lossless."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from kb.document import MAX_NUMBER, Document
from kb.errors import InvalidDocument, Problem, SourceError
from kb.sources.record import ENVELOPE, MAX_RECORD, Record, envelope

NAME = "jsonl"
DEEPEST = 32  # levels; a Document has fewer

_BOM = b"\xef\xbb\xbf"
_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{[ \t]*[\"}]")  # JSON over several lines begins otherwise
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


class _Pairs(list[tuple[str, Any]]):
    """An object's members as they came, so that a name that comes twice is seen."""


class _Odd(str):
    """A number that JSON's readers do not agree on, as it was written."""

    __slots__ = ()


def looks_like(content: bytes) -> bool:
    return _FIRST_LINE.match(content) is not None


def read(stream: BinaryIO, name: str) -> Iterator[Record | SourceError]:
    """A record or an error for each line that is not blank; one bad line does not stop the others."""
    number = 0
    while line := stream.readline(MAX_RECORD + 1):
        number += 1
        place = f"{name}:{number}"
        if len(line) > MAX_RECORD:
            _skip_rest(stream, line)
            yield _failed(place, f"more than {MAX_RECORD} bytes", "a shorter line")
            continue
        if number == 1:
            line = line.removeprefix(_BOM)
        content = line.removesuffix(b"\n")
        if content.strip():
            try:
                yield parse(content, place)
            except SourceError as error:
                yield error


def parse(content: bytes, place: str) -> Record:
    """One line without its end. Raises SourceError with every problem."""
    data = _loaded(content, place)
    if "document" not in data:
        raise _failed(place, "nothing", "the Document, an object", field="document")
    kept, problems = envelope(data)
    document = None
    try:
        document = _document(data["document"])
    except InvalidDocument as error:
        problems.extend(error.problems)
    if document is None or problems:
        raise SourceError(place, problems)
    unknown = tuple(key for key in data if key not in ENVELOPE and key != "document")
    return Record(document=document, content=content, format=NAME, place=place, unknown=unknown, **kept)


def write(record: Record) -> bytes:
    """The record as one line with its end; reading it gives the same Document and envelope."""
    data: dict[str, Any] = {key: getattr(record, key) for key in ENVELOPE}
    reviewed = record.source_last_reviewed
    data["source_last_reviewed"] = reviewed.isoformat() if reviewed else None
    data["document"] = record.document.plain()
    return dump(data)


def dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _document(given: Any) -> Document:
    if not isinstance(given, dict):
        raise InvalidDocument([Problem("document", repr(given)[:80], "the Document, an object")])
    try:
        return Document.read(given)
    except InvalidDocument as error:
        raise InvalidDocument(
            [
                Problem(f"document.{problem.field}".rstrip("."), problem.got, problem.expected, problem.retry)
                for problem in error.problems
            ]
        ) from None


def _loaded(content: bytes, place: str) -> dict[str, Any]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _failed(
            place, f"byte 0x{content[error.start]:02x} at offset {error.start} of the line", "UTF-8"
        ) from None
    try:
        raw = json.loads(
            text, object_pairs_hook=_Pairs, parse_int=_whole, parse_float=_decimal, parse_constant=_Odd
        )
    except json.JSONDecodeError as error:
        shown = repr(text[error.pos : error.pos + 20]) if error.pos < len(text) else "the end of the line"
        raise _failed(place, f"{shown} at character {error.pos}", f"JSON ({error.msg})") from None
    except RecursionError:
        raise _too_deep(place, _deep_field(text)) from None
    if not isinstance(raw, _Pairs):
        raise _failed(place, repr(text[:40]), "an object with the envelope's keys and “document”")
    loaded: dict[str, Any] = _plain(raw, "", 1, place)
    return loaded


def _whole(digits: str) -> Any:
    return int(digits) if len(digits) <= 17 and abs(int(digits)) <= MAX_NUMBER else _Odd(digits)


def _decimal(digits: str) -> Any:
    value = float(digits)
    return value if math.isfinite(value) else _Odd(digits)


def _plain(value: Any, field: str, depth: int, place: str) -> Any:
    if depth > DEEPEST:
        raise _too_deep(place, field)
    if isinstance(value, _Pairs):
        kept: dict[str, Any] = {}
        for key, below in value:
            path = f"{field}.{key}" if field else key
            if key in kept:
                raise _failed(place, "the same key again", "each key once", field=path)
            kept[key] = _plain(below, path, depth + 1, place)
        return kept
    if isinstance(value, list):
        return [_plain(item, f"{field}.{at}", depth + 1, place) for at, item in enumerate(value)]
    if isinstance(value, _Odd):
        raise _failed(place, value[:40], "finite numbers up to 2**53 - 1", field=field)
    return value


def _deep_field(text: str) -> str:
    """The member of the outermost object in which nesting goes too deep."""
    depth, key, found = 0, "", ""
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                if depth == 1:
                    found = key
                depth += 1
                if depth > DEEPEST:
                    break
            case "}" | "]":
                depth -= 1
            case string:
                key = string[1:-1]
    return found


def _skip_rest(stream: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(2**16)


def _too_deep(place: str, field: str) -> SourceError:
    return _failed(place, "deeper nesting", f"at most {DEEPEST} levels", field=field[:80])


def _failed(place: str, got: str, expected: str, *, field: str = "") -> SourceError:
    return SourceError(place, [Problem(field, got, expected)])
