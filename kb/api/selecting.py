"""Turn a stored answer into the part of it that a reader asked for: fields, omit, brief and expand.

What is stored goes out as it is unless one of them is given; only then is it parsed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework.serializers import Serializer

from kb.api.door import as_bytes
from kb.api.parameters import Names, Parameters, Truth

# What is enough to name a thing and lead to it.
BRIEF = (
    *("slug", "key", "type", "name", "url", "title", "topic", "summary", "difficulty", "reading_time"),
    *("number", "version", "posts", "value", "published_at", "approved_at", "review_by"),
    *("ai_brief", "score", "review"),
)


def selection(shape: type[Serializer], expand: Sequence[str] = ()) -> type[Parameters]:
    """A form of the parameters by which readers choose among this shape's fields."""
    names = [name for name, field in shape._declared_fields.items() if field.required]
    brief = [name for name in names if name in BRIEF]
    fields: dict[str, Any] = {
        "fields": Names(names, label="Only these fields."),
        "omit": Names(names, label="All fields but these."),
        "brief": Truth(label=f"Only the fields {', '.join(brief)}, and those that `fields` names."),
        "names": names,
        "brief_names": brief,
    }
    if expand:
        fields["expand"] = Names(expand, label="Put these into the member `expanded`.")
    return type(f"{shape.__name__}Selection", (Selecting,), fields)


class Selecting(Parameters):
    names: list[str]
    brief_names: list[str]

    def clean(self) -> dict[str, Any]:
        """Add `selected`: the names of what goes out, or None for all."""
        values = super().clean()
        asked = {*values.pop("fields", ()), *(self.brief_names if values.pop("brief", False) else ())}
        left = values.pop("omit", ())
        chosen = [name for name in self.names if (not asked or name in asked) and name not in left]
        values["selected"] = chosen if asked or left else None
        return values


def part(stored: str, selected: Sequence[str] | None) -> bytes:
    """Of a stored object what was selected, in the order in which it is stored."""
    return stored.encode() if selected is None else as_bytes(pick(json.loads(stored), selected))


def pick(value: Mapping[str, Any], selected: Sequence[str] | None) -> Mapping[str, Any]:
    if selected is None:
        return value
    return {name: each for name, each in value.items() if name in selected}


def with_expanded(body: bytes, expanded: Mapping[str, bytes]) -> bytes:
    """Put stored JSON under `expanded` at the end of a stored object."""
    if not expanded:
        return body
    members = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in expanded.items())
    comma = b"" if body == b"{}" else b","
    return body[:-1] + comma + b'"expanded":{' + members + b"}}"
