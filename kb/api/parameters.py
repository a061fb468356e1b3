"""Turn a query string into checked values, or into the list of everything that is wrong with it.

An address declares a form: its fields are the parameters, `label` says what one does, `help_text` what is
expected of its value. Names that are not in the form are refused: a misspelt filter would filter nothing.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any

from django import forms
from django.http import QueryDict

from kb.api.problems import SHOWN, BadParameters, Fault

SHORT = 60
MOST_VALUES = 20  # of one parameter


class _Shared(dict[str, forms.Field]):
    """Fields that a form takes as they are: ours keep nothing of a request."""

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, forms.Field]:
        return dict(self)


class Parameters(forms.Form):
    """The parameters of an address. Only those that were given are cleaned.

    A list has forty of them, and to copy and clean them all would take longer than to read a page.
    """

    base_fields: dict[str, forms.Field]

    def __init__(self, query: QueryDict) -> None:
        self.known = self.base_fields
        self.base_fields = _Shared(
            {name: one for name, one in self.known.items() if one.required or name in query}
        )
        super().__init__(query)

    def _clean_fields(self) -> None:
        self.cleaned_data.update(unsaid(type(self)))
        super()._clean_fields()


@cache
def unsaid(form: type[Parameters]) -> dict[str, Any]:
    """The values of the parameters that nobody gave."""
    return {
        name: one.clean(one.widget.value_from_datadict(QueryDict(), {}, name))
        for name, one in form.base_fields.items()
        if not one.required
    }


class NoParameters(Parameters):
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

    def validate(self, value: str) -> None:
        try:
            super().validate(value)
        except forms.ValidationError:
            near = nearest(value, [word for word, _ in self.choices])
            raise forms.ValidationError("another word", params={"nearest": near}) from None


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


class Moment(forms.CharField):
    """A moment of RFC 3339, or a day: a range takes that from its beginning or, `upto`, to its end.

    Gives the moment and whether a range to it leaves it out, as the end of a day is the begin of the next.
    """

    def __init__(self, *, upto: bool = False, **kwargs) -> None:
        self.upto = upto
        expected = "a day such as 2026-11-23 (UTC), or a moment such as 2026-11-23T12:00:00Z"
        super().__init__(**{"required": False, "max_length": 40, "help_text": expected, **kwargs})

    def clean(self, value: str | None) -> tuple[datetime, bool] | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return (
                self._day(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else self._moment(text)
            )
        except (ValueError, OverflowError):
            raise forms.ValidationError("no moment") from None

    def _day(self, text: str) -> tuple[datetime, bool]:
        begin = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return (begin + timedelta(days=1), True) if self.upto else (begin, False)

    def _moment(self, text: str) -> tuple[datetime, bool]:
        if not re.fullmatch(r"[0-9-]{10}[Tt][0-9:]{8}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})", text):
            raise ValueError("another form")
        return datetime.fromisoformat(text.upper()).astimezone(UTC), False


class Several(forms.Field):
    """A parameter that may be repeated: a tuple of what one field makes of each value, without doubles."""

    widget = forms.MultipleHiddenInput

    def __init__(self, one: forms.Field) -> None:
        self.one = one
        super().__init__(required=False, label=one.label, help_text=one.help_text)

    def clean(self, values: Sequence[str] | None) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(self._one(value) for value in self.parts(values or ())))

    def parts(self, values: Sequence[str]) -> Sequence[str]:
        if len(values) > MOST_VALUES:
            expected = {"got": f"{len(values)} values", "expected": f"at most {MOST_VALUES} values"}
            raise forms.ValidationError("too many", params=expected)
        return values

    def _one(self, value: str) -> Any:
        try:
            found = self.one.clean(value)
        except forms.ValidationError as error:
            params = {"got": shown(value), **(error.error_list[0].params or {})}
            raise forms.ValidationError("one is wrong", params=params) from None
        if found in self.one.empty_values:
            raise forms.ValidationError("one is empty", params={"got": "an empty value"})
        return found


class All(Several):
    """The same, also with several values in one, between commas; a backslash keeps a comma in a value."""

    def __init__(self, one: forms.Field) -> None:
        super().__init__(one)
        self.help_text = f"{one.help_text}; several with commas between them, and \\, for a comma in one"

    def parts(self, values: Sequence[str]) -> Sequence[str]:
        found = [part for value in values for part in re.split(r"(?<!\\),", value)]
        return super().parts([part.replace("\\,", ",") for part in found])


class Names(forms.Field):
    """Names out of a list, with commas between them."""

    def __init__(self, names: Sequence[str], **kwargs) -> None:
        self.names = names
        expected = f"names out of {', '.join(names)}, with commas between them"
        super().__init__(**{"required": False, "help_text": expected, **kwargs})

    def to_python(self, value: str | None) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(value.split(","))) if value else ()
        for name in found:
            if name not in self.names:
                params = {"got": shown(name), "nearest": nearest(name, self.names)}
                raise forms.ValidationError("unknown", params=params)
        return found


def read(query: QueryDict, form: Parameters) -> dict[str, Any]:
    """Give the values of the form that was filled from this query; raise BadParameters with every fault."""
    at_sight = (fault for name in query if (fault := _at_sight(name, query.getlist(name), form)))
    faults = list(islice(at_sight, SHOWN))  # what each of thousands was meant to be takes long to find
    known = {fault.parameter for fault in faults}
    faults += [
        _invalid(name, query, form, errors[0].params or {})
        if name in query
        else Fault(name, "missing", "no such parameter", _expected(form, name))
        for name, errors in form.errors.as_data().items()
        if name not in known
    ]
    if faults:
        raise BadParameters(faults)
    return form.cleaned_data


def _invalid(name: str, query: QueryDict, form: Parameters, more: dict[str, Any]) -> Fault:
    """What a field says is wrong; it may know better which value it was, and what would have been right."""
    got, expected = more.get("got"), more.get("expected")
    return Fault(
        name, "invalid", got or shown(query[name]), expected or _expected(form, name), more.get("nearest")
    )


def _at_sight(name: str, values: list[str], form: Parameters) -> Fault | None:
    """What is wrong with a parameter whatever it means."""
    if name not in form.known:
        expected = f"one of {', '.join(form.known)}" if form.known else "no parameters here"
        told = name if len(name) <= SHORT else f"{name[:SHORT]}…"
        return Fault(told, "unknown", "an unknown parameter", expected, nearest(name, form.known))
    if len(values) > 1 and not isinstance(form.known[name], Several):
        return Fault(name, "repeated", f"{len(values)} values", "one value")
    if not all(value.strip() for value in values):
        return Fault(name, "empty", "an empty value", f"{_expected(form, name)}, or no such parameter")
    return None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The right name, for one that is almost right."""
    found = difflib.get_close_matches(name[:SHORT], list(names), n=1, cutoff=0.65)
    return found[0] if found else None


def _expected(form: Parameters, name: str) -> str:
    return str(form.known[name].help_text)


def shown(value: str) -> str:
    # As JSON quotes it would show NUL and line breaks; Python's own quoting does so too.
    return repr(value if len(value) <= SHORT else f"{value[:SHORT]}…")
