"""Turn texts into vectors that point the same way where the texts mean the same.

The model sits behind `Embedder`, so that another one needs a class here and nothing elsewhere: vectors are
stored with the model's name, and those of another name are neither compared nor kept. WordLlama (static word
vectors, averaged; 16 MB in its wheel, no torch, no download) is the optional extra `semantic`; without it, or
with KB_SEMANTIC=off, `embedder()` is None and everything else works as before.

A process loads the model when it first embeds something: 1 second and about 105 MB.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from django.conf import settings

from kb.document import Document
from kb.render import render, words

Vector = Sequence[float]
MOST_TEXT = 4_000  # characters of one text: static vectors blur with every further word
OFF = "KB_SEMANTIC is off: set it to auto"
NOT_INSTALLED = "the extra `semantic` is not installed: install requirements-semantic.txt"


class Embedder(Protocol):
    """A model: the same text gives the same vector as long as the name is the same."""

    @property
    def name(self) -> str:
        """Model, version and size, at most 60 characters of letters, digits, spaces and . - _"""

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text; of any length, for they are brought to length 1 by whoever stores them."""


class WordLlama:
    name = "wordllama l2_supercat 256"
    dimensions = 256

    def __init__(self) -> None:
        self._loading = Lock()

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        with self._loading:
            model = self._model
        vectors: list[Vector] = model.embed([text[:MOST_TEXT] for text in texts], norm=False).tolist()
        return vectors

    @cached_property
    def _model(self) -> Any:
        import wordllama

        here = Path(wordllama.__file__).parent
        return wordllama.WordLlama.load(cache_dir=here, disable_download=True)


_WORDLLAMA = WordLlama()


def embedder() -> Embedder | None:
    """The model to embed with, not loaded yet; None where `why_not` says why."""
    return None if why_not() else _WORDLLAMA


def why_not() -> str:
    """What keeps this process from embedding; "" if nothing does."""
    if settings.KB_SEMANTIC == "off":
        return OFF
    return "" if find_spec("wordllama") else NOT_INSTALLED


def of_query(model: Embedder, text: str) -> Vector:
    """The vector of what somebody typed; all zeros where the model knows none of it."""
    return _unit(model.embed([text])[0])


def of_documents(model: Embedder, documents: Iterable[Document]) -> list[Vector]:
    """Half title, half all of the text, each of length 1: a tenth better than all as one, as measured."""
    parts = [(document.title, _text(document)) for document in documents]
    titles = model.embed([title for title, _ in parts])
    texts = model.embed([text for _, text in parts])
    return [
        _unit([one + other for one, other in zip(_unit(title), _unit(text), strict=True)])
        for title, text in zip(titles, texts, strict=True)
    ]


def _text(document: Document) -> str:
    """What a post is about comes first, for the end is cut off."""
    html = render(document.body, document.body_format).html
    about = (
        *(document.title, document.topic, document.summary, document.brief),
        *(point.text for point in document.outline),
        ", ".join((*document.stack, *document.tools, *(entity.name for entity in document.entities))),
    )
    return "\n".join(filter(None, (*about, words(html[: 2 * MOST_TEXT].replace("<", " <")))))


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(value * value for value in vector))
    # Words that the model does not know have no direction; it may say so by NaN.
    return [value / length for value in vector] if length > 0 else [0.0] * len(vector)
