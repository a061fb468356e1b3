"""A real server for pages that embed the meta box, under the policy that kb sends, and places in the box."""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "kb" / "static"
DATA = ROOT / "tests" / "data" / "metabox"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
META = "/meta.json"


@dataclass
class Answer:
    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    # Answers are held back until this is set.
    gate: threading.Event | None = None


class Server:
    """Canned answers by path, beside the real static files, on a free port of loopback."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers.get("Cookie")))
                answer = server.find(self.path)
                if answer.gate:
                    answer.gate.wait(10)
                # Some tests want the page to give up waiting.
                with suppress(ConnectionError):
                    self.send(answer)

            def send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.send_header("X-Content-Type-Options", "nosniff")
                if answer.status >= 400:
                    self.send_header("Cache-Control", "no-store")  # as kb does; browsers would keep a 410
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.origin = f"http://127.0.0.1:{self.http.server_port}"

    def find(self, path: str) -> Answer:
        if path.startswith("/static/"):
            file = STATIC / path.removeprefix("/static/")
            if file.is_file():
                return Answer(file.read_bytes(), kind=TYPES[file.suffix])
        if path == "/favicon.ico":
            return Answer(b"", status=204)
        return self.answers.get(path, Answer(b"{}", status=404))

    def has(self, path: str, body: Any, **more: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = Answer(raw, **more)

    def has_page(self, box: str, *, tokens: bool = True, theme: str = "", path: str = "/") -> str:
        sheet = '<link rel="stylesheet" href="/static/kb/tokens.css">' if tokens else ""
        switch = f' data-theme="{theme}"' if theme else ""
        html = (
            f'<!doctype html><html lang="en-GB"{switch}><head><meta charset="utf-8"><title>A note</title>'
            f'<meta name="viewport" content="width=device-width">{sheet}'
            '<script type="module" src="/static/kb/metabox.js"></script>'
            f"</head><body>{box}</body></html>"
        )
        self.answers[path] = Answer(html.encode(), kind="text/html; charset=utf-8")
        return self.origin + path

    def asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)

    def forget(self) -> None:
        """Have no answers, as in the beginning; whoever waits for one gets it."""
        for answer in self.answers.values():
            if answer.gate:
                answer.gate.set()
        self.answers, self.requests = {}, []

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def section(box: Locator, title: str) -> Locator:
    return box.locator(".section").filter(has=box.page.get_by_role("heading", name=title, exact=True))


def text_of(box: Locator) -> str:
    return box.locator("section.box").inner_text()
