"""Turn the list of posts and their change form into calls of kb.flow.drafting."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from kb import words
from kb.admin import audit, claims, conflict, editing, filters, history, labels, review, verification
from kb.admin.forms import PostForms
from kb.admin.resume import resumable
from kb.admin.site import ListAdmin
from kb.choices import State
from kb.diff import LABELS, diff
from kb.document import Document
from kb.errors import Conflict, InvalidDocument, Refused
from kb.flow import drafting, reviewing
from kb.models import Flag, Post, Revision
from kb.models.publication import TsQuery

SCORES = ("quality", "freshness", "depth", "clarity")
OTHER_PERSON = (
    "This was typed under another login, and you are {} now. Nothing is saved yet: save again if it shall "
    "be saved as yours."
)
UNCHANGED = "Nothing changed; no new revision."
# What a list of posts never shows and would fetch for each row.
HEAVY = (
    *("body", "summary", "outline", "brief", "payload", "notes", "expected_result", "rollback_note"),
    *("head__canonical", "head__files_touched", "head__command_used", "head__metric_improved"),
    *(f"publication__{name}" for name in ("html", "detail_json", "card_json", "meta_json", "summary")),
)


class FewFirst(Paginator):
    """Counts rows, and of few keeps which they are: no second search through all posts for the page."""

    few: list[int] | None = None

    @cached_property
    def count(self) -> int:
        found = list(self.object_list.order_by().values_list("pk", flat=True)[: self.per_page + 1])
        if len(found) > self.per_page:
            return self.object_list.order_by().count()
        self.few = found
        return len(found)


@admin.register(Post)
class PostAdmin(ListAdmin):
    actions = ["ask_for_review"]
    empty_text = (
        "No posts here. Write one with “Add post”, or import a file with “manage.py import_posts”; "
        "if a filter is set, clear it to see the rest."
    )
    list_display = ("linked_title", "states", "open_flags", "scores", "updated")
    list_display_links = None
    list_filter = (
        filters.StateFilter,
        filters.PublishedFilter,
        filters.FlagFilter,
        filters.DifficultyFilter,
        filters.ScoreFilter,
        filters.SourceFilter,
        filters.TopicFilter,
    )
    list_per_page = 50
    paginator = FewFirst
    ordering = ("-updated_at", "-pk")
    search_fields = ("title", "slug", "reference", "topic")
    search_help_text = (
        "Searches title, address, reference, topic, entities, summary and text: words in any form, "
        "“phrases”, a minus before what must not be there."
    )
    show_full_result_count = False
    fieldsets = (
        ("Note", {"fields": ("title", "slug", "topic", "summary", "body_format", "body")}),
        (
            "Metadata",
            {
                "fields": (
                    "outline",
                    "brief",
                    ("stack", "tools"),
                    ("code_language", "difficulty", "reading_time"),
                    "notes",
                )
            },
        ),
        ("Scores", {"fields": (SCORES,)}),
        (
            "Operation",
            {
                "fields": ("owner", "expected_result", "rollback_note"),
                "description": "Who answers for it, what should come out, and the way back, in one place.",
            },
        ),
        (
            "Source",
            {
                "fields": (
                    ("ai_generated_style", "needs_human_review"),
                    ("has_images", "image_heavy"),
                    "payload",
                ),
                "description": "What the source says of the note. kb draws its own conclusions in flags.",
            },
        ),
    )
    note_fieldsets = (
        (
            "Change note",
            {"fields": ("reason", ("files_touched", "command_used"), ("metric_improved", "version"))},
        ),
    )

    # --- Rights: nothing is deleted; a published post is withdrawn on its review page. ---

    def has_delete_permission(self, request: HttpRequest, obj: Post | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Post | None = None) -> bool:
        return request.user.has_perm("kb.change_post")

    # --- List ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Post]:
        posts = labels.with_standing(super().get_queryset(request))
        return posts.select_related("head", "publication", "oversight")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Post], search_term: str
    ) -> tuple[QuerySet[Post], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(text__words=TsQuery(words.begun(words.query(search_term)))), False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        open_flags = Prefetch("head__flags", queryset=Flag.objects.open(), to_attr="open_flags")
        few = changes.paginator.few
        found = changes.result_list if few is None else changes.result_list.filter(pk__in=few)
        changes.result_list = _page(found, open_flags)
        return changes

    @admin.display(description="Title and topic", ordering="title")
    def linked_title(self, post: Post) -> SafeString:
        address = reverse("admin:kb_post_change", args=[post.pk])
        topic = format_html('<div class="kb-muted">{}</div>', post.topic) if post.topic else ""
        return format_html('<a class="kb-title" href="{}">{}</a>{}', address, post.title, topic)

    @admin.display(description="Readers have · state", ordering="state")
    def states(self, post: Post) -> SafeString:
        return labels.states(post)

    @admin.display(description="Open flags")
    def open_flags(self, post: Post) -> SafeString | str:
        return labels.flags(post.head.open_flags) if post.head else ""

    @admin.display(description="Scores")
    def scores(self, post: Post) -> SafeString:
        return format_html_join(
            " ",
            '<abbr class="kb-score" title="{}">{}&nbsp;{}</abbr>',
            (
                (name.capitalize(), name[0].upper(), getattr(post, name))
                for name in SCORES
                if getattr(post, name) is not None
            ),
        )

    @admin.display(description="Updated", ordering="updated_at")
    def updated(self, post: Post) -> SafeString | str:
        return labels.when(post.updated_at)

    @admin.action(description="Ask for review", permissions=["change"])
    def ask_for_review(self, request: HttpRequest, posts: QuerySet[Post]) -> None:
        asked = 0
        for post in posts:
            try:
                reviewing.ask_for_review(post, by=request.user, at=timezone.now())
                asked += 1
            except Refused as refused:
                messages.error(request, str(refused))
        if asked:
            messages.success(request, f"{asked} {'posts wait' if asked > 1 else 'post waits'} for review.")

    # --- Addresses ---

    def get_urls(self) -> list[URLPattern]:
        mine = (
            *review.ROUTES,
            ("<int:pk>/history/<int:number>/", history.revision, "revision"),
            ("<int:pk>/history/<int:number>/diff/<int:other>/", history.compared, "diff"),
            ("<int:pk>/history/<int:number>/restore/", history.restore, "restore"),
            *editing.ROUTES,
            *verification.ROUTES,
            *audit.POST_PAGES,
            *claims.ROUTES,
        )
        return [
            *(
                path(route, self.admin_site.admin_view(view), name=f"kb_post_{name}")
                for route, view, name in mine
            ),
            path("add/", resumable(self.admin_site, self.add_view, "kb.add_post"), name="kb_post_add"),
            path(
                "<path:object_id>/change/",
                resumable(self.admin_site, self.change_view, "kb.change_post"),
                name="kb_post_change",
            ),
            *super().get_urls(),
        ]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return history.page(request, self._post(request, object_id))

    # --- Form ---

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        post = self._post(request, object_id) if object_id is not None else None
        if post and request.method != "POST" and not self.has_change_permission(request, post):
            return history.revision(request, post.pk, post.head.number)
        allowed = self.has_change_permission(request, post) if post else self.has_add_permission(request)
        if not allowed:
            raise PermissionDenied
        if extra_context and "resumed" in extra_context:
            return self._show(request, post, PostForms(request.POST, new=post is None), extra=extra_context)
        if request.method == "POST":
            return self._save(request, post)
        copy = drafting.of(request.user, post)
        if copy and "restore" in request.GET:
            extra = {"restored": editing.offered(copy), "copy": editing.token(copy)}
            return self._show(request, post, PostForms(copy.fields, new=post is None), extra=extra)
        if post is None:
            forms = PostForms(new=True, note={"body_format": "markdown"})
        else:
            forms = PostForms(new=False, document=post.document(), base_number=post.head.number)
        return self._show(request, post, forms, extra={"offered": copy and editing.offered(copy)})

    def _post(self, request: HttpRequest, object_id: str) -> Post:
        post = self.get_object(request, admin.utils.unquote(object_id))
        if post is None:
            raise Http404("There is no such post.")
        if not self.has_view_or_change_permission(request, post):
            raise PermissionDenied
        return post

    def _save(self, request: HttpRequest, post: Post | None) -> HttpResponse:
        forms = PostForms(request.POST, new=post is None)
        carried = conflict.carried(request.POST, post) if post else None
        if request.POST.get("writer", writer := str(request.user.pk)) != writer:
            extra = {"resumed": OTHER_PERSON.format(request.user), "comparison": carried}
            return self._show(request, post, forms, status=409, extra=extra)
        if "_check" in request.POST:
            look = editing.look(post, forms)
            return self._show(request, post, forms, extra={"look": look, "comparison": carried})
        if not forms.is_valid() or forms.document is None:
            return self._show(request, post, forms, extra={"comparison": carried})
        document = carried.chosen(forms.document) if carried else forms.document
        if "_choose" in request.POST or conflict.unmerged(document):
            return self._choose(request, post, forms, document, carried)
        return self._write(request, post, forms, document, {"comparison": carried})

    def _write(
        self,
        request: HttpRequest,
        post: Post | None,
        forms: PostForms,
        document: Document,
        extra: Mapping[str, Any],
    ) -> HttpResponse:
        """Save what the forms hold, or show them with what stood in the way."""
        try:
            if post is None:
                return self._create(request, forms, document)
            return self._revise(request, post, forms, document)
        except Conflict as lost:
            return self._merge(request, post, forms, document, lost)
        except InvalidDocument as error:
            forms.object(error)
            return self._show(request, post, forms, extra=extra)
        except Refused as refused:
            at_field = forms.refuse(str(refused), refused.code)
            return self._show(request, post, forms, status=200 if at_field else 409, extra=extra)

    def _create(self, request: HttpRequest, forms: PostForms, document: Document) -> HttpResponse:
        given = forms.form.cleaned_data
        post = drafting.create(
            document,
            slug=given["slug"],
            by=request.user,
            at=timezone.now(),
            note=forms.form.note(),
            version=given["version"] or "0.1.0",
            ask_for_review="_ask" in request.POST,
        )
        messages.success(request, _saved(post.head, asked="_ask" in request.POST))
        return HttpResponseRedirect(reverse("admin:kb_post_change", args=[post.pk]))

    def _revise(self, request: HttpRequest, post: Post, forms: PostForms, document: Document) -> HttpResponse:
        given = forms.form.cleaned_data
        revision = drafting.save(
            post,
            document,
            base_number=given["base_number"],
            by=request.user,
            at=timezone.now(),
            note=forms.form.note(),
            version=given["version"],
            ask_for_review="_ask" in request.POST,
        )
        if revision:
            messages.success(request, _saved(revision, asked="_ask" in request.POST))
        else:
            post.refresh_from_db(fields=["state"])
            waits = "_ask" in request.POST and post.state == State.WAITING
            messages.info(request, UNCHANGED + (" It waits for review." if waits else ""))
        return HttpResponseRedirect(reverse("admin:kb_post_change", args=[post.pk]))

    def _merge(
        self, request: HttpRequest, post: Post | None, forms: PostForms, yours: Document, lost: Conflict
    ) -> HttpResponse:
        """Lay base, theirs and yours beside each other, over a form that goes on from theirs."""
        post = Post.objects.with_parts().select_related("head__author").get(pk=post.pk if post else None)
        theirs = post.document()
        if not diff(theirs, yours):
            messages.info(request, "Somebody saved the same content just before you; no new revision.")
            return HttpResponseRedirect(reverse("admin:kb_post_change", args=[post.pk]))
        base = Revision.objects.filter(post=post, number=lost.base_number).first()
        comparison = conflict.compare(base, post.head, yours)
        merged = self._going_on(post, comparison.merged(), post.head.number, forms)
        extra = {"comparison": comparison, "lost": str(lost)}
        return self._show(request, post, merged, status=409, extra=extra)

    def _choose(
        self,
        request: HttpRequest,
        post: Post | None,
        forms: PostForms,
        document: Document,
        carried: conflict.Comparison | None,
    ) -> HttpResponse:
        """Show the form with what was chosen; nothing is saved while two passages still ask for a choice."""
        extra = {"comparison": conflict.settled(carried) if carried else None}
        if document is not forms.document:
            forms = self._going_on(post, document, forms.form.cleaned_data.get("base_number"), forms)
        open_fields = conflict.unmerged(document)
        if open_fields and "_choose" not in request.POST:
            names = ", ".join(LABELS[name] for name in open_fields)
            messages.error(
                request,
                f"Not saved: {names} still holds two passages, between lines that begin with <<<<<<< and "
                ">>>>>>>. Keep what is right and delete those lines.",
            )
        return self._show(request, post, forms, extra=extra)

    @staticmethod
    def _going_on(
        post: Post | None, document: Document, base_number: int | None, typed: PostForms
    ) -> PostForms:
        """The forms with this content, and with the note that was typed."""
        return PostForms(
            new=post is None, document=document, base_number=base_number, note=typed.form.cleaned_data
        )

    def _show(
        self,
        request: HttpRequest,
        post: Post | None,
        forms: PostForms,
        *,
        status: int = 200,
        extra: Mapping[str, Any] | None = None,
    ) -> TemplateResponse:
        fieldsets = [_without(fieldset, forms.form.fields) for fieldset in self.fieldsets]
        context = {
            **self.admin_site.each_context(request),
            "title": "Change post" if post else "Add post",
            "subtitle": str(post) if post else None,
            "adminform": helpers.AdminForm(forms.form, fieldsets, {}, model_admin=self),
            "note_fieldsets": helpers.AdminForm(forms.form, list(self.note_fieldsets), {}, model_admin=self),
            "inline_admin_formsets": [],
            "errors": helpers.AdminErrorList(forms.form, list(forms.formsets.values())),
            "lists": forms.lists,
            "base": forms.form["base_number"] if post else None,
            "media": self.media + forms.media,
            "original": post,
            "object_id": post and post.pk,
            "is_popup": False,
            "to_field": None,
            "preserved_filters": self.get_preserved_filters(request),
            "labels": labels.states(post) if post else "",
            "published": labels.publication_of(post) if post else None,
            "may_review": request.user.has_perm("kb.review_post"),
            "said": history.said(post.head) if post and post.head else None,
            "others": editing.present(request, post),
            # The state of the private copy that this form goes on from: none until it is restored or written.
            "copy": request.POST.get("copy", ""),
            **(extra or {}),
        }
        response = self.render_change_form(
            request, context, add=post is None, change=post is not None, obj=post
        )
        response.status_code = status
        return response

    def get_view_on_site_url(self, obj: Post | None = None) -> str | None:
        return obj.get_absolute_url() if obj and labels.publication_of(obj) else None


def _page(posts: Any, open_flags: Prefetch) -> list[Post]:
    """The rows of one page with their open flags, without the columns that a list never shows."""
    return list(posts.defer(*HEAVY).prefetch_related(open_flags))


def _without(fieldset: tuple[str, dict[str, Any]], known: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A fieldset without the fields that this form does not have."""
    name, options = fieldset
    fields = [field for field in options["fields"] if isinstance(field, tuple) or field in known]
    return name, {**options, "fields": fields}


def _saved(revision: Revision | None, *, asked: bool) -> str:
    if revision is None:
        return "Saved."
    waits = " It waits for review." if asked or revision.flags.holding_up().exists() else ""
    return f"Saved as revision {revision.number} (v{revision.version}).{waits}"
