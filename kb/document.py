"""The Document: the whole content of one post at one moment, immutable, validated, with one canonical form.

Its fingerprint is the SHA-256 of its canonical JSON (RFC 8785 in spirit: sorted keys, UTF-8, no insignificant
white space). What is empty is left out of the canonical form, so that a later kb with one more field gives
yesterday's content yesterday's fingerprint.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from kb.choices import BodyFormat, Difficulty
from kb.errors import InvalidDocument, Problem

MAX_BODY = 1_000_000  # characters
MAX_PARAGRAPH = 20_000
MAX_LINE = 500
MAX_ITEMS = 200
MAX_PAYLOAD = 65_536  # bytes of JSON
MAX_DEPTH = 6
MAX_NUMBER = 2**53 - 1  # what JSON's readers agree on (RFC 7493)

# Metrics that change without a new revision. They are stored beside a Document, never in one.
VOLATILE = frozenset({"view_count"})


def _refuse_hidden(text: str) -> str:
    if "\x00" in text:
        raise ValueError(f"text without NUL, there is one at character {text.index(chr(0))}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"Unicode text, there is a lone surrogate at character {error.start}") from None
    return text


def _newlines(value: object) -> object:
    # Browsers send CRLF; the same text must stay the same content.
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value


def _one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError("a single line")
    return text


def _array(value: object) -> object:
    return () if value is None else value


def _trim_body(text: str) -> str:
    # Not at the left of the first line: Markdown gives indentation a meaning.
    return text.rstrip().lstrip("\n")


Clean = Annotated[str, BeforeValidator(_newlines), AfterValidator(_refuse_hidden)]
Stripped = Annotated[Clean, AfterValidator(str.strip)]
Line = Annotated[Stripped, AfterValidator(_one_line), Field(max_length=MAX_LINE)]
Item = Annotated[Line, Field(min_length=1)]
Paragraph = Annotated[Stripped, Field(max_length=MAX_PARAGRAPH)]
Lines = Annotated[tuple[Item, ...], BeforeValidator(_array), Field(max_length=MAX_ITEMS)]
Score = Annotated[int, Field(ge=0, le=100, strict=True)]
Count = Annotated[int, Field(ge=0, le=MAX_NUMBER, strict=True)]
Whole = Annotated[int, Field(ge=-MAX_NUMBER, le=MAX_NUMBER, strict=True)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OutlinePoint(Part):
    label: Annotated[Line, Field(pattern=r"^[^:]*$")] = ""
    text: Item


class Scores(Part):
    quality: Score | None = None
    freshness: Score | None = None
    depth: Score | None = None
    clarity: Score | None = None


class SourceFlags(Part):
    """What the source says of itself; kb's own judgement is in Flags."""

    ai_generated_style: bool = False
    has_images: bool = False
    image_heavy: bool = False
    needs_human_review: bool = False


class Checklist(Part):
    title: Line = ""
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=MAX_ITEMS)]


class Entity(Part):
    name: Item
    # Without a colon or slash: "type:name" is its key, and the type is part of an address.
    type: Annotated[Item, Field(max_length=60, pattern=r"^[^:/]+$")]


class Image(Part):
    source: Line = ""
    url: Annotated[Stripped, AfterValidator(_one_line), Field(min_length=1, max_length=2000)]
    caption: Line = ""


class Payload(Part):
    """What a generator said about its work. Further keys are kept as they came."""

    model_config = ConfigDict(frozen=True, extra="allow")

    source_id: Line = ""
    generator: Line = ""
    paragraphs: Count | None = None
    scenario: Line = ""
    seed: Whole | None = None

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        kept = {_refuse_hidden(str(key)): _json_value(value, str(key), 1) for key, value in given.items()}
        if len(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass")) > MAX_PAYLOAD:
            raise ValueError(f"at most {MAX_PAYLOAD} bytes of JSON")
        return kept


def _json_value(value: Any, place: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"at most {MAX_DEPTH} levels, {place} goes deeper")
    match value:
        case None | bool():
            return value
        case str():
            return _refuse_hidden(value)
        case int() | float():
            return _number(value, place)
        case list() | tuple():
            return [_json_value(item, f"{place}.{n}", depth + 1) for n, item in enumerate(value)]
        case Mapping():
            return {
                _refuse_hidden(str(key)): _json_value(item, f"{place}.{key}", depth + 1)
                for key, item in value.items()
            }
    raise ValueError(f"JSON values, {place} is a {type(value).__name__}")


def _number(value: float, place: str) -> float:
    # Not by math.isfinite: it fails at whole numbers that no float can hold. NaN is not below anything.
    if not abs(value) <= MAX_NUMBER:
        raise ValueError(f"finite numbers up to 2**53 - 1, {place} is not one")
    return value or 0  # one zero: the database knows no negative one


class Document(Part):
    """All content of one post. Two Documents are the same content if their fingerprints are equal."""

    title: Annotated[Item, Field(max_length=300)]
    body: Annotated[Clean, AfterValidator(_trim_body), Field(max_length=MAX_BODY)] = ""
    body_format: BodyFormat = BodyFormat.MARKDOWN
    topic: Line = ""
    summary: Paragraph = ""
    outline: Annotated[tuple[OutlinePoint, ...], BeforeValidator(_array), Field(max_length=MAX_ITEMS)] = ()
    brief: Paragraph = ""
    stack: Lines = ()
    tools: Lines = ()
    code_language: Annotated[Line, Field(max_length=60)] = ""
    difficulty: Difficulty | None = None
    reading_time: Annotated[int, Field(ge=0, le=10_000, strict=True)] | None = None  # minutes
    scores: Scores = Scores()
    checklists: Annotated[tuple[Checklist, ...], BeforeValidator(_array), Field(max_length=MAX_ITEMS)] = ()
    entities: Annotated[tuple[Entity, ...], BeforeValidator(_array), Field(max_length=MAX_ITEMS)] = ()
    images: Annotated[tuple[Image, ...], BeforeValidator(_array), Field(max_length=MAX_ITEMS)] = ()
    payload: Payload = Payload()
    notes: Lines = ()
    flags: SourceFlags = SourceFlags()
    owner: Line = ""
    expected_result: Paragraph = ""
    rollback_note: Paragraph = ""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Validate plain data. Raises InvalidDocument with every problem and its place."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems = [_problem(dict(found)) for found in error.errors(include_url=False)]
            raise InvalidDocument(problems) from None

    @classmethod
    def from_canonical(cls, text: str | bytes) -> Self:
        """Read back what `canonical()` wrote."""
        return cls.read(json.loads(text))

    def plain(self) -> dict[str, Any]:
        """All fields as JSON types, empty ones included; arrays are never null."""
        return self.model_dump(mode="json")

    def canonical(self) -> bytes:
        """The one JSON form: sorted keys, UTF-8, no white space, nothing empty."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def ai_involved(self) -> bool:
        """Whether a machine had a hand in it, as far as the content itself says."""
        return self.flags.ai_generated_style or bool(self.payload.generator)


def _problem(found: dict[str, Any]) -> Problem:
    field = ".".join(str(step) for step in found["loc"])
    value = found.get("input")
    got = "nothing" if found["type"] == "missing" else _shown(value)
    context = found.get("ctx", {})
    match found["type"]:
        case "enum":
            expected = str(context["expected"]).replace("'", "")
        case "value_error":
            expected = str(context["error"])
        case "extra_forbidden":
            expected = "no such field"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            expected = _length(context, "character" if isinstance(value, str) else "item")
        case _:
            expected = str(found["msg"]).removeprefix("Input should be ").removeprefix("a valid ")
            expected = expected[:1].lower() + expected[1:]
    return Problem(field=field, got=got, expected=expected)


def _shown(value: object) -> str:
    return "deeper nesting" if _is_deep(value) else repr(value)[:80]


def _is_deep(value: object) -> bool:
    """Whether it has more levels than any Document; by layers, for how deep Python may go varies."""
    layer = [value]
    for _ in range(10 * MAX_DEPTH):
        layer = [
            below
            for part in layer
            if isinstance(part, (list, tuple, dict))
            for below in (part.values() if isinstance(part, dict) else part)
        ]
        if not layer:
            return False
    return True


def _length(limits: Mapping[str, Any], unit: str) -> str:
    # Pydantic speaks of "items" wherever a validator ran before the limit.
    least = "min_length" in limits
    number = limits["min_length" if least else "max_length"]
    return f"at {'least' if least else 'most'} {number} {unit}{'' if number == 1 else 's'}"


def json_schema() -> dict[str, Any]:
    """The Document's JSON Schema (draft 2020-12)."""
    schema = Document.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
