"""Turn a plain text page into blocks, and blocks into Markdown that renders as the same text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

BULLETS = "•◦▪‣"
LONGEST_HEADING = 80  # characters
DEEPEST_LIST = 8

_FINAL_PUNCTUATION = tuple(".!?:;,…")
_SPECIAL = re.compile(
    r"[\\`*\[\]~]"
    r"|(?<![^\W_])_+|_+(?![^\W_])"  # an underscore inside a word is no emphasis
    r"|<(?=[A-Za-z/!?])"
    r"|&(?=[#A-Za-z])"
    r"|(?<=\s)\#"  # closes a heading
)
_OPENS_A_BLOCK = re.compile(
    r"(?:[-+](?=\s|$|[-+])|=(?=[=\s]*$)|>|\#|[-:|](?=[-:|\s]*$))|\d{1,9}(?=[.)](?:\s|$))", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Line:
    number: int  # in the file, from 1
    indent: int
    bullet: bool
    text: str  # without indentation and bullet


class Kind(Enum):
    PARAGRAPH = auto()
    HEADING = auto()
    LIST = auto()


@dataclass(slots=True)
class Block:
    kind: Kind
    alone: bool  # blank lines on both sides
    lines: list[Line] = field(default_factory=list)

    @property
    def items(self) -> list[str]:
        """The bullets' texts, continuation lines joined."""
        texts: list[str] = []
        for line in self.lines:
            if line.bullet:
                texts.append(line.text)
            else:
                texts[-1] += f" {line.text}"
        return texts


def read_lines(text: str) -> list[Line]:
    return [_line(number, raw) for number, raw in enumerate(text.split("\n"), start=1)]


def _line(number: int, raw: str) -> Line:
    bare = raw.lstrip()
    bullet = bare[:1] in BULLETS if bare else False
    return Line(number, len(raw) - len(bare), bullet, (bare[1:] if bullet else bare).strip())


def blocks(lines: Iterable[Line]) -> list[Block]:
    """Paragraphs, headings and lists.

    A heading is a short line that stands alone, without final punctuation, and has something below it.
    """
    found = list(_paragraphs_and_lists(lines))
    for block in found[:-1]:
        if _could_head(block):
            block.kind = Kind.HEADING
    return found


def _paragraphs_and_lists(lines: Iterable[Line]) -> Iterator[Block]:
    block: Block | None = None
    after_blank = True
    for line in lines:
        if not line.text:
            if line.bullet:  # a bullet without text says nothing
                continue
            if block:
                yield block
            block, after_blank = None, True
            continue
        if block and not _belongs(line, block):
            block.alone = False
            yield block
            block = None
        if block is None:
            block = Block(Kind.LIST if line.bullet else Kind.PARAGRAPH, alone=after_blank)
        block.lines.append(line)
        after_blank = False
    if block:
        yield block


def _belongs(line: Line, block: Block) -> bool:
    if block.kind is Kind.PARAGRAPH:
        return not line.bullet
    return line.bullet or line.indent > block.lines[-1].indent


def _could_head(block: Block) -> bool:
    if block.kind is not Kind.PARAGRAPH or not block.alone or len(block.lines) != 1:
        return False
    text = block.lines[0].text
    return len(text) <= LONGEST_HEADING and not text.endswith(_FINAL_PUNCTUATION)


def markdown(found: Iterable[Block]) -> str:
    """The blocks as Markdown; what plain text means by itself is escaped."""
    return "\n\n".join(_block(block) for block in found)


def _block(block: Block) -> str:
    match block.kind:
        case Kind.HEADING:
            return f"## {escape(block.lines[0].text)}"
        case Kind.LIST:
            return "\n".join(_items(block.lines))
    return "\n".join(escape(line.text) for line in block.lines)


def _items(lines: Iterable[Line]) -> Iterator[str]:
    indents: list[int] = []
    for line in lines:
        if not line.bullet:
            yield "  " * len(indents) + escape(line.text)
            continue
        while indents and line.indent < indents[-1]:
            indents.pop()
        if not indents or (line.indent > indents[-1] and len(indents) < DEEPEST_LIST):
            indents.append(line.indent)
        yield "  " * (len(indents) - 1) + "- " + escape(line.text)


def escape(text: str) -> str:
    """One line of plain text as Markdown that renders as this text."""
    escaped = _SPECIAL.sub(lambda found: "".join(f"\\{character}" for character in found[0]), text)
    opening = _OPENS_A_BLOCK.match(escaped)
    if not opening:
        return escaped
    # "1. x" is escaped behind its number, all others before their first character.
    at = opening.end() if opening[0][0].isdigit() else 0
    return f"{escaped[:at]}\\{escaped[at:]}"
