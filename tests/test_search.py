"""One search behind API, site and admin: what is found, in which order, why, and how it is shown."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from kb.errors import Refused
from kb.flow import publishing, reviewing, synonyms
from kb.models import (
    Oversight,
    Post,
    Publication,
    PublishedSynonym,
    PublishedTerm,
    PublishedTotals,
    PublishedWord,
    Synonym,
)
from kb.reading import ranking, suggesting, vocabulary
from kb.reading.highlights import Reason
from kb.reading.listing import Bound, Wanted
from kb.reading.restricting import restriction
from kb.reading.search import Answer, BadCursor, FacetCount, search
from kb.reading.vocabulary import Correction
from tests.benchmarks import finding

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reading"])

MakePost = Callable[..., Post]
Publish = Callable[..., Publication]


@pytest.fixture
def published(make_post: MakePost, publish: Publish) -> Callable[..., Publication]:
    return lambda **content: publish(make_post(**content))


def slugs(answer: Answer) -> list[str]:
    return [hit.slug for hit in answer.hits]


def vocabulary_rows() -> tuple[dict[str, int], dict[str, int], list[tuple[int, int]]]:
    return (
        dict(PublishedTerm.objects.values_list("lexeme", "posts")),
        dict(PublishedWord.objects.values_list("word", "posts")),
        list(PublishedTotals.objects.values_list("posts", "length")),
    )


# --- What is found, in which order ---


def test_a_word_counts_more_the_rarer_it_is_and_the_heavier_its_field(published: Any) -> None:
    published(slug="body", title="One", body="A pool and a queue and some text about other things.")
    published(slug="title", title="Queue", body="Other text.")
    published(slug="common", title="Pool", body="Pool, pool, pool.")
    for number in range(4):
        published(slug=f"more-{number}", title="More", body="A pool.")

    assert slugs(search("queue"))[:2] == ["title", "body"]
    assert set(slugs(search("pool queue"))[:2]) == {"title", "body"}


def test_equal_posts_come_newest_first(published: Any) -> None:
    for slug in ("old", "middle", "new"):
        published(slug=slug, title="Alike", body="Text")

    assert slugs(search("alike")) == ["new", "middle", "old"]


def test_all_words_are_required_while_enough_posts_have_them(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(slug="both", body="A kettle with a lid.")
    published(slug="one", body="A kettle.")

    widened = search("kettle lid")
    monkeypatch.setattr(ranking, "ENOUGH", 1)
    strict = search("kettle lid")

    assert (slugs(widened), widened.widened, widened.total) == (["both", "one"], True, 2)
    assert (slugs(strict), strict.widened, strict.total) == (["both"], False, 1)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Crème", {"a"}),
        ("time-out", {"a", "b"}),
        ('"red kettle"', {"a"}),
        ('"kettle red"', {"b"}),
        ("kettle -red", {"c"}),
        ("brulee OR teapot", {"a", "c"}),
        ("C++", {"c"}),
        ("ket*", {"a", "b", "c"}),
        ("1.2", {"b"}),
        ("the", set()),
        ("", set()),
        ("-kettle", set()),
    ],
)
def test_the_query_language_holds_end_to_end(published: Any, typed: str, found: set[str]) -> None:
    published(slug="a", title="Crème brûlée", body="A red kettle; a time-out.")
    published(slug="b", title="Release 1.2.3", body="The kettle: red. Timeouts happen.")
    published(slug="c", title="Teapots in C++", body="A kettle.")

    assert set(slugs(search(typed))) == found


@pytest.mark.parametrize(
    "typed",
    ["' | !x & (y <-> z):*", "\\ '' \\'", "!!!", "\x01\x02", "\ufffe\U0001f600", "a" * 5000, '"' * 99],
)
def test_nothing_that_is_typed_upsets_the_search(published: Any, typed: str) -> None:
    published(title="Kettle", body="x y z")

    search(typed, is_begun=True)
    suggesting.suggest(typed)


def test_drafts_withdrawn_and_withheld_posts_are_found_by_nobody(
    published: Any, make_post: MakePost, publish: Publish, people: Any, now: datetime
) -> None:
    make_post(title="Kettle draft")
    withdrawn = published(slug="withdrawn", title="Kettle withdrawn")
    reviewing.withdraw(withdrawn.post, by=people.reviewer, at=now, comment="wrong")
    withheld = make_post(slug="withheld", title="Kettle withheld samovar")
    head, long_ago = withheld.head, now - timedelta(days=900)
    reviewing.approve(withheld, number=1, fingerprint=head.fingerprint, by=people.reviewer, at=long_ago)
    Oversight.objects.create(post=withheld, withhold_when_overdue=True, set_by=people.reviewer)
    publishing.refresh(withheld, at=long_ago)
    published(slug="there", title="Kettle")

    assert slugs(search("kettle")) == ["there"]
    assert search("samovra").corrections == ()
    assert suggesting.suggest("samo") == suggesting.Suggestions()


def test_a_word_of_what_is_withheld_alone_is_one_that_no_post_has(
    published: Any, make_post: MakePost, people: Any, now: datetime
) -> None:
    withheld = make_post(slug="withheld", title="Samovar")
    head, long_ago = withheld.head, now - timedelta(days=900)
    reviewing.approve(withheld, number=1, fingerprint=head.fingerprint, by=people.reviewer, at=long_ago)
    Oversight.objects.create(post=withheld, withhold_when_overdue=True, set_by=people.reviewer)
    publishing.refresh(withheld, at=long_ago)
    published(slug="one", title="Samovas")
    published(slug="two", title="Samovas")

    by_the_clock = search("samovar")
    reviewing.withdraw(withheld, by=people.reviewer, at=now, comment="wrong")
    by_a_person = search("samovar")

    assert slugs(by_the_clock) == slugs(by_a_person) == ["two", "one"]
    assert by_the_clock.corrections == by_a_person.corrections == (Correction("samovar", "samovas"),)


@pytest.mark.parametrize("walked", [3000, 1], ids=["each is looked at", "the newest are walked"])
@pytest.mark.parametrize("indexed", [30_000, 0], ids=["by the index", "by the walk"])
def test_filters_restrict_what_is_searched(
    published: Any, monkeypatch: pytest.MonkeyPatch, walked: int, indexed: int
) -> None:
    monkeypatch.setattr(ranking, "WALKED_WITHIN", walked)
    monkeypatch.setattr(ranking, "INDEXED", indexed)
    for place, stack in enumerate((["go"], ["go", "rust"], ["rust"], ["zig"])):
        published(slug=f"n{place}", title="Kettle", stack=stack, topic="tea", scores={"quality": 10 * place})

    def found(*groups: list[tuple[str, str]], least: int = 0) -> tuple[list[str], int]:
        bounds = (Bound("quality", ">=", least),) if least else ()
        answer = search("kettle", within=restriction(Wanted(tuple(map(tuple, groups)), bounds)))
        return sorted(slugs(answer)), answer.total

    if walked > 1:
        assert found([("stack", "go")]) == (["n0", "n1"], 2)
        assert found([("stack", "go"), ("stack", "zig")]) == (["n0", "n1", "n3"], 3)
        assert found([("topic", "tea")], [("stack", "rust")], least=20) == (["n2"], 1)
        assert found(least=20) == (["n2", "n3"], 2)
    assert found([("stack", "go")], [("stack", "rust")]) == (["n1"], 1)
    assert found([("stack", "none")]) == ([], 0)


def test_pages_follow_each_other_and_survive_what_is_published_meanwhile(published: Any) -> None:
    for number in range(5):
        published(slug=f"kettle-{number}", title="Kettle", body="Text")

    first = search("kettle", limit=2)
    published(slug="kettle-new", title="Kettle", body="Text")
    second = search("kettle", limit=2, cursor=first.next)
    last = search("kettle", limit=9, cursor=second.next)

    assert slugs(first) + slugs(second) + slugs(last) == [f"kettle-{number}" for number in (4, 3, 2, 1, 0)]
    assert (first.total, last.next) == (5, "")


@pytest.mark.parametrize("cursor", ["x", "1", "-1-2", "1001-1", "1-" + "9" * 30, "1-1\x00"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        search("kettle", cursor=cursor)


def test_common_words_are_answered_from_titles_and_the_newest_and_say_so(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        published(slug=f"note-{number}", title="Note", body="A kettle.")
    monkeypatch.setattr(ranking, "INDEXED", 1)
    monkeypatch.setattr(ranking, "RANKED", 3)
    monkeypatch.setattr(ranking, "WALKED", 4)

    found = search("kettle")

    assert slugs(found) == ["note-5", "note-4", "note-3", "note-2"]
    assert not found.is_exact


def test_the_database_computes_bm25(published: Any) -> None:
    published(slug="one", title="Kettle", body="A kettle and a lid, and a kettle again.")
    published(slug="two", title="Lid", summary="A kettle.", body="Nothing else here but words and words.")
    published(slug="three", title="Else", body="Nothing.")

    said = vocabulary.understand(vocabulary.words.query("kettle lid"))
    ranked = {one.publication: one.score for one in ranking.rank(said).posts}

    # Title three times, summary twice, body once.
    frequencies = {"one": {"kettl": 5, "lid": 1}, "two": {"kettl": 2, "lid": 3}}
    lengths = {row.slug: row.text.length for row in Publication.objects.select_related("text")}
    average = sum(lengths.values()) / 3
    for slug, counted in frequencies.items():
        norm = ranking.K1 * (1 - ranking.B + ranking.B * lengths[slug] / average)
        expected = sum(
            said.rarity(lexeme) * n * (ranking.K1 + 1) / (n + norm) for lexeme, n in counted.items()
        )
        assert ranked[Publication.objects.get(slug=slug).pk] == pytest.approx(expected)


# --- What was meant ---


def test_a_word_that_no_post_has_is_taken_for_the_nearest_that_one_has(published: Any) -> None:
    published(slug="kafka", title="Kafka consumers")

    found = search("kafak consumers")

    assert slugs(found) == ["kafka"]
    assert found.corrections == (Correction("kafak", "kafka"),)
    assert search("kafka consumres").corrections == (Correction("consumres", "consumers"),)
    assert search("zebra").corrections == ()


def test_a_correction_never_tells_of_a_draft(published: Any, make_post: MakePost) -> None:
    make_post(title="Secret samovar")
    published(title="Kettle")

    assert search("samovra").corrections == ()


def test_synonyms_are_looked_for_in_both_directions_or_one(
    published: Any, people: Any, now: datetime
) -> None:
    published(slug="long", title="Kubernetes clusters")
    published(slug="short", title="Sizing k8s nodes")
    published(slug="phrase", title="Continuous integration")
    published(slug="ci", title="Our CI")
    synonyms.write(["k8s", "Kubernetes"], by=people.administrator, at=now)
    synonyms.write(["CI", "continuous integration"], is_one_way=True, by=people.administrator, at=now)

    assert set(slugs(search("kubernetes"))) == {"long", "short"}
    assert slugs(search("kubernetes"))[0] == "long"
    assert set(slugs(search("k8s"))) == {"long", "short"}
    assert set(slugs(search("ci"))) == {"phrase", "ci"}
    assert set(slugs(search("continuous integration"))) == {"phrase"}
    assert search("k8s").synonyms == ("Kubernetes",)


# --- Why, and how it is shown ---


def test_a_hit_says_where_which_words_were_found_and_marks_them(published: Any) -> None:
    published(
        slug="note",
        title="Retries & <time-outs>",
        topic="kafka / operations",
        summary="How to retry.",
        body="Some <b>text</b>.\n\nWhere `kafka` brokers meet retries.",
        stack=["kafka"],
    )

    (hit,) = search("kafka retry timeout").hits

    assert hit.shown.title == "<mark>Retries</mark> &amp; &lt;<mark>time-outs</mark>&gt;"
    assert hit.shown.summary == "How to <mark>retry</mark>."
    assert "Where <mark>kafka</mark> brokers meet <mark>retries</mark>." in hit.shown.passage
    assert hit.shown.reasons == [
        Reason("title", ["Retries", "time-outs"]),
        Reason("topic", ["kafka"]),
        Reason("stack", ["kafka"]),
        Reason("summary", ["retry"]),
        Reason("body", ["kafka", "retries"]),
    ]
    assert hit.by == {"words"}


def test_the_best_passage_of_a_long_body_is_shown(published: Any) -> None:
    filler = "Nothing to see here at all. " * 40
    published(body=f"A kettle. {filler} The kettle has a lid of copper. {filler}")

    (hit,) = search("kettle lid copper").hits

    assert "The <mark>kettle</mark> has a <mark>lid</mark> of <mark>copper</mark>." in hit.shown.passage
    assert hit.shown.passage.startswith("… ")
    assert hit.shown.passage.endswith(" …")
    assert len(hit.shown.passage) < 330


def test_facets_count_what_was_found(published: Any) -> None:
    published(title="Kettle", stack=["go", "rust"], topic="kitchen")
    published(title="Kettle", stack=["go"], difficulty="beginner")
    published(title="Else", stack=["go"])

    assert search("kettle").facets == [
        FacetCount("difficulty", "beginner", 1),
        FacetCount("stack", "go", 2),
        FacetCount("stack", "rust", 1),
        FacetCount("topic", "kitchen", 1),
    ]


def test_other_ranks_can_be_fused_with_these(published: Any) -> None:
    first = published(slug="first", title="Kettle kettle")
    second = published(slug="second", title="Kettle")

    def fuse(query: Any, ranks: list[ranking.Ranked], within: Any) -> list[ranking.Ranked]:
        by = {one.publication: one for one in ranks}
        return [by[second.pk], ranking.Ranked(first.pk, 0.1, 0, frozenset({"meaning"}))]

    found = search("kettle", fuse=fuse)

    assert [(hit.slug, hit.by) for hit in found.hits] == [("second", {"words"}), ("first", {"meaning"})]


# --- The vocabulary is a function of what is published ---


def test_words_are_counted_as_posts_come_change_and_go(
    published: Any, make_post: MakePost, publish: Publish, people: Any, now: datetime
) -> None:
    one = published(title="Red kettle", body="Kettles.").post
    alone = vocabulary_rows()
    two = published(title="Blue kettle", body="").post
    terms, known, totals = vocabulary_rows()

    assert (terms["kettl"], terms["^kettl"], terms["red"]) == (2, 2, 1)
    assert (known["kettle"], known["kettles"], known["blue"]) == (2, 1, 1)
    assert totals == [(2, 13)]

    assert publishing.rebuild().changed == []
    reviewing.withdraw(two, by=people.reviewer, at=now, comment="wrong")
    assert vocabulary_rows() == alone
    reviewing.withdraw(one, by=people.reviewer, at=now, comment="wrong")
    assert vocabulary_rows() == ({}, {}, [(0, 0)])


def test_a_rebuild_counts_afresh_and_says_what_was_wrong(published: Any) -> None:
    published(title="Kettle", body="")
    before = vocabulary_rows()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; SELECT set_config('kb.publishing', 'on', true)")
        cursor.execute("UPDATE kb_publishedterm SET posts = 7")
        cursor.execute("INSERT INTO kb_publishedword VALUES ('ghost', 1, '{}')")
        cursor.execute("UPDATE kb_publishedtotals SET length = 1; COMMIT")

    changed = publishing.rebuild().changed

    assert sorted(changed) == ["term ^kettl", "term kettl", "totals of words", "word ghost"]
    assert vocabulary_rows() == before


# --- Synonyms ---


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (["k8s"], "too_few"),
        (["run", "running"], "too_few"),
        (["the", "a"], "no_word"),
        (["a b c d e f g", "x"], "no_word"),
    ],
)
def test_what_is_no_group_of_synonyms_is_refused(
    people: Any, now: datetime, typed: list[str], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        synonyms.write(typed, by=people.administrator, at=now)

    assert refused.value.code == code
    assert not PublishedSynonym.objects.exists()


def test_only_who_may_keeps_synonyms(people: Any, now: datetime) -> None:
    with pytest.raises(Refused, match="may not keep the synonyms of searches"):
        synonyms.write(["k8s", "kubernetes"], by=people.reviewer, at=now)


def test_a_group_is_written_changed_and_retired_in_the_admin(client: Client, people: Any) -> None:
    client.force_login(people.administrator)
    add = "/admin/kb/synonym/add/"

    preview = client.post(add, {"words": "k8s\nKubernetes", "preview": "1"})
    assert "“k8s” also finds “Kubernetes”" in preview.content.decode()
    assert not Synonym.objects.exists()

    client.post(add, {"words": "k8s\nKubernetes"})
    first = Synonym.objects.get()
    change = f"/admin/kb/synonym/{first.pk}/change/"
    assert "“Kubernetes” also finds “k8s”" in client.get(change).content.decode()
    client.post(change, {"words": "k8s\nKubernetes\nkube", "is_one_way": "on"})
    assert dict(PublishedSynonym.objects.values_list("lexemes", "words")) == {"k8s": ["Kubernetes", "kube"]}
    late = client.post(change, {"words": "k8s\nlate"}, follow=True).content.decode()
    assert "was changed by somebody else" in late

    second = Synonym.objects.current().get()
    client.post(f"/admin/kb/synonym/{second.pk}/retire/")
    assert not PublishedSynonym.objects.exists()
    audit = client.get("/admin/kb/audit/?kind=synonym.made").content.decode()
    assert "k8s, Kubernetes, kube" in audit


def test_bad_input_gets_a_page(client: Client, people: Any) -> None:
    client.force_login(people.administrator)

    assert client.post("/admin/kb/synonym/add/", {"words": "a\x00b\nc"}).status_code == 400
    assert client.post("/admin/kb/synonym/add/", {"words": ""}).status_code == 400
    assert client.get("/admin/kb/synonym/999/change/").status_code == 404


# --- Suggestions ---


def test_suggestions_complete_words_titles_and_entities(published: Any, make_post: MakePost) -> None:
    published(slug="pool", title="PostgreSQL pools", entities=[{"name": "postgresql", "type": "stack"}])
    published(slug="post", title="Posters", body="postgresql")
    make_post(title="Postponed draft")

    found = suggesting.suggest("postg")

    assert found.queries == ["postgresql"]
    assert found.posts == [("pool", "PostgreSQL pools")]
    assert found.entities == [("stack", "postgresql", "postgresql", 1)]
    assert suggesting.suggest("pools postg").queries == ["pools postgresql"]


# --- The API ---


def ask(client: Client, where: str, **params: Any) -> Any:
    response = client.get(f"/api/v1/{where}/", params)
    assert response.status_code == 200, response.content
    return json.loads(response.content)


def test_the_api_answers_with_cards_reasons_and_facets(client: Client, published: Any, settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"
    row = published(slug="kettle", title="Kettle", stack=["go"], summary="A pot.", body="It boils.")
    published(slug="other", title="Kettle", stack=["rust"])

    found = ask(client, "search", q="ketle", stack="go")

    assert found.pop("results") == [
        {
            "post": json.loads(row.card_json),
            "score": pytest.approx(found.get("score", 0), abs=10),
            "by": ["words"],
            "title": "<mark>Kettle</mark>",
            "summary": "A pot.",
            "passage": "",
            "reasons": [{"field": "title", "words": ["Kettle"]}],
        }
    ]
    assert found == {
        "next": None,
        "total": 1,
        "total_is_exact": True,
        "widened": False,
        "corrections": [{"typed": "ketle", "used": "kettle"}],
        "synonyms": [],
        "facets": {"stack": [{"value": "go", "posts": 1}]},
    }


def test_the_api_pages_and_refuses_what_it_does_not_know(
    client: Client, published: Any, settings: Any
) -> None:
    settings.KB_READ_ACCESS = "public"
    for number in range(3):
        published(slug=f"kettle-{number}", title="Kettle")

    first = ask(client, "search", q="kettle", limit=2, facets="false")
    second = json.loads(client.get(first["next"]).content)

    assert [hit["post"]["slug"] for hit in second["results"]] == ["kettle-0"]
    assert (first["facets"], second["next"]) == ({}, None)
    for wrong in ({}, {"q": ""}, {"q": "a", "cursor": "x"}, {"q": "a", "limit": "101"}, {"q": "a\x00"}):
        assert client.get("/api/v1/search/", wrong).status_code == 400, wrong


def test_the_api_suggests(client: Client, published: Any, settings: Any) -> None:
    settings.KB_READ_ACCESS = "public"
    published(slug="kettle", title="Kettle", entities=[{"name": "kettles", "type": "thing"}])

    assert ask(client, "suggest", q="ket") == {
        "queries": ["kettle", "kettles"],
        "posts": [{"slug": "kettle", "title": "Kettle", "url": "/api/v1/posts/kettle/"}],
        "entities": [
            {"type": "thing", "name": "kettles", "posts": 1, "url": "/api/v1/entities/thing/kettles/"}
        ],
    }


@pytest.mark.parametrize("posts", [1, 3])
def test_searches_and_suggestions_take_a_fixed_number_of_queries(published: Any, posts: int) -> None:
    for _ in range(posts):
        published(title="Kettle", stack=["go"])

    with CaptureQueriesContext(connections["reading"]) as of_search:
        search("kettle go")
    with CaptureQueriesContext(connections["reading"]) as of_suggestion:
        suggesting.suggest("kett")

    assert [len(of_search), len(of_suggestion)] == [5, 7]


# --- How well ---


def test_the_judged_queries_find_what_they_mean(people: Any) -> None:
    known = dict(finding.documents())
    finding.publish(known.items(), people.reviewer)
    queries = finding.judged(known)

    measured = finding.measure(queries, finding.by_kb)

    assert len(queries) >= 60
    floors = {"known item": 0.97, "paraphrase": 0.8, "facts": 0.85, "all": 0.88}
    assert {kind: floor for kind, floor in floors.items() if measured[kind].ndcg < floor} == {}
