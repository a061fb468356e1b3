"""Real servers for pages that embed the meta box, under the policy that kb sends, and places in the box."""

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
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
    # The connection ends without an answer.
    drops: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'

    def wait(self) -> None:
        if self.gate:
            self.gate.wait(10)

    def unless(self, known: str | None) -> "Answer":
        is_known = self.status == 200 and known == self.etag
        return Answer(b"", 304, headers={"ETag": self.etag}) if is_known else self


@dataclass
class Request:
    method: str
    path: str
    headers: Message
    status: int = 0


class Server:
    """Canned answers by path, beside the real static files, on a free port of loopback."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        # Origins whose pages may read what is here (CORS), as KB_API_ORIGINS names them.
        self.origins: set[str] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                request = Request("GET", self.path, self.headers)
                server.requests.append(request)
                answer = server.find(self.path)
                answer.wait()
                answer = answer.unless(self.headers.get("If-None-Match"))
                request.status = answer.status
                # Some tests want the page to give up waiting.
                with suppress(ConnectionError):
                    self.send(answer)

            def do_OPTIONS(self) -> None:
                server.requests.append(Request("OPTIONS", self.path, self.headers, 204))
                allowed = {"Access-Control-Allow-Headers": "Authorization", "Access-Control-Max-Age": "0"}
                self.send(Answer(b"", 204, headers=allowed))

            def send(self, answer: Answer) -> None:
                if answer.drops:
                    return
                self.send_response(answer.status)
                if answer.status not in {204, 304}:
                    self.send_header("Content-Type", answer.kind)
                    self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("Content-Security-Policy", server.policy)
                self.send_header("X-Content-Type-Options", "nosniff")
                if answer.status >= 400:
                    self.send_header("Cache-Control", "no-store")  # as kb does; browsers would keep a 410
                if answer.status == 200 and answer.kind == "application/json":
                    self.send_header("Cache-Control", "private, no-cache")
                    self.send_header("ETag", answer.etag)
                allowed = server.allowed(self.path, self.headers.get("Origin", ""))
                for name, value in {**allowed, **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.origin = f"http://127.0.0.1:{self.http.server_port}"
        self.policy = POLICY

    def allowed(self, path: str, origin: str) -> dict[str, str]:
        """What pages of other origins may do."""
        if path.startswith("/static/"):
            return {"Access-Control-Allow-Origin": "*"}  # as WhiteNoise does
        if origin not in self.origins:
            return {}
        exposed = "Retry-After, X-Request-ID, ETag"
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": exposed,
            "Vary": "Origin",
        }

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

    def has_page(
        self, body: str = "", *, path: str = "/", tokens: bool = True, head: str = "", html: str = ""
    ) -> str:
        """Have a page that runs the box; return its address."""
        sheet = '<link rel="stylesheet" href="/static/kb/tokens.css">' if tokens else ""
        text = (
            f'<!doctype html><html lang="en-GB" {html}><head><meta charset="utf-8"><title>A note</title>'
            f'<meta name="viewport" content="width=device-width">'
            f'<meta name="color-scheme" content="light dark">'
            f'{sheet}<script type="module" src="/static/kb/metabox.js"></script>{head}'
            f"</head><body>{body}</body></html>"
        )
        self.answers[path] = Answer(text.encode(), kind="text/html; charset=utf-8")
        return self.origin + path

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def forget(self) -> None:
        """Have no answers, as in the beginning; whoever waits for one gets it."""
        for answer in self.answers.values():
            if answer.gate:
                answer.gate.set()
        self.answers, self.requests, self.origins, self.policy = {}, [], set(), POLICY

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def section(box: Locator, title: str) -> Locator:
    return box.locator(".section").filter(has=box.page.get_by_role("heading", name=title, exact=True))


def text_of(box: Locator) -> str:
    return box.locator("section.box").inner_text()
