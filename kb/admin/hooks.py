"""Turn webhooks into pages: whom kb tells of what is published, what waits, and what was given up."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from kb.admin import labels
from kb.admin.records import ReadOnlyAdmin
from kb.admin.site import ListAdmin
from kb.choices import ChangeKind
from kb.errors import Refused
from kb.flow import delivering, subscribing
from kb.models import Delivery, Hook
from kb.models.hooks import MAX_LABEL, MAX_URL

SHOWN = 20  # deliveries on the page of a webhook
LATE = timedelta(minutes=5)  # so long nothing waits where a sender runs
KIND_OF_STATE = {Delivery.WAITING: "waiting", Delivery.DELIVERED: "ok", Delivery.DEAD: "blocking"}
FIELDS = {"bad_label": "label", "taken": "label", "bad_url": "url", "bad_kinds": "kinds"}
CHANGE = permission_required("kb.change_hook", raise_exception=True)


class HookForm(forms.Form):
    """What is missing or wrong is the flow's to say; the attributes only let the browser say it sooner."""

    label = forms.CharField(label="Name", required=False, widget=AdminTextInputWidget({"required": True}))
    url = forms.CharField(
        label="Address",
        required=False,
        widget=AdminTextInputWidget({"placeholder": "https://", "required": True}),
        help_text="Where the other system takes messages; kb sends them there by POST.",
    )
    kinds = forms.MultipleChoiceField(
        label="Tell it when a post is",
        required=False,
        choices=[(kind.value, kind.label.lower()) for kind in ChangeKind],
        widget=forms.CheckboxSelectMultiple,
        initial=[kind.value for kind in ChangeKind],
        error_messages={"invalid_choice": "There is no such kind of change; choose of the list."},
    )

    label.widget.attrs["maxlength"] = MAX_LABEL
    url.widget.attrs["maxlength"] = MAX_URL


@admin.register(Hook)
class HookAdmin(ListAdmin):
    actions = None
    empty_text = "No webhooks yet. What you add here is told when a post is published, updated or withdrawn."
    list_display = ("label", "host", "hears", "standing", "last", "waiting", "given_up")
    list_per_page = 50
    ordering = ("-active", "label")

    class Media:
        css = {"all": ("kb/hooks.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hook]:
        found = super().get_queryset(request)
        if not request.resolver_match or request.resolver_match.url_name != "kb_hook_changelist":
            return found
        mine = Delivery.objects.filter(hook=OuterRef("pk")).order_by()
        delivered = mine.filter(state=Delivery.DELIVERED).order_by("-delivered_at")
        return found.annotate(
            last_at=Subquery(delivered.values("delivered_at")[:1]),
            number_waiting=_number(mine.waiting()),
            number_dead=_number(mine.dead()),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Hook | None = None) -> bool:
        return False

    @admin.display(description="To")
    def host(self, hook: Hook) -> str:
        return hook.url.split("/")[2]

    @admin.display(description="Hears of")
    def hears(self, hook: Hook) -> str:
        return kinds_of(hook)

    @admin.display(description="State", ordering="active")
    def standing(self, hook: Hook) -> SafeString:
        return standing_of(hook)

    @admin.display(description="Last delivered", ordering="last_at")
    def last(self, hook: Hook) -> SafeString | str:
        return labels.when(hook.last_at)  # type: ignore[attr-defined]

    @admin.display(description="Waiting", ordering="number_waiting")
    def waiting(self, hook: Hook) -> str:
        number = hook.number_waiting  # type: ignore[attr-defined]
        return f"{number:,} waiting" if number else "none waiting"

    @admin.display(description="Given up", ordering="number_dead")
    def given_up(self, hook: Hook) -> SafeString | str:
        number = hook.number_dead  # type: ignore[attr-defined]
        return (
            format_html('<a href="{}">{} given up</a>', dead_letters(hook), number)
            if number
            else "none given up"
        )

    # --- One webhook ---

    def get_urls(self) -> list[URLPattern]:
        acts = {"secret": self.renew, "switch": self.switch, "test": self.test}
        return [
            *(
                path(f"<int:pk>/{name}/", self.admin_site.admin_view(_act(view)), name=f"kb_hook_{name}")
                for name, view in acts.items()
            ),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        hook = self._found(request, object_id) if object_id is not None else None
        may_change = self.has_change_permission(request) if hook else self.has_add_permission(request)
        if not may_change and (request.method == "POST" or not hook or not self.has_view_permission(request)):
            raise PermissionDenied
        if request.method == "POST":
            return self._save(request, hook)
        given = {"label": hook.label, "url": hook.url, "kinds": hook.kinds} if hook else None
        return self._show(request, hook, form=HookForm(initial=given) if may_change else None)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The page of a webhook names what was done with it.
        return HttpResponseRedirect(reverse("admin:kb_hook_change", args=[object_id]) + "#acts")

    def _found(self, request: HttpRequest, object_id: str) -> Hook:
        hook = self.get_object(request, admin.utils.unquote(object_id))
        if hook is None:
            raise Http404("There is no such webhook.")
        return hook

    def _save(self, request: HttpRequest, hook: Hook | None) -> HttpResponse:
        form = HookForm(request.POST)
        if form.is_valid():
            given = {**form.cleaned_data, "by": request.user, "at": timezone.now()}
            try:
                if hook is None:
                    # No redirect: its secret is in this answer and in no other.
                    return self._show(request, subscribing.make(**given), made=True)
                subscribing.change(hook, **given)
                messages.success(request, f"“{given['label'].strip()}” is changed.")
                return HttpResponseRedirect(reverse("admin:kb_hook_change", args=[hook.pk]))
            except Refused as refused:
                form.add_error(FIELDS.get(refused.code), str(refused))
        return self._show(request, hook, form=form)

    def renew(self, request: HttpRequest, hook: Hook) -> HttpResponse:
        return self._show(request, subscribing.renew(hook, by=request.user, at=timezone.now()), made=True)

    def switch(self, request: HttpRequest, hook: Hook) -> HttpResponse:
        on = {"1": True, "0": False}.get(request.POST.get("on", ""))
        if on is None:
            raise BadRequest("Nothing was chosen: go back and choose again.")
        subscribing.switch(hook, on=on, by=request.user, at=timezone.now())
        messages.success(request, f"“{hook}” is {'on' if on else 'off'}.")
        return HttpResponseRedirect(reverse("admin:kb_hook_change", args=[hook.pk]))

    def test(self, request: HttpRequest, hook: Hook) -> HttpResponse:
        try:
            subscribing.test(hook, by=request.user, at=timezone.now())
            messages.success(request, "A test waits to be sent; load the page again to see what came of it.")
        except Refused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect(reverse("admin:kb_hook_change", args=[hook.pk]) + "#deliveries")

    def _show(
        self, request: HttpRequest, hook: Hook | None, *, form: HookForm | None = None, made: bool = False
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": hook.label if hook else "Add webhook",
            "opts": self.opts,
            "hook": hook,
            "form": form,
            "secret": subscribing.secret(hook) if hook and made else "",
            "may_change": self.has_change_permission(request),
            **(_about(hook) if hook else {}),
        }
        status = 400 if form and form.errors else 200
        return TemplateResponse(request, "admin/kb/hook/page.html", context, status=status)


def _act(view: Any) -> Any:
    """A view that does something with a webhook, for who may."""

    @require_POST
    @CHANGE
    def act(request: HttpRequest, pk: int) -> HttpResponse:
        return view(request, get_object_or_404(Hook, pk=pk))  # type: ignore[no-any-return]

    return act


def _about(hook: Hook) -> dict[str, Any]:
    """What waits for it, what came of the rest, and what was done with it."""
    now = timezone.now()
    rows = hook.deliveries.select_related("change")[:SHOWN]
    late = hook.deliveries.due(now - LATE).order_by("next_attempt_at").first()  # type: ignore[attr-defined]
    resting = bool(hook.rests_until and hook.rests_until > now)
    asked = resting and hook.failing_since and hook.rests_until > now + delivering.LONGEST_REST
    return {
        "standing": standing_of(hook),
        "kinds": kinds_of(hook),
        "deliveries": [(row, words_of(row), state_of(row), labels.when(row.made_at)) for row in rows],
        "late": labels.when(late.next_attempt_at) if late and hook.active and not resting else "",
        "asked": labels.when(hook.rests_until) if asked and hook.active else "",
        "days": settings.KB_HOOK_DAYS,
        "dead": hook.deliveries.dead().count(),  # type: ignore[attr-defined]
        "dead_letters": dead_letters(hook),
        "acts": [(act, labels.when(act.at)) for act in hook.acts.select_related("by")[:SHOWN]],
    }


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    actions = ("try_again",)
    empty_text = "Nothing was told to a webhook; if a filter is set, clear it to see the rest."
    list_display = ("what", "to", "standing", "tried", "answer", "made", "next")
    list_filter = ("state", ("hook", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("hook", "change")
    ordering = ("-pk",)
    change_form_template = "admin/kb/hook/delivery.html"
    fields = ("hook", "what", "standing", "tried", "answer", "made", "next", "delivered", "sent")

    class Media:
        css = {"all": ("kb/hooks.css",)}

    def get_urls(self) -> list[URLPattern]:
        again = self.admin_site.admin_view(again_one)
        return [path("<int:pk>/again/", again, name="kb_delivery_again"), *super().get_urls()]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("kb.change_hook")

    @property
    def help_text(self) -> str:
        return (
            f"Kept for {settings.KB_HOOK_DAYS} days after it was delivered or given up. Until then, what was "
            "given up can be tried again: choose it and “Try again”."
        )

    @admin.action(description="Try again what was given up", permissions=["retry"])
    def try_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        _try_again(request, list(chosen.values_list("pk", flat=True)))

    @admin.display(description="What")
    def what(self, delivery: Delivery) -> str:
        return words_of(delivery)

    @admin.display(description="To", ordering="hook__label")
    def to(self, delivery: Delivery) -> str:
        return delivery.hook.label

    @admin.display(description="State", ordering="state")
    def standing(self, delivery: Delivery) -> SafeString:
        return state_of(delivery)

    @admin.display(description="Attempts", ordering="attempts")
    def tried(self, delivery: Delivery) -> str:
        return "1 attempt" if delivery.attempts == 1 else f"{delivery.attempts} attempts"

    @admin.display(description="Last answer")
    def answer(self, delivery: Delivery) -> str:
        return delivery.last_error or str(delivery.last_status or "–")

    @admin.display(description="Since", ordering="pk")
    def made(self, delivery: Delivery) -> SafeString | str:
        return labels.when(delivery.made_at)

    @admin.display(description="Next attempt")
    def next(self, delivery: Delivery) -> SafeString | str:
        return labels.when(delivery.next_attempt_at if delivery.state == Delivery.WAITING else None)

    @admin.display(description="Delivered")
    def delivered(self, delivery: Delivery) -> SafeString | str:
        return labels.when(delivery.delivered_at)

    @admin.display(description="Body")
    def sent(self, delivery: Delivery) -> SafeString:
        return format_html('<pre class="kb-mono kb-payload">{}</pre>', delivery.payload)


@require_POST
@CHANGE
def again_one(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(Delivery, pk=pk)
    _try_again(request, [pk])
    return HttpResponseRedirect(reverse("admin:kb_delivery_change", args=[pk]))


def _try_again(request: HttpRequest, pks: list[int]) -> None:
    number = subscribing.try_again(pks, by=request.user, at=timezone.now())
    if number:
        messages.success(request, f"{number} of {len(pks)} will be sent again.")
    else:
        messages.warning(request, "Nothing was done: only what was given up can be tried again.")


def kinds_of(hook: Hook) -> str:
    return ", ".join(ChangeKind(kind).label.lower() for kind in hook.kinds)


def standing_of(hook: Hook) -> SafeString:
    if not hook.active:
        return labels.label("Switched off by kb" if hook.off_because else "Off", "withdrawn")
    return labels.label("Failing", "blocking") if hook.failing_since else labels.label("On", "ok")


def words_of(delivery: Delivery) -> str:
    change = delivery.change
    return f"{change.slug} {change.get_kind_display().lower()}" if change else "Test"


def state_of(delivery: Delivery) -> SafeString:
    return labels.label(delivery.get_state_display(), KIND_OF_STATE[delivery.state])


def dead_letters(hook: Hook) -> str:
    address = reverse("admin:kb_delivery_changelist")
    return f"{address}?state__exact={Delivery.DEAD}&hook__id__exact={hook.pk}"


def _number(rows: QuerySet[Delivery]) -> Coalesce:
    counted = rows.values("hook").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted), 0)
