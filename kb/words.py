"""Turn text into the words that are searched for, and what somebody typed into a query over them.

One analysis for both: accents and case are folded, English stop words leave a gap, English words become their
Snowball stems (https://snowballstem.org/algorithms/english/stemmer.html), and what programmers write keeps
together and comes apart: `node.js` is also "node" and "js", `getUserName` also "get", "user" and "name",
`time-out` also "timeout". C++, C#, .NET and versions such as 1.2.3 are words of their own.

What changes here changes what is stored: run `manage.py rebuild_publications` afterwards.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from unicodedata import combining, normalize

from snowballstemmer.english_stemmer import EnglishStemmer

# Words that say nothing alone: those of the Snowball project's English list that questions are made of.
STOP = frozenset(
    "a about above after again against all am an and any are as at be because been before being "
    "below between both but by can cannot could did do does doing don down during each few for from "
    "further had has have having he her here hers herself him himself his how i if in into is it "
    "its itself just let me more most my myself no nor not now of off on once only or other ought "
    "our ours ourselves out over own same shall she should so some such than that the their theirs "
    "them themselves then there these they this those through to too under until up us very was we "
    "were what when where which while who whom why will with would you your yours yourself "
    "yourselves s t arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt shouldnt wasnt "
    "werent wont wouldnt im ive id youre theyre thats whats lets".split()
)
# Names whose parts mean something else: who looks for Java does not want JavaScript.
ONE_WORD = frozenset(
    "bitbucket coffeescript cypress devops devsecops github gitlab gitops graphql javascript kubectl "
    "linkedin mariadb memcached mlops mongodb mysql nosql openapi openid openssl opentelemetry postgis "
    "postgresql powershell pytorch rabbitmq sqlalchemy sqlite tensorflow typescript webassembly wordpress "
    "youtube".split()
)
LONGEST = 80  # characters of one word; longer is data that nobody types
MOST_POSITIONS = 16_383  # what PostgreSQL can tell apart; all that follows stands at the last
MOST_PLACES = 255  # of one word that PostgreSQL keeps
LARGEST = 900_000  # bytes of one vector; PostgreSQL stops at 1 MiB
GAP = 10  # places between two fields, so that no phrase spans them
MOST_WORDS = 32  # of a query; the rest is not looked at
# How often each field's words count: as if it were written so many times. Tuned on public judged collections.
WEIGHTS = {"A": 3, "B": 2, "C": 2, "D": 1}
MARK = "^"  # before a word of the title; no lexeme begins so by itself

_MARKS = "\u0300-\u036f"
_CHUNK = re.compile(
    r"(?<![\w.])\.net\b|(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,])"
    rf"|[\w{_MARKS}]+(?:[.\-\u2010\u2011'’][\w{_MARKS}]+)*(?:\+\+|\#(?!\w))?",
    re.IGNORECASE,
)
_SHORT = re.compile(r"(?<![\w/&])[a-z]{1,3}(?:[/&][a-z]{1,3}){1,2}(?![\w/&])", re.IGNORECASE)  # CI/CD, R&D
_VERSION = re.compile(r"v?(\d+(?:\.\d+)+)([a-z]{1,5}\d*)?", re.IGNORECASE)
_PART = re.compile(rf"[^\W_{_MARKS}](?:[^\W_]|[{_MARKS}])*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PLURAL = re.compile(r"[A-Z]{2,}s")
_NUMBERED = re.compile(r"([a-z]{3,})(\d+)")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_OWNER = re.compile(r"['’]s$", re.IGNORECASE)
_TYPED = re.compile(r"""(?P<minus>-(?=["\w.]))?(?:"(?P<phrase>[^"]*)"?|(?P<bare>[^\s"]+))""")


class Role(Enum):
    """What a lexeme is of what stands there."""

    PART = "part"  # a word
    WHOLE = "whole"  # a compound of several words, without what joins them
    ALSO = "also"  # what else it can be found by: 1.2 of 1.2.3


class Piece(NamedTuple):
    """One word of a chunk: where in it, at which of its places, its lexeme, and as written but folded."""

    start: int
    end: int
    place: int
    lexeme: str
    word: str
    role: Role = Role.PART


class Token(NamedTuple):
    """One word of a text, by characters and by position among all words."""

    start: int
    end: int
    position: int
    lexeme: str
    word: str
    role: Role


class Chunk(NamedTuple):
    """What stands together: its pieces, and over how many places they go."""

    pieces: tuple[Piece, ...]
    places: int


def fold(text: str) -> str:
    """Without accents, case and compatibility forms."""
    if text.isascii():
        return text.lower()
    plain = "".join(c for c in normalize("NFKD", text) if not combining(c))
    return normalize("NFKC", plain.casefold())


class _Stemmers(threading.local):
    def __init__(self) -> None:
        self.english = EnglishStemmer()  # it holds the word that it works on


_stemmers = _Stemmers()


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem of a folded word; what is not plain English stays as it is."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    return str(_stemmers.english.stemWord(word)) or word


def tokens(text: str) -> Iterator[Token]:
    """Each word of the text in order; a compound comes whole, at its first part's place, and in parts."""
    position = 1
    for start, chunk in _chunks(text):
        for piece in chunk.pieces:
            at, end = start + piece.start, start + piece.end
            yield Token(at, end, position + piece.place, piece.lexeme, piece.word, piece.role)
        position += chunk.places


def _chunks(text: str) -> Iterator[tuple[int, Chunk]]:
    at = 0
    for short in _SHORT.finditer(text):
        yield from _plain_chunks(text, at, short.start())
        yield short.start(), _short(short[0])
        at = short.end()
    yield from _plain_chunks(text, at, len(text))


def _plain_chunks(text: str, start: int, end: int) -> Iterator[tuple[int, Chunk]]:
    for found in _CHUNK.finditer(text, start, end):
        known = found[0]
        yield found.start(), _cached(known) if len(known) <= LONGEST else _chunk(known)


@lru_cache(maxsize=50_000)
def _cached(text: str) -> Chunk:
    return _chunk(text)


def _short(text: str) -> Chunk:
    """Such as CI/CD: one word without the stroke, and its parts."""
    parts = list(re.finditer(r"[^/&]+", text))
    return _compound([(part.start(), part.end(), fold(part[0])) for part in parts])


def _chunk(text: str) -> Chunk:
    if ideographs := _IDEOGRAPHS.search(text):
        return _mixed(text, ideographs)
    if version := _VERSION.fullmatch(text):
        return _version(text, version)
    if "," in text:
        number = text.replace(",", "")
        return Chunk((Piece(0, len(text), 0, number, number),), 1)
    if text[-2:] == "++" or text[-1] == "#" or text[0] == ".":
        name = "dotnet" if text[0] == "." else fold(text)
        return Chunk((Piece(0, len(text), 0, name, name),), 1)
    text = _OWNER.sub("", text)
    parts = [
        (found.start() + start, found.start() + end, fold(found[0][start:end]))
        for found in _PART.finditer(text)
        for start, end in _camel(found[0])
    ]
    return _compound(parts)


def _camel(part: str) -> list[tuple[int, int]]:
    """The parts of an identifier such as getUserName, or all of it."""
    whole = [(0, len(part))]
    if part.islower() or part.isupper() or part.lower() in ONE_WORD or _PLURAL.fullmatch(part):
        cuts: list[int] = []
    else:
        cuts = [found.start() for found in _CAMEL.finditer(part)]
    edges = [0, *cuts, len(part)]
    found = list(pairwise(edges))
    # iPhone, mTLS and LaTeX are names.
    return whole if any(end - start == 1 for start, end in found) else found


def _compound(parts: list[tuple[int, int, str]]) -> Chunk:
    """All of it as one word, without what joins it, and each part; a part alone is just a word."""
    pieces: list[Piece] = []
    joined = "".join(word for _, _, word in parts)
    is_compound = len(parts) > 1
    if is_compound and len(joined) <= LONGEST and joined not in STOP:
        pieces.append(Piece(parts[0][0], parts[-1][1], 0, stem(joined), joined, Role.WHOLE))
    place = 0
    for start, end, word in parts:
        if word not in STOP and len(word) <= LONGEST and not (is_compound and len(word) == 1):
            pieces.append(Piece(start, end, place, stem(word), word))
            pieces += _numbered(start, end, place, word)
        place += 1
    return Chunk(tuple(pieces), place)


def _numbered(start: int, end: int, place: int, word: str) -> list[Piece]:
    """Of python3 also "python", and of utf8 also "utf"."""
    found = _NUMBERED.fullmatch(word)
    if not found:
        return []
    return [Piece(start, start + len(found[1]), place, stem(found[1]), found[1], Role.ALSO)]


def _version(text: str, found: re.Match[str]) -> Chunk:
    """1.2.3 as it is, and also 1.2."""
    number = found[1] + (found[2] or "").lower()
    steps = found[1].split(".")
    also = [".".join(steps[:n]) for n in range(2, min(len(steps) + bool(found[2]), 4))]
    names = [(number, Role.PART), *((name, Role.ALSO) for name in also)]
    return Chunk(
        tuple(Piece(0, len(text), 0, name, name, role) for name, role in names if len(name) <= LONGEST), 1
    )


def _mixed(text: str, found: re.Match[str]) -> Chunk:
    """Chinese, Japanese and Korean part no words: each two neighbours are one."""
    pieces: list[Piece] = []
    place = 0
    for run in re.finditer(rf"{_IDEOGRAPHS.pattern}|[^\W_]+?(?={_IDEOGRAPHS.pattern}|\W|_|$)", text):
        width = 2 if _IDEOGRAPHS.fullmatch(run[0]) else len(run[0])
        for at in range(run.start(), max(run.start() + 1, run.end() - width + 1)):
            end = min(at + width, run.end())
            word = fold(text[at:end])
            if len(word) <= LONGEST:
                pieces.append(Piece(at, end, place, stem(word), word))
            place += 1
    return Chunk(tuple(pieces), place)


@dataclass(frozen=True, slots=True)
class Vector:
    """What is stored of a text: the literal of a tsvector, its weighted length, and its words as written."""

    literal: str
    length: int
    lexemes: frozenset[str]
    words: frozenset[str]


def vector(fields: Sequence[str]) -> Vector:
    """The vector of four texts: title; topic, stack, tools, entities; summary, brief, outline; body.

    A field of weight 3 stands there three times, so that the number of a word's places is its weighted
    frequency. Words of the title are there once more with a mark before them.
    """
    places: dict[str, list[str]] = {}
    words: set[str] = set()
    marked: set[str] = set()
    position = length = size = 0
    for weight, text in zip("ABCD", fields, strict=True):
        found = list(tokens(text))
        for _ in range(WEIGHTS[weight]):
            for token in found:
                held = places.get(token.lexeme)
                size += 2 if held is not None else len(token.lexeme.encode()) + 8
                if size > LARGEST:
                    break
                at = min(position + token.position, MOST_POSITIONS)
                places.setdefault(token.lexeme, []).append(f"{at}{weight}")
                length += 1
            position += (found[-1].position if found else 0) + GAP
        # Of a text that is longer than PostgreSQL can hold, what comes too late to be found is no word of it.
        words.update(token.word for token in found if token.lexeme in places and _is_plain(token))
        if weight == "A":
            marked.update(MARK + token.lexeme for token in found)
    parts = [f"{quoted(lexeme)}:{','.join(at[:MOST_PLACES])}" for lexeme, at in places.items()]
    literal = " ".join((*parts, *map(quoted, sorted(marked))))
    return Vector(literal, length, frozenset(places) | marked, frozenset(words))


def _is_plain(token: Token) -> bool:
    """Whether it is a word that people type, such as http2, and no number."""
    word = token.word
    return token.role is not Role.ALSO and word.isalnum() and word[0].isalpha() and 3 <= len(word) <= 30


def quoted(lexeme: str) -> str:
    """As text of a tsvector or a tsquery."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Word:
    """One thing to look for: a word, a compound, a phrase that was typed in quotes, or several words."""

    text: str  # as typed
    whole: str = ""  # the lexeme of a compound
    parts: tuple[tuple[int, str], ...] = ()  # place and lexeme
    also: tuple[str, ...] = ()
    is_prefix: bool = False
    is_phrase: bool = False
    is_loose: bool = False  # its parts may stand anywhere

    @property
    def lexemes(self) -> tuple[str, ...]:
        """All that a text is better for having."""
        return (*((self.whole,) if self.whole else ()), *(lexeme for _, lexeme in self.parts), *self.also)

    @property
    def tsquery(self) -> str:
        """What a text must have: the compound or all its parts, one after the other."""
        steps = [quoted(self.parts[0][1])] if self.parts else []
        for (before, _), (place, lexeme) in pairwise(self.parts):
            steps += ["&" if self.is_loose else f"<{place - before}>", quoted(lexeme)]
        return self._either(quoted(self.whole), " ".join(steps))

    @property
    def marked(self) -> str:
        """The same for titles alone, where places are not known."""
        steps = " & ".join(quoted(MARK + lexeme) for _, lexeme in self.parts)
        return self._either(quoted(MARK + self.whole), steps)

    def _either(self, whole: str, steps: str) -> str:
        options = [whole] if self.whole and not self.is_phrase else []
        return "(" + " | ".join((*options, *([steps] if steps else []))) + ")"


def together(several: Sequence[Word]) -> Word:
    """All of these, wherever they stand."""
    if len(several) == 1:
        return several[0]
    lexemes = [word.whole or lexeme for word in several for _, lexeme in (word.parts or ((0, ""),))]
    parts = tuple(enumerate(dict.fromkeys(lexemes)))
    return Word(" ".join(word.text for word in several), parts=parts, is_loose=True)


Clause = tuple[Word, ...]  # of which a text needs one


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody looks for: of each clause one word, and none of the excluded ones."""

    text: str
    clauses: tuple[Clause, ...] = ()
    excluded: Clause = ()

    @property
    def words(self) -> list[Word]:
        return [word for clause in self.clauses for word in clause]

    @property
    def lexemes(self) -> Counter[str]:
        """How often each is asked for."""
        return Counter(lexeme for word in self.words for lexeme in word.lexemes)

    @property
    def tsquery(self) -> str:
        """For texts that have all of it; "" where nothing is asked for."""
        return all_of(self.clauses, self.excluded) if self.clauses else ""


def begun(asked: Query) -> str:
    """A tsquery for texts that have all of it, or with the last word words that begin so."""
    if not asked.clauses or not asked.text[-1:].isalnum():
        return asked.tsquery
    *others, last = asked.clauses
    beginning = quoted(fold(last[-1].text)) + ":*"
    known = [all_of(others)] if others else []
    return " & ".join((*known, f"({_any(last)} | {beginning})", *(f"!{it.tsquery}" for it in asked.excluded)))


def all_of(clauses: Sequence[Clause], excluded: Clause = (), *, is_marked: bool = False) -> str:
    """A tsquery for what has each clause and nothing excluded."""
    wanted = [_any(clause, is_marked=is_marked) for clause in clauses]
    return " & ".join((*wanted, *(f"!{word.tsquery}" for word in excluded)))


def some_of(clauses: Sequence[Clause], excluded: Clause = ()) -> str:
    """A tsquery for what has at least one clause and nothing excluded."""
    return one_of(map(_any, clauses), excluded)


def one_of(queries: Iterable[str], excluded: Clause = ()) -> str:
    """A tsquery for what at least one of these finds and nothing excluded."""
    wanted = " | ".join(f"({query})" for query in queries)
    return " & ".join((f"({wanted})", *(f"!{word.tsquery}" for word in excluded)))


def _any(clause: Clause, *, is_marked: bool = False) -> str:
    return "(" + " | ".join(word.marked if is_marked else word.tsquery for word in clause) + ")"


def query(text: str) -> Query:
    """Read what was typed: words, "phrases", -excluded, one OR other, and begin* for words that begin so."""
    clauses: list[tuple[Word, ...]] = []
    excluded: list[Word] = []
    joins = False
    for found in _TYPED.finditer(text):
        if (found["bare"] or "").upper() == "OR" and not found["minus"]:
            joins = bool(clauses)
            continue
        looked_for = _phrase(found["phrase"]) if found["phrase"] is not None else _bare(found["bare"])
        if found["minus"]:
            excluded += looked_for
        elif joins and looked_for:
            clauses[-1] = (*clauses[-1], looked_for[0])
            clauses += [(word,) for word in looked_for[1:]]
        else:
            clauses += [(word,) for word in looked_for]
        joins = False
    return Query(text, tuple(clauses[:MOST_WORDS]), tuple(excluded[:MOST_WORDS]))


def _phrase(text: str) -> list[Word]:
    found = list(tokens(text))
    parts = [(token.position, token.lexeme) for token in found if token.role is Role.PART]
    if len(parts) < 2:
        return _bare(text)
    return [Word(text, parts=tuple(parts[:MOST_WORDS]), is_phrase=True)]


def _bare(text: str) -> list[Word]:
    is_prefix = text.endswith("*")
    looked_for = [
        Word(
            text[start + min(piece.start for piece in chunk.pieces) :][: _width(chunk)],
            whole=next((piece.lexeme for piece in chunk.pieces if piece.role is Role.WHOLE), ""),
            parts=tuple((piece.place, piece.lexeme) for piece in chunk.pieces if piece.role is Role.PART),
            also=tuple(piece.lexeme for piece in chunk.pieces if piece.role is Role.ALSO),
        )
        for start, chunk in _chunks(text)
        if chunk.pieces
    ]
    if is_prefix and looked_for:
        looked_for[-1] = replace(looked_for[-1], is_prefix=True)
    return looked_for


def _width(chunk: Chunk) -> int:
    return max(piece.end for piece in chunk.pieces) - min(piece.start for piece in chunk.pieces)


def key(text: str) -> str:
    """What a synonym is known by: the first lexeme of each of its words."""
    return " ".join(word.lexemes[0] for word in query(text).words)


def near(word: str) -> list[str]:
    """The word and what is left of it without any one letter: two words one slip apart have one in common.

    After SymSpell (Wolf Garbe, 2012), which finds candidates by deletions alone.
    """
    return sorted({word, *(word[:at] + word[at + 1 :] for at in range(len(word)))})
