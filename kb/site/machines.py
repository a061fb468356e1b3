"""Turn publications into what programs read beside the pages: Atom, a sitemap, llms.txt, Markdown."""

from collections.abc import Iterable
from datetime import UTC, datetime
from xml.sax.xmlreader import AttributesImpl

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.feedgenerator import Atom1Feed
from django.utils.xmlutils import SimplerXMLGenerator
from django.views.decorators.http import require_safe

from kb.models.publication import Publication
from kb.reading.rows import present, rows
from kb.site.access import for_readers
from kb.site.markdown import escaped, markdown

IN_FEED = 50
IN_LLMS = 500
# The protocol allows 50,000 addresses a file; ids that were withdrawn leave gaps, never more.
IN_SITEMAP = 10_000
_PARTS = f"""
    SELECT id / {IN_SITEMAP}, max(published_at) FROM kb_publication p WHERE {present("p")}
     GROUP BY 1 ORDER BY 1
"""  # noqa: S608  (our own names)

Address = tuple[str, datetime]


@for_readers
def markdown_of(request: HttpRequest, slug: str) -> HttpResponse:
    """The approved text with what a reader has to know about it, to be pasted elsewhere."""
    found = Publication.reading.filter(slug=slug).values_list("detail_json", flat=True)
    for detail in found[:1]:
        address = request.build_absolute_uri(reverse("site:post", args=[slug]))
        return HttpResponse(markdown(detail, address), content_type="text/markdown; charset=utf-8")
    raise Http404


@for_readers
def feed(request: HttpRequest) -> HttpResponse:
    """The newest posts as Atom (RFC 4287): an entry's id is its address, which never changes."""
    home = request.build_absolute_uri(reverse("site:home"))
    atom = Atom1Feed(
        title=settings.KB_SITE_NAME,
        link=home,
        description="Each post was approved by a person before it appeared here.",
        feed_url=request.build_absolute_uri(),
        author_name=settings.KB_SITE_NAME,
        language="en",
    )
    for row in _newest(IN_FEED, "first_published_at", "stack"):
        link = request.build_absolute_uri(row.get_absolute_url())
        atom.add_item(
            title=_printable(row.title),
            link=link,
            unique_id=link,
            description=_printable(row.summary),
            pubdate=row.first_published_at,
            updateddate=row.published_at,
            categories=[_printable(word) for word in (row.topic, *row.stack) if word],
        )
    response = HttpResponse(content_type="application/atom+xml; charset=utf-8")
    atom.write(response, "utf-8")
    return response


@for_readers
def llms(request: HttpRequest) -> HttpResponse:
    """What programs that read text may use, in the form of llmstxt.org: nothing but what was approved."""
    root = request.build_absolute_uri(reverse("site:home"))
    lines = [
        f"# {settings.KB_SITE_NAME}",
        "",
        "> Technical notes. A person approved exactly the content of each before it appeared here; none of",
        "> these addresses shows a draft. Cite a note by its address and version.",
        "",
        "## Programs",
        "",
        f"- [Read API]({root}api/v1/docs/): every post, entity and checklist as JSON, described by OpenAPI",
        f"- [Changes]({root}api/v1/changes/): what was published, updated and withdrawn, in order",
        f"- [Search]({root}api/v1/posts/?q=words): posts by words, stack, tool, entity and score",
        "",
        "## Newest posts",
        "",
    ]
    for row in _newest(IN_LLMS):
        address = f"{root}{reverse('site:markdown', args=[row.slug]).lstrip('/')}"
        about = f": {escaped(row.summary)}" if row.summary else ""
        lines.append(f"- [{escaped(row.title)}]({address}){about}")
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain; charset=utf-8")


def _newest(most: int, *more: str) -> Iterable[Publication]:
    columns = ("slug", "title", "topic", "summary", "published_at", *more)
    return Publication.reading.newest_first().only(*columns)[:most]


def _printable(text: str) -> str:
    """Without the control characters that XML has no place for."""
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")


# --- For crawlers, where the operator lets them in ---
@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    lines = ["User-agent: *", "Disallow: /"]
    if _is_open_to_crawlers():
        sitemap = request.build_absolute_uri(reverse("site:sitemap"))
        lines = ["User-agent: *", "Disallow: /admin/", "Disallow: /login/", "", f"Sitemap: {sitemap}"]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain; charset=utf-8")


@for_readers
def sitemap(request: HttpRequest) -> HttpResponse:
    """An index of sitemaps, each of them about a range of ids, so that none of them ever shifts."""
    _require_open()
    addresses = [(reverse("site:sitemap-part", args=[part]), at) for part, at in rows(_PARTS)]
    return _xml(request, "sitemapindex", "sitemap", addresses)


@for_readers
def sitemap_part(request: HttpRequest, number: int) -> HttpResponse:
    _require_open()
    if number > 2**40:
        raise Http404
    first = number * IN_SITEMAP
    posts = Publication.reading.filter(pk__gte=first, pk__lt=first + IN_SITEMAP).order_by("pk")
    found = [
        (reverse("site:post", args=[slug]), at) for slug, at in posts.values_list("slug", "published_at")
    ]
    if not found:
        raise Http404
    return _xml(request, "urlset", "url", found)


def _xml(request: HttpRequest, root: str, item: str, addresses: Iterable[Address]) -> HttpResponse:
    """Sitemap protocol 0.9."""
    response = HttpResponse(content_type="application/xml; charset=utf-8")
    xml = SimplerXMLGenerator(response, "utf-8")
    xml.startDocument()
    xml.startElement(root, AttributesImpl({"xmlns": "http://www.sitemaps.org/schemas/sitemap/0.9"}))
    for address, at in addresses:
        xml.startElement(item, AttributesImpl({}))
        xml.addQuickElement("loc", request.build_absolute_uri(address))
        xml.addQuickElement("lastmod", at.astimezone(UTC).isoformat(timespec="seconds"))
        xml.endElement(item)
    xml.endElement(root)
    xml.endDocument()
    return response


def _require_open() -> None:
    if not _is_open_to_crawlers():
        raise Http404


def _is_open_to_crawlers() -> bool:
    """Only where everybody may read anyway: elsewhere a crawler would meet the login."""
    return bool(settings.KB_INDEXING) and settings.KB_READ_ACCESS == "public"
