"""The benchmarks' database is filled in bulk, and equals one where each post was published by itself."""

from io import StringIO

import pytest
from django.core.management import call_command

from kb.models import Change, Publication, PublishedTag, PublishedText, Revision
from tests.benchmarks import published

pytestmark = pytest.mark.django_db


@pytest.fixture
def few(monkeypatch):
    """Few texts and names, so that a small number of posts has something in common."""
    monkeypatch.setattr(published, "BODIES", 5)
    monkeypatch.setattr(published, "CHUNK", 12)


def test_what_is_filled_in_bulk_is_what_publishing_would_have_written(few):
    published.fill(30)
    vectors = dict(PublishedText.objects.values_list("publication__slug", "words"))

    said = StringIO()
    call_command("rebuild_publications", "--check", stdout=said)

    assert said.getvalue() == "Publications compiled again: 30; the same bytes.\n"
    assert Publication.objects.count() == Revision.objects.count() == Change.objects.count() == 30
    assert PublishedTag.objects.filter(facet__kind="all").count() == 30
    call_command("rebuild_publications", stdout=said)
    assert dict(PublishedText.objects.values_list("publication__slug", "words")) == vectors
