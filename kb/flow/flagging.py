"""Turn a revision into flags: reasons why a person should look, each from one small rule.

A rule reads one Document and returns its finding or None. KB_FLAG_RULES_OFF switches rules off by their code.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any

from django.conf import settings

from kb import access_token
from kb.choices import Severity
from kb.document import Document
from kb.flow import queueing
from kb.models import Flag, Revision
from kb.render import Removed, render, safe_url

EXCERPT = 160  # characters


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where to look: a Document field and a piece of it."""

    field: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    sentence: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    code: str
    severity: Severity
    what: str  # for the settings' table and the admin's filter
    check: Callable[[Document], Finding | None]


def needs_human_review(document: Document) -> Finding | None:
    if not document.flags.needs_human_review:
        return None
    return Finding("The source asks for a person's review.", (Evidence("flags.needs_human_review"),))


def ai_generated(document: Document) -> Finding | None:
    if not document.ai_involved:
        return None
    generator = document.payload.generator
    by = f" by {generator}" if generator else ""
    field = "payload.generator" if generator else "flags.ai_generated_style"
    return Finding(
        f"Drafted with a machine{by}: a person has to vouch for it.", (Evidence(field, generator),)
    )


def low_score(document: Document) -> Finding | None:
    threshold = settings.KB_SCORE_THRESHOLD
    low = {
        name: score
        for name, score in document.scores.model_dump().items()
        if score is not None and score < threshold
    }
    if not low:
        return None
    listed = ", ".join(f"{name} {score}" for name, score in low.items())
    evidence = tuple(Evidence(f"scores.{name}", str(score)) for name, score in low.items())
    return Finding(f"Below the threshold of {threshold}: {listed}.", evidence)


def missing_owner(document: Document) -> Finding | None:
    if document.owner:
        return None
    return Finding("Nobody is named as owner, so nobody answers for it.", (Evidence("owner"),))


def missing_rollback(document: Document) -> Finding | None:
    if document.rollback_note:
        return None
    return Finding("There is no rollback note: how does a reader get back?", (Evidence("rollback_note"),))


def image_heavy(document: Document) -> Finding | None:
    if not document.flags.image_heavy:
        return None
    return Finding(
        f"Mostly pictures ({len(document.images)}): is the text enough without them?",
        (Evidence("flags.image_heavy"),),
    )


def removed_markup(document: Document) -> Finding | None:
    removed = [*render(document.body, document.body_format).removed]
    evidence = [Evidence("body", piece.what[:EXCERPT]) for piece in removed]
    unsafe = [
        Evidence(f"images.{position}.url", image.url[:EXCERPT])
        for position, image in enumerate(document.images)
        if safe_url(image.url) is None
    ]
    removed += [Removed(found.excerpt) for found in unsafe]
    if not removed:
        return None
    pieces = (
        "1 piece of markup or address"
        if len(removed) == 1
        else f"{len(removed)} pieces of markup or addresses"
    )
    return Finding(f"Readers will not get {pieces}: not safe.", (*evidence, *unsafe))


# Each names the part that is secret. All repetitions are bounded, and none starts again inside its own match:
# hostile text costs no more time than long text.
OURS = "an access token of kb"
CREDENTIALS = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?P<secret>)")),
    (OURS, re.compile(rf"(?<![0-9A-Za-z_])(?P<secret>{access_token.PATTERN.pattern})(?![0-9A-Za-z])")),
    ("an access key id", re.compile(r"\b(?P<secret>(?:AKIA|ASIA)[0-9A-Z]{16})\b")),
    (
        "an access token",
        re.compile(
            r"\b(?P<secret>gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|glpat-[\w-]{20,64}"
            r"|npm_[A-Za-z0-9]{36}|xox[abprs]-[\w-]{10,200}|AIza[\w-]{35})"
        ),
    ),
    (
        "a secret API key",
        re.compile(
            r"(?<![\w-])(?P<secret>[sr]k[-_](?:live|test|proj|ant)[-_](?=[\w-]{0,60}[0-9])[\w-]{12,200}|sk-[A-Za-z0-9]{32,200})"
        ),
    ),
    (
        "a signed token",
        re.compile(r"(?<![\w-])(?P<secret>eyJ[\w-]{8,4000}\.eyJ[\w-]{8,8000}\.[\w-]{8,2000})"),
    ),
    (
        "a password in an address",
        re.compile(r"\b[a-z][a-z0-9+]{1,20}://[^\s/:@<>{}$\"']{1,100}:(?P<secret>[^\s/@<>{}$\"'*]{3,100})@"),
    ),
    (
        "a password or key",
        re.compile(
            r"(?:pass(?:word|wd|phrase|code)|pwd|secret|(?:api|access|auth|secret|private|encryption|signing)[_-]?key"
            r"|token|bearer)s?"
            r"[\"']?(?:\s{0,3}(?:=>|:=|[:=])\s{0,3}|(?<=bearer)\s{1,3})[\"'`]?"
            r"(?P<secret>(?=[^\s\"']{0,60}[0-9])[^\s\"'`<>{}]{8,200})",
            re.IGNORECASE,
        ),
    ),
)
_MOST = 20  # findings in one Document: enough to send it back

# What documentation writes in the place of a secret.
_PLACEHOLDER = re.compile(
    r"example|placeholder|change-?_?me|replace|redacted|dummy|(?:your|my)[-_]|xxx|\*\*|\.\.\.|…"
    r"|^(?:[$%<{*]|user|pass|passwd|password|pwd|pw|secret|token|key|none|null|true|false|env)\b"
    # A name that a program looks up, or a call.
    r"|^(?:os|env|process|settings|config|self|req|request|args|options|vars|var|secrets|local|data|module)\."
    r"|^[a-z_][\w.]*[(\[]"
    # A path, an address, a number, or words joined by hyphens.
    r"|^(?-i:[a-z0-9_.-]+(?:/[a-z0-9_.-]+)+)$|^[0-9][0-9.,_]*$"
    r"|^(?:\.{0,2}/|[a-z]+://)|^[a-z]+[0-9]{0,4}(?:-[a-z]+[0-9]{0,4})+[.,;:)]*$",
    re.IGNORECASE,
)


def credential(document: Document) -> Finding | None:
    found = list(islice(_credentials(document), _MOST))
    if not found:
        return None
    kinds = ", ".join(dict.fromkeys(what for what, _ in found))
    return Finding(f"The text seems to hold {kinds}.", tuple(evidence for _, evidence in found))


def _credentials(document: Document) -> Iterator[tuple[str, Evidence]]:
    plain = document.plain()
    payload = plain.pop("payload")
    for field, text in chain(texts(plain), _named(payload, "payload")):
        for what, pattern in CREDENTIALS:
            for match in pattern.finditer(text):
                if _is_secret(what, match["secret"]):
                    yield what, Evidence(_hidden(field), masked(match))


def _is_secret(what: str, text: str) -> bool:
    # A checksum that fits is no accident and no placeholder.
    return access_token.is_whole(text) if what == OURS else not _PLACEHOLDER.search(text)


def _named(value: Any, path: str, name: str = "") -> Iterator[tuple[str, str]]:
    """Each value of a payload as "key=value", for the key says what it is; a key of several by itself."""
    match value:
        case dict():
            for key, part in value.items():
                if isinstance(part, (dict, list)):
                    yield f"{path}.{key}", key
                yield from _named(part, f"{path}.{key}", key)
        case list():
            for position, part in enumerate(value):
                yield from _named(part, f"{path}.{position}", name)
        case _:
            yield path, f"{name}={value}"


def _hidden(field: str) -> str:
    # A payload's keys are free text, and so part of the path may be a secret.
    for _, pattern in CREDENTIALS:
        field = pattern.sub(masked, field)
    return field


def masked(match: re.Match[str]) -> str:
    """Enough to find the secret in the text; a flag must not be a second copy of it."""
    before = match.group()[: match.start("secret") - match.start()]
    return f"{before[-40:]}{match['secret'][:4]}…"


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text inside plain data, with its dotted path."""
    match value:
        case str():
            yield path, value
        case dict():
            for key, part in value.items():
                yield from texts(part, f"{path}.{key}".lstrip("."))
        case list():
            for position, part in enumerate(value):
                yield from texts(part, f"{path}.{position}")


def import_conflict(document: Document) -> Finding | None:
    """Raised by the import itself, with what it kept aside: no content alone can tell."""
    return None


_rules = (
    Rule("credential", Severity.BLOCKING, "Text that looks like a credential", credential),
    Rule("removed_markup", Severity.BLOCKING, "Markup or address that is not safe", removed_markup),
    Rule("import_conflict", Severity.BLOCKING, "Import met a person's edit", import_conflict),
    Rule("needs_human_review", Severity.ASKS, "Source asks for human review", needs_human_review),
    Rule("ai_generated", Severity.ASKS, "Drafted with a machine", ai_generated),
    Rule("low_score", Severity.ADVISORY, "Score below the threshold", low_score),
    Rule("missing_owner", Severity.ADVISORY, "No owner", missing_owner),
    Rule("missing_rollback", Severity.ADVISORY, "No rollback note", missing_rollback),
    Rule("image_heavy", Severity.ADVISORY, "Image heavy", image_heavy),
)
RULES = {rule.code: rule for rule in _rules}
# Raised by no rule: what readers say, and what time brings.
RAISED = {queueing.REPORTED: "Reported by readers", queueing.OVERDUE: "Verification overdue"}
WORDS = {**{code: rule.what for code, rule in RULES.items()}, **RAISED}
# No later content answers these by itself.
GOING_ALONG = ("import_conflict", *RAISED)


def inspect(document: Document) -> list[tuple[Rule, Finding]]:
    """What the rules that are switched on say of it. Raises InvalidDocument if it cannot be compiled."""
    on = [rule for code, rule in RULES.items() if code not in settings.KB_FLAG_RULES_OFF]
    if RULES["removed_markup"] not in on:
        # It compiles the body. Without it, what cannot be compiled would surprise who approves it.
        render(document.body, document.body_format)
    return [(rule, finding) for rule in on if (finding := rule.check(document))]


def run(revision: Revision, *, at: datetime) -> list[Flag]:
    """Flag a new revision, and bring along what people, imports and time said of the one before it."""
    flags = [
        Flag(
            revision=revision,
            code=rule.code,
            severity=rule.severity,
            sentence=finding.sentence,
            evidence=[{"field": found.field, "excerpt": found.excerpt} for found in finding.evidence],
            raised_at=at,
        )
        for rule, finding in inspect(revision.document)
    ]
    return Flag.objects.bulk_create([*flags, *_brought_along(revision)])


def _brought_along(revision: Revision) -> list[Flag]:
    if revision.parent is None:
        return []
    by_person = Flag.objects.open().filter(revision=revision.parent_id, raised_by__isnull=False)
    by_machine = Flag.objects.open().filter(revision=revision.parent_id, code__in=GOING_ALONG)
    return [
        Flag(
            revision=revision,
            code=flag.code,
            severity=flag.severity,
            sentence=flag.sentence,
            evidence=flag.evidence,
            raised_by_id=flag.raised_by_id,
            raised_at=flag.raised_at,
        )
        for flag in (by_person | by_machine).order_by("pk")
    ]


def conflict(revision: Revision, *, aside: Revision, at: datetime) -> Flag | None:
    """Flag the newest revision: an import brought other content, which was kept aside."""
    if "import_conflict" in settings.KB_FLAG_RULES_OFF:
        return None
    flag, _ = Flag.objects.update_or_create(
        revision=revision,
        code="import_conflict",
        closed_at__isnull=True,
        defaults={
            "severity": Severity.BLOCKING,
            "sentence": f"An import brought other content; it was kept aside as revision {aside.number}. "
            "Compare the two and say in the note which one counts.",
            "evidence": [{"field": "", "excerpt": f"revision {aside.number}", "revision": aside.number}],
            "raised_at": at,
        },
    )
    return flag
