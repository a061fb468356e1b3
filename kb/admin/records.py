"""Turn what kb wrote down (imports, receipts, revisions, flags, decisions) into lists that nobody edits."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from kb.admin import labels
from kb.admin.filters import NamedValuesFilter
from kb.admin.site import ListAdmin
from kb.models import Decision, Flag, ImportRun, Receipt, Revision


class ReadOnlyAdmin(ListAdmin):
    """A list and pages to look at: rows are written by kb.flow alone."""

    actions = None
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        raise Http404(f"There is no such {opts.verbose_name}.")


@admin.register(ImportRun)
class ImportRunAdmin(ReadOnlyAdmin):
    empty_text = "No imports yet. “manage.py import_posts PATH” makes the first."
    list_display = ("__str__", "started", "finished", "outcomes", "by", "receipts_link")
    list_filter = ("started_at",)
    list_select_related = ("by",)
    fields = ("started", "finished", "importer", "files", "outcomes", "receipts_link")

    @admin.display(description="Started", ordering="started_at")
    def started(self, run: ImportRun) -> SafeString | str:
        return labels.when(run.started_at)

    @admin.display(description="Finished", ordering="finished_at", empty_value="running, or broken off")
    def finished(self, run: ImportRun) -> SafeString | str | None:
        return labels.when(run.finished_at) if run.finished_at else None

    @admin.display(description="By")
    def importer(self, run: ImportRun) -> str:
        return str(run.by) if run.by else "the command line"

    @admin.display(description="Files and folders")
    def files(self, run: ImportRun) -> SafeString:
        return format_html_join("", '<div class="kb-mono">{}</div>', ((path,) for path in run.paths))

    @admin.display(description="Records")
    def outcomes(self, run: ImportRun) -> str:
        return ", ".join(f"{number} {outcome}" for outcome, number in run.counts.items())

    @admin.display(description="Receipts")
    def receipts_link(self, run: ImportRun) -> SafeString:
        address = reverse("admin:kb_receipt_changelist")
        return format_html('<a href="{}?run__id__exact={}">Receipts</a>', address, run.pk)


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    ordering = ("-pk",)
    empty_text = "No receipts. Each imported record gets one; if a filter is set, clear it to see the rest."
    list_display = ("place", "outcome", "reason", "post_link", "run")
    list_filter = ("outcome", ("source", NamedValuesFilter), ("run", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("post", "run")
    search_fields = ("place", "source_id", "reason")

    @admin.display(description="Post")
    def post_link(self, receipt: Receipt) -> SafeString | str:
        if receipt.post is None:
            return "–"
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:kb_post_change", args=[receipt.post_id]), receipt.post
        )


class AboutRevisionAdmin(ReadOnlyAdmin):
    """Rows that belong to a revision: each leads to that revision's own page."""

    list_display_links = None

    def address(self, row: Any) -> str:
        return reverse("admin:kb_post_revision", args=[row.revision.post_id, row.revision.number])

    @admin.display(description="Post")
    def post_link(self, row: Any) -> SafeString:
        revision = row if isinstance(row, Revision) else row.revision
        return format_html(
            '<a href="{}">{}</a> <span class="kb-muted">{}</span>',
            self.address(row),
            revision.post,
            f"revision {revision.number}",
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None or not self.has_view_permission(request):
            return super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, admin.utils.unquote(object_id))
        if row is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        return HttpResponseRedirect(self.address(row))


@admin.register(Revision)
class RevisionAdmin(AboutRevisionAdmin):
    empty_text = "No revisions yet. Each saved change makes one."
    list_display = ("post_link", "version", "origin", "author", "reason", "created")
    list_filter = ("origin",)
    list_select_related = ("post", "author")
    ordering = ("-pk",)
    search_fields = ("post__title", "post__slug", "reason", "fingerprint")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Revision]:
        return super().get_queryset(request).defer("canonical", "post__body")

    def address(self, row: Any) -> str:
        return reverse("admin:kb_post_revision", args=[row.post_id, row.number])

    @admin.display(description="Created", ordering="created_at")
    def created(self, revision: Revision) -> SafeString | str:
        return labels.when(revision.created_at)


@admin.register(Flag)
class FlagAdmin(AboutRevisionAdmin):
    empty_text = "No flags. Rules and reviewers raise them; if a filter is set, clear it to see the rest."
    list_display = ("post_link", "gravity", "code", "sentence", "raised", "closed")
    list_filter = ("severity", "code", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("revision__post",)
    ordering = ("-pk",)
    search_fields = ("revision__post__title", "sentence")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flag]:
        return super().get_queryset(request).defer("revision__canonical", "revision__post__body")

    @admin.display(description="Severity", ordering="severity")
    def gravity(self, flag: Flag) -> SafeString:
        return labels.label(flag.get_severity_display(), flag.severity)

    @admin.display(description="Raised", ordering="raised_at")
    def raised(self, flag: Flag) -> SafeString | str:
        return labels.when(flag.raised_at)

    @admin.display(description="Closed", ordering="closed_at", empty_value="open")
    def closed(self, flag: Flag) -> SafeString | str | None:
        return labels.when(flag.closed_at) if flag.closed_at else None


@admin.register(Decision)
class DecisionAdmin(AboutRevisionAdmin):
    empty_text = "No decisions yet. Reviewers make them on a post's review page."
    list_display = ("post_link", "verdict", "reviewer", "comment", "decided")
    list_filter = ("verdict",)
    list_select_related = ("revision__post", "reviewer")
    ordering = ("-pk",)
    search_fields = ("revision__post__title", "comment")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        return super().get_queryset(request).defer("revision__canonical", "revision__post__body")

    @admin.display(description="When", ordering="at")
    def decided(self, decision: Decision) -> SafeString | str:
        return labels.when(decision.at)
