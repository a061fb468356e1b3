"""Search by meaning: vectors of what is published and of nothing else, and everything without them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import IntegrityError

from kb import checks, meaning
from kb.document import Document
from kb.flow import embedding, maintaining, publishing, reviewing, revising
from kb.models import Post, Publication, PublishedVector
from kb.reading import meaning as reading
from kb.reading.listing import Wanted
from kb.reading.restricting import restriction
from kb.reading.search import search

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[[Post], Publication]
DAY = timedelta(days=1)


class Colours:
    """A model that knows red, green and blue, each a direction of its own."""

    name = "colours 1"
    dimensions = 3

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[meaning.Vector]:
        self.seen += texts
        return [
            [float(text.casefold().count(colour)) for colour in ("red", "green", "blue")] for text in texts
        ]


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> Colours:
    model = Colours()
    monkeypatch.setattr(meaning, "embedder", lambda: model)
    monkeypatch.setattr(meaning, "why_not", lambda: "")
    monkeypatch.setattr(reading, "stored", reading._Stored())
    return model


@pytest.fixture
def kept(colours: Colours) -> Iterator[Colours]:
    """In a database that keeps vectors, for this test alone."""
    embedding.set_up()
    yield colours
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE kb_publishedvector DROP COLUMN vector")


@pytest.fixture
def edit(people: SimpleNamespace, now: datetime) -> Callable[..., None]:
    def save(post: Post, **fields: Any) -> None:
        post.refresh_from_db()
        changed = post.document().model_copy(update=fields)
        note = revising.ChangeNote("because")
        revising.save(post, changed, base_number=post.head.number, by=people.editor, at=now, note=note)

    return save


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("meaning", *arguments, stdout=out)
    return out.getvalue()


# --- What is embedded ---------------------------------------------------------------------------------------
def test_what_is_published_is_embedded_and_no_draft(
    kept: Colours, make_post: MakePost, publish: Publish
) -> None:
    red, green = publish(make_post(title="Red", body="red.")), publish(make_post(title="Green"))
    make_post(title="A secret blue draft")

    told = run()

    assert told == (
        "Search by meaning is on: 2 of 2 published posts have a vector of colours 1, indexed. "
        "Embedded in this run: 2.\n"
    )
    assert set(PublishedVector.objects.values_list("publication", "model", "fingerprint")) == {
        (row.pk, "colours 1", row.fingerprint) for row in (red, green)
    }
    assert not any("secret" in text for text in kept.seen)
    assert run().endswith("Embedded in this run: 0.\n")


def test_upkeep_embeds_what_was_published_since(
    kept: Colours, make_post: MakePost, publish: Publish, now: datetime
) -> None:
    publish(make_post(title="Red"))
    maintaining.upkeep(at=now)
    publish(make_post(title="Green"))
    make_post(title="Blue draft")

    runs = [maintaining.upkeep(at=now + DAY * hours / 24) for hours in (1, 2)]

    assert [done and done.embedded for done in runs] == [1, 0]
    assert [pk for pk, _, _ in reading.nearest("green")] == [Publication.objects.get(title="Green").pk]


def test_a_withdrawn_post_has_no_vector(
    kept: Colours, make_post: MakePost, publish: Publish, people: SimpleNamespace, now: datetime
) -> None:
    post = make_post(title="Red")
    publish(post)
    run()

    reviewing.withdraw(post, by=people.reviewer, at=now, comment="No.")

    assert PublishedVector.objects.count() == 0
    assert reading.nearest("red") == []


def test_a_vector_of_former_content_finds_nothing(
    kept: Colours, make_post: MakePost, publish: Publish, edit: Any
) -> None:
    post = make_post(title="Red")
    publish(post)
    run()

    edit(post, title="Green")
    publish(post)
    before = (reading.nearest("red"), reading.nearest("green"))
    run()

    assert before == ([], [])
    assert (reading.nearest("red"), len(reading.nearest("green"))) == ([], 1)


def test_vectors_of_another_model_are_made_again(
    kept: Colours, make_post: MakePost, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(make_post(title="Red"))
    run()
    monkeypatch.setattr(Colours, "name", "colour's 2")

    before = reading.nearest("red")
    run()

    assert before == []
    assert PublishedVector.objects.get().model == "colour's 2"
    assert len(reading.nearest("red")) == 1
    assert len(embedding._indexes()) == 1


def test_nobody_but_publishing_writes_vectors(kept: Colours, make_post: MakePost, publish: Publish) -> None:
    publication = publish(make_post())

    with pytest.raises(IntegrityError, match="INSERT of kb_publishedvector"):
        PublishedVector.objects.create(publication=publication, model="x", fingerprint="x")


# --- What is found ------------------------------------------------------------------------------------------
def test_the_nearest_come_first_and_none_below_the_floor(
    kept: Colours, make_post: MakePost, publish: Publish
) -> None:
    for title in ("red", "red red green", "green", "blue"):
        publish(make_post(title=title, body=".", stack=["one"] if title == "red" else ["several"]))
    run()

    found = reading.nearest("red", floor=0.3)

    titles = dict(Publication.objects.values_list("pk", "title"))
    assert [(titles[pk], round(likeness, 2)) for pk, _, likeness in found] == [
        ("red", 1.0),
        ("red red green", 0.89),
    ]
    assert [titles[pk] for pk, *_ in reading.nearest("red", limit=1)] == ["red"]
    within = restriction(Wanted(facets=((("stack", "several"),),)))
    assert [titles[pk] for pk, *_ in reading.nearest("red", within=within)] == ["red red green"]


def test_what_is_withheld_is_not_near(
    kept: Colours, make_post: MakePost, publish: Publish, now: datetime
) -> None:
    publication = publish(make_post(title="red"))
    run()

    with transaction.atomic():
        publishing.queue_up()
        Publication.objects.filter(pk=publication.pk).update(withhold_at=now - DAY)

    assert reading.nearest("red") == []


@pytest.mark.parametrize("text", ["", "   ", "words that no colour has", "'; DROP TABLE x; --", "100 % \\ ’"])
def test_no_text_upsets_it(kept: Colours, make_post: MakePost, publish: Publish, text: str) -> None:
    publish(make_post(title="red"))
    run()

    assert reading.nearest(text) == []


def test_both_ranks_count_and_meaning_alone_needs_to_be_near() -> None:
    scores = reading.fused({1: 8.0, 2: 4.0}, {2: 0.9, 3: 0.6, 4: 0.35})

    assert {one: round(score, 3) for one, score in scores.items()} == {
        1: round(1 + 0.6 * 0.35 / 0.9, 3),
        2: 1.1,
        3: 0.4,
    }
    assert reading.fused({1: 2.0}, {}) == {1: 1.0}
    assert reading.fused({}, {}) == {}


def test_a_search_finds_by_words_and_by_meaning_and_tells_which(
    kept: Colours, make_post: MakePost, publish: Publish
) -> None:
    for title, body in (("Rose", "red"), ("Red tape", "office"), ("Sea", "blue"), ("Tomato", "red fruit")):
        slug = title.split()[0].lower()
        publish(make_post(title=title, slug=slug, body=body, summary=body, topic=slug))
    run()

    def found(text: str) -> list[tuple[str, list[str]]]:
        return [(hit.slug, sorted(hit.by)) for hit in search(text).hits]

    # No post has the word "redden", whose nearest direction is red.
    assert found("redden") == [
        ("tomato", ["meaning"]),
        ("red", ["meaning"]),
        ("rose", ["meaning"]),
    ]
    assert ("red", ["meaning", "words"]) in found("red tape")
    assert [slug for slug, _ in found("redden -fruit")] == ["red", "rose"]
    assert found("office") == [("red", ["words"])]
    roses = restriction(Wanted(facets=((("topic", "rose"),),)))
    assert [hit.slug for hit in search("redden", within=roses).hits] == ["rose"]


# --- Without it ---------------------------------------------------------------------------------------------
def test_without_the_extra_nothing_is_embedded_and_it_says_so(
    settings: Any, monkeypatch: pytest.MonkeyPatch, make_post: MakePost, publish: Publish, now: datetime
) -> None:
    settings.KB_SEMANTIC = "auto"
    monkeypatch.setattr(meaning, "find_spec", lambda name: None)
    publish(make_post(title="red"))

    with pytest.raises(CommandError) as failure:
        run()

    sentence = (
        "Search by meaning is off: the extra `semantic` is not installed: install requirements-semantic.txt."
    )
    assert str(failure.value) == sentence
    assert run("--check") == f"{sentence}\n"
    assert (maintaining.upkeep(at=now), reading.nearest("red")) == (maintaining.Done(), [])
    assert sentence in [message.msg for message in checks.installation()]
    assert reading.why_not() in sentence


def test_it_can_be_switched_off(settings: Any) -> None:
    settings.KB_SEMANTIC = "off"

    assert run("--check") == "Search by meaning is off: KB_SEMANTIC is off: set it to auto.\n"
    assert reading.nearest("red") == []


@pytest.mark.parametrize(
    ("extension", "sentence"),
    [
        (("", False), "the database server has no pgvector: its administrator has to install it"),
        (("0.6.2", True), "the database has pgvector 0.6.2, too old: 0.7 or later is needed"),
    ],
)
def test_without_pgvector_nothing_is_embedded_and_it_says_so(
    colours: Colours,
    monkeypatch: pytest.MonkeyPatch,
    make_post: MakePost,
    publish: Publish,
    now: datetime,
    extension: tuple[str, bool],
    sentence: str,
) -> None:
    monkeypatch.setattr(embedding, "_extension", lambda: extension)
    publish(make_post(title="red"))

    with pytest.raises(CommandError) as failure:
        run()

    assert str(failure.value) == f"Search by meaning is off: {sentence}."
    assert (maintaining.upkeep(at=now), reading.nearest("red")) == (maintaining.Done(), [])
    assert reading.why_not() == "no vectors are kept: run manage.py meaning"


# --- The model of the extra ---------------------------------------------------------------------------------
def test_wordllama_finds_the_same_meaning_in_other_words(settings: Any) -> None:
    pytest.importorskip("wordllama")
    settings.KB_SEMANTIC = "auto"
    model = meaning.embedder()
    assert model is not None
    disk, mail = meaning.of_documents(
        model,
        [
            Document(title="Free some space when a disk fills up", body="Delete old log files."),
            Document(title="Send mail through a queue", body="Messages wait until the server takes them."),
        ],
    )

    asked = meaning.of_query(model, "no storage left")

    assert len(asked) == model.dimensions == 256
    assert round(sum(value * value for value in disk), 6) == 1
    assert nearness(asked, disk) > 2 * nearness(asked, mail)


def nearness(one: meaning.Vector, other: meaning.Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
