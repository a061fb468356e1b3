"""Turn a query's words into how rare each is, what else stands for it, and what an unknown one was to be."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import log

from rapidfuzz.distance import DamerauLevenshtein

from kb import words
from kb.reading.rows import rows

LESS = 0.7  # what a synonym or a corrected word counts
JOINED = 0.3  # what two words count where they stand as one; their parts count as well
PREFIXES = 20  # words that may stand for one that was begun
SHORTEST = 4  # letters of a word that is taken for mistyped
LONGEST_GROUP = 4  # words of a synonym
CANDIDATES = 100

_KNOWN = """
    SELECT 'total', '', posts::bigint, length, NULL::text[] FROM kb_publishedtotals
    UNION ALL SELECT 'term', lexeme, posts, 0, NULL FROM kb_publishedterm WHERE lexeme = ANY(%s)
    UNION ALL SELECT 'synonym', lexemes, 0, 0, words FROM kb_publishedsynonym WHERE lexemes = ANY(%s)
    UNION ALL SELECT 'withheld', asked.lexeme, count(*), 0, NULL
      FROM (SELECT t.words FROM kb_publication p JOIN kb_publishedtext t ON t.publication_id = p.id
             WHERE p.withhold_at <= now() OFFSET 0) AS hidden
      JOIN unnest(%s::text[], %s::text[]) AS asked (lexeme, tsquery) ON words @@ asked.tsquery::tsquery
     GROUP BY asked.lexeme
"""
_TERMS = "SELECT lexeme, posts FROM kb_publishedterm WHERE lexeme = ANY(%s)"
# What is withheld since its date passed is counted until somebody retracts it: a word must not tell of it.
_SEEN = "posts > (SELECT count(*) FROM kb_publication WHERE withhold_at <= now())"
_BEGUN = (
    f"SELECT word FROM kb_publishedword WHERE word LIKE %s AND {_SEEN} ORDER BY posts DESC, word LIMIT %s"  # noqa: S608
)
_NEAR = f"SELECT word, posts FROM kb_publishedword WHERE near && %s AND {_SEEN} ORDER BY posts DESC, word LIMIT %s"  # noqa: S608, E501


@dataclass(frozen=True, slots=True)
class Correction:
    """No post has what was typed; the other word is looked for instead."""

    typed: str
    used: str


@dataclass(frozen=True)
class Understood:
    """A query, with what is known of its words."""

    query: words.Query
    posts: int = 0  # of all
    length: float = 1.0  # of an average one
    known: dict[str, int] = field(default_factory=dict)  # posts of each lexeme
    weights: dict[str, float] = field(default_factory=dict)  # of each lexeme that is looked for
    corrections: tuple[Correction, ...] = ()
    synonyms: tuple[str, ...] = ()  # that were added

    def having(self, word: words.Word) -> int:
        """At most so many posts have the word."""
        whole = self.known.get(word.whole, 0) if not word.is_phrase else 0
        parts = min((self.known.get(lexeme, 0) for _, lexeme in word.parts), default=0)
        return min(self.posts, whole + parts)

    def having_marked(self, word: words.Word) -> int:
        """At most so many posts have it in their title."""
        whole = self.known.get(words.MARK + word.whole, 0) if not word.is_phrase else 0
        parts = min((self.known.get(words.MARK + lexeme, 0) for _, lexeme in word.parts), default=0)
        return min(self.posts, whole + parts)

    def rarity(self, lexeme: str) -> float:
        """BM25's weight of a lexeme: log of how few posts have it; 0 where none has."""
        posts = self.known.get(lexeme, 0)
        return log(1 + (self.posts - posts + 0.5) / (posts + 0.5)) if posts else 0.0

    @property
    def worth(self) -> dict[str, float]:
        """What each lexeme is worth that some post has."""
        return {
            lexeme: weight * self.rarity(lexeme)
            for lexeme, weight in self.weights.items()
            if self.known.get(lexeme)
        }

    @cached_property
    def clauses(self) -> list[tuple[int, tuple[words.Word, ...]]]:
        """Each clause with how many posts may have it, the rarest first; those that no post has left out."""
        counted = [(min(self.posts, sum(map(self.having, clause))), clause) for clause in self.query.clauses]
        return sorted(((posts, clause) for posts, clause in counted if posts), key=lambda it: it[0])


def understand(query: words.Query, *, is_begun: bool = False) -> Understood:
    """Look the words up; `is_begun`: the last one may be the beginning of a word."""
    runs = _runs(query)
    asked = [*query.lexemes, *(words.MARK + lexeme for lexeme in query.lexemes), *_joined(query)]
    found = rows(_KNOWN, [asked, list(runs), asked, [*map(words.quoted, asked)]])
    # Counted until somebody retracts it: a correction that is not offered would tell of it.
    withheld = {name: posts for kind, name, posts, _, _ in found if kind == "withheld"}
    known = {name: posts - withheld.get(name, 0) for kind, name, posts, _, _ in found if kind == "term"}
    posts, length = next(((posts, length) for kind, _, posts, length, _ in found if kind == "total"), (0, 0))
    weights: dict[str, float] = {lexeme: float(times) for lexeme, times in query.lexemes.items()}
    weights |= {lexeme: JOINED for lexeme in _joined(query) if known.get(lexeme)}
    said = Understood(query, posts, length / posts if posts else 1.0, known, weights)
    if synonyms := {name: also for kind, name, _, _, also in found if kind == "synonym"}:
        said = _with_synonyms(said, {runs[name]: also for name, also in synonyms.items()})
    said = _with_begun(said, is_begun) if posts else said
    return _with_corrections(said) if posts else said


def _joined(query: words.Query) -> list[str]:
    """Two words that others write as one: time out, timeout."""
    plain = [clause[0] for clause in query.clauses if len(clause) == 1 and not clause[0].is_phrase]
    return [
        words.stem(words.fold(one.text + other.text))
        for one, other in pairwise(plain)
        if one.text.isalpha() and other.text.isalpha() and len(one.text + other.text) <= words.LONGEST
    ]


def _runs(query: words.Query) -> dict[str, tuple[int, int]]:
    """Each run of single words by its lexemes, with its first clause and the one after its last."""
    singles = [
        clause[0].lexemes[0] if len(clause) == 1 and not clause[0].is_phrase else ""
        for clause in query.clauses
    ]
    return {
        " ".join(singles[first:last]): (first, last)
        for first in range(len(singles))
        for last in range(first + 1, min(first + LONGEST_GROUP, len(singles)) + 1)
        if all(singles[first:last])
    }


def _with_synonyms(said: Understood, synonyms: dict[tuple[int, int], list[str]]) -> Understood:
    clauses: list[tuple[words.Word, ...]] = []
    added: list[str] = []
    at = 0
    while at < len(said.query.clauses):
        # The longest run that begins here.
        last = max((last for first, last in synonyms if first == at), default=0)
        if not last:
            clauses.append(said.query.clauses[at])
            at += 1
            continue
        typed = said.query.clauses[at:last]
        also = synonyms[at, last]
        options = [words.together([clause[0] for clause in typed])]
        options += [words.together(found) for text in also if (found := words.query(text).words)]
        clauses.append(tuple(options))
        added += also
        at = last
    query = replace(said.query, clauses=tuple(clauses))
    return replace(_more(said, query), synonyms=tuple(dict.fromkeys(added)))


def _more(said: Understood, query: words.Query) -> Understood:
    """The same with another query, whose new lexemes are looked up and count less."""
    new = [lexeme for lexeme in query.lexemes if lexeme not in said.weights]
    asked = [*new, *(words.MARK + lexeme for lexeme in new)]
    known = said.known | dict(rows(_TERMS, [asked])) if asked else said.known
    return replace(said, query=query, known=known, weights=said.weights | dict.fromkeys(new, LESS))


def _with_begun(said: Understood, is_begun: bool) -> Understood:
    """Let words that begin so stand beside a word that was begun: the last one, or one typed with a star."""
    clauses = list(said.query.clauses)
    begun = [n for n, clause in enumerate(clauses) if any(word.is_prefix for word in clause)]
    if is_begun and clauses and said.query.text[-1:].isalnum():
        begun.append(len(clauses) - 1)
    for n in dict.fromkeys(begun):
        beginning = words.fold(clauses[n][-1].text)
        clauses[n] = (*clauses[n], *_named(begun_so(beginning)))
    return _more(said, replace(said.query, clauses=tuple(clauses))) if begun else said


def begun_so(beginning: str, most: int = PREFIXES) -> list[str]:
    """The commonest words that begin so, folded; none for what is no beginning of a word."""
    if len(beginning) < 2 or not beginning.isalnum():
        return []
    return [word for (word,) in rows(_BEGUN, [f"{beginning}%", most])]


def _named(found: Iterable[str]) -> list[words.Word]:
    return [word for text in found for word in words.query(text).words]


def _with_corrections(said: Understood) -> Understood:
    """Look for the nearest known word where no post has what was typed."""
    unknown = {
        word.text: words.fold(word.text)
        for clause in said.query.clauses
        for word in clause
        if len(clause) == 1 and not said.having(word) and _may_be_mistyped(word)
    }
    nearest = {typed: meant for typed, folded in unknown.items() if (meant := _nearest(folded))}
    if not nearest:
        return said
    clauses = tuple(
        (*clause, *_named([nearest[clause[0].text]])) if clause[0].text in nearest else clause
        for clause in said.query.clauses
    )
    corrections = tuple(Correction(typed, meant) for typed, meant in nearest.items())
    return replace(_more(said, replace(said.query, clauses=clauses)), corrections=corrections)


def _may_be_mistyped(word: words.Word) -> bool:
    return not word.is_phrase and len(word.text) >= SHORTEST and word.text.isalpha() and word.text.isascii()


def _nearest(folded: str) -> str:
    """The known word with the fewest slips, of those the commonest; "" if none is near enough."""
    candidates = rows(_NEAR, [words.near(folded), CANDIDATES])
    most = 1 if len(folded) < 8 else 2
    measured = [
        (DamerauLevenshtein.distance(folded, word), word[0] != folded[0], -posts, word)
        for word, posts in candidates
    ]
    measured = [it for it in measured if it[0] <= most]
    return min(measured)[-1] if measured else ""
