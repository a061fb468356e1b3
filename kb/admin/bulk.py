"""Turn one act on many posts of the queue into a preview, one flow call for each, and an account of it.

The preview rehearses each call in a transaction that is rolled back: it says what would happen because it has
happened. What was previewed is what is acted on: a post that changed since is refused. Approving is no such
act: whoever approves has read the one text that they approve.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from kb.admin import labels, queue_filter
from kb.admin.deciding import MAX_COMMENT, SeenForm
from kb.admin.desk import REVIEW, frame
from kb.admin.filters import words_of_flag
from kb.choices import Severity
from kb.errors import Refused
from kb.flow import flagging, queueing, reviewing
from kb.models import Decision, Flag, Post, QueueItem

MOST = 100  # posts in one go
ADVISORY = [
    *(code for code, rule in flagging.RULES.items() if rule.severity == Severity.ADVISORY),
    *sorted(queueing.CALLING),
]
Given = dict[str, Any]


# --- What one is asked ---


def _said(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=label, max_length=MAX_COMMENT, help_text=help_text, widget=AdminTextareaWidget({"rows": 3})
    )


class AskForm(forms.Form):
    """What an act takes. Several stand in one form of the page: no browser may ask for those left empty."""

    use_required_attribute = False


class AssignForm(AskForm):
    to = forms.ModelChoiceField(
        label="To whom",
        queryset=User.objects.none(),
        empty_label="Choose a reviewer",
        help_text="They are told.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["to"].queryset = User.objects.with_perm("kb.review_post").order_by("username")  # type: ignore[attr-defined]


class ReturnForm(AskForm):
    comment = _said("What has to change", "One comment for all of them. Readers keep what they have.")


class CloseForm(AskForm):
    code = forms.ChoiceField(label="Which flag", choices=[(code, words_of_flag(code)) for code in ADVISORY])
    note = _said("Why it is settled", "Stays with each of the flags.")


class RowForm(SeenForm):
    """One post as the preview showed it."""

    post = forms.IntegerField(widget=forms.HiddenInput, min_value=1, max_value=2**63 - 1)
    flag = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=1, max_value=2**63 - 1)
    sentence = forms.CharField(widget=forms.HiddenInput, required=False, strip=False)


RowForms = forms.formset_factory(
    RowForm, extra=0, max_num=MOST, absolute_max=MOST, validate_max=True, min_num=1, validate_min=True
)


# --- What is done ---


@dataclass(slots=True)
class Step:
    """One post, what was seen of it, and what becomes or became of it."""

    post: Post
    seen: Given
    flags: list[Flag]
    item: QueueItem | None = None
    refused: str = ""
    says: str = ""

    @property
    def address(self) -> str:
        return reverse("admin:kb_post_review", args=[self.post.pk])


@dataclass(frozen=True, slots=True)
class Act:
    name: str
    opens: str  # the words of its part of the page
    verb: str
    done: str
    form: type[forms.Form]
    run: Callable[[Step, Given, Any, datetime], object]
    says: Callable[[Step, Given, datetime], str]

    @property
    def blank(self) -> forms.Form:
        return self.form(auto_id=f"id_{self.name}_%s")


def _assign(step: Step, given: Given, by: Any, at: datetime) -> object:
    return queueing.assign(step.post, to=given["to"], by=by, at=at)


def _assign_says(step: Step, given: Given, at: datetime) -> str:
    holder = step.item.claimer(at) if step.item else None
    told = f"; {holder}, who is on it, is told" if holder and holder != given["to"] else ""
    return f"Goes to {given['to']}{told}."


def _return(step: Step, given: Given, by: Any, at: datetime) -> object:
    seen = {name: step.seen[name] for name in ("number", "fingerprint", "standing")}
    return reviewing.request_changes(step.post, **seen, comment=given["comment"], by=by, at=at)


def _return_says(step: Step, given: Given, at: datetime) -> str:
    head = step.post.head
    publication = labels.publication_of(step.post)
    kept = f" Readers keep v{publication.version}." if publication else ""
    return f"Revision {head.number} (v{head.version}) goes back to its editors.{kept}"


def _close(step: Step, given: Given, by: Any, at: datetime) -> object:
    flag = next((flag for flag in step.flags if flag.pk == step.seen["flag"]), None)
    if flag is None:
        raise Refused(f"“{step.post}” has no open flag of this kind.", code="no_such_flag")
    return reviewing.close_flag(flag, sentence=step.seen["sentence"], note=given["note"], by=by, at=at)


def _close_says(step: Step, given: Given, at: datetime) -> str:
    return f"Closes: {step.seen['sentence']}"


ACTS = {
    act.name: act
    for act in (
        Act("assign", "Assign to a reviewer", "Assign", "Assigned", AssignForm, _assign, _assign_says),
        Act("return", "Return with one comment", "Return", "Returned", ReturnForm, _return, _return_says),
        Act(
            "close", "Close one advisory flag", "Close the flag on", "Closed", CloseForm, _close, _close_says
        ),
    )
}


@require_POST
@REVIEW
def preview(request: HttpRequest) -> HttpResponse:
    """Show what would become of each chosen post. Nothing is done."""
    act = ACTS.get(request.POST.get("act", ""))
    chosen = _numbers(request.POST.getlist("post"))
    if act is None or not chosen:
        messages.error(request, "Choose posts and what to do with them; nothing was done.")
        return HttpResponseRedirect(_queue(request))
    if len(chosen) > MOST:
        messages.error(request, f"Choose at most {MOST} posts at a time; nothing was done.")
        return HttpResponseRedirect(_queue(request))
    form = act.form(request.POST)
    valid = form.is_valid()
    steps = _steps(chosen, form.cleaned_data.get("code"))
    for step in steps if valid else ():
        _try(step, act, form.cleaned_data, request.user, rehearse=True)
    return _page(request, "preview", act, form, steps, status=200 if valid else 400)


@require_POST
@REVIEW
def do(request: HttpRequest) -> HttpResponse:
    """Do what the preview showed to each post as it showed it, and account for it."""
    act = ACTS.get(request.POST.get("act", ""))
    form, rows = act.form(request.POST) if act else None, RowForms(request.POST, prefix="rows")
    if act is None or form is None or not (form.is_valid() and rows.is_valid()):
        messages.error(request, "The preview was incomplete; nothing was done. Choose the posts again.")
        return HttpResponseRedirect(_queue(request))
    seen = {row["post"]: row for row in rows.cleaned_data}
    steps = _steps(list(seen), form.cleaned_data.get("code"))
    for step in steps:
        was, step.seen = step.seen, seen[step.post.pk]
        if any(was[name] != step.seen[name] for name in SeenForm.base_fields):
            step.refused = f"“{step.post}” changed since the preview, or somebody decided or flagged it."
        else:
            _try(step, act, form.cleaned_data, request.user, rehearse=False)
    return _page(request, "result", act, form, steps)


def _try(step: Step, act: Act, given: Given, by: Any, *, rehearse: bool) -> None:
    at = timezone.now()
    step.says = act.says(step, given, at)
    try:
        with transaction.atomic():
            act.run(step, given, by, at)
            if rehearse:
                transaction.set_rollback(True)
    except Refused as refused:
        step.refused = str(refused)
    except OperationalError:
        # A deadlock or a timeout: the others go on.
        step.refused = f"Somebody else was writing to “{step.post}” just then: try again."


def _steps(posts: Iterable[int], code: str | None) -> list[Step]:
    """The posts as they are now, in this order, with what a decision on each carries; without those gone."""
    found = Post.objects.select_related("head", "publication").defer("body", "head__canonical").in_bulk(posts)
    items = {
        item.post_id: item
        for item in QueueItem.objects.open().filter(post__in=found).select_related("claimed_by")
    }
    decisions, flags = defaultdict(list), defaultdict(list)
    for decision in Decision.objects.filter(revision__post__in=found).values_list("revision__post", "pk"):
        decisions[decision[0]].append(Decision(pk=decision[1]))
    for flag in (
        Flag.objects.filter(revision__in=[post.head_id for post in found.values()])
        .select_related("revision")
        .defer("revision__canonical")
    ):
        flags[flag.revision.post_id].append(flag)
    return [
        Step(post, _seen(post, decisions[pk], flags[pk], code), flags[pk], items.get(pk))
        for pk in posts
        if (post := found.get(pk))
    ]


def _seen(post: Post, decisions: list[Decision], flags: list[Flag], code: str | None) -> Given:
    flag = next(
        (flag for flag in flags if flag.is_open and flag.code == code and flag.severity == Severity.ADVISORY),
        None,
    )
    return {
        "number": post.head.number,
        "fingerprint": post.head.fingerprint,
        "standing": reviewing.standing(decisions, flags),
        "flag": flag.pk if flag else None,
        "sentence": flag.sentence if flag else "",
    }


def _page(
    request: HttpRequest, name: str, act: Act, form: forms.Form, steps: list[Step], *, status: int = 200
) -> HttpResponse:
    able = [step for step in steps if not step.refused]
    rows = RowForms(
        prefix="rows", initial=[{"post": step.post.pk, **step.seen} for step in able], auto_id=False
    )
    context = {
        "title": f"Preview: {act.opens}" if name == "preview" else f"{act.done}: {_posts(len(able))}",
        "act": act,
        "form": form,
        "steps": steps,
        "able": len(able),
        "count": _posts(len(able)),
        "refused": len(steps) - len(able),
        "rows": rows,
        "back": request.POST.get("back", ""),
        "queue": _queue(request),
    }
    return frame(request, name, status=status, **context)


def _posts(number: int) -> str:
    return f"{number} post{'' if number == 1 else 's'}"


def _numbers(given: list[str]) -> list[int]:
    """Primary keys of posts, each once; what is none is left out."""
    return list({int(text): None for text in given if text.isascii() and text.isdigit() and len(text) < 19})


def _queue(request: HttpRequest) -> str:
    query = QueryDict(request.POST.get("back", "")[: queue_filter.LONGEST_QUERY]).urlencode()
    return f"{reverse('admin:kb_queue')}?{query}" if query else reverse("admin:kb_queue")


ROUTES = (
    ("queue/preview/", preview, "queue_preview"),
    ("queue/do/", do, "queue_do"),
)
