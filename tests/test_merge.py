"""Three-way merges: what one side changed is kept, what both changed stands there twice, nothing is lost."""

import time

from hypothesis import given
from hypothesis import strategies as st

from kb.merge import END, MAX_LINES, THEIRS, YOURS, Clash, is_unmerged, merge, written

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d"]), max_size=12)
BASE = ["one", "", "two", "", "three"]


def test_changes_in_different_paragraphs_are_both_kept() -> None:
    theirs = ["one", "", "two", "", "three, theirs", "", "four"]
    yours = ["zero", "", "one, mine", "", "two", "", "three"]

    merged = merge(BASE, theirs, yours)

    assert merged == ["zero", "", "one, mine", "", "two", "", "three, theirs", "", "four"]


def test_a_passage_that_both_changed_holds_both() -> None:
    merged = merge(BASE, ["one", "", "theirs", "", "three"], ["one", "", "mine", "", "three"])

    assert merged == ["one", "", Clash(("two",), ("theirs",), ("mine",)), "", "three"]
    text = written(merged)
    assert text.split("\n") == ["one", "", YOURS, "mine", THEIRS, "theirs", END, "", "three"]
    assert is_unmerged(text)
    assert not is_unmerged("one\n=======\n<<<<<<< HEAD")


def test_who_removed_what_the_other_changed_is_asked() -> None:
    merged = merge(BASE, ["one", "", "three"], ["one", "", "two, mine", "", "three"])

    assert [piece for piece in merged if isinstance(piece, Clash)] != []
    assert "two, mine" in written(merged)


@given(LINES, LINES)
def test_if_only_one_side_changed_the_merge_is_that_side(base: list[str], other: list[str]) -> None:
    assert merge(base, other, base) == other
    assert merge(base, base, other) == other
    assert merge(base, other, other) == other


@given(LINES, LINES, LINES)
def test_no_line_that_somebody_added_is_dropped(base: list[str], theirs: list[str], yours: list[str]) -> None:
    theirs, yours = [f"{line} t" for line in theirs], [f"{line} y" for line in yours]

    lines = written(merge(base, theirs, yours)).split("\n")

    assert [line for line in lines if line.endswith(" t")] == theirs
    assert [line for line in lines if line.endswith(" y")] == yours


def test_hostile_texts_merge_in_bounded_time() -> None:
    third = MAX_LINES // 3
    alike = [["x", "y"] * (third // 2), ["y", "x"] * (third // 2), ["x", "x", "y"] * (third // 3)]
    distinct = [[f"{side}{number % 50}" for number in range(third)] for side in "abc"]

    started = time.process_time()
    for sides in (alike, distinct, [["line"] * MAX_LINES] * 3):
        merge(*sides)

    assert time.process_time() - started < 2
