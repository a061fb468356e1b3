"""Turn the declarations of views, forms and shapes into OpenAPI 3.1."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from kb import document
from kb.api import shapes
from kb.api.pagination import DEFAULT_LIMIT, LimitField
from kb.api.parameters import MOST_VALUES, Choice, NoParameters, Several, Truth, WholeNumber
from kb.choices import Scope

PROBLEM = "application/problem+json"
LAST = {"ordering", "cursor", "limit", "since", "count", "fields", "omit", "brief", "expand"}
# Of answers that a reader can keep.
KEPT = [
    OpenApiParameter(
        "If-None-Match",
        str,
        OpenApiParameter.HEADER,
        description="The ETag of the answer that you have: if it still holds, the answer is an empty 304.",
    ),
    OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200, 304], required=True),
    OpenApiParameter("Cache-Control", str, OpenApiParameter.HEADER, response=[200, 304], required=True),
]
ALWAYS = [
    OpenApiParameter(
        "RateLimit-Policy",
        str,
        OpenApiParameter.HEADER,
        response=True,
        description='How often this reader may ask: `"token";q=6000;w=60` is 6,000 times in 60 seconds. Not '
        "where any number is allowed (KB_API_RATE_TOKEN, KB_API_RATE_ADDRESS).",
    ),
    OpenApiParameter(
        "RateLimit",
        str,
        OpenApiParameter.HEADER,
        response=True,
        description='What is left of it: `"token";r=5999;t=31` is 5,999 times for the next 31 seconds.',
    ),
    OpenApiParameter(
        "Retry-After",
        int,
        OpenApiParameter.HEADER,
        response=[429, 503],
        required=True,
        description="Seconds until the same request may succeed.",
    ),
    OpenApiParameter(
        "WWW-Authenticate",
        str,
        OpenApiParameter.HEADER,
        response=[401],
        required=True,
        description='How to log in, and of a token that was refused: `error="invalid_token"`.',
    ),
]


def describe(
    name: str,
    shape: Any,
    summary: str,
    *,
    tag: str,
    more: str = "",
    parameters: type[forms.BaseForm] = NoParameters,
    is_one: bool = False,
    is_kept: bool = True,
    kinds: Sequence[str] = ("application/json",),
) -> Callable:
    """Describe a GET: its parameters, answer and refusals.

    `is_one`: there may be nothing at the address. `is_kept`: a reader can keep the answer and ask with its
    ETag.
    """
    refusals = {
        400: "A parameter is unknown or its value makes no sense.",
        401: "No login or token where one is needed (KB_READ_ACCESS), or a token that is not valid. The same "
        "for every address.",
        403: "The token lacks the scope for this.",
        **({404: "Nothing is published here. Drafts answer so too."} if is_one else {}),
        406: "The Accept header leaves out what this address has.",
        429: "Too many requests in this minute, or too many exports at once.",
        500: "Something went wrong on the server.",
        503: "The database does not answer.",
    }
    headers = [*(KEPT if is_kept else ()), *ALWAYS]
    return extend_schema(
        examples=[example for status in (200, *refusals) if (example := _example(name, status))],
        operation_id=name,
        summary=summary,
        description=more,
        tags=[tag],
        parameters=[*(_parameter(name, field) for name, field in _filters_first(parameters)), *headers],
        responses={
            **{(200, kind): OpenApiResponse(shape, description="Here it is.") for kind in kinds},
            **({304: OpenApiResponse(description="You have it already.")} if is_kept else {}),
            **{
                (status, PROBLEM): OpenApiResponse(shapes.Problem, description=why)
                for status, why in refusals.items()
            },
        },
    )


def _example(name: str, status: int) -> OpenApiExample | None:
    """What was asked and answered in a small world; tests ask again and compare."""
    known = _examples().get(f"{name} {status}")
    if known is None:
        return None
    return OpenApiExample(
        f"{name} {status}",
        summary=known["request"],
        value=known["body"],
        response_only=True,
        status_codes=[str(status)],
        media_type="application/json" if status == 200 else PROBLEM,
    )


@cache
def _examples() -> dict[str, Any]:
    file = Path(__file__).with_name("examples.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _filters_first(form: type[forms.BaseForm]) -> list[tuple[str, forms.Field]]:
    return sorted(form.base_fields.items(), key=lambda item: item[0] in LAST)


def _parameter(name: str, field: forms.Field) -> OpenApiParameter:
    expected = str(field.help_text)
    return OpenApiParameter(
        name,
        _type(field),
        OpenApiParameter.QUERY,
        description=f"{field.label} Expected: {expected}.",
    )


def _type(field: forms.Field) -> dict[str, Any]:
    match field:
        case Several():
            return {"type": "array", "items": _type(field.one), "maxItems": MOST_VALUES}
        case LimitField():
            return {
                "type": "integer",
                "minimum": field.least,
                "maximum": field.most,
                "default": DEFAULT_LIMIT,
            }
        case WholeNumber():
            return {"type": "integer", "minimum": field.least, "maximum": field.most}
        case Truth():
            return {"type": "boolean"}
    return {"type": "string", **_text(field)}


def _text(field: forms.Field) -> dict[str, Any]:
    if isinstance(field, Choice):
        return {"enum": [word for word, _ in field.choices]}
    length = getattr(field, "max_length", None)
    return {"minLength": 1, **({"maxLength": length} if length else {})}


def with_document(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Put the Document's own schema and its parts among the components (a hook of drf-spectacular)."""
    whole = document.Document.model_json_schema(
        mode="serialization", ref_template="#/components/schemas/Document{model}"
    )
    parts = whole.pop("$defs", {})
    schemas = result["components"]["schemas"]
    schemas["Document"] = whole
    schemas.update({f"Document{name}": part for name, part in parts.items()})
    return result


def with_security(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Say how a reader says who it is (a hook of drf-spectacular)."""
    result["components"]["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "kb_ and 36 letters or digits",
            "description": "An access token. Its scopes: "
            + "; ".join(f"`{scope.value}`: {scope.label}" for scope in Scope)
            + ".",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The login of the site, for pages of the same origin.",
        },
    }
    return result


def with_parts(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Say where an answer may be a part of its shape (a hook of drf-spectacular)."""
    schemas = result["components"]["schemas"]
    for operations in result["paths"].values():
        operation = operations["get"]
        if "fields" in {parameter["name"] for parameter in operation.get("parameters", [])}:
            form = operation["responses"]["200"]["content"]["application/json"]
            name = form["schema"]["$ref"].rpartition("/")[2]
            if name.endswith("Page"):
                _allow_part(schemas[name]["properties"]["results"], "items", schemas)
            else:
                _allow_part(form, "schema", schemas)
    return result


def _allow_part(holder: dict[str, Any], key: str, schemas: dict[str, Any]) -> None:
    if "anyOf" in holder[key]:
        return
    name = holder[key]["$ref"].rpartition("/")[2]
    whole = {key: value for key, value in schemas[name].items() if key != "required"}
    schemas[f"{name}Part"] = {**whole, "description": f"{name}, with some of its members."}
    holder[key] = {"anyOf": [holder[key], {"$ref": f"#/components/schemas/{name}Part"}]}


class Described(AutoSchema):
    """Says of an operation what `describe` was told, never what a docstring tells developers."""

    def get_description(self):
        return ""

    def get_auth(self):
        """Ways in: a token with the scope, a login, and nothing at all where KB_READ_ACCESS is public."""
        return [{"token": [str(self.view.scope)] if self.view.scope else []}, {"session": []}, {}]
