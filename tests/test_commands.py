"""Operators' small commands: the JSON Schema, and compiling publications again."""

import json
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from kb import document
from kb.flow import synonyms
from kb.models import (
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
    PublishedSynonym,
)


def said(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def test_document_schema_prints_the_schema_of_the_document() -> None:
    assert json.loads(said("document_schema")) == document.json_schema()


@pytest.fixture
def publications(make_post: Any, publish: Any) -> list[Publication]:
    entity = {"name": "postgresql", "type": "stack"}
    return [
        publish(make_post(title=title, entities=[entity], checklists=[{"items": ["look"]}]))
        for title in ("One", "Two")
    ]


def stored() -> list[dict[str, Any]]:
    return list(Publication.objects.order_by("pk").values())


@pytest.mark.usefixtures("publications")
@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_compiling_again_gives_the_same_bytes(arguments: tuple[str, ...]) -> None:
    before = stored()

    answer = said("rebuild_publications", *arguments)

    assert answer == "Publications compiled again: 2; the same bytes.\n"
    assert stored() == before


def test_check_names_what_differs_fails_and_writes_nothing(publications: list[Publication]) -> None:
    Publication.objects.filter(pk=publications[0].pk).update(html="<p>somebody wrote this by hand</p>")
    before = stored()

    with pytest.raises(CommandError, match="1 of what belongs to 2 publications differ"):
        said("rebuild_publications", "--check")

    assert stored() == before


def test_compiling_again_repairs_what_differs_and_names_it(publications: list[Publication]) -> None:
    right = stored()
    Publication.objects.filter(pk=publications[0].pk).update(html="<p>somebody wrote this by hand</p>")

    answer = said("rebuild_publications")

    assert answer.splitlines() == [
        f"differs: {publications[0].slug}",
        "Publications compiled again: 2; 1 differed and were stored.",
    ]
    assert stored() == right


@pytest.mark.usefixtures("publications")
def test_what_belongs_to_no_approval_is_named_and_goes() -> None:
    revision = PublishedRevision.objects.first()
    PublishedRevision.objects.filter(pk=revision.pk).update(document_json='{"title": "never approved"}')
    PublishedEntity.objects.create(key="a:draft", type="a", name="draft", slug="draft", posts=1)
    PublishedChecklist.objects.create(key="0" * 64, items=["draft"], posts=1)

    answer = said("rebuild_publications")

    assert answer.splitlines() == [
        "differs: entity a:draft",
        f"differs: checklist {'0' * 64}",
        f"differs: {revision.post_slug}",
        "Publications compiled again: 2; 3 differed and were stored.",
    ]
    assert not PublishedEntity.objects.filter(name="draft").exists()
    assert not PublishedChecklist.objects.filter(items=["draft"]).exists()
    revision.refresh_from_db()
    assert "never approved" not in revision.document_json


def test_synonyms_that_differ_from_what_administrators_keep_are_named_and_mended(
    people: Any, now: datetime
) -> None:
    for group in (["k8s", "kubernetes"], ["ci", "builds"]):
        synonyms.write(group, by=people.administrator, at=now)
    right = dict(PublishedSynonym.objects.values_list("lexemes", "words"))
    PublishedSynonym.objects.filter(pk="k8s").delete()
    PublishedSynonym.objects.filter(pk="ci").update(words=["by hand"])
    PublishedSynonym.objects.create(lexemes="made", words=["up"])

    with pytest.raises(CommandError, match="3 of what belongs to 0 publications differ"):
        said("rebuild_publications", "--check")
    wrong = dict(PublishedSynonym.objects.values_list("lexemes", "words"))
    answer = said("rebuild_publications")

    assert wrong["made"] == ["up"]
    assert answer.splitlines() == [
        "differs: synonym made",
        "differs: synonym ci",
        "differs: synonym k8s",
        "Publications compiled again: 0; 3 differed and were stored.",
    ]
    assert dict(PublishedSynonym.objects.values_list("lexemes", "words")) == right


def test_with_nothing_published_there_is_nothing_to_compile(db: None) -> None:
    assert said("rebuild_publications", "--check") == "Publications compiled again: 0; the same bytes.\n"
