"""Turn a seed into posts as a generator writes them; the same seed and number give the same bytes."""

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from kb.document import MAX_NUMBER
from kb.sources import jsonl

SOURCE = "synthetic"
GENERATOR = "kb content synthesizer"

# stack: (areas, code language, tools)
STACKS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "python services": (("backend", "python"), "python", ("fastapi", "pytest", "uvicorn", "ruff", "httpx")),
    "django sites": (("backend", "web"), "python", ("django", "pytest", "granian", "psycopg", "ruff")),
    "postgresql clusters": (("database", "storage"), "sql", ("psql", "pgbench", "pg_dump", "pgbouncer")),
    "redis caches": (("cache", "backend"), "shell", ("redis-cli", "memtier", "lua")),
    "kafka pipelines": (("data", "streaming"), "java", ("kcat", "avro", "gradle", "jmx")),
    "react front ends": (("frontend", "web"), "typescript", ("vite", "vitest", "eslint", "playwright")),
    "vue dashboards": (("frontend", "analytics"), "typescript", ("vite", "pinia", "cypress")),
    "go workers": (("backend", "jobs"), "go", ("pprof", "golangci-lint", "delve", "make")),
    "rust parsers": (("tooling", "performance"), "rust", ("cargo", "clippy", "criterion", "miri")),
    "kubernetes clusters": (("platform", "operations"), "yaml", ("kubectl", "helm", "kustomize", "stern")),
    "terraform modules": (("platform", "infrastructure"), "hcl", ("terraform", "tflint", "terragrunt")),
    "nginx proxies": (("network", "operations"), "nginx", ("nginx", "curl", "openssl", "wrk")),
    "android apps": (("mobile", "client"), "kotlin", ("gradle", "adb", "espresso", "ktlint")),
    "search indexes": (("search", "data"), "json", ("curl", "jq", "opensearch")),
    "etl jobs": (("data", "batch"), "python", ("airflow", "dbt", "pandas", "duckdb")),
    "graphql gateways": (("api", "backend"), "graphql", ("apollo", "k6", "graphql-codegen")),
}
SHARED_TOOLS = ("git", "logs", "grafana", "make", "docker")
PROBLEMS = (
    "documenting production defaults",
    "shortening slow queries",
    "rotating credentials",
    "removing flaky tests",
    "bounding memory use",
    "upgrading a major version",
    "splitting a large module",
    "warming caches after a deploy",
    "tracing requests across services",
    "cleaning up feature switches",
    "tightening timeouts and retries",
    "rehearsing a restore from backup",
    "reducing image sizes",
    "validating input at the boundary",
    "measuring before tuning",
    "moving jobs to a queue",
    "backfilling a new column",
    "handling partial failures",
)
SCENARIOS = (
    "before a major migration",
    "after an incident",
    "during a traffic peak",
    "with a small team on call",
    "while two versions run side by side",
    "ahead of an audit",
    "when the budget shrinks",
    "after a change of owner",
    "on a customer's own hardware",
    "with a release every day",
)
OPENINGS = (
    "field notes on {problem} for {stack}",
    "{problem} in {stack}: what held up",
    "a checklist for {problem} with {stack}",
    "{problem} for {stack}, {scenario}",
    "what we learned from {problem} in {stack}",
)
LEADS = (
    "when a project grows, {problem} stops being a cleanup task and becomes part of how the team ships.",
    "most teams meet {problem} too late. this note walks through a practical approach to {stack} {scenario}.",
    "{stack} forgive a lot, but {scenario} the cost of guessing shows.",
    "this note describes how we went about {problem} with {stack}, and what we would do again.",
)
HEADINGS = (
    "the practical approach",
    "security and maintenance notes",
    "what to measure first",
    "rolling back",
    "working with {tool}",
    "how to review the change",
    "common mistakes",
    "before you start",
    "what changed for readers of the logs",
)
SENTENCES = (
    "measure first, and write the number down before anything is changed.",
    "keep the change small enough that {tool} shows its effect within an hour.",
    "for {stack}, keep the owner, the expected result and the rollback note in the same place.",
    "a good error message says what failed, what was expected and whether to retry.",
    "treat staging as a rehearsal: run the real command and confirm that the way back works.",
    "{scenario}, a limit that was never written down is the first thing to break.",
    "do not hide a setting in unrelated code, because a later reviewer will miss it.",
    "we replaced {number} manual steps by one command that anybody can read.",
    "the p95 went from {number} ms to less than half of that, and stayed there.",
    "prefer a documented default over an option that nobody sets.",
    "if {tool} disagrees with the dashboard, believe neither until a third source is found.",
    "separate what the product decides from what the infrastructure decides.",
    "write the final note right after the change ships, while the reasons are fresh.",
    "about {number} percent of the alerts came from a single retry loop.",
    "leave the old path in place for one release, then delete it.",
    "the part that took longest was {problem}, not the code around it.",
)
STEPS = (
    "run linting",
    "run unit tests",
    "run one integration check",
    "verify staging config",
    "tag the release",
    "note the metric before the change",
    "take a backup and restore it once",
    "tell the people on call",
    "open the dashboard of {stack}",
    "check the logs with {tool}",
    "remove the old switch",
    "write down the rollback command",
)
CHECKLISTS = ("implementation checklist", "before the release", "after the release", "rollback checklist")
OWNERS = ("platform team", "data team", "web team", "site reliability", "mobile team", "search team")
PHOTOS = (
    "photo-1515879218367-8466d910aaa4",
    "photo-1461749280684-dccba630e2f6",
    "photo-1498050108023-c5249f4df085",
    "photo-1504639725590-34d0984388bd",
)
DIFFICULTIES = ("beginner", "intermediate", "intermediate", "advanced")
STATUSES = ("drafted", "drafted", "generated", "revised")
NOTES = (
    "content is generated for import and load testing and should be reviewed before indexing",
    "view count is synthetic and only used for testing",
    "array meta is expected to render as a list",
)


def lines(count: int, seed: int) -> Iterator[bytes]:
    """JSON Lines for the source format `jsonl`, posts 1 to count. A longer run begins with the same posts."""
    chance = Chance()
    for number in range(1, count + 1):
        yield jsonl.dump(post(number, seed, chance))


class Chance:
    """Draws by `Random.random()` alone: the one method whose sequence Python promises to keep."""

    def __init__(self) -> None:
        self._random = Random()  # noqa: S311  (content, not secrets)
        self._draw = self._random.random

    def seed(self, seed: int) -> None:
        self._random.seed(seed)

    def below(self, end: int) -> int:
        return int(self._draw() * end)

    def between(self, first: int, last: int) -> int:
        return first + int(self._draw() * (last - first + 1))

    def happens(self, share: float) -> bool:
        return self._draw() < share

    def one(self, choices: Sequence[str]) -> str:
        return choices[int(self._draw() * len(choices))]

    def some(self, choices: Sequence[str], count: int) -> list[str]:
        """Different ones, in the order of the choices."""
        left = min(count, len(choices))
        kept = []
        for at, choice in enumerate(choices):
            if self._draw() * (len(choices) - at) < left:
                kept.append(choice)
                left -= 1
        return kept

    def score(self) -> int:
        """0 to 100, most of them around 70."""
        return min(100, int(20 + 33 * (self._draw() + self._draw() + self._draw())))


def post(number: int, seed: int, chance: Chance) -> dict[str, Any]:
    """One record as the format `jsonl` holds it, from its own seed."""
    own_seed = (seed * 1_000_003 + number) % MAX_NUMBER
    chance.seed(own_seed)
    stack = chance.one(_STACK_NAMES)
    areas, language, own_tools = STACKS[stack]
    words = {
        "stack": stack,
        "problem": chance.one(PROBLEMS),
        "scenario": chance.one(SCENARIOS),
        "tool": chance.one(own_tools),
        "number": str(chance.between(3, 90)),
    }
    source_id = f"{SOURCE}-{seed}-{number:07}"
    checklists = _checklists(words, chance)
    paragraphs = min(chance.between(3, 9) + chance.below(2) * chance.below(12), 20)
    images = _images(words, chance)
    body = _body(words, paragraphs, checklists, chance)
    title = chance.one(OPENINGS).format(**words)
    document = {
        "title": title,
        "body": body,
        "topic": f"{words['problem']} / {stack}",
        "summary": _sentence(
            "this ai-style technical summary explains {problem} in {stack}, with emphasis on measurement, "
            "safe defaults and rollback planning.",
            words,
        ),
        "outline": [
            {"label": "context", "text": words["scenario"]},
            {"label": "problem", "text": words["problem"]},
            {"label": "stack", "text": stack},
            {"label": "recommended action", "text": "measure first, change carefully, document the result"},
        ],
        "brief": "written like a careful engineering draft: it says why and lists checks.",
        "stack": [stack, *areas],
        "tools": [*chance.some(own_tools, chance.between(1, 5)), *chance.some(SHARED_TOOLS, 2)],
        "code_language": language,
        "difficulty": chance.one(DIFFICULTIES),
        "reading_time": max(1, len(body) // 900),
        "scores": {name: chance.score() for name in ("quality", "freshness", "depth", "clarity")},
        "checklists": checklists,
        "entities": [
            {"name": stack, "type": "stack"},
            *({"name": area, "type": "area"} for area in areas[: chance.between(1, len(areas))]),
            {"name": words["problem"], "type": "problem"},
            *([{"name": words["tool"], "type": "tool"}] if chance.happens(0.4) else []),
        ],
        "images": images,
        "payload": {
            "source_id": source_id,
            "generator": GENERATOR,
            "paragraphs": paragraphs,
            "scenario": words["scenario"],
            "seed": own_seed,
        },
        "notes": chance.some(NOTES, chance.between(0, len(NOTES))),
        "flags": {
            "ai_generated_style": chance.happens(0.85),
            "has_images": bool(images),
            "image_heavy": len(images) > 3,
            "needs_human_review": chance.happens(0.2),
        },
        **_field_notes(words, chance),
    }
    return {
        "slug": f"{title.translate(_HYPHENS)}-{seed}-{number:07}",
        "reference": f"kbs-ref-{seed}-{number:07}",
        "source": SOURCE,
        "source_id": source_id,
        "source_hash": f"{chance.below(2**48):012x}{chance.below(2**48):012x}",
        "source_status": chance.one(STATUSES),
        "source_version": f"{chance.between(0, 3)}.{chance.between(0, 9)}.{chance.between(0, 20)}",
        "source_last_reviewed": _date(chance) if chance.happens(0.6) else None,
        "view_count": int(10 ** (chance.below(600) / 100)),
        "document": document,
    }


_STACK_NAMES = tuple(STACKS)
_HYPHENS = str.maketrans({" ": "-", ",": None, ":": None, "'": None})


def _sentence(template: str, words: dict[str, str]) -> str:
    return template.format(**words) if "{" in template else template


def _body(words: dict[str, str], paragraphs: int, checklists: list[dict[str, Any]], chance: Chance) -> str:
    parts = [_sentence(chance.one(LEADS), words)]
    sentences = _sentences(words, chance)
    headings = iter(chance.some(HEADINGS, 1 + paragraphs // 4))
    for at in range(paragraphs - 1):
        if at % 4 == 0 and (heading := next(headings, None)):
            parts.append(f"## {_sentence(heading, words)}")
        parts.append(" ".join(islice(sentences, chance.between(2, 6))))
    for checklist in checklists:
        parts.append(f"## {checklist['title']}")
        parts.append("\n".join(f"- {item}" for item in checklist["items"]))
    return "\n\n".join(parts)


def _sentences(words: dict[str, str], chance: Chance) -> Iterator[str]:
    """Endless, and none comes again before all others came: the step shares no divisor with their number."""
    at, step = chance.below(len(SENTENCES)), (1, 3, 5, 7)[chance.below(4)]
    while True:
        at = (at + step) % len(SENTENCES)
        yield _sentence(SENTENCES[at], {**words, "number": str(chance.between(3, 90))})


def _checklists(words: dict[str, str], chance: Chance) -> list[dict[str, Any]]:
    titles = chance.some(CHECKLISTS, (0, 1, 1, 2)[chance.below(4)])
    return [
        {
            "title": title,
            "items": [_sentence(step, words) for step in chance.some(STEPS, chance.between(3, 8))],
        }
        for title in titles
    ]


def _images(words: dict[str, str], chance: Chance) -> list[dict[str, str]]:
    count = (0, 0, 1, 1, 2, 5)[chance.below(6)]
    caption = f"{words['problem']} with {words['stack']} visual reference"
    return [
        {
            "source": "unsplash",
            "url": f"https://images.unsplash.com/{chance.one(PHOTOS)}?auto=format&fit=crop&w=1200&q=80",
            "caption": f"{caption} {number}",
        }
        for number in range(1, count + 1)
    ]


def _field_notes(words: dict[str, str], chance: Chance) -> dict[str, str]:
    if chance.happens(0.5):
        return {}
    return {
        "owner": chance.one(OWNERS),
        "expected_result": _sentence("{stack} pass the checks that this note lists.", words),
        "rollback_note": _sentence("undo the last change with {tool} and tell the people on call.", words),
    }


def _date(chance: Chance) -> str:
    return f"{chance.between(2023, 2026)}-{chance.between(1, 12):02}-{chance.between(1, 28):02}"
