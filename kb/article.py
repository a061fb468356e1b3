"""Turn a publication's clean HTML into the article of a page.

Headings get addresses, wide tables scroll by themselves, and an image from a host that the page's policy does
not allow becomes a link, so that nobody sees a gap and no browser reports one. What comes in is sanitised
already: nothing here makes it safe.
"""

from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

from django.conf import settings
from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
OWN_IDS = ("main", "q", "sections", "care", "about", "similar")  # of templates/kb/post.html and its base


@dataclass(frozen=True)
class Section:
    id: str
    text: str
    level: int


@dataclass(frozen=True)
class Article:
    html: SafeString
    sections: list[Section] = field(default_factory=list)  # h2 and h3


def article(html: str, prefix: str = "") -> Article:
    """Headings get the prefix before their addresses, where a page has more ids of its own than ours."""
    writer = _Writer(shift=1 if "<h1" in html else 0, prefix=prefix)  # the page's own title is the only h1
    writer.feed(html)
    writer.close()
    # Tags are those of the sanitiser, text keeps its escapes, and what is added is escaped by format_html.
    return Article(mark_safe("".join(writer.out)), writer.sections)  # noqa: S308


def may_show(url: str) -> bool:
    """Whether the page's policy allows this image: the rule of img-src in config/security.py."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or 443
    except ValueError:
        return False
    return parts.scheme == "https" and any(_matches(host, port, known) for known in settings.KB_IMAGE_HOSTS)


def _matches(host: str, port: int, known: str) -> bool:
    name, _, known_port = known.lower().partition(":")
    if port != int(known_port or 443):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


class _Writer(HTMLParser):
    """Write each token as it came, but for headings, images and tables."""

    def __init__(self, shift: int, prefix: str) -> None:
        super().__init__(convert_charrefs=False)
        self.shift, self.prefix = shift, prefix
        self.out: list[str] = []
        self.sections: list[Section] = []
        self.heading: list[str] | None = None  # text of the heading that is open
        self.inner = 0  # headings inside it: a page's outline knows none, so their words are the outer one's
        self.taken = set(OWN_IDS)
        self.opened = 0  # where in `out` its tag stands
        self.links = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        match tag:
            case "img":
                self.out.append(self._image(dict(attrs)))
                return
            case "table":
                self.out.append('<div class="scroll">')
            case "a":
                self.links += 1
            case _ if tag in HEADINGS and self.heading is not None:
                self.inner += 1
                self.out.append("<span>")
                return
            case _ if tag in HEADINGS:
                self.opened, self.heading = len(self.out), []
                self.out.append("")  # written at its end, when its text is known
                return
        self.out.append(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in HEADINGS and self.inner:
            self.inner -= 1
            self.out.append("</span>")
            return
        if tag in HEADINGS:
            self._close_heading(tag)
            return
        if tag == "a":
            self.links -= 1
        self.out.append(f"</{tag}>")
        if tag == "table":
            self.out.append("</div>")

    def handle_data(self, data: str) -> None:
        self.out.append(data)
        if self.heading is not None:
            self.heading.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def _close_heading(self, tag: str) -> None:
        level = min(6, int(tag[1]) + self.shift)
        text = " ".join(unescape("".join(self.heading or [])).split())
        address = self._address(text)
        if level <= 3 and text:
            self.sections.append(Section(address, text, level))
        self.out[self.opened] = format_html('<h{} id="{}">', level, address)
        self.out.append(f"</h{level}>")
        self.heading = None

    def _address(self, text: str) -> str:
        """The heading's words as most Markdown tools write them, so that an author's own #links arrive."""
        base = self.prefix + (slugify(text, allow_unicode=True)[:80] or "section")
        address, n = base, 1
        while address in self.taken:
            n += 1
            address = f"{base}-{n}"
        self.taken.add(address)
        return address

    def _image(self, attributes: dict[str, str | None]) -> str:
        url = attributes.get("src") or ""
        if not may_show(url):
            return self._instead(url, attributes.get("alt") or attributes.get("title") or "")
        kept = {"src": url, "alt": attributes.get("alt") or ""}
        kept |= {name: value for name in ("width", "height", "title") if (value := attributes.get(name))}
        return format_html('<img{} loading="lazy" decoding="async">', flatatt(kept))

    def _instead(self, url: str, said: str) -> str:
        """Name the image in place of it, with a link where one may stand."""
        host = _host(url)
        name = f"Image: {said}" if said else "Image"
        if not host or self.links:
            return format_html('<span class="image">{}</span>', name)
        return format_html(
            '<a class="image" href="{}" rel="noopener noreferrer nofollow">{}</a>'
            ' <span class="host">({})</span>',
            url, name, host,
        )  # fmt: skip


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in {"http", "https"} else ""
