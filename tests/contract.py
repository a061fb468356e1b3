"""Turn two descriptions of the API into the promises that the newer one breaks, and keep the committed one.

`python -m tests.contract` says what changed since kb/api/openapi.json was committed; `--accept` writes the
present description there, and refuses what would break front ends unless `--breaking` is said too.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).parent.parent / "kb" / "api" / "openapi.json"

Node = dict[str, Any]


def current() -> Node:
    """The description as kb gives it now, without what only an installation's settings decide."""
    from drf_spectacular.generators import SchemaGenerator

    whole = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    whole["info"]["title"] = "kb API"
    return whole


def committed() -> Node:
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def text(description: Node) -> str:
    return json.dumps(description, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


# --- What a front end may rely on ---------------------------------------------------------------------------
def breaking(old: Node, new: Node) -> list[str]:
    """Each promise of the old description that the new one does not keep."""
    return [
        fault
        for path, operations in old["paths"].items()
        for method, operation in operations.items()
        for fault in _operation(
            f"{method.upper()} {path}", operation, _at(new, "paths", path, method), old, new
        )
    ]


def _operation(name: str, was: Node, now: Node | None, old: Node, new: Node) -> Iterator[str]:
    if now is None:
        yield f"{name} is gone"
        return
    yield from _parameters(name, was, now)
    for status, answer in was["responses"].items():
        after = _at(now, "responses", status)
        if after is None:
            yield f"{name}: status {status} is gone"
            continue
        for kind, content in answer.get("content", {}).items():
            form = _at(after, "content", kind)
            place = f"{name} {status}"
            if form is None:
                yield f"{place}: {kind} is gone"
            else:
                yield from _shape(place, content.get("schema", {}), form.get("schema", {}), old, new, ())


def _parameters(name: str, was: Node, now: Node) -> Iterator[str]:
    before, after = _by_name(was), _by_name(now)
    for (place, parameter), known in before.items():
        found = after.get((place, parameter))
        if found is None:
            yield f"{name}: parameter {parameter} is gone"
        else:
            yield from (f"{name}: parameter {parameter} {fault}" for fault in _narrower(known, found))
    for (place, parameter), found in after.items():
        if found.get("required") and not before.get((place, parameter), {}).get("required"):
            yield f"{name}: parameter {parameter} is required now"


def _by_name(operation: Node) -> dict[tuple[str, str], Node]:
    # Headers of answers stand among the responses.
    return {(each["in"], each["name"]): each for each in operation.get("parameters", [])}


def _narrower(known: Node, found: Node) -> Iterator[str]:
    """What was a good value and is none any more."""
    was, now = known.get("schema", {}), found.get("schema", {})
    if was.get("type") != now.get("type"):
        yield f"is of type {now.get('type')}, no longer {was.get('type')}"
    lost = [word for word in was.get("enum", []) if word not in now.get("enum", was.get("enum", []))]
    if lost or ("enum" in now and "enum" not in was):
        yield f"takes no longer {', '.join(map(str, lost)) or 'any value'}"
    for name, sign in (("maximum", 1), ("maxLength", 1), ("minimum", -1), ("minLength", -1)):
        if name in now and (name not in was or sign * now[name] < sign * was[name]):
            yield f"has a narrower {name}: {now[name]}"


def _shape(place: str, was: Node, now: Node, old: Node, new: Node, above: tuple[str, ...]) -> Iterator[str]:
    """What an answer no longer holds, or holds in another form."""
    name = was.get("$ref", "")
    if name in above:
        return
    above = (*above, name) if name else above
    yield from (f"{place} may be {kind} now" for kind in _wider(_values(was, old), _values(now, new)))
    was, now = _resolved(was, old), _resolved(now, new)
    for union in ("anyOf", "oneOf"):
        for one, other in zip(was.get(union, ()), now.get(union, ()), strict=False):
            yield from _shape(place, one, other, old, new, above)
    for member, form in was.get("properties", {}).items():
        after = now.get("properties", {}).get(member)
        if after is None:
            yield f"{place}: {member} is gone"
            continue
        if member in was.get("required", []) and member not in now.get("required", []):
            yield f"{place}: {member} may be missing now"
        yield from _shape(f"{place} {member}", form, after, old, new, above)
    if "items" in was:
        yield from _shape(f"{place} []", was["items"], now.get("items", {}), old, new, above)


def _resolved(form: Node, description: Node) -> Node:
    """The form itself, behind references."""
    while "$ref" in form:
        form = _at(description, *form["$ref"].removeprefix("#/").split("/")) or {}
    return form


def _values(form: Node, description: Node) -> set[str]:
    """The words that may stand here, or the types where any value of them may."""
    form = _resolved(form, description)
    parts = (*form.get("anyOf", ()), *form.get("oneOf", ()))
    if parts:
        return set().union(*(_values(part, description) for part in parts))
    if "enum" in form:
        return {json.dumps(word) for word in form["enum"]}
    kinds = form.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _wider(was: set[str], now: set[str]) -> list[str]:
    # A form that said nothing promised nothing.
    return sorted(now - was - {"null" if json.dumps(None) in was else ""}) if was else []


def _at(node: Any, *steps: str) -> Any:
    for step in steps:
        node = node.get(step) if isinstance(node, dict) else None
    return node


# --- By hand ------------------------------------------------------------------------------------------------
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true", help="commit to the present description")
    parser.add_argument("--breaking", action="store_true", help="even where it breaks promises")
    options = parser.parse_args()
    new = current()
    old = committed() if SNAPSHOT.exists() else {"paths": {}}
    broken = breaking(old, new)
    for fault in broken:
        print(f"breaks: {fault}")
    if text(old) == text(new):
        print("nothing changed")
    elif options.accept and (options.breaking or not broken):
        SNAPSHOT.write_text(text(new), encoding="utf-8")
        print(f"written: {SNAPSHOT.name}")
    else:
        print("changed; run with --accept" + (" --breaking if front ends shall bear that" if broken else ""))
        return 1
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    sys.exit(main())
