"""The forms of the review page. What is allowed, and what is missing for it, is the flow's to say."""

import re
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.utils import timezone

from kb.choices import Severity
from kb.diff import LABELS
from kb.document import MAX_BODY
from kb.flow.commenting import MAX_QUOTE, MAX_TEXT

MAX_COMMENT = 10_000
# Fields whose text a reviewer may mend in place.
MENDABLE = ("title", "topic", "summary", "body", "brief", "expected_result", "rollback_note")
_TICK = re.compile(r"[0-9]{1,15}:[0-9]{1,3}")


def _words(label: str, help_text: str, *, needed: bool, **kwargs: Any) -> forms.CharField:
    # The attribute only lets the browser say sooner what the flow would.
    widget = AdminTextareaWidget({"rows": 3, **({"required": True} if needed else {})})
    return forms.CharField(
        **{
            "label": label,
            "required": False,
            "max_length": MAX_COMMENT,
            "help_text": help_text,
            "widget": widget,
        }
        | kwargs
    )


class TicksField(forms.MultipleChoiceField):
    """Ticked criteria, each “primary key:position”. The page draws the boxes."""

    def valid_value(self, value: str) -> bool:
        return bool(_TICK.fullmatch(value))

    def clean(self, value: Any) -> list[tuple[int, int]]:
        found = (tick.split(":") for tick in super().clean(value))
        return [(int(criteria), int(item)) for criteria, item in found]


class SeenForm(forms.Form):
    """What the reviewer had before them: an act on anything else is refused."""

    number = forms.IntegerField(widget=forms.HiddenInput)
    fingerprint = forms.CharField(widget=forms.HiddenInput, max_length=64)
    standing = forms.CharField(widget=forms.HiddenInput, max_length=64)


class RequestChangesForm(SeenForm):
    ticks = TicksField(required=False)
    comment = _words(
        "Comment",
        "Needed to request changes: the editors read it. Stays with the decision.",
        needed=False,
    )


class ApproveForm(RequestChangesForm):
    """Also drawn for both verdicts: they share comment and ticks, and differ by the button."""

    publish_at = forms.DateTimeField(
        required=False,
        label="Publish at",
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zone = timezone.get_current_timezone_name()
        self.fields["publish_at"].help_text = f"Empty: at once. Time zone: {zone}."


class RaiseFlagForm(forms.Form):
    severity = forms.ChoiceField(choices=Severity.choices, initial=Severity.ADVISORY)
    sentence = _words(
        "Why somebody should look", "One sentence. Blocking flags hold up approval.", needed=True
    )


class CloseFlagForm(forms.Form):
    sentence = forms.CharField(widget=forms.HiddenInput, strip=False)
    note = _words("Why it is settled", "Stays with the flag.", needed=True)


class WithdrawForm(forms.Form):
    published = forms.CharField(widget=forms.HiddenInput, max_length=64)
    comment = _words("Why it goes", "Readers lose the post at once; nothing is deleted.", needed=True)


class CommentForm(forms.Form):
    number = forms.IntegerField(widget=forms.HiddenInput)
    field = forms.ChoiceField(required=False, label="About", choices=[("", "The whole"), *LABELS.items()])
    quote = _words(
        "Passage",
        "Optional: copy the words that you mean; a selection on the page is taken over.",
        needed=False,
        max_length=MAX_QUOTE,
    )
    text = _words(
        "Comment", "Decides nothing. Stays until somebody resolves it.", needed=True, max_length=MAX_TEXT
    )


class MendForm(forms.Form):
    """One field's text, to be mended in place."""

    number = forms.IntegerField(widget=forms.HiddenInput)
    field = forms.ChoiceField(widget=forms.HiddenInput, choices=[(name, LABELS[name]) for name in MENDABLE])
    text = forms.CharField(
        required=False, strip=False, max_length=MAX_BODY, widget=AdminTextareaWidget({"rows": 12})
    )
    reason = forms.CharField(
        required=False,
        max_length=MAX_COMMENT,
        initial="Typo",
        help_text="Stays with the revision.",
        widget=AdminTextInputWidget({"required": True}),
    )
