"""kb.words: what a text is found by, and what a query asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb import words
from kb.reading import highlights


def lexemes(text: str) -> str:
    return " ".join(token.lexeme for token in words.tokens(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Running, runs and RUN", "run run run"),
        ("Café naïve Straße ﬁle", "cafe naiv strass file"),
        ("cafe\u0301", "cafe"),
        ("Node.js", "nodej node js"),
        ("snake_case", "snakecas snake case"),
        ("getUserName", "getusernam get user name"),
        ("HTTPServer", "httpserver http server"),
        ("time-outs of a time-out", "timeout time out timeout time"),
        ("e-mail", "email mail"),
        ("C++ and C# on .NET", "c++ c# dotnet"),
        ("JavaScript, PostgreSQL, GitHub", "javascript postgresql github"),
        ("iPhone mTLS APIs", "iphon mtls api"),
        ("v16.3.1 and 5.2", "16.3.1 16.3 5.2"),
        ("10,000 rows", "10000 row"),
        ("ORA-00942 ECONNREFUSED 0x80070005", "ora00942 ora 00942 econnrefus 0x80070005"),
        ("CI/CD, TCP/IP", "cicd ci cd tcpip tcp ip"),
        ("/etc/nginx/nginx.conf", "etc nginx nginxconf nginx conf"),
        ("python3 k8s utf-8", "python3 python k8s utf8 utf"),
        ("it's what we don't do", ""),
        ("the team's note", "team note"),
        ("東京都", "東京 京都"),
        ("", ""),
    ],
)
def test_a_text_is_found_by_its_words(text: str, found: str) -> None:
    assert lexemes(text) == found


def test_each_word_says_where_it_stands() -> None:
    text = "Set getUserName up"

    assert [(token.position, text[token.start : token.end]) for token in words.tokens(text)] == [
        (1, "Set"),
        (2, "getUserName"),
        (2, "get"),
        (3, "User"),
        (4, "Name"),
    ]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("pool sizes", "('pool') & ('size')"),
        ('"state of the art"', "('state' <3> 'art')"),
        ("cache -redis", "('cach') & !('redi')"),
        ("go OR rust parsers", "('go') | ('rust') & ('parser')"),
        ("node.js", "('nodej' | 'node' <1> 'js')"),
        ("the of and", ""),
        ("-only", ""),
        ('"unbalanced quotes', "('unbalanc' <1> 'quot')"),
        ("OR OR", ""),
        (r"a' | 'b \ !x & (y) <-> z:*", "('b') & ('x') & ('y') & ('z')"),
    ],
)
def test_a_query_says_what_a_text_must_have(typed: str, asked: str) -> None:
    # The brackets that alternatives take are of no interest where there is only one.
    assert words.query(typed).tsquery.replace("((", "(").replace("))", ")") == asked


def test_a_star_asks_for_words_that_begin_so() -> None:
    assert [word.is_prefix for word in words.query("deploy* later").words] == [True, False]


def test_a_vector_holds_each_field_as_often_as_it_weighs() -> None:
    made = words.vector(("Pools", "python", "It pools", "Text of pools."))

    assert made.literal == ("'pool':1A,12A,23A,57C,69C,82D 'python':34B,45B 'text':80D '^pool'")
    assert (made.length, made.words) == (9, frozenset({"pools", "python", "text"}))


@given(st.text(max_size=300))
def test_any_text_makes_a_query_and_a_vector(text: str) -> None:
    for token in words.tokens(text):
        assert words.fold(text[token.start : token.end])
        assert 0 < len(token.lexeme) <= words.LONGEST
    words.query(text)
    words.vector((text, text, text, text))


def test_two_words_one_slip_apart_have_a_neighbour_in_common() -> None:
    for slip in ("kafak", "kafk", "kaffka", "kaska"):
        assert set(words.near("kafka")) & set(words.near(slip)), slip


PIECES = st.sampled_from(
    "I/O R&D e-mail x-ray C++ C# .NET 1,000 v1.2.3 Résumé dying lying tied skies a__b o'reilly getUserName "
    "naïve 東京 CI/CD python3 10,000 it's early time-out node.js İstanbul kafka Kafkas retried".split()
)


@given(st.lists(PIECES, min_size=1, max_size=12), st.data())
def test_highlights_find_what_taking_the_whole_text_apart_finds(
    pieces: list[str], data: st.DataObject
) -> None:
    text = " ".join(pieces)
    every = list(words.tokens(text))
    wanted = data.draw(
        st.sets(st.sampled_from(sorted({"none", *(token.lexeme for token in every)})), max_size=3)
    )

    found = highlights._found(text, wanted)

    places = [(token.start, token.end, token.lexeme) for token in found]
    assert places == [(it.start, it.end, it.lexeme) for it in every if it.lexeme in wanted]


def test_of_a_text_too_long_to_be_held_no_word_is_kept_that_cannot_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words, "LARGEST", 40)

    made = words.vector(["", "", "", "kettle teapot saucer spoon"])

    assert (made.lexemes, made.words) == ({"kettl", "teapot"}, {"kettle", "teapot"})
