"""Turn a body in Markdown or HTML into safe HTML, and say what the sanitiser took out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt

from kb.choices import BodyFormat
from kb.errors import InvalidDocument, Problem

MAX_NESTING = 60  # levels of HTML elements; Markdown stops at 20 by itself
MAX_HTML = 4_000_000  # characters
MAX_REMOVED = 50  # pieces of evidence

TAGS = frozenset(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small span strong sub summary sup "
    "table tbody td tfoot th thead tr u ul var".split()
)
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"title", "lang", "dir"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "code": {"class"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_VOID = frozenset("br hr img col input meta link source track wbr area base embed param".split())
_LANGUAGE = re.compile(r"language-[A-Za-z0-9+#.-]{1,40}")
# Control characters, spaces and backslashes: browsers drop or bend them, and "/\host" would leave the site.
_BENT = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class Removed:
    """One piece of markup or one address that readers will not get."""

    what: str


@dataclass(frozen=True, slots=True)
class Rendered:
    html: str
    removed: tuple[Removed, ...]


def safe_url(url: str) -> str | None:
    """The address if it is http or https with a host, else None."""
    if _BENT.search(url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and host and not parts.username else None


def safe_link(url: str) -> str | None:
    """As safe_url; also a place on the same page or a path on the same site, never "//host"."""
    if not _BENT.search(url) and (url.startswith("#") or re.match(r"/(?!/)", url)):
        return url
    return safe_url(url)


def render(body: str, body_format: BodyFormat) -> Rendered:
    """Compile a body. Raises InvalidDocument when it is nested too deeply or grows too large."""
    removed: list[Removed] = []
    if body_format == BodyFormat.MARKDOWN:
        html = _markdown(body, removed)
        # What our own renderer writes and nh3 trims, such as the alignment of cells, is nobody's markup.
        _bound(html, [])
    else:
        html = body
        _bound(html, removed)
    clean = nh3.clean(
        html,
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=_keep_attribute,
        link_rel="noopener noreferrer",
        url_schemes={"http", "https"},
        clean_content_tags={"script", "style"},
    )
    return Rendered(html=clean, removed=tuple(dict.fromkeys(removed))[:MAX_REMOVED])


def _markdown(body: str, removed: list[Removed]) -> str:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])

    def allowed(url: str) -> bool:
        if safe_link(url) is None:
            removed.append(Removed(f"address {url[:200]}"))
            return False
        return True

    parser.validateLink = allowed  # type: ignore[method-assign]
    return str(parser.render(body))


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    match name:
        case "href":
            return safe_link(value)
        case "src":
            return safe_url(value)
        case "class":
            return value if _LANGUAGE.fullmatch(value) else None
        case "width" | "height" | "colspan" | "rowspan" | "start":
            return value if re.fullmatch(r"[0-9]{1,4}", value) else None
        case _:
            return value


class _Bounds(HTMLParser):
    """Walks the tags once: how deep they go, and which of them the sanitiser will not keep."""

    def __init__(self, removed: list[Removed]) -> None:
        super().__init__(convert_charrefs=True)
        self.removed = removed
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.depth += 1
        if self.depth > MAX_NESTING:
            raise InvalidDocument(
                [Problem("body", f"more than {MAX_NESTING} elements inside each other", "fewer levels")]
            )
        if len(self.removed) < MAX_REMOVED:
            self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self.depth = max(0, self.depth - 1)

    def _note(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.removed.append(Removed(f"element <{tag[:40]}>"))
            return
        allowed = ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set())
        for name, value in attrs:
            if name not in allowed or _keep_attribute(tag, name, value or "") is None:
                self.removed.append(Removed(f"{name[:40]}={(value or '')[:120]!r} of <{tag}>"))


def _bound(html: str, removed: list[Removed]) -> None:
    if len(html) > MAX_HTML:
        raise InvalidDocument(
            [Problem("body", f"{len(html)} characters of HTML", f"at most {MAX_HTML} once compiled")]
        )
    bounds = _Bounds(removed)
    bounds.feed(html)
    bounds.close()


def words(html: str) -> str:
    """The text of compiled HTML, for the search column."""
    return nh3.clean(html, tags=set()) if html else ""
