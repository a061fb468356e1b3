"""The compiler of bodies: safe for any text, honest about what it takes out, quick on hostile input."""

import re
from html.parser import HTMLParser
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.choices import BodyFormat
from kb.errors import InvalidDocument, Problem
from kb.render import (
    ATTRIBUTES,
    MAX_ELEMENTS,
    MAX_HTML,
    MAX_NESTING,
    MAX_REFERENCES,
    MAX_REMOVED,
    MAX_REOPENED,
    TAGS,
    Rendered,
    render,
    safe_link,
    safe_url,
    words,
)

MARKDOWN, HTML = BodyFormat.MARKDOWN, BodyFormat.HTML
REL = 'rel="noopener noreferrer"'


def html(body: str, body_format: BodyFormat = HTML) -> str:
    return render(body, body_format).html


def removed(body: str, body_format: BodyFormat = HTML) -> list[str]:
    return [piece.what for piece in render(body, body_format).removed]


@pytest.mark.parametrize(
    ("body", "compiled"),
    [
        ("# h\n\n*a* **b** `c`", "<h1>h</h1>\n<p><em>a</em> <strong>b</strong> <code>c</code></p>\n"),
        (
            "| a |\n|:-:|\n| 1 |",
            "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>1</td>\n</tr>\n</tbody>\n</table>\n",
        ),
        ("~~x~~", "<p><s>x</s></p>\n"),
        ("```c++\nx<1\n```", '<pre><code class="language-c++">x&lt;1\n</code></pre>\n'),
        ("```\nx\n```", "<pre><code>x\n</code></pre>\n"),
        ('```a"b\nx\n```', "<pre><code>x\n</code></pre>\n"),
        ("a <b onclick=x>b</b>", "<p>a &lt;b onclick=x&gt;b&lt;/b&gt;</p>\n"),
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"),
        (
            '[x](https://e.example/?a=1&b=2 "t")',
            f'<p><a href="https://e.example/?a=1&amp;b=2" title="t" {REL}>x</a></p>\n',
        ),
        ("[x](/a) [y](#b)", f'<p><a href="/a" {REL}>x</a> <a href="#b" {REL}>y</a></p>\n'),
        ("![x](https://e.example/a.png)", '<p><img src="https://e.example/a.png" alt="x"></p>\n'),
    ],
)
def test_markdown_compiles_and_loses_nothing(body: str, compiled: str) -> None:
    assert render(body, MARKDOWN) == Rendered(compiled, ())


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("[x](javascript:alert(1))", "address javascript:alert(1)"),
        ("![x](data:image/png;base64,xx)", "address data:image/png;base64,xx"),
        ("[x](//e.example/a)", "address //e.example/a"),
        ("[x](https://u:p@e.example)", "address https://u:p@e.example"),
        ("<vbscript:x>", "address vbscript:x"),
        ("[x]\n\n[x]: javascript:x", "address javascript:x"),
        ("![x](/a.png)", "src='/a.png' of <img>"),
    ],
)
def test_an_address_that_markdown_loses_is_told(body: str, what: str) -> None:
    assert removed(body, MARKDOWN) == [what]
    assert re.findall("href|src", html(body, MARKDOWN)) == []


@pytest.mark.parametrize(
    ("body", "compiled", "gone"),
    [
        ("<p title=t lang=de dir=rtl>x</p>", '<p title="t" lang="de" dir="rtl">x</p>', []),
        ("<ol start=3><li>x</ol>", '<ol start="3"><li>x</li></ol>', []),
        ("a < b &lt;i&gt; & c", "a &lt; b &lt;i&gt; &amp; c", []),
        ("<a href=/a>x</a>", f'<a href="/a" {REL}>x</a>', []),
        ("<!-- <b> --><p>x<!---><b>y</b>", "<p>x<b>y</b></p>", []),
        ("<p onclick=x style='a'>y</p>", "<p>y</p>", ["onclick='x' of <p>", "style='a' of <p>"]),
        ("<script>alert(1)</script>z", "z", ["element <script>"]),
        ("<STYLE/>b{}</style >z", "z", ["element <style>"]),
        ("<svg onload=x>y</svg>", "y", ["element <svg>"]),
        ("<iframe src=x></iframe>", "", ["element <iframe>"]),
        (
            "<form action=x><input><button>z</button></form>",
            "z",
            ["element <form>", "element <input>", "element <button>"],
        ),
        ("<a href='java&#115;cript:x'>y</a>", f"<a {REL}>y</a>", ["href='javascript:x' of <a>"]),
        ("<a href=//e.example>y</a>", f"<a {REL}>y</a>", ["href='//e.example' of <a>"]),
        (
            "<img src=/a.png onerror=x alt=q>",
            '<img alt="q">',
            ["src='/a.png' of <img>", "onerror='x' of <img>"],
        ),
        ("<img width=9 height=99999>", '<img width="9">', ["height='99999' of <img>"]),
        ("<code class='language-a b'>z</code>", "<code>z</code>", ["class='language-a b' of <code>"]),
        ("<p>a</p><b title='", "<p>a</p>", ["unfinished <b>"]),
    ],
)
def test_html_keeps_what_is_allowed_and_tells_the_rest(body: str, compiled: str, gone: list[str]) -> None:
    assert (html(body), removed(body)) == (compiled, gone)


def test_evidence_is_told_once_and_ends_somewhere() -> None:
    assert removed("<svg></svg>" * 3) == ["element <svg>"]
    assert len(removed("".join(f"<x{number}>" for number in range(MAX_REMOVED + 9)))) == MAX_REMOVED


@pytest.mark.parametrize(
    "url", ["http://e.example", "HTTPS://e.example:8443/a?b#c", "https://[::1]/", "https://é.example/@x"]
)
def test_an_address_with_a_host_is_safe(url: str) -> None:
    assert safe_url(url) == safe_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *"javascript:x data:text/html,x vbscript:x ftp://e.example mailto:a@e.example //e.example".split(),
        *"https:e.example https:///x http://:80/ https://[x".split(),
        *"https://e.example\\@x \\\\e.example /\\e.example".split(),
        *"https://u@e.example https://u:p@e.example https://@e.example https://:p@e.example".split(),
        *("", " https://e.example", "https://e.example/a b", "java\tscript:x", "/\t/e.example", "#\x00"),
        *("https://e.example/\x7f", "https://e.example/\x85"),
    ],
)
def test_no_other_address_is_safe(url: str) -> None:
    assert (safe_url(url), safe_link(url)) == (None, None)


@pytest.mark.parametrize("url", ["/", "/a//b", "#", "#a"])
def test_a_place_on_the_site_is_safe_for_links_alone(url: str) -> None:
    assert (safe_url(url), safe_link(url)) == (None, url)


# --- Limits -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "level",
    [
        "<div>",
        "<b></i>",
        "<!--><div><!-->",
        "<div/>",
        "<b title='1'></p>",
        "<div><!--</div>-->",
    ],
)
def test_too_many_levels_are_refused_however_they_are_hidden(level: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        render(level * (MAX_NESTING + 1), HTML)

    assert refused.value.problems == [
        Problem("body", "more than 60 elements inside each other", "at most 60 once compiled")
    ]


@pytest.mark.parametrize("item", ["<p>x", "<b>x</b>", "<br>", "<div></div>", "<svg/>"])
def test_elements_beside_each_other_are_no_levels(item: str) -> None:
    assert html(item * 500) == html(item) * 500


def test_the_last_level_is_taken() -> None:
    deepest = "<div>" * MAX_NESTING + "</div>" * MAX_NESTING

    assert html(deepest) == deepest


def test_too_much_html_is_refused() -> None:
    with pytest.raises(InvalidDocument) as refused:
        render("x" * (MAX_HTML + 1), HTML)

    assert refused.value.problems == [
        Problem("body", f"more than {MAX_HTML} characters of HTML", f"at most {MAX_HTML} once compiled")
    ]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        # Browsers open each of the 50 again in every paragraph: megabytes from a few kilobytes.
        (
            "".join(f"<b title={n}>" for n in range(50)) + "<p>x</p>" * 3000,
            f"{MAX_REOPENED} repetitions of elements such as <b> that nobody closed",
        ),
        ("<table>" + "x<p>" * (MAX_ELEMENTS + 1), f"{MAX_ELEMENTS} elements"),
        ("&" * (MAX_REFERENCES + 1), f"{MAX_REFERENCES} references such as &amp;"),
    ],
    ids=["left open", "elements", "references"],
)
def test_what_would_cost_the_sanitiser_minutes_is_refused_before_it(body: str, what: str) -> None:
    with pytest.raises(InvalidDocument, match=re.escape(f"more than {what}")):
        render(body, HTML)


def test_code_full_of_quotes_is_no_cost() -> None:
    code = '"key": "value",\n' * 60_000

    assert code in html(f"<pre>{code}</pre>")


SHORT = 0.005  # seconds, below which a clock tells little


def seconds(body: str, body_format: BodyFormat) -> float:
    """The least of three: whatever else the process does meanwhile only adds to one of them."""
    return min(_seconds_once(body, body_format) for _ in range(3))


def _seconds_once(body: str, body_format: BodyFormat) -> float:
    render.cache_clear()
    started = process_time()
    render(body, body_format)
    return process_time() - started


@pytest.mark.parametrize(
    "piece", ["<a ", "<a b=", "<a href='", "<!--", "</a", "<script>", "<![CDATA[", '<b title="\'">x</b>']
)
def test_four_times_the_hostile_html_takes_about_four_times_the_time(piece: str) -> None:
    once, four_times = (seconds(piece * (length // len(piece)), HTML) for length in (50_000, 200_000))

    assert four_times < 8 * max(once, SHORT)


@pytest.mark.parametrize("piece", ["[", "*a ", "![a](", "`a", "> ", "- ", "_a*", "<"])
def test_four_times_the_hostile_markdown_takes_about_four_times_the_time(piece: str) -> None:
    once, four_times = (seconds(piece * (length // len(piece)), MARKDOWN) for length in (2_000, 8_000))

    assert four_times < 8 * max(once, SHORT)


# --- Any text -----------------------------------------------------------------------------------------------
class Seen(HTMLParser):
    """What a page would hold that is not on the allow-list, and how deep it goes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        allowed = ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        if tag not in TAGS:
            self.wrong.append(tag)
        for name, value in attrs:
            address = {"href": safe_link, "src": safe_url}.get(name)
            if name not in allowed or (address and address(value or "") is None):
                self.wrong.append(f"{tag} {name}={value!r}")

    def handle_comment(self, data: str) -> None:
        self.wrong.append("comment")


PIECES = (
    "<script>,</script>,<style>,</style>,<svg>,</svg>,<math>,<mtext>,<title>,</title>,<textarea>,<noscript>,"
    "</noscript>,<!--,-->,--!>,<![CDATA[,]]>,<p>,</p>,<b ,<a href=,<img src=x onerror=alert(1)>,<table>,<td>,"
    "</table>,<div/>,</br>,javascript:alert(1),//e.example,https://e.example,',\",>,<,/,=,&lt;,&#x3c;,&#106;,"
    "onload=x ,style=x ,`,```,*,[x](,),![, \n,\n\n,> ,- ,|,a"
).split(",")
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30
)


@given(TEXTS, st.sampled_from(BodyFormat))
@example("<svg><style><img title='</style><img src=x onerror=alert(1)>'>", HTML)
@example("<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", HTML)
@example(
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    HTML,
)
@example('<a title="&quot;><script>x</script>">', HTML)
def test_no_text_becomes_more_than_what_is_allowed(body: str, body_format: BodyFormat) -> None:
    compiled = render(body, body_format)

    assert Seen(compiled.html).wrong == []
    assert render(body, body_format) == compiled


@given(TEXTS, st.sampled_from(BodyFormat))
def test_clean_html_stays_as_it_is(body: str, body_format: BodyFormat) -> None:
    clean = html(html(body, body_format))

    assert html(clean) == clean


def test_words_are_the_text_alone() -> None:
    assert words('<p title="t">a &amp; <b>b</b></p>') == "a &amp; b"
    assert words("") == ""
