"""Turn rows into files that leave kb: CSV that no spreadsheet runs, and JSON Lines.

A spreadsheet takes a cell that begins with =, +, - or @ for a formula, also after blanks, and some take the
wide forms of these signs as well. Such a cell gets an apostrophe in front, which makes it text. JSON Lines
carries the same rows unchanged, for programs. Both are sent as they are read, so that size costs no memory.
"""

import csv
import json
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.http import Http404, StreamingHttpResponse

FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
# U+2212 is no compatibility form of the hyphen, yet spreadsheets read it as a minus.
FORMULA = frozenset("=+-@\u2212")
BOM = "\ufeff"  # without it Excel takes UTF-8 for the code page of its country
LINES = 200  # lines in one write


def answer(name: str, kind: str, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> StreamingHttpResponse:
    """The rows as a file `name.kind` to download. Raises Http404 for a kind that is none."""
    if kind not in FORMATS:
        raise Http404("There is no such format: choose csv or jsonl.")
    head = tuple(head)
    lines = csv_lines(head, rows) if kind == "csv" else json_lines(head, rows)
    return StreamingHttpResponse(
        _batches(lines),
        content_type=FORMATS[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}.{kind}"'},
    )


def csv_lines(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """RFC 4180: every cell in quotes, CRLF at line ends, UTF-8 with a byte order mark."""
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield BOM + writer.writerow(head)
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def json_lines(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    for row in rows:
        found = {name: _plain(value) for name, value in zip(head, row, strict=True)}
        yield json.dumps(found, ensure_ascii=False) + "\n"


def cell(value: Any) -> str:
    """The value as text that no spreadsheet takes for a formula."""
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if isinstance(plain, list):
        plain = ", ".join(str(part) for part in plain)
    text = str(plain)
    return f"'{text}" if _runs(text) else text


def _runs(text: str) -> bool:
    if text.startswith(("\t", "\r", "\n")):
        return True
    first = next((sign for sign in text if not _passed_over(sign)), "")
    return bool(FORMULA.intersection(unicodedata.normalize("NFKC", first)))


def _passed_over(sign: str) -> bool:
    """Whether a spreadsheet may look past it for the first sign of a cell: blanks, controls, quotes."""
    return sign in "\"'" or unicodedata.category(sign)[0] in "ZC"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return value


def _batches(lines: Iterable[str]) -> Iterator[str]:
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == LINES:
            yield "".join(batch)
            batch.clear()
    if batch:
        yield "".join(batch)


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line
