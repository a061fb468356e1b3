"""Turn all that is published into lines of JSON, one a post, in memory that does not grow with their number.

The posts come in the order of their slugs, so the slug in the last whole line says where to go on. Each batch
is a query of its own: a slow reader keeps no transaction open, only the thread that writes to it, of which
exports take few.
"""

import json
from collections.abc import Generator, Iterator
from threading import BoundedSemaphore
from typing import Any

from kb.reading.rows import Row, persistently, present, rows

BATCH = 100  # posts in one query and one write
AT_ONCE = 2  # exports that one process writes at a time
PAUSE_SECONDS = 30

_NEWEST = "SELECT coalesce(max(id), 0) FROM kb_change"
_BATCH = f"""
    SELECT slug, detail_json FROM kb_publication p WHERE slug > %s AND {present("p")} ORDER BY slug LIMIT %s
"""  # noqa: S608
_slots = BoundedSemaphore(AT_ONCE)


def begin(after: str = "") -> "Lines | None":
    """The export from the slug behind `after` on, or None while as many as may are written already."""
    return Lines(after) if _slots.acquire(blocking=False) else None


class Lines:
    """Bytes of whole lines: {"begin": true, "since": N}, each post, {"end": true, "posts": how many}.

    `since` is where the feed stood before the first post was read: going on from there tells all that
    happened meanwhile, some of it twice.
    """

    def __init__(self, after: str) -> None:
        self._batches = batches(after)
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._batches)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._batches.close()
            _slots.release()

    # For an answer that nobody came to send: servers close those that they send.
    __del__ = close


def batches(after: str) -> Generator[bytes, None, None]:
    since, number = _newest(), 0
    yield _line({"begin": True, "since": since})
    while found := _next(after):
        yield b"".join(f"{detail}\n".encode() for _, detail in found)
        after, number = found[-1][0], number + len(found)
    yield _line({"end": True, "posts": number})


def _newest() -> int:
    ((number,),) = persistently(lambda: rows(_NEWEST))
    return int(number)


def _next(after: str) -> list[Row]:
    return persistently(lambda: rows(_BATCH, [after, BATCH]))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
