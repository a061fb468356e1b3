"""Hostile content on its whole way, from source files to the meta box: it stays text, and nothing of it runs.

Each vector stands in every kind of field that has room for it, alone or with others. The `page` fixture fails
a test whose page shows a dialog, a console error or a report of the policy; `Visitor` looks at what became of
the page.
"""

import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from itertools import cycle, takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from kb.choices import BodyFormat
from kb.flow import reviewing, revising
from kb.models import Entity, Post, Publication, Receipt
from kb.render import render

FILE = Path(__file__).parents[1] / "data" / "hostile" / "xss.txt"
SYMBOLS = {0x2400 + code: code for code in (1, 9, 10)}  # ␁ ␉ ␊


def vectors() -> Iterator[str]:
    for line in FILE.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("§ "):
            yield line.translate(SYMBOLS)


VECTORS = list(vectors())
ALL = "\n".join(VECTORS)
LINES = [vector.strip() for vector in VECTORS if "\n" not in vector]


def packed(room: int) -> list[str]:
    """All one-line vectors, as many together as there is room for."""
    packs: list[str] = []
    for line in sorted(LINES, key=len, reverse=True):
        place = next((n for n, pack in enumerate(packs) if len(pack) + 1 + len(line) <= room), None)
        if place is None:
            packs.append(line)
        else:
            packs[place] += f" {line}"
    return packs


TITLES, LONG, SHORT = packed(280), packed(490), packed(190)
SHORTEST = [line for line in LINES if len(line) <= 60]
ADDRESSES = [line for line in LINES if re.match(r"[\w\x01\t ]*:|//", line)]
KINDS = [line for line in SHORTEST if not re.search("[:/]", line)]
POSTS = max(map(len, (TITLES, LONG, SHORT)))
MAIN = ("__proto__", "constructor")  # their addresses, too, are names that JavaScript knows
NAMES = ("__proto__", "constructor", "prototype", "toString", "__class__", "then")


def title(number: int) -> str:
    return f"Marker{number:02} {TITLES[number % len(TITLES)]}"


def document(number: int, share: list[str]) -> dict[str, Any]:
    """A Document with these vectors in all that holds several, and with its share of them in the rest."""
    long, short = LONG[number % len(LONG)], SHORTEST[number % len(SHORTEST)]
    text = "\n".join(share)
    lines = [vector.strip() for vector in share if "\n" not in vector]
    own = LINES[number::POSTS]
    pictures = [*LONG, *ADDRESSES] if len(lines) > len(LONG) else lines
    return {
        "title": title(number),
        "body": "\n\n".join(share),
        "body_format": ("markdown", "html")[number % 2],
        "topic": long,
        "summary": text,
        "outline": [{"label": "" if ":" in line else line, "text": line} for line in lines],
        "brief": text,
        "stack": lines,
        "tools": lines,
        "code_language": short,
        "checklists": [{"title": long, "items": lines}, {"title": "", "items": lines}],
        "entities": [{"name": line, "type": kind} for line, kind in zip(own, cycle(KINDS[number % 9 :]))],
        "images": [{"source": line, "url": line, "caption": line} for line in pictures],
        "payload": {
            "source_id": long,
            "generator": long,
            "scenario": long,
            "paragraphs": 1,
            "seed": 1,
            **{line: {line: [line]} for line in lines},
            **{name: {"pwned": 1, name: "alert(1)"} for name in NAMES},
        },
        "notes": lines,
        "flags": {"ai_generated_style": True, "needs_human_review": True},
        "owner": long,
        "expected_result": text,
        "rollback_note": text,
    }


def records() -> Iterator[dict[str, Any]]:
    """A line for each post: the first two hold all vectors in the body and in all that holds several."""
    for number in range(POSTS):
        whole = number < len(MAIN)
        yield {
            "slug": MAIN[number] if whole else "",
            "reference": SHORT[number % len(SHORT)],
            "source": SHORTEST[number % len(SHORTEST)],
            "source_id": f"{number} {SHORT[-number % len(SHORT)]}",
            "source_hash": SHORT[number % len(SHORT)],
            "source_status": SHORTEST[-number % len(SHORTEST)],
            "source_version": SHORTEST[-number % len(SHORTEST)],
            "document": document(number, VECTORS if whole else LINES[number::POSTS]),
        }


PAGE = "\n".join(
    [
        f"Marker99 {TITLES[0]}",
        *(f"\n{line}" for line in LINES),
        "\nalphanode post meta\n",
        f"topic{LONG[0]}",
        f"summary{LONG[0]}",
        "ai outline",
        *(f"  • {line}" for line in LINES),
        f"ai brief{LONG[0]}",
        "stack",
        *(f"  • {line}" for line in LINES),
        "tools",
        *(f"  • {line}" for line in LINES),
        f"code language{SHORTEST[0]}",
        "revision",
        f"  • status: {SHORTEST[1]}",
        f"  • version: {SHORTEST[2]}",
        f"reference{SHORT[0]}",
        f"hash{SHORT[1]}",
        f"owner{LONG[0]}",
        "checklist",
        *(f"  • {line}" for line in LINES),
        "entities",
        *(f"    • name: {line}\n    • type: {kind}" for line, kind in zip(LINES, cycle(KINDS))),
        "image sources",
        *(f"    • source: {line}\n    • url: {line}\n    • caption: {line}" for line in LINES),
        "payload",
        f"  • source id: page {SHORT[0]}",
        f"  • generator: {LONG[0]}",
        f"  • scenario: {LONG[0]}",
        *(f"  • {name}: {LONG[0]}" for name in NAMES),
        "notes",
        *(f"  • {line}" for line in LINES),
        *(f"key {number}: {line}" for number, line in enumerate(LINES)),
        *(line for line in LINES),
        "",
    ]
)


# --- Who looks, and at what ---------------------------------------------------------------------------------

# Everything of a page that could run or load something, and is not kb's own; with the text that it shows.
LOOK = r"""
(hidden) => {
  const found = [], texts = [];
  // Elements that are never kb's own, and names that would hide the document's own.
  const BAD = [
    "iframe, frame, object, embed, applet, base, style, noscript, template, slot, marquee, video, audio",
    "area, math, foreignObject, animate, use[href^=data], meta[http-equiv]",
    "a[id=kbViolation], [id=attributes], [name=getElementById]",
  ].join();
  const ADDRESSES = /^(href|src|action|formaction|xlink:href|data|poster|background|srcset)$/;
  const SAFE = /^(https?:\/\/|[#?]|\/(?!\/)|[\w-]+\/|\.|$)/;
  const OWN = /^\/(static\/|admin\/jsi18n\/$)/;
  const look = (root, own) => {
    for (const at of root.querySelectorAll("*")) {
      const say = () => found.push(at.outerHTML.slice(0, 300));
      if (at.shadowRoot) {
        look(at.shadowRoot, own);
        texts.push(at.shadowRoot.textContent);
      }
      if (at.matches(BAD)) say();
      if (at.localName === "script" && !(own && OWN.test(at.src.replace(location.origin, "")))) say();
      if (/^(input|select|textarea)$/.test(at.localName)) texts.push(at.value);
      for (const { name, value } of at.attributes) {
        if (/^on|^srcdoc$/i.test(name)) say();
        if (ADDRESSES.test(name) && !SAFE.test(value)) say();
        if (name === "action" && !/^(\/(?!\/)|\?|$)/.test(value)) say();
        if (name === "src" && own && !value.startsWith("/")) say();
      }
    }
  };
  look(document, true);
  for (const html of hidden) {
    // What a page makes of it, and what comes out when that is written and read once more.
    const inert = document.implementation.createHTMLDocument("");
    inert.body.innerHTML = html;
    inert.body.innerHTML = inert.body.innerHTML;
    look(inert.body, false);
  }
  return {
    found, text: [document.body.textContent, ...texts].join("\n"), title: document.title,
    pwned: [window.pwned, ({}).pwned, document.getElementById, document.body.attributes.length].map(
      (it) => typeof it,
    ),
  };
}
"""


def squashed(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f]+", "", text)


class Visitor:
    """Goes from page to page and looks whether all of it is kb's own."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page, self.origin = page, origin
        self.strayed: list[str] = []
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(f"{self.origin}/"):
            self.strayed.append(url)

    def signs_in(self, user: User) -> None:
        client = Client()
        client.force_login(user)
        cookies = [
            {"name": name, "value": it.value, "url": self.origin} for name, it in client.cookies.items()
        ]
        self.page.context.add_cookies(cookies)  # type: ignore[arg-type]

    def goes(self, path: str, titled: str, shows: Iterable[str] = ()) -> None:
        self.page.goto(self.origin + path)
        self.looks(titled, shows)

    def reads(self, path: str) -> Any:
        answer = self.page.request.get(self.origin + path)
        assert (path, answer.headers["content-type"], answer.headers["x-content-type-options"]) == (
            path,
            "application/json",
            "nosniff",
        )
        return answer.json()

    def presses(self, button: str) -> None:
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).click()

    def looks(self, titled: str, shows: Iterable[str] = (), *, parses: Iterable[str] = ()) -> None:
        """Assert that the page is whole and harmless, and shows all of this as text."""
        seen = self.page.evaluate(LOOK, list(parses))
        text = squashed(seen["text"])
        missing = [expected for expected in shows if squashed(expected) not in text]

        assert (self.page.url, seen["found"]) == (self.page.url, [])
        assert (self.page.url, missing) == (self.page.url, [])
        assert squashed(seen["title"]) == squashed(titled)
        assert seen["pwned"] == ["undefined", "undefined", "function", "number"]
        assert self.strayed == []


@pytest.fixture
def visitor(live_server: LiveServer, settings: Any, page: Page) -> Visitor:
    settings.KB_READ_ACCESS = "public"
    return Visitor(page, live_server.url)


@pytest.fixture
def cast(groups: None) -> SimpleNamespace:
    """People whom another system named; they come past the forms that allow letters alone."""

    def person(name: str, group: str) -> User:
        user = User.objects.create_user(name, "x@example.com", "pw", first_name=name, is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        return user

    return SimpleNamespace(
        editor=person('"><img src=x onerror=alert(201)>', "Editors"),
        second_editor=person("<script>alert(202)</script>{{7*7}}", "Editors"),
        reviewer=person("</script><svg onload=alert(203)>'\"", "Reviewers"),
        administrator=User.objects.create_superuser("<img src=x onerror=alert(204)>", password="pw"),
    )


@pytest.fixture
def imported(cast: SimpleNamespace, tmp_path: Path) -> list[Post]:
    """All files as the command imports them: the two posts with every vector first."""
    good, bad, page = (
        tmp_path / f'"><img src=x onerror=alert({number})>.{end}'
        for number, end in ((211, "jsonl"), (212, "jsonl"), (213, "txt"))
    )
    good.write_text("\n".join(json.dumps(record) for record in records()), encoding="utf-8")
    page.write_text(PAGE, encoding="utf-8")
    bad.write_text(
        json.dumps({line: line for line in LINES} | {"document": {"title": "x", "difficulty": LINES[0]}})
    )
    call_command("import_posts", str(good), str(page), verbosity=0)
    with pytest.raises(Exception, match="1 of 1 records need attention"):
        call_command("import_posts", str(bad), verbosity=0)
    return list(Post.objects.order_by("pk"))


def approve(post: Post, by: User) -> None:
    """Close what blocks and publish, with hostile notes."""
    post.refresh_from_db()
    head = post.head
    assert head
    for flag in head.flags.open().blocking():
        reviewing.close_flag(flag, by=by, at=timezone.now(), note=ALL)
    reviewing.approve(
        post, number=head.number, fingerprint=head.fingerprint, by=by, at=timezone.now(), comment=ALL
    )


# --- The tests ----------------------------------------------------------------------------------------------

ALLOWED_TAGS = set(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small span strong sub summary sup "
    "table tbody td tfoot th thead tr u ul var".split()
)
ALLOWED_ATTRIBUTES = set(
    "href rel title lang dir src alt width height class start colspan rowspan scope".split()
)


class Offences(HTMLParser):
    """What HTML for readers must not hold."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED_TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name not in ALLOWED_ATTRIBUTES:
                self.found.append(f"{name}={value} of <{tag}>")
            if name in {"href", "src"} and not self.is_address(value or ""):
                self.found.append(f"{name}={value} of <{tag}>")

    def is_address(self, value: str) -> bool:
        if re.match(r"#|/(?![/\\])", value):
            return True
        return urlsplit(value).scheme in {"http", "https"} and not re.search(r"[\x00-\x20\\]", value)

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")

    handle_decl = unknown_decl = handle_pi = handle_comment


def test_no_vector_passes_the_sanitiser_alone_or_with_others() -> None:
    bodies = [*VECTORS, "\n\n".join(VECTORS), "".join(VECTORS)]

    offences = {
        (body_format, body): found
        for body_format in BodyFormat
        for body in bodies
        if (found := Offences(render(body, body_format).html).found)
    }

    assert offences == {}


# What may be asked for: pictures from other hosts, where a page without a policy shows them.
PICTURES = {"https://evil.example/x.png"}


@pytest.mark.browser
def test_a_browser_makes_nothing_but_text_of_what_the_sanitiser_lets_through(
    page: Page, troubles: Any
) -> None:
    """Without any policy, so that the sanitiser stands alone."""
    troubles.expect("Failed to load resource")
    page.route("**/*", lambda route: route.abort())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    htmls = [render(body, form).html for form in BodyFormat for body in (*VECTORS, "\n\n".join(VECTORS))]

    page.evaluate("htmls => [...htmls, ''].forEach((html) => { document.body.innerHTML = html; })", htmls)
    seen = page.evaluate(LOOK, htmls)

    assert seen["found"] == []
    assert seen["pwned"] == ["undefined", "undefined", "function", "number"]
    assert seen["title"] == ""
    assert set(asked) <= PICTURES


@pytest.mark.browser
@pytest.mark.django_db(transaction=True, databases=["default", "reading"])
def test_editors_see_hostile_content_as_text(
    visitor: Visitor, imported: list[Post], cast: SimpleNamespace, troubles: Any
) -> None:
    post, other = imported[0], imported[1]
    name, page = post.title, visitor.page
    visitor.signs_in(cast.editor)

    visitor.goes("/admin/", "Editing and review | kb", [cast.editor.first_name])
    visitor.goes("/admin/kb/post/", "Posts | kb", [one.title for one in imported])
    visitor.goes(f"/admin/kb/post/?source={quote(post.source)}&q=Marker", "Posts | kb", [name, post.source])
    visitor.goes(
        f"/admin/kb/post/{other.pk}/change/",
        f"{other.title} | Change post | kb",
        [*VECTORS, other.reference, other.source_hash, other.source_id],
    )

    # A person chooses an entity from the server's list and edits.
    page.locator("#entities-0 .select2-selection").click()
    page.get_by_role("searchbox").fill("alert")
    expect(page.locator(".select2-results__option").nth(10)).to_be_visible()
    visitor.looks(f"{other.title} | Change post | kb")
    page.locator(".select2-results__option").nth(10).click()
    page.get_by_label("Reason").fill(ALL)
    page.get_by_label("Summary").fill("by hand")
    visitor.presses("Save draft")
    expect(page.get_by_text("Saved as revision 2")).to_be_visible()
    visitor.looks(f"{other.title} | Change post | kb", [*VECTORS, "by hand"])

    # Somebody else saved meanwhile: base, theirs and yours stand beside each other.
    troubles.expect("status of 409")
    theirs = Post.objects.get(pk=other.pk)
    revising.save(
        theirs,
        theirs.document().model_copy(update={"brief": f"theirs {ALL}"}),
        base_number=2,
        by=cast.second_editor,
        at=timezone.now(),
        note=revising.ChangeNote(ALL),
    )
    page.get_by_label("Brief").fill(f"yours {ALL}")
    page.get_by_label("Reason").fill(ALL)
    visitor.presses("Save draft")
    expect(page.get_by_role("heading", name="Somebody saved before you")).to_be_visible()
    # As changes since the base: the first line differs, the rest is the same in all three.
    first = ALL.split("\n")[0]
    visitor.looks(f"{other.title} | Change post | kb", [*VECTORS, f"theirs {first}", f"yours {first}"])
    page.get_by_role("radiogroup", name="AI brief").get_by_label("Keep mine").check()
    visitor.presses("Save draft")
    expect(page.get_by_text("Saved as revision 4")).to_be_visible()

    here = f"/admin/kb/post/{other.pk}/history/"
    visitor.goes(here, f"{other.title} | Revisions | kb", [cast.editor.username, cast.second_editor.username])
    visitor.goes(f"{here}4/", f"{other.title} | Revision 4 (v0.1.3) | kb", [*VECTORS, cast.editor.username])
    visitor.goes(f"{here}1/restore/", f"{other.title} | Restore revision 1 | kb", VECTORS)

    # Acts on a list, and their messages
    reviewing.raise_flag(post, severity="advisory", sentence=ALL, by=cast.reviewer, at=timezone.now())
    approve(post, cast.reviewer)
    visitor.goes("/admin/kb/post/?q=Marker00", "Posts | kb", [name])
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("ask_for_review")
    visitor.presses("Go")
    visitor.looks("Posts | kb", [f"“{name}” is approved as it is"])

    # What kb wrote down
    visitor.signs_in(cast.administrator)
    rejected = Receipt.objects.get(outcome="rejected")
    visitor.goes("/admin/kb/revision/", "Revisions | kb", [name, ALL, cast.editor.username])
    visitor.goes("/admin/kb/flag/", "Flags | kb", [name, ALL])
    visitor.goes("/admin/kb/decision/", "Decisions | kb", [name, ALL, cast.reviewer.username])
    visitor.goes("/admin/kb/importrun/", "Import runs | kb")
    visitor.goes("/admin/kb/receipt/", "Receipts | kb", [name, rejected.place, rejected.reason])
    visitor.goes(
        f"/admin/kb/receipt/{rejected.pk}/change/", f"{rejected} | View receipt | kb", [rejected.reason]
    )
    run = rejected.run
    visitor.goes(
        f"/admin/kb/importrun/{run.pk}/change/",
        f"{run} | View import run | kb",
        [rejected.place[:-2]],
    )

    # Entities: found by an alias, changed, deleted
    entity = Entity.objects.order_by("pk")[0]
    visitor.goes(f"/admin/kb/entity/{entity.pk}/change/", f"{entity} | Change entity | kb", [entity.name])
    page.get_by_label("Aliases").fill("\n".join(LINES))
    visitor.presses("Save")
    visitor.looks("Entities | kb", [*LINES, str(entity)])
    visitor.goes(f"/admin/kb/entity/{entity.pk}/history/", f"Change history: {entity} | kb", [entity.name])
    unused = Entity.objects.create(name=LINES[0], type=KINDS[-1], aliases=LINES)
    visitor.goes(f"/admin/kb/entity/{unused.pk}/delete/", "Delete | kb", [str(unused)])
    visitor.presses("Yes, I’m sure")
    visitor.looks("Entities | kb", [f"The entity “{unused}” was deleted successfully."])
    visitor.goes("/admin/auth/user/", "Select user to change | kb", [cast.editor.username])


@pytest.mark.browser
@pytest.mark.django_db(transaction=True, databases=["default", "reading"])
def test_reviewers_and_readers_see_hostile_content_as_text(
    visitor: Visitor, imported: list[Post], cast: SimpleNamespace
) -> None:
    page = visitor.page
    for post in imported[2:]:
        approve(post, cast.reviewer)
    visitor.signs_in(cast.reviewer)

    # A reviewer reads, raises a flag, closes what blocks, approves.
    post, other = imported[:2]
    visitor.goes(f"/admin/kb/post/{other.pk}/review/", f"{other.title} | Review | kb", VECTORS)
    approve(other, cast.reviewer)
    title = f"{post.title} | Review | kb"
    visitor.goes(f"/admin/kb/post/{post.pk}/review/", title, VECTORS)
    page.locator("summary", has_text="Raise a flag").click()
    page.get_by_label("Severity").select_option("blocking")
    page.get_by_label("Why somebody should look").fill(ALL)
    visitor.presses("Raise flag")
    visitor.looks(title, ["Flag raised.", ALL, f"Raised by {cast.reviewer.username}"])
    closing = page.locator("details", has=page.get_by_label("Why it is settled"))
    while closing.count():
        closing.first.locator("summary").click()
        closing.first.locator("textarea").fill(ALL)
        with page.expect_navigation():
            closing.first.get_by_role("button").click()
    page.locator("#decision textarea").fill(ALL)
    visitor.presses("Approve and publish")
    # Nothing else waits: the queue says what was done.
    visitor.looks("Review | kb", ["Approved and published", post.title])
    visitor.goes(f"/admin/kb/post/{post.pk}/review/", title, [f"Closed by {cast.reviewer.username}", ALL])

    # Readers find it, read it, and see its box.
    shown = [post.title for post in imported[:2]]
    visitor.goes("/", "Posts · kb", [*shown, *VECTORS, cast.reviewer.username])
    with page.expect_navigation():
        page.get_by_role("link", name="Older posts").click()
    visitor.looks("Posts · kb", [imported[2].title, imported[2].topic])
    # PostgreSQL leaves words of more than 2 KB out of what it marks, and takes a comment for one word.
    marked = list(takewhile(lambda vector: "<!--" not in vector, VECTORS))
    visitor.goes("/?q=Marker00", "Marker00 · Search · kb", [shown[0], *marked])
    visitor.goes(f"/?q={quote(LINES[0])}", f"{LINES[0]} · Search · kb", [LINES[0]])
    for post in (*imported[:3], imported[-1]):
        visitor.goes(f"/posts/{post.slug}/", f"{post.title} · kb", [post.owner])
        box = page.locator("kb-meta-box")
        expect(box).to_have_js_property("state", "ready")
        box.locator("summary").click()
        whole = VECTORS if post in imported[:2] else [post.notes[0]]
        texts = [*whole, post.title, post.topic, post.reference, post.code_language, post.source_hash]
        visitor.looks(f"{post.title} · kb", texts, parses=[Publication.objects.get(post=post).html])
    with page.expect_navigation():
        page.locator(".about a").first.click()
    visitor.looks(f"{LINES[0]} · kb", [LINES[0], imported[-1].title])
    visitor.goes("/entities/", "Entities · kb", [*LINES, *KINDS])
    visitor.goes("/embed/", "Embed the meta box · kb", [shown[0]])
    visitor.looks("Embed the meta box · kb")

    # Programs get JSON that no browser takes for a page, and HTML that holds none of it.
    for post in (*imported[:3], imported[-1]):
        detail = visitor.reads(f"/api/v1/posts/{post.slug}/")
        assert detail["title"] == post.title
        assert Offences(detail["html"]).found == []
        assert detail["body"] == (detail["html"] if post.body_format == "html" else post.body)
        assert visitor.reads(f"/api/v1/posts/{post.slug}/meta/")["notes"] == post.notes
    for path in ("posts/", f"posts/{MAIN[0]}/revisions/1/", "entities/", "checklists/", "changes/"):
        visitor.reads(f"/api/v1/{path}")
    page.goto(f"{visitor.origin}/api/v1/posts/{MAIN[0]}/")
    assert page.evaluate("[document.contentType, typeof window.pwned, document.title]") == [
        "application/json",
        "undefined",
        "",
    ]
