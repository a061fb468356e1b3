"""Turn this folder into demo notes: written ones (*.md), some from patterns (patterns.toml), a source page.

A written note has its fields in TOML between two lines of `+++`, then its body. All of it is invented.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kb import sources
from kb.document import Document
from kb.errors import SourceError
from kb.flow.demonstrating import Note
from kb.models.post import DEMO_SOURCE
from kb.sources import Record, jsonl
from kb.sources.record import slugify

FOLDER = Path(__file__).parent
PAGE = FOLDER / "page.txt"  # in the shape of the format alphanode
WORDS_A_MINUTE = 70  # commands and lists are read slowly
SHOWN_FIRST = "page-with-a-cursor"  # a published note, whose meta JSON quickstart offers to fetch
PAGE_ID = "alphanode-demo-page"
LONG_AGO = ("overdue", "due")  # stories that begin before all others


def notes() -> list[Note]:
    """All demo notes in a fixed order that mixes topics and kinds; the page comes last, as the newest."""
    found = [*_written(), *_from_patterns()]
    found.sort(key=_place)
    return [*found, Note(_page(), "imported")]


def _place(note: Note) -> tuple[int, bytes]:
    """Those that were published long ago come first, the oldest of them before the others."""
    age = LONG_AGO.index(note.story) if note.story in LONG_AGO else len(LONG_AGO)
    return age, hashlib.sha256(note.record.source_id.encode()).digest()


def _written() -> Iterator[Note]:
    for path in sorted(FOLDER.glob("*.md")):
        _, head, body = path.read_text(encoding="utf-8").split("+++\n", 2)
        facts = tomllib.loads(head)
        yield _note(path.stem, facts.pop("story"), {**facts, "body": body})


def _from_patterns() -> Iterator[Note]:
    for kind, subjects in tomllib.loads((FOLDER / "patterns.toml").read_text(encoding="utf-8")).items():
        for facts in subjects:
            fields = {
                "topic": facts["topic"],
                "stack": facts["stack"],
                "tools": facts["tools"],
                "owner": facts["owner"],
                "scores": _scores(facts),
                **PATTERNS[kind](facts),
            }
            area = facts["topic"].split(" / ")[0]
            fields["entities"] = [
                f"area: {area}",
                f"stack: {facts['stack'][0]}",
                f"tool: {facts['tools'][0]}",
            ]
            if facts["story"] == "imported":
                fields |= {"flags": ["ai_generated_style"], "generator": "note drafting assistant"}
            yield _note(slugify(fields["title"]), facts["story"], fields)


def _note(slug: str, story: str, facts: dict[str, Any]) -> Note:
    data = {
        **{name: facts[name] for name in Document.model_fields if name in facts},
        "scores": dict(zip(("quality", "freshness", "depth", "clarity"), facts["scores"], strict=True)),
        "reading_time": max(1, round(len(facts["body"].split()) / WORDS_A_MINUTE)),
        "outline": [_pair(line, "label", "text") for line in facts.get("outline", [])],
        "entities": [_pair(line, "type", "name") for line in facts["entities"]],
        "checklists": [{"title": title, "items": items} for title, *items in facts.get("checklists", [])],
        "images": [
            dict(zip(("source", "url", "caption"), image, strict=True)) for image in facts.get("images", [])
        ],
        "flags": dict.fromkeys(facts.get("flags", []), True),
        "payload": {"source_id": slug, "generator": facts["generator"]} if "generator" in facts else {},
    }
    record = Record(document=Document.read(data), slug=slug, source=DEMO_SOURCE, source_id=slug)
    place = f"demo content: {slug}"
    return Note(jsonl.parse(jsonl.write(record).removesuffix(b"\n"), place), story)


def _pair(line: str, first: str, second: str) -> dict[str, str]:
    left, _, right = line.partition(": ")
    return {first: left, second: right}


def _page() -> Record:
    """The page in the shape of a real source's, as the source reader reads it."""
    with PAGE.open("rb") as stream:
        for found in sources.read(stream, PAGE.name):
            if isinstance(found, SourceError):
                raise found
            return replace(found, source=DEMO_SOURCE, source_id=PAGE_ID, place=f"demo content: {PAGE.name}")
    raise AssertionError(f"{PAGE.name} is empty")


def _scores(facts: dict[str, Any]) -> list[int]:
    """Believable and always the same: 62 to 95, quality below the threshold where nobody owns the note."""
    digest = hashlib.sha256(facts["topic"].encode() + facts["stack"][0].encode()).digest()
    quality, *others = (62 + byte % 34 for byte in digest[:4])
    return [quality if facts["owner"] else 54, *others]


# --- Patterns ---


def _runbook(facts: dict[str, Any]) -> dict[str, Any]:
    alert = facts["alert"]
    return {
        "title": f"Runbook: {alert}",
        "summary": f"What to do when the alert “{alert}” fires: how to see that it is this, "
        "what usually causes it, and how to stop the pain.",
        "body": f"This is the right page if {facts['symptom']}.\n\n## Look first\n\n"
        f"```{facts['language']}\n{facts['look']}\n```\n\n"
        f"## Usual causes, the most frequent one first\n\n{_numbered(facts['causes'])}\n\n"
        f"## Stop the pain\n\n{facts['remedy']}\n\nWrite what you see and do into the incident's "
        "channel, with the time. If it is not better after fifteen minutes, wake the owner.\n",
        "code_language": facts["language"],
        "difficulty": "beginner",
        "checklists": [
            ["In this order", "Acknowledge the alert", "Look", "Name the cause", "Act", "Write it down"]
        ],
        "expected_result": "The alert closes by itself within fifteen minutes of the last step.",
        "rollback_note": facts["undo"],
    }


def _decision(facts: dict[str, Any]) -> dict[str, Any]:
    choice = facts["choice"]
    return {
        "title": f"Decision: {choice}",
        "summary": f"{facts['taken']} Why we decided so, what else was possible, and when to decide again.",
        "body": f"## What forces us\n\n{facts['forces']}\n\n## What we do\n\n{facts['taken']}\n\n"
        f"## What we did not choose\n\n{_bullets(facts['others'])}\n\n## What it costs\n\n{facts['cost']}\n",
        "difficulty": "intermediate",
        "outline": [
            f"forces: {facts['forces']}",
            f"choice: {choice}",
            f"decide again when: {facts['again']}",
        ],
        "notes": [f"decide again when {facts['again']}"],
        "expected_result": "Nobody has to ask why it is like this.",
        "rollback_note": "A new decision that names this one; this page stays as it is.",
    }


def _review(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": facts["title"],
        "summary": f"A review without blame. Impact: {facts['impact']}.",
        "body": f"**Impact:** {facts['impact']}.\n\n## What was seen\n\n{_bullets(facts['seen'])}\n\n"
        f"## Why it made sense\n\n{facts['why']}\n\n## What we change\n\n{_numbered(facts['actions'])}\n",
        "difficulty": "intermediate",
        "checklists": [["Actions", *(action[:1].upper() + action[1:] for action in facts["actions"])]],
        "expected_result": "The same chain of events now stops at its second link.",
        "rollback_note": "Each action is a change of its own and can be taken back by itself.",
    }


def _measurement(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": facts["question"],
        "summary": f"Measured, not guessed. {facts['reading']}",
        "body": f"{facts['reading']}\n\n## How it was measured\n\n```sh\n{facts['method']}\n```\n\n"
        f"## What came out\n\n{_bullets(facts['numbers'])}\n\n## How far it holds\n\n{facts['limits']} "
        "Repeat it before you build on it, and add your numbers here.\n",
        "code_language": "shell",
        "difficulty": "advanced",
        "notes": [f"holds for: {facts['limits']}"],
        "expected_result": "Your numbers stand in the same proportion, even if none of them is equal.",
        "rollback_note": "Nothing is changed by measuring.",
    }


def _howto(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": facts["act"],
        "summary": f"{facts['why']} {len(facts['steps'])} steps, and the mistake that everybody makes once.",
        "body": f"{facts['why']}\n\n## Steps\n\n{_numbered(facts['steps'])}\n\n"
        f"## The usual mistake\n\n{facts['mistake']}\n",
        "difficulty": "beginner",
        "checklists": [["Steps", *facts["steps"]]],
        "expected_result": facts["result"],
        "rollback_note": "Stop after any step; what was done up to there does no harm.",
    }


def _numbered(lines: list[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


PATTERNS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "runbook": _runbook,
    "decision": _decision,
    "review": _review,
    "measurement": _measurement,
    "howto": _howto,
}
