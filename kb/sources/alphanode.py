"""Turn the text page of an alphanode note into a Record: title, body, and the meta block after it.

The page is what a text browser shows. In its meta block key and value run together (`reading time12`), lists
are bullets below their key, and the block ends at `Similar Posts`. What is not known there is kept in the
payload under its name, and named in `Record.unknown`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO

from kb.document import MAX_DEPTH, Document, Payload
from kb.errors import InvalidDocument, Problem, SourceError
from kb.sources import plaintext
from kb.sources.plaintext import Block, Kind, Line
from kb.sources.record import MAX_RECORD, Record, envelope, slugify

NAME = "alphanode"

# Keys of the page and where they land: fields of the Document, or of the envelope.
TEXTS = {
    "topic": "topic",
    "summary": "summary",
    "ai brief": "brief",
    "code language": "code_language",
    "difficulty": "difficulty",
    "owner": "owner",
    "expected result": "expected_result",
    "rollback note": "rollback_note",
    "reference": "reference",
    "hash": "source_hash",
}
NUMBERS = {"reading time": "reading_time", "view count": "view_count"}
LISTS = {"stack": "stack", "tools": "tools", "notes": "notes"}
PARTS = ("ai outline", "score", "revision", "flags", "checklist", "entities", "image sources", "payload")
IN_ENVELOPE = {"reference", "source_hash", "view_count"}

REVISION = {"status": "source_status", "version": "source_version", "last reviewed": "source_last_reviewed"}
SCORES = ("quality", "freshness", "depth", "clarity")
FLAGS = ("ai generated style", "has images", "image heavy", "needs human review")
ENTITY = ("name", "type")
IMAGE = ("source", "url", "caption")
PAYLOAD_TEXTS = ("source id", "generator", "scenario")
PAYLOAD_NUMBERS = ("paragraphs", "seed")
UNKNOWN_LINES = "unknown lines"  # where lines are kept in which no key can be told from its value

END = "similar posts"
_SINGLE = {**TEXTS, **NUMBERS}
_KEYS = sorted([*_SINGLE, *LISTS, *PARTS], key=len, reverse=True)  # "image sources" before "image"
_HEADER = re.compile(r"(\S.{0,60}?) post meta", re.IGNORECASE)
_HEADER_LINE = re.compile(rb"^[^\n]{1,64} post meta[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_CREDIT = re.compile(r"\. ?image source: ?", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]{1,16}")
_NUMBERED = re.compile(r"(.*\D)??-?(\d+)", re.ASCII)


def looks_like(content: bytes) -> bool:
    return _HEADER_LINE.search(content) is not None


def read(stream: BinaryIO, name: str) -> Iterator[Record | SourceError]:
    """The page's one record, or what is wrong with it."""
    try:
        yield parse(stream.read(MAX_RECORD + 1), name)
    except SourceError as error:
        yield error


def parse(content: bytes, name: str) -> Record:
    """Raises SourceError with every problem and its line."""
    return _Page(name, content).record()


@dataclass(slots=True)
class _Node:
    """A bullet of the meta block, and the bullets below it."""

    line: Line
    text: str
    below: list["_Node"] = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    line: Line
    nodes: list[_Node] = field(default_factory=list)


class _Page:
    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content
        self.document: dict[str, Any] = {}
        self.envelope: dict[str, Any] = {}
        self.payload: dict[str, Any] = {}
        self.places: dict[str, tuple[int, str]] = {"": (1, "")}  # field to line and the page's own key
        self.seen: dict[str, int] = {}
        self.unknown: list[str] = []
        self.problems: list[tuple[int, Problem]] = []

    def record(self) -> Record:
        lines = plaintext.read_lines(self._text())
        start, site = self._header(lines)
        self._meta(lines[start + 1 :])
        self._body(lines[:start])
        self._identify(site)
        document, kept = self._validated()
        if self.problems:
            raise self._error()
        assert document is not None  # noqa: S101  (no problems: there is one)
        return Record(
            document=document,
            content=self.content,
            format=NAME,
            place=f"{self.name}:1",
            unknown=tuple(self.unknown),
            **kept,
        )

    # --- The file ---

    def _text(self) -> str:
        if len(self.content) > MAX_RECORD:
            raise self._failed(1, "", f"more than {MAX_RECORD} bytes", "one note, which is smaller")
        try:
            text = self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            at = error.start + (3 if self.content.startswith(b"\xef\xbb\xbf") else 0)
            line = self.content.count(b"\n", 0, at) + 1
            raise self._failed(line, "", f"byte 0x{self.content[at]:02x} at offset {at}", "UTF-8") from None
        if "\x00" in text:
            at = text.index("\x00")
            line = text.count("\n", 0, at) + 1
            raise self._failed(line, "", f"NUL at character {at}", "text without NUL")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _header(self, lines: list[Line]) -> tuple[int, str]:
        """Where the meta block begins, and the site's name.

        Prose may end in the same words, and so may the topic: the last one that a key follows is the header.
        """
        found: list[tuple[bool, int, str]] = []
        next_text = ""
        for at in range(len(lines) - 1, -1, -1):
            line = lines[at]
            header = None if line.bullet or line.indent else _HEADER.fullmatch(line.text)
            if header and not _starts_with_key(line.text):
                followed = not next_text or _starts_with_key(next_text)
                if followed or (at > 1 and not lines[at - 1].text):
                    found.append((followed, -at, header[1]))
            next_text = line.text or next_text
        if not found:
            expected = "a line such as “alphanode post meta” and keys below it"
            raise self._failed(len(lines), "", "no meta block", expected)
        _, at, site = max(found, key=lambda candidate: (candidate[0], -candidate[1]))
        return -at, site

    # --- The body ---

    def _body(self, lines: list[Line]) -> None:
        start = next((at for at, line in enumerate(lines) if line.text), None)
        if start is None:
            self._problem(1, "title", "nothing", "a title in the first line")
            return
        self.document["title"] = lines[start].text
        self.places["title"] = (lines[start].number, "title")
        self.places["body"] = (lines[start].number + 1, "body")
        images = {
            (image.get("caption", ""), image.get("source", "").lower())
            for image in self.document.get("images", [])
        }
        found = plaintext.blocks(_without_images(lines[start + 1 :], images))
        self.document["body"] = plaintext.markdown(found)
        self._name_checklist(found)

    def _name_checklist(self, found: list[Block]) -> None:
        """The heading over the same list in the body is the checklist's title."""
        for checklist in self.document.get("checklists", []):
            for heading, block in pairwise(found):
                if (
                    heading.kind is Kind.HEADING
                    and block.kind is Kind.LIST
                    and block.items == checklist["items"]
                ):
                    checklist["title"] = heading.lines[0].text
                    return

    # --- The meta block ---

    def _meta(self, lines: list[Line]) -> None:
        for entry in self._entries(lines):
            key, value = _key_and_value(entry)
            if not key:
                self._keep_unknown(entry)
            elif key in self.seen:
                self._duplicate(entry.line, key, self.seen[key])
            else:
                self.seen[key] = entry.line.number
                self._known(key, value, entry)

    def _entries(self, lines: list[Line]) -> Iterator[_Entry]:
        entry: _Entry | None = None
        path: list[_Node] = []
        for line in lines:
            if not line.text:
                continue
            if not line.bullet and not line.indent:
                if line.text.lower() == END:
                    break
                if entry:
                    yield entry
                entry, path = _Entry(line), []
            elif entry is None:
                self._problem(
                    line.number, "", _shown(line.text), "a key such as “topic” before the first bullet"
                )
            elif line.bullet:
                self._hang(entry, path, line)
            elif path:
                path[-1].text += f" {line.text}"
            else:
                entry.line = Line(entry.line.number, 0, False, f"{entry.line.text} {line.text}")
        if entry:
            yield entry

    def _hang(self, entry: _Entry, path: list[_Node], line: Line) -> None:
        while path and path[-1].line.indent >= line.indent:
            path.pop()
        if len(path) >= MAX_DEPTH:
            raise self._failed(
                line.number, entry.line.text[:80], "a list that is nested deeper", f"{MAX_DEPTH} levels"
            )
        node = _Node(line, line.text)
        (path[-1].below if path else entry.nodes).append(node)
        path.append(node)

    def _known(self, key: str, value: str, entry: _Entry) -> None:
        number = entry.line.number
        if key in _SINGLE:
            target = _SINGLE[key]
            self.places[target] = (number, key)
            if entry.nodes:
                self._problem(number, key, "a list", "one value in the same line")
                return
            into = self.envelope if target in IN_ENVELOPE else self.document
            if key in NUMBERS:
                self._number(into, target, key, value, number)
            elif key == "difficulty":
                into[target] = value.lower() or None
            else:
                into[target] = value
        elif key in LISTS:
            self.document[LISTS[key]] = self._texts(LISTS[key], key, entry)
        else:
            self._part(key)(entry)

    def _part(self, key: str) -> Callable[[_Entry], None]:
        return {
            "ai outline": self._outline,
            "score": self._scores,
            "revision": self._revision,
            "flags": self._flags,
            "checklist": self._checklist,
            "entities": self._entities,
            "image sources": self._images,
            "payload": self._payload,
        }[key]

    def _texts(self, target: str, key: str, entry: _Entry) -> list[str]:
        self.places[target] = (entry.line.number, key)
        texts = []
        for position, node in enumerate(entry.nodes):
            self.places[f"{target}.{position}"] = (node.line.number, f"{key}.{position}")
            if node.below:
                self._problem(node.below[0].line.number, key, "a list in the list", "one level of bullets")
            texts.append(node.text)
        return texts

    def _outline(self, entry: _Entry) -> None:
        points = [_outline_point(text) for text in self._texts("outline", "ai outline", entry)]
        self.document["outline"] = points

    def _scores(self, entry: _Entry) -> None:
        scores: dict[str, Any] = {}
        for key, value, node in self._pairs("score", entry.nodes):
            self.places[f"scores.{key}"] = (node.line.number, f"score.{key}")
            if key in SCORES:
                self._number(scores, key, f"score.{key}", value, node.line.number)
            else:
                self._keep("score", value, node)
        self.document["scores"] = scores

    def _revision(self, entry: _Entry) -> None:
        for key, value, node in self._pairs("revision", entry.nodes):
            if key in REVISION:
                self.places[REVISION[key]] = (node.line.number, f"revision.{key}")
                self.envelope[REVISION[key]] = value
            else:
                self._keep("revision", value, node)

    def _flags(self, entry: _Entry) -> None:
        flags = {}
        for key, value, node in self._pairs("flags", entry.nodes):
            if key not in FLAGS:
                self._keep("flags", value, node)
            elif value in ("0", "1"):
                flags[key.replace(" ", "_")] = value == "1"
            else:
                self._problem(node.line.number, f"flags.{key}", _shown(value), "0 or 1")
        self.document["flags"] = flags

    def _checklist(self, entry: _Entry) -> None:
        items = self._texts("checklists", "checklist", entry)
        self.document["checklists"] = [{"title": "", "items": items}] if items else []

    def _entities(self, entry: _Entry) -> None:
        self.document["entities"] = self._groups("entities", "entities", ENTITY, entry)

    def _images(self, entry: _Entry) -> None:
        self.document["images"] = self._groups("images", "image sources", IMAGE, entry)

    def _groups(self, target: str, key: str, order: tuple[str, ...], entry: _Entry) -> list[dict[str, str]]:
        """Pairs come in a fixed order; where it starts again, the next entity or image begins."""
        self.places[target] = (entry.line.number, key)
        groups: list[dict[str, str]] = []
        last = len(order)
        for name, value, node in self._pairs(key, _flat(entry.nodes), repeated=True):
            if name not in order:
                self._keep(f"{key}.{max(len(groups) - 1, 0)}", value, node)
                continue
            if order.index(name) <= last:
                groups.append({})
                self.places[f"{target}.{len(groups) - 1}"] = (node.line.number, f"{key}.{len(groups) - 1}")
            last = order.index(name)
            groups[-1][name] = value
            self.places[f"{target}.{len(groups) - 1}.{name}"] = (
                node.line.number,
                f"{key}.{len(groups) - 1}.{name}",
            )
        return groups

    def _payload(self, entry: _Entry) -> None:
        for key, value, node in self._pairs("payload", entry.nodes):
            target = key.replace(" ", "_")
            self.places[f"payload.{target}"] = (node.line.number, f"payload.{key}")
            if key in PAYLOAD_TEXTS and not node.below:
                self.payload[target] = value
            elif key in PAYLOAD_NUMBERS and not node.below:
                self._number(self.payload, target, f"payload.{key}", value, node.line.number)
            elif key in (*PAYLOAD_TEXTS, *PAYLOAD_NUMBERS):
                self._problem(node.line.number, f"payload.{key}", "a list", "one value in the same line")
            else:
                self._keep("payload", value, node)

    # --- Values ---

    def _pairs(
        self, key: str, nodes: list[_Node], *, repeated: bool = False
    ) -> Iterator[tuple[str, str, _Node]]:
        seen: dict[str, int] = {}
        for node in nodes:
            name, colon, value = node.text.partition(":")
            name = name.strip().lower().replace("_", " ") if colon else ""
            if not name:
                self._problem(node.line.number, key, _shown(node.text), "a name, a colon and a value")
            elif name in seen and not repeated:
                self._duplicate(node.line, f"{key}.{name}", seen[name])
            else:
                seen[name] = node.line.number
                yield name, value.strip(), node

    def _number(self, into: dict[str, Any], target: str, key: str, value: str, line: int) -> None:
        if not value:
            into[target] = None
        elif _NUMBER.fullmatch(value):
            into[target] = int(value)
        else:
            self._problem(line, key, _shown(value), "a whole number")

    def _keep_unknown(self, entry: _Entry) -> None:
        name, colon, value = entry.line.text.partition(": ")
        if entry.nodes:
            self._put(entry.line.text.rstrip(": "), _tree(entry.nodes), entry.line)
        elif colon:
            self._put(name, value, entry.line)
        else:
            self.payload.setdefault(UNKNOWN_LINES, []).append(entry.line.text)
            self.unknown.append(entry.line.text)

    def _keep(self, where: str, value: str, node: _Node) -> None:
        """Keep a pair under its own name; outside the payload the part it came from is put before it."""
        own = node.text.partition(":")[0].strip()
        name = own if where == "payload" else f"{where}.{own}"
        self._put(name, _with_below(value, node), node.line, reported=f"{where}.{own}")

    def _put(self, name: str, value: Any, line: Line, *, reported: str = "") -> None:
        if name.lower().replace(" ", "_") in Payload.model_fields or name == UNKNOWN_LINES:
            name = f"meta.{name}"  # the payload's own key has another meaning
        if name in self.payload:
            self._duplicate(line, name, self.places.get(f"payload.{name}", (line.number, ""))[0])
            return
        self.payload[name] = value
        self.places[f"payload.{name}"] = (line.number, reported or name)
        self.unknown.append(reported or name)

    # --- The whole ---

    def _identify(self, site: str) -> None:
        source_id = self.payload.get("source_id") or self.envelope.get("reference", "")
        numbered = _NUMBERED.fullmatch(source_id) if self.payload.get("source_id") else None
        prefix = (numbered[1] or "").rstrip("-_ ") if numbered else ""
        self.envelope["source"] = slugify(prefix or site)
        self.envelope["source_id"] = source_id
        tail = numbered[2][-20:] if numbered else ""
        self.envelope["slug"] = slugify(self.document.get("title", ""), tail=tail) or slugify(source_id)

    def _validated(self) -> tuple[Document | None, dict[str, Any]]:
        kept, problems = envelope(self.envelope)
        document = None
        try:
            document = Document.read({**self.document, "payload": self.payload})
        except InvalidDocument as error:
            problems.extend(error.problems)
        for problem in problems:
            line, key = self._place_of(problem.field)
            if all(key != known.field for _, known in self.problems):  # said once is enough
                self._problem(line, key, problem.got, problem.expected)
        return document, kept

    def _place_of(self, path: str) -> tuple[int, str]:
        steps = path.split(".")
        for end in range(len(steps), -1, -1):
            place = self.places.get(".".join(steps[:end]))
            if place:
                return place[0], ".".join(filter(None, (place[1], *steps[end:])))
        raise AssertionError("the empty path has a place")

    def _duplicate(self, line: Line, key: str, first: int) -> None:
        self._problem(line.number, key, f"it again (first in line {first})", "each key once")

    def _problem(self, line: int, key: str, got: str, expected: str) -> None:
        self.problems.append((line, Problem(key, got, expected)))

    def _failed(self, line: int, key: str, got: str, expected: str) -> SourceError:
        return SourceError(f"{self.name}:{line}", [Problem(key, got, expected)])

    def _error(self) -> SourceError:
        """All problems in one; the place is the first one's, the others name their line."""
        ordered = sorted(self.problems, key=lambda found: found[0])
        place = ordered[0][0]
        problems = [
            problem
            if line == place
            else Problem(f"line {line}, {problem.field}".rstrip(", "), problem.got, problem.expected)
            for line, problem in ordered
        ]
        return SourceError(f"{self.name}:{place}", problems)


def _starts_with_key(text: str) -> bool:
    return text.lower().startswith(tuple(_KEYS))


def _key_and_value(entry: _Entry) -> tuple[str, str]:
    """Tell the key from the value that runs on behind it. A list stands below its key: nothing follows."""
    text = entry.line.text
    for key in _KEYS:
        if text[: len(key)].lower() != key:
            continue
        value = text[len(key) :].strip()
        if value and (key not in _SINGLE or entry.nodes):
            continue
        return key, value
    return "", ""


def _outline_point(text: str) -> dict[str, str]:
    label, separator, rest = text.partition(": ")
    if separator and label.strip() and rest.strip() and ":" not in label:
        return {"label": label, "text": rest}
    return {"label": "", "text": text}


def _flat(nodes: list[_Node]) -> list[_Node]:
    flat: list[_Node] = []
    for node in nodes:
        flat.append(_Node(node.line, node.text))
        flat.extend(_flat(node.below))
    return flat


def _tree(nodes: list[_Node]) -> Any:
    """Bullets as JSON: an object if every one is a name and a value, else a list."""
    pairs = [node.text.partition(":") for node in nodes]
    names = {name.strip() for name, colon, _ in pairs if colon and name.strip()}
    if len(names) == len(nodes):
        return {
            name.strip(): _with_below(value.strip(), node)
            for (name, _, value), node in zip(pairs, nodes, strict=True)
        }
    return [_with_below(node.text, node) for node in nodes]


def _with_below(text: str, node: _Node) -> Any:
    if not node.below:
        return text
    return {text: _tree(node.below)} if text else _tree(node.below)


def _without_images(lines: list[Line], images: set[tuple[str, str]]) -> list[Line]:
    """Leave out lines that show an image's caption and credit; the image itself is in the meta block."""
    kept: list[Line] = []
    for line in lines:
        caption = _credited(line, images)
        if caption is None:
            kept.append(line)
        elif kept and kept[-1].text == caption:
            kept.pop()
    return kept


def _credited(line: Line, images: set[tuple[str, str]]) -> str | None:
    credited = list(_CREDIT.finditer(line.text))
    if line.bullet or not credited:
        return None
    caption, source = line.text[: credited[-1].start()], line.text[credited[-1].end() :]
    return caption if (caption, source.lower()) in images else None


def _shown(value: str) -> str:
    return repr(value)[:80]
