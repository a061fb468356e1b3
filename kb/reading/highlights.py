"""Turn a found post into what a list shows of it: safe HTML with <mark>, and where which words were found."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import unescape

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from kb.words import Token, tokens

SEARCHED = 40_000  # characters of HTML in which the best passage is looked for
PASSAGE = 240  # characters
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TAG = re.compile(r"<[^>]*(?:>|$)")


@dataclass(frozen=True, slots=True)
class Reason:
    """Words of the query, as the post writes them, and the field where they were found."""

    field: str  # title, topic, stack, tools, entities, summary, body
    words: list[str]


@dataclass(frozen=True, slots=True)
class Shown:
    title: SafeString
    summary: SafeString
    passage: SafeString  # of the body, or "" where no word stands in it
    reasons: list[Reason]


def show(fields: Mapping[str, str], html: str, weights: Mapping[str, float]) -> Shown:
    """Mark the words with these weights in the fields, `title` and `summary` among them, and in the body."""
    fields = {name: _CONTROL.sub("", text) for name, text in fields.items()}
    found = {name: _found(text, weights) for name, text in fields.items()}
    body = _CONTROL.sub("", " ".join(unescape(_TAG.sub(" ", html[:SEARCHED])).split()))
    in_body = _found(body, weights)
    reasons = [
        Reason(name, _words(text, at))
        for name, text, at in (
            *((name, text, found[name]) for name, text in fields.items()),
            ("body", body, in_body),
        )
        if at
    ]
    return Shown(
        title=_marked(fields["title"], found["title"]),
        summary=_marked(fields["summary"], found["summary"]),
        passage=_passage(body, in_body, weights),
        reasons=reasons,
    )


def _found(text: str, lexemes: Collection[str]) -> list[Token]:
    return [token for token in _near(text, _hint(frozenset(lexemes))) if token.lexeme in lexemes]


def _near(text: str, hint: re.Pattern[str]) -> Iterator[Token]:
    """The tokens of each piece between spaces that the hint is in: most of a text is not taken apart."""
    lowered, end = text.lower(), -1
    if len(lowered) != len(text):  # as with İ: places would not be the same
        yield from tokens(text)
        return
    for match in hint.finditer(lowered):
        if match.start() < end:
            continue
        begin = text.rfind(" ", 0, match.start()) + 1
        end = text.find(" ", match.end())
        end = len(text) if end < 0 else end
        for token in tokens(text[begin:end]):
            yield token._replace(start=begin + token.start, end=begin + token.end)


@lru_cache(maxsize=1000)
def _hint(lexemes: frozenset[str]) -> re.Pattern[str]:
    """What stands in whatever kb.words makes one of these lexemes of.

    A stem begins as its word does, but for *dying* and its like; what joins a compound may stand between any
    two letters, as in R&D; and what is not ASCII may become anything.
    """
    begins = {_begin(lexeme) for lexeme in lexemes if lexeme}
    return re.compile("|".join((*sorted(begins), r"[^\x00-\x7f]")))


def _begin(lexeme: str) -> str:
    if lexeme in {"die", "lie", "tie"}:
        return lexeme[0]
    if lexeme == "dotnet":
        return r"\.net|dot"
    letters = lexeme[0] if lexeme[0].isdigit() else lexeme[: 3 if len(lexeme) > 3 else 2]
    return r"[-._'/&]*".join(map(re.escape, letters))


def _words(text: str, found: Iterable[Token]) -> list[str]:
    """As written, each once."""
    return list({token.lexeme: text[token.start : token.end] for token in found}.values())


def _marked(text: str, found: list[Token], first: int = 0, last: int | None = None) -> SafeString:
    """The text from `first` to `last`, escaped, with <mark> around these words and nothing else."""
    last = len(text) if last is None else last
    out, at = [], first
    for token in sorted(found, key=lambda it: (it.start, -it.end)):
        if token.start < at or token.end > last:
            continue  # inside a compound that is marked already
        out.append(f"{escape(text[at : token.start])}<mark>{escape(text[token.start : token.end])}</mark>")
        at = token.end
    return mark_safe("".join((*out, escape(text[at:last]))))  # noqa: S308  (each piece is escaped)


def _passage(text: str, found: list[Token], weights: Mapping[str, float]) -> SafeString:
    """The piece of the body with the most weight of different words; of equal ones the first."""
    if not found:
        return SafeString("")
    best, first, last = -1.0, 0, 0
    end = 0
    for begin, token in enumerate(found):
        while end < len(found) and found[end].end - token.start <= PASSAGE - 40:
            end += 1
        inside = found[begin : max(end, begin + 1)]
        worth = sum(weights[lexeme] for lexeme in {it.lexeme for it in inside})
        if worth > best:
            best, first, last = worth, token.start, inside[-1].end
    first, last = _edges(text, first, last)
    before, after = "… " if first else "", " …" if last < len(text) else ""
    inside = [token for token in found if first <= token.start and token.end <= last]
    return mark_safe(f"{before}{_marked(text, inside, first, last)}{after}")  # noqa: S308


def _edges(text: str, first: int, last: int) -> tuple[int, int]:
    """Room for a passage around this piece, from the beginning of a word to the end of one."""
    room = max(0, PASSAGE - (last - first))
    first = max(0, first - room // 3)
    last = min(len(text), first + max(PASSAGE, last - first))
    if first and text[first - 1] != " ":
        first = text.find(" ", first, last) + 1 or first
    if last < len(text) and text[last] != " ":
        cut = text.rfind(" ", first, last)
        last = cut if cut > first else last
    return first, last
