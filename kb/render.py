"""Turn a body in Markdown or HTML into safe HTML, and say what the sanitiser took out."""

import re
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt

from kb.choices import BodyFormat
from kb.errors import InvalidDocument, Problem

MAX_NESTING = 60  # levels of HTML elements; Markdown stops at 20 by itself
MAX_HTML = 4_000_000  # characters
# The sanitiser's time grows with the square of these: a second or so at the most.
MAX_ELEMENTS = 50_000
MAX_REFERENCES = 200_000  # such as "&amp;"
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
# Elements that browsers open again in each paragraph until somebody closes them, and how often they may.
_REOPENED = frozenset("b code em i s small strong u".split())
MAX_REOPENED = 100_000
# Void, or closed by the next of their kind: they get deep only inside elements that are counted.
_NEVER_DEEP = frozenset("br hr img col p li dt dd tr td th thead tbody tfoot colgroup".split())
# Tags as browsers cut them: https://html.spec.whatwg.org/multipage/parsing.html#tokenization
# Whatever begins a match ends it, at the latest with the text, so that nothing is looked at twice.
_SPACE, _SPACES = r"\t\n\f\r ", r"[\t\n\f\r ]*+"
_NAME = rf"[^{_SPACE}/>][^{_SPACE}/>=]*+"
_VALUE = rf""" "[^"]*+" | '[^']*+' | [^{_SPACE}>"'][^{_SPACE}>]*+ | (?=>) """.replace(" | ", "|").strip()
_ATTRIBUTE = re.compile(rf"({_NAME})(?:{_SPACES}={_SPACES}({_VALUE}))?+")
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?:[!?]|/(?![a-zA-Z]))[^>]*+(?:>|\Z)"
    rf"|<(?P<raw>(?i:script|style))(?=[{_SPACE}/>]).*?(?:</(?i:(?P=raw))(?=[{_SPACE}/>])[^>]*+(?:>|\Z)|\Z)"
    rf"|<(?P<end>/?)(?P<tag>[a-zA-Z][^{_SPACE}/>]*+)"
    rf"(?P<attributes>(?:[{_SPACE}/]*+{_NAME}(?:{_SPACES}={_SPACES}(?:{_VALUE}))?+)*+)"
    rf"[{_SPACE}/]*+(?:>|(?P<cut>\Z))",
    re.DOTALL,
)
_BARE = re.compile(r"&(?![a-zA-Z#])")
_LANGUAGE = re.compile(r"language-[A-Za-z0-9+#.-]{1,40}")
# Control characters, spaces and backslashes: browsers drop or bend them, and "/\host" would leave the site.
_BENT = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


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
    return url if parts.scheme in {"http", "https"} and host and "@" not in parts.netloc else None


def safe_link(url: str) -> str | None:
    """As safe_url; also a place on the same page or a path on the same site, never "//host"."""
    if not _BENT.search(url) and (url.startswith("#") or re.match(r"/(?!/)", url)):
        return url
    return safe_url(url)


# A pure function of its text: who flags, previews and publishes asks for the same one several times in a row.
@lru_cache(maxsize=2)
def render(body: str, body_format: BodyFormat) -> Rendered:
    """Compile a body. Raises InvalidDocument when it is nested too deeply or grows too large."""
    removed: list[Removed] = []
    if body_format == BodyFormat.MARKDOWN:
        trimmed: list[Removed] = []
        html = _retold(_markdown(body, removed), trimmed)
        # The rest, such as the alignment of cells, our own renderer wrote: it is nobody's markup.
        removed += [piece for piece in trimmed if piece.what.startswith("src=")]
    else:
        html = _retold(body, removed)
    clean = nh3.clean(
        html,
        tags=set(TAGS),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=_keep_attribute,
        link_rel="noopener noreferrer",
        url_schemes={"http", "https"},
        clean_content_tags={"script", "style"},
    )
    _refuse_large(clean)
    return Rendered(html=clean, removed=tuple(dict.fromkeys(removed))[:MAX_REMOVED])


def _refuse_large(html: str) -> None:
    _refuse(len(html), MAX_HTML, "characters of HTML")


def _refuse_costly(depth: int, elements: int, reopened: int) -> None:
    _refuse(depth, MAX_NESTING, "elements inside each other")
    _refuse(elements, MAX_ELEMENTS, "elements")
    _refuse(reopened, MAX_REOPENED, "repetitions of elements such as <b> that nobody closed")


def _refuse(number: int, most: int, what: str) -> None:
    if number > most:
        raise InvalidDocument([Problem("body", f"more than {most} {what}", f"at most {most} once compiled")])


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


def _retold(html: str, removed: list[Removed]) -> str:
    """The same HTML with allowed elements and attributes alone; notes what it leaves out.

    Takes time as the text is long. What the sanitiser then reads holds no comments, scripts or foreign
    elements, so it nests as counted here: an end tag counts if it closes the innermost element, no other.
    """
    _refuse_large(html)
    pieces: list[str] = []
    inside: list[str] = []
    at = elements = left_open = reopened = 0
    for token in _TOKEN.finditer(html):
        pieces.append(_text(html[at : token.start()]))
        at = token.end()
        name = token["raw"] or token["tag"] or ""
        tag = name.lower() if name.isascii() else name
        if token["cut"] is not None:
            _note(removed, f"unfinished <{tag[:40]}>")
        elif tag in TAGS and token["end"]:
            pieces.append(f"</{tag}>")
            if inside[-1:] == [tag]:
                left_open -= inside.pop() in _REOPENED
        elif tag in TAGS:
            pieces.append(f"<{tag}{_attributes(tag, token['attributes'], removed)}>")
            elements += 1
            reopened += left_open
            if tag not in _NEVER_DEEP:
                inside.append(tag)
                left_open += tag in _REOPENED
            _refuse_costly(len(inside), elements, reopened)
        elif tag and not token["end"]:
            _note(removed, f"element <{tag[:40]}>")
    retold = "".join((*pieces, _text(html[at:])))
    _refuse_large(retold)
    _refuse(retold.count("&"), MAX_REFERENCES, "references such as &amp;")
    return retold


def _text(between: str) -> str:
    # Also each "&" that begins no reference. Quotes mean nothing here, and code is full of them.
    return _BARE.sub("&amp;", between.replace("&quot;", '"')).replace("<", "&lt;")


def _attributes(tag: str, text: str, removed: list[Removed]) -> str:
    allowed = ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set())
    kept: dict[str, str] = {}
    for found in _ATTRIBUTE.finditer(text):
        name = found[1].lower() if found[1].isascii() else found[1]
        given = found[2] or ""
        quoted = given[:1] in {'"', "'"}
        value = given[1:-1] if quoted else given
        if name not in allowed or _keep_attribute(tag, name, unescape(value)) is None:
            _note(removed, f"{name[:40]}={unescape(value)[:120]!r} of <{tag}>")
        else:
            kept.setdefault(name, f' {name}="{value.replace(chr(34), "&quot;")}"')
    return "".join(kept.values())


def _note(removed: list[Removed], what: str) -> None:
    if len(removed) < MAX_REMOVED:
        removed.append(Removed(what))


def words(html: str) -> str:
    """The text of compiled HTML, for the search column."""
    return nh3.clean(html, tags=set()) if html else ""
