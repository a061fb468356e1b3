"""Turn a query string into checked values, or into the list of everything that is wrong with it.

An address declares a form: its fields are the parameters, `label` says what one does, `help_text` what is
expected of its value. Names that are not in the form are refused: a misspelt filter would filter nothing.
"""

import difflib
import re
from typing import Any

from django import forms
from django.http import QueryDict

from kb.api.problems import BadParameters, Fault

SHORT = 60


class NoParameters(forms.Form):
    """For addresses that take none."""


class Text(forms.CharField):
    """Text without NUL; `max_length` says how long."""

    def __init__(self, *, max_length: int, **kwargs) -> None:
        kwargs.setdefault("help_text", f"1 to {max_length} characters")
        super().__init__(max_length=max_length, **{"required": False, **kwargs})


class WholeNumber(forms.Field):
    """A whole number in plain digits."""

    def __init__(self, *, least: int = 0, most: int, **kwargs) -> None:
        self.least, self.most = least, most
        kwargs.setdefault("help_text", f"a whole number from {least} to {most}")
        super().__init__(**{"required": False, **kwargs})

    def to_python(self, value: str | None) -> int | None:
        if value in self.empty_values:
            return None
        if not re.fullmatch(r"[0-9]{1,19}", value) or not self.least <= int(value) <= self.most:
            raise forms.ValidationError("out of range")
        return int(value)


class Choice(forms.ChoiceField):
    """One of a few words."""

    def __init__(self, *, words: list[str], **kwargs) -> None:
        kwargs.setdefault("help_text", " or ".join(filter(None, [", ".join(words[:-1]), words[-1]])))
        choices = [(word, word) for word in words]
        super().__init__(**{"choices": choices, "required": False, **kwargs})


class Truth(forms.Field):
    """true or false."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"required": False, "help_text": "true or false", **kwargs})

    def to_python(self, value: str | None) -> bool | None:
        if value in self.empty_values:
            return None
        if value not in {"true", "false"}:
            raise forms.ValidationError("neither")
        return value == "true"


def read(query: QueryDict, form: forms.BaseForm) -> dict[str, Any]:
    """Give the values of the form that was filled from this query; raise BadParameters with every fault."""
    faults = [fault for name in query if (fault := _at_sight(name, query.getlist(name), form))]
    known = {fault.parameter for fault in faults}
    faults += [
        Fault(name, "invalid", _shown(query[name]), _expected(form, name))
        if name in query
        else Fault(name, "missing", "no such parameter", _expected(form, name))
        for name in form.errors
        if name not in known
    ]
    if faults:
        raise BadParameters(faults)
    return form.cleaned_data


def _at_sight(name: str, values: list[str], form: forms.BaseForm) -> Fault | None:
    """What is wrong with a parameter whatever it means."""
    if name not in form.fields:
        nearest = difflib.get_close_matches(name[:SHORT], form.fields, n=1)
        expected = f"one of {', '.join(form.fields)}" if form.fields else "no parameters here"
        shown = name if len(name) <= SHORT else f"{name[:SHORT]}…"
        return Fault(shown, "unknown", "an unknown parameter", expected, nearest[0] if nearest else None)
    if len(values) > 1:
        return Fault(name, "repeated", f"{len(values)} values", "one value")
    if not values[0].strip():
        return Fault(name, "empty", "an empty value", f"{_expected(form, name)}, or no such parameter")
    return None


def _expected(form: forms.BaseForm, name: str) -> str:
    return str(form.fields[name].help_text)


def _shown(value: str) -> str:
    # As JSON quotes it would show NUL and line breaks; Python's own quoting does so too.
    return repr(value if len(value) <= SHORT else f"{value[:SHORT]}…")
