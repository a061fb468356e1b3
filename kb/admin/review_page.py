"""Turn a post's newest revision into the page on which it is read, compared and decided."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from kb.admin import beside, comments, labels
from kb.admin.deciding import (
    MENDABLE,
    ApproveForm,
    CloseFlagForm,
    CommentForm,
    MendForm,
    RaiseFlagForm,
    WithdrawForm,
)
from kb.admin.diffs import VIEWS, Highlight, Shown, all_fields, shown
from kb.admin.history import by_severity, decision_rows, flag_row
from kb.admin.history import render as render_page
from kb.article import article
from kb.choices import Severity, Verdict
from kb.diff import LABELS
from kb.document import Document
from kb.errors import InvalidDocument, Refused
from kb.flow import criteria, reviewing
from kb.models import Decision, Flag, Post, QueueItem, Revision, Schedule
from kb.render import render

KEPT = ("base", "view", "filter")  # of the address: what is shown, and in which queue one works
MOST_BASES = 200  # revisions to choose from
# What each act of the page is typed into, by the act's name.
FORMS = {
    "decide": ApproveForm,
    "raise_flag": RaiseFlagForm,
    "withdraw": WithdrawForm,
    "comment": CommentForm,
    "mend": MendForm,
}
Context = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Base:
    """What the draft is compared with: a revision of this post or of another, or nothing."""

    value: str  # as in the address; empty: what was approved last
    title: str
    revision: Revision | None


def find(pk: int) -> Post:
    """The post with what its labels and its page need. Raises Http404."""
    posts = labels.with_standing(Post.objects.all())
    return get_object_or_404(
        posts.select_related("head__author", "head__import_run", "publication", "likeness", "oversight"),
        pk=pk,
    )


def kept(request: HttpRequest) -> str:
    """The part of the address that goes along from act to act, such as `base=2&view=split`."""
    return urlencode({name: request.GET[name] for name in KEPT if request.GET.get(name)})


def show(
    request: HttpRequest,
    post: Post,
    *,
    typed: dict[str, forms.Form] | None = None,
    refused: Refused | None = None,
    opened: int | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page; `opened` is the revision that somebody decided on who was refused because it changed."""
    typed = typed or {}
    head, document = post.head, post.head.document
    base, view = _base(request, post), request.GET.get("view") or "unified"
    if view not in VIEWS:
        raise Http404("There is no such view.")
    flags = by_severity(head.flags.select_related("raised_by", "closed_by", "settled_by"))
    decisions = _decisions(post)
    remarks = comments.rows(post, head, document)
    fields, changes = _content(base, document, view, [*_evidence(flags), *_passages(remarks)])
    places = _places(fields, changes)
    seen = _seen(post, decisions, flags)
    for form in typed.values():
        form.initial |= {name: value for name, value in seen.items() if name in form.fields}
    context = {
        "here": "review",
        "head": head,
        "created": labels.when(head.created_at),
        "query": f"?{kept(request)}" if kept(request) else "",
        "queue_address": f"{reverse('admin:kb_queue')}?{request.GET.get('filter', '')}".rstrip("?"),
        "base": base,
        "base_is_other_post": base.value.startswith("post-"),
        "bases": _bases(post, approved=any(one.verdict == Verdict.APPROVE for one in decisions)),
        "view": view,
        "views": VIEWS,
        "fields": fields,
        "changes": changes,
        "preview": _preview(document),
        "images": document.images,
        "source": beside.source(post),
        "near": beside.near(post, document),
        "similar": beside.similar(post, document),
        "written": beside.written(post),
        "criteria": _criteria(document, typed.get("decide")),
        **_refusal(post, typed, refused, opened, status),
        **_standing(request, post, flags, decisions),
        **_flags(flags, typed, places),
        **_comments(remarks, places),
        **_claim(request, post),
        **_mending(request, post, document, typed),
        **_forms(seen, typed),
    }
    return render_page(request, "review", post, title="Review", status=status, **context)


def _decisions(post: Post) -> list[Decision]:
    return list(
        Decision.objects.filter(revision__post=post)
        .select_related("revision", "reviewer", "schedule", "taken_back_by")
        .defer("revision__canonical")
    )


def _seen(post: Post, decisions: list[Decision], flags: list[Flag]) -> Context:
    """What this page shows: an act on anything else is refused."""
    published = labels.publication_of(post)
    return {
        "number": post.head.number,
        "fingerprint": post.head.fingerprint,
        "standing": reviewing.standing(decisions, flags),
        "published": published.fingerprint if published else "",
    }


# --- What the draft is compared with ------------------------------------------------------------------------
def _base(request: HttpRequest, post: Post) -> Base:
    """The base that `?base=` names: nothing ("none"), a revision, another post's draft ("post-7")."""
    match request.GET.get("base", "").partition("-"):
        case ("", "", ""):
            return _approved(post)
        case ("none", "", ""):
            return Base("none", "Everything, compared with nothing", None)
        case ("post", "-", key):
            other = get_object_or_404(Post.objects.select_related("head"), pk=_number(key))
            return Base(f"post-{other.pk}", f"How it differs from “{other}”", other.head)
        case (key, "", ""):
            revision = get_object_or_404(post.revisions.all(), number=_number(key))
            return Base(str(revision.number), f"Changes since {_named(revision)}", revision)
    raise Http404("There is no such revision.")


def _approved(post: Post) -> Base:
    effective = Decision.objects.effective().filter(revision__post=post)
    last = effective.select_related("revision").order_by("-pk").first()
    if last is None:
        return Base("", "Everything is new: nothing of this post was approved yet", None)
    return Base("", f"Changes since the last approval ({_named(last.revision)})", last.revision)


def _named(revision: Revision) -> str:
    return f"revision {revision.number}, v{revision.version}"


def _number(text: str) -> int:
    """Digits of an address. Raises Http404 for what names no row."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Http404("There is no such revision.")
    return int(text)


def _bases(post: Post, *, approved: bool) -> list[tuple[str, str]]:
    numbers = post.revisions.order_by("-number").values_list("number", "version")[:MOST_BASES]
    return [
        ("", "What was approved last" if approved else "What was approved last: nothing yet"),
        ("none", "Nothing"),
        *((str(number), f"Revision {number} (v{version})") for number, version in numbers),
    ]


# --- Where things stand -------------------------------------------------------------------------------------
def _refusal(
    post: Post,
    typed: Mapping[str, forms.Form],
    refused: Refused | None,
    opened: int | None,
    status: int,
) -> Context:
    """Why an act was refused, and what changed since the page was opened on which it was meant."""
    before = None
    if refused and opened and opened < post.head.number:
        before = post.revisions.filter(number=opened).first()
    return {
        "refused": refused,
        "words": _words(typed) if refused else "",
        "wrong": status == 400,
        "opened": before,
        "since": shown(before.document, post.head.document, prefix="since-") if before else None,
    }


def _words(typed: Mapping[str, forms.Form]) -> str:
    """What somebody typed for an act that was refused: the act's form may be gone by now."""
    (form,) = typed.values()
    names = ("comment", "note", "sentence", "text")
    return next((form.initial[name] for name in names if form.initial.get(name)), "")


def _standing(request: HttpRequest, post: Post, flags: list[Flag], decisions: list[Decision]) -> Context:
    """What was decided, and what this person may do about it."""
    head, published, user = post.head, labels.publication_of(post), request.user
    decided = next((one for one in decisions if one.revision_id == head.pk and _in_force(one)), None)
    asked = any(flag.is_open and flag.severity == Severity.ASKS for flag in flags)
    verdict = decided.verdict if decided and not asked else None
    blocking = sum(flag.is_open and flag.severity == Severity.BLOCKING for flag in flags)
    own, self_approval = reviewing.is_own_work(post, user), settings.KB_ALLOW_SELF_APPROVAL
    may_publish = user.has_perm("kb.publish_post")
    schedule = _pending(decided)
    barred = not may_publish or bool(blocking) or (own and not self_approval)
    return {
        "decided": decided,
        "decided_when": labels.when(decided.at) if decided else "",
        "readers_have_it": published is not None and published.revision_id == head.pk,
        "schedule": schedule,
        "publishes": labels.moment(schedule.publish_at) if schedule else "",
        "decisions": decision_rows(decisions),
        "own_work": own,
        "self_approval": self_approval,
        "blocking": blocking,
        "may_publish": may_publish,
        "may_approve": verdict != Verdict.APPROVE and not barred,
        "may_request": verdict != Verdict.REQUEST_CHANGES,
        "done": verdict == Verdict.APPROVE,
    }


def _in_force(decision: Decision) -> bool:
    return decision.verdict != Verdict.TAKE_BACK and not hasattr(decision, "taken_back_by")


def _pending(decided: Decision | None) -> Schedule | None:
    schedule = getattr(decided, "schedule", None)
    return schedule if schedule and schedule.outcome == Schedule.PENDING else None


def _flags(flags: list[Flag], typed: Mapping[str, forms.Form], places: Mapping[str, str]) -> Context:
    return {
        "open_flags": [_open_flag(flag, typed, places) for flag in flags if flag.is_open],
        "closed_flags": [flag_row(flag) for flag in flags if not flag.is_open],
    }


def _open_flag(flag: Flag, typed: Mapping[str, forms.Form], places: Mapping[str, str]) -> Context:
    """A flag with the form that closes it; one that asks for review is closed by a decision alone."""
    name = f"flag{flag.pk}"
    form = typed.get(name) or CloseFlagForm(auto_id=f"id_{name}_%s")
    form.initial["sentence"] = flag.sentence
    closable = flag.severity != Severity.ASKS
    return {
        **flag_row(flag),
        "evidence": [
            {**found, **_place(found, f"flag-{flag.pk}-{number}", places)}
            for number, found in enumerate(flag.evidence)
        ],
        "form": form if closable else None,
        "typed": name in typed,
    }


def _comments(rows: list[comments.Row], places: Mapping[str, str]) -> Context:
    return {
        "open_comments": [
            {"row": row, **_place({"field": row.comment.field}, f"comment-{row.comment.pk}", places)}
            for row in rows
            if not row.resolved
        ],
        "resolved_comments": [{"row": row} for row in rows if row.resolved],
    }


# --- Where on the page the words are that a flag or a comment speaks of -------------------------------------
def _content(
    base: Base, document: Document, view: str, highlights: list[Highlight]
) -> tuple[list[Any], Shown | None]:
    """All fields where there is nothing to compare with, or else what changed."""
    if base.revision is None:
        return all_fields(document), None
    return [], shown(base.revision.document, document, view=view, highlights=highlights)


def _evidence(flags: list[Flag]) -> Iterator[Highlight]:
    for flag in flags:
        for number, found in enumerate(flag.evidence if flag.is_open else ()):
            if found.get("excerpt") and found.get("field"):
                anchor = f"flag-{flag.pk}-{number}"
                yield Highlight(found["field"], found["excerpt"], anchor, flag.sentence)


def _passages(rows: list[comments.Row]) -> Iterator[Highlight]:
    for row in rows:
        comment = row.comment
        if comment.quote and not row.resolved and not row.gone:
            field = comment.field or "body"
            yield Highlight(field, comment.quote, f"comment-{comment.pk}", f"{comment.by}: {comment.text}")


def _places(fields: list[Any], changes: Shown | None) -> dict[str, str]:
    """The id of each passage that is marked, and of what shows a field; what is shown nowhere has none."""
    places = {"body": "preview", **{field.field: f"field-{field.field}" for field in fields}}
    for part in changes.parts if changes else ():
        places |= {path.split(".", maxsplit=1)[0]: f"part-{part.slug}" for path in part.fields}
    return places | {css_id: css_id for css_id in (changes.placed if changes else ())}


def _place(found: Mapping[str, Any], css_id: str, places: Mapping[str, str]) -> Context:
    """Where a link leads; if the passage is not marked yet, the page's script looks for it in there."""
    if "revision" in found:
        return {}
    field = found.get("field", "").split(".", maxsplit=1)[0]
    marked = css_id in places
    return {"in": "" if marked else field, "anchor": places.get(css_id) or places.get(field, "")}


def _claim(request: HttpRequest, post: Post) -> Context:
    """Who has the post now, and since when."""
    now = timezone.now()
    item = QueueItem.objects.open().filter(post=post).select_related("claimed_by").first()
    holder = item.claimer(now) if item else None
    return {
        "item": item,
        "holder": holder,
        "mine": holder == request.user,
        "held": labels.minutes(item.claimed_at, now) if item and holder else "",
    }


def _criteria(document: Document, form: forms.Form | None) -> list[Context]:
    """The lists that a reviewer of this content goes through, with what was ticked before a refusal."""
    ticked = set(form["ticks"].value() or ()) if form else set()
    return [
        {
            "list": found,
            "items": [
                (f"{found.pk}:{place}", text, f"{found.pk}:{place}" in ticked)
                for place, text in enumerate(found.items)
            ],
        }
        for found in criteria.for_document(document)
    ]


def _mending(
    request: HttpRequest, post: Post, document: Document, typed: Mapping[str, forms.Form]
) -> Context:
    """The field that `?mend=` names, with its text to be mended."""
    wanted = request.GET.get("mend", "")
    form = typed.get("mend")
    if form is None and wanted in MENDABLE:
        text = document.plain()[wanted]
        initial = {"number": post.head.number, "field": wanted, "text": text}
        form = MendForm(initial=initial, auto_id="id_mend_%s")
    if form is not None:
        form.fields["text"].label = LABELS.get(form["field"].value(), "Text")
    return {"mend": form, "mendable": [(name, LABELS[name]) for name in MENDABLE]}


def _forms(seen: Context, typed: Mapping[str, forms.Form]) -> Context:
    return {
        **{
            f"{name}_form": typed.get(name) or form(initial=seen, auto_id=f"id_{name}_%s")
            for name, form in FORMS.items()
            if name != "mend"
        },
        **{f"{name}_typed": name in typed for name in FORMS},
    }


def _preview(document: Document) -> SafeString:
    """The body as readers would get it."""
    try:
        html = render(document.body, document.body_format).html
    except InvalidDocument as error:
        return format_html("<p>{}</p>", str(error))
    return article(html, prefix="text-").html
