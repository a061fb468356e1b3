"""Synthetic posts: the same for the same seed, varied, importable, and as many as wanted."""

import hashlib
import subprocess
import sys
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest

from kb.sources import Record, jsonl, synthesis

ROOT = Path(__file__).parent.parent


def lines(count: int, seed: int = 1) -> list[bytes]:
    return list(synthesis.lines(count, seed))


def records(count: int, seed: int = 1) -> list[Record]:
    found = list(jsonl.read(BytesIO(b"".join(lines(count, seed))), "synthetic"))
    assert all(isinstance(record, Record) for record in found)
    return found  # type: ignore[return-value]


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    first = b"".join(lines(20))

    assert (
        hashlib.sha256(first).hexdigest()
        == "f61a971b3f47658f1157fb2def02bea42f9b781dce0b7ce40dc8b389ff0b8fca"
    )
    assert b"".join(lines(20)) == first


def test_a_longer_run_begins_with_the_same_posts() -> None:
    assert lines(50)[:20] == lines(20)


def test_other_seeds_give_other_posts() -> None:
    assert not set(lines(20, 1)) & set(lines(20, 2))
    bodies = [{record.document.body for record in records(20, seed)} for seed in (1, 2)]
    assert not bodies[0] & bodies[1]


def test_every_post_imports_with_an_identity_of_its_own() -> None:
    found = records(300)

    assert len({record.source_id for record in found}) == len({record.slug for record in found}) == 300
    assert {record.source for record in found} == {"synthetic"}
    assert [record.unknown for record in found] == [()] * 300


def test_posts_are_varied() -> None:
    documents = [record.document for record in records(300)]

    assert {document.stack[0] for document in documents} == set(synthesis.STACKS)
    assert len({document.title for document in documents}) > 250
    assert len({document.body for document in documents}) == 300
    assert len({tool for document in documents for tool in document.tools}) > 40
    assert {document.difficulty for document in documents} == {"beginner", "intermediate", "advanced"}
    assert {len(document.checklists) for document in documents} == {0, 1, 2}
    assert {document.flags.needs_human_review for document in documents} == {True, False}
    assert {bool(document.owner) for document in documents} == {True, False}


def peak(count: int) -> int:
    tracemalloc.start()
    try:
        for _ in synthesis.lines(count, 1):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_posts_take_no_more_memory() -> None:
    peak(10)

    assert peak(1_000) < 2 * peak(100)


def synthesize(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "manage.py", "synthesize", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)


def test_the_command_prints_the_lines() -> None:
    said = synthesize("--count", "501", "--seed", "7")

    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout == b"".join(lines(501, 7))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--count", "-1"), "Got --count -1 --seed 1, expected a count from 0"),
        (("--count", "1", "--seed", "1000000000"), "expected a count from 0 and a seed below 1000000000"),
        (("--count", "many"), "invalid int value: 'many'"),
    ],
)
def test_bad_arguments_are_named_and_end_with_status_2(arguments: tuple[str, ...], words: str) -> None:
    said = synthesize(*arguments)

    assert (said.returncode, said.stdout) == (2, b"")
    assert words in said.stderr.decode()
