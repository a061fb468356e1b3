"""One page for each state of the meta box.

`python -m tests.browser.metabox.states` serves them to be looked at, and names their addresses.
"""

import html
import json
import threading
from dataclasses import dataclass
from typing import Any

from tests.browser.metabox.server import DATA, Answer, Server

PROBLEM = {"code": "busy", "detail": "Too many.", "retry": True, "request_id": "77"}


@dataclass(frozen=True)
class Shown:
    """What the box reads, and what comes of it: its state, and words that it shows."""

    state: str
    says: str
    answer: Answer | None = None
    within: str = ""
    attributes: str = 'retries="0"'


def inline(meta: Any) -> str:
    """The JSON as a page puts it into a script element: no text in it may end that element."""
    text = meta if isinstance(meta, str) else json.dumps(meta).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def states() -> dict[str, Shown]:
    sample = (DATA / "sample.json").read_bytes()
    held, problem = threading.Event(), json.dumps(PROBLEM).encode()
    summary = str(json.loads(sample)["summary"])
    wait = {"Retry-After": "30"}
    return {
        "idle": Shown("idle", "About this note"),
        "loading": Shown("loading", "About this note", Answer(sample, gate=held)),
        "slow": Shown("loading", "Still loading.", Answer(sample, gate=held)),
        "late": Shown(
            "error", "too long", Answer(sample, gate=held), attributes='retries="0" timeout-ms="1"'
        ),
        "ready": Shown("ready", summary, Answer(sample)),
        "inline": Shown("ready", summary, within=inline(json.loads(sample))),
        "empty": Shown("empty", "Nothing is recorded about this note yet.", Answer(b"{}")),
        "401": Shown("error", "You need to sign in", Answer(b"{}", 401)),
        "404": Shown("error", "There is nothing published here.", Answer(b"{}", 404)),
        "429": Shown("error", "Wait 30 seconds, then try again.", Answer(problem, 429, headers=wait)),
        "500": Shown("error", "The server had a problem.", Answer(problem, 500)),
        "offline": Shown("error", "The server could not be reached.", Answer(b"", drops=True)),
        "unreadable": Shown("error", "The answer could not be read.", Answer(b"<html>")),
        "without-address": Shown("error", "no address to read from", attributes='src=""'),
    }


def put(server: Server) -> dict[str, Shown]:
    """Have a page for each, at /states/NAME, and give what they are to show."""
    found = states()
    for name, shown in found.items():
        source = ""
        if shown.answer:
            server.answers[f"/states/{name}.json"] = shown.answer
            source = f'src="/states/{name}.json" '
        box = f'<kb-meta-box {source}{shown.attributes} images="link">{shown.within}</kb-meta-box>'
        server.has_page(f"<main><h1>{html.escape(name)}</h1>{box}</main>", path=f"/states/{name}")
    return found


if __name__ == "__main__":
    served = Server()
    for each in put(served):
        print(f"{served.origin}/states/{each}")
    try:
        served.thread.join()
    except KeyboardInterrupt:
        served.close()
