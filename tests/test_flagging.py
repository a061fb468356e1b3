"""The rules that flag a revision: each fires, each stays silent, and none repeats a secret."""

from time import process_time
from typing import Any

import pytest

from kb.choices import Severity
from kb.document import Document
from kb.flow import flagging, reviewing, revising
from kb.flow.flagging import Evidence, Finding

QUIET = {"title": "T", "owner": "A team", "rollback_note": "Revert."}
BLOCKING, ASKS, ADVISORY = Severity.BLOCKING, Severity.ASKS, Severity.ADVISORY


def inspect(**fields: Any) -> list[tuple[str, Severity, Finding]]:
    found = flagging.inspect(Document.read({**QUIET, **fields}))
    return [(rule.code, rule.severity, finding) for rule, finding in found]


def secrets(text: str = "", **fields: Any) -> list[Evidence]:
    finding = flagging.credential(Document.read({**QUIET, "body": text, **fields}))
    return list(finding.evidence) if finding else []


# --- Rules --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "code", "severity", "finding"),
    [
        (
            {"flags": {"needs_human_review": True}},
            "needs_human_review",
            ASKS,
            Finding("The source asks for a person's review.", (Evidence("flags.needs_human_review"),)),
        ),
        (
            {"flags": {"ai_generated_style": True}},
            "ai_generated",
            ASKS,
            Finding(
                "Drafted with a machine: a person has to vouch for it.",
                (Evidence("flags.ai_generated_style"),),
            ),
        ),
        (
            {"payload": {"generator": "gen"}},
            "ai_generated",
            ASKS,
            Finding(
                "Drafted with a machine by gen: a person has to vouch for it.",
                (Evidence("payload.generator", "gen"),),
            ),
        ),
        (
            {"scores": {"quality": 59, "depth": 0, "clarity": 60}},
            "low_score",
            ADVISORY,
            Finding(
                "Below the threshold of 60: quality 59, depth 0.",
                (Evidence("scores.quality", "59"), Evidence("scores.depth", "0")),
            ),
        ),
        (
            {"owner": ""},
            "missing_owner",
            ADVISORY,
            Finding("Nobody is named as owner, so nobody answers for it.", (Evidence("owner"),)),
        ),
        (
            {"rollback_note": ""},
            "missing_rollback",
            ADVISORY,
            Finding("There is no rollback note: how does a reader get back?", (Evidence("rollback_note"),)),
        ),
        (
            {"flags": {"image_heavy": True}, "images": [{"url": "https://e.example/a.png"}]},
            "image_heavy",
            ADVISORY,
            Finding(
                "Mostly pictures (1): is the text enough without them?", (Evidence("flags.image_heavy"),)
            ),
        ),
        (
            {"body": "[x](javascript:x)"},
            "removed_markup",
            BLOCKING,
            Finding(
                "Readers will not get 1 piece of markup or address: not safe.",
                (Evidence("body", "address javascript:x"),),
            ),
        ),
        (
            {"body": "<svg></svg>", "body_format": "html", "images": [{"url": "//e.example/a.png"}]},
            "removed_markup",
            BLOCKING,
            Finding(
                "Readers will not get 2 pieces of markup or addresses: not safe.",
                (Evidence("body", "element <svg>"), Evidence("images.0.url", "//e.example/a.png")),
            ),
        ),
        (
            {"body": "password" + ": tr0ub" + "adour9"},
            "credential",
            BLOCKING,
            Finding("The text seems to hold a password or key.", (Evidence("body", "password: tr0u…"),)),
        ),
    ],
)
def test_a_rule_fires(
    fields: dict[str, Any], code: str, severity: Severity, finding: Finding, settings: Any
) -> None:
    assert inspect(**fields) == [(code, severity, finding)]

    settings.KB_FLAG_RULES_OFF = (code,)
    assert inspect(**fields) == []


def test_every_rule_stays_silent_about_a_careful_post() -> None:
    careful = {
        "body": "Some *text* with [a link](https://e.example) and `code`.",
        "scores": {"quality": 60, "depth": 100},
        "flags": {"has_images": True},
        "images": [{"url": "https://e.example/a.png"}],
        "payload": {"seed": 7},
    }

    assert inspect(**careful) == []


def test_the_threshold_of_scores_can_be_set(settings: Any) -> None:
    settings.KB_SCORE_THRESHOLD = 20

    assert inspect(scores={"quality": 20}) == []
    assert [finding.sentence for _, _, finding in inspect(scores={"quality": 19})] == [
        "Below the threshold of 20: quality 19."
    ]


# --- Credentials: made up, and in pieces, so that no scanner takes this file for a leak ---------------------
RANDOM = "a1B2" + "c3D4"
SECRETS = {
    "private key": "-----BEGIN " + "RSA PRIVATE " + "KEY-----",
    "access key id": "AK" + "IA" + "Z7Q2" * 4,
    "git token": "gh" + "p_" + RANDOM * 4,
    "git token of today": "github" + "_pat_" + RANDOM * 4,
    "lab token": "gl" + "pat-" + RANDOM * 3,
    "package token": "np" + "m_" + RANDOM[:4] * 9,
    "chat token": "xo" + "xb-" + "1234567890-abcdef",
    "map key": "AI" + "za" + "a1B2c" * 7,
    "payment key": "sk" + "_live_" + RANDOM * 3,
    "model key": "sk" + "-" + RANDOM * 5,
    "signed token": "ey" + "JhbGciOi1." + "ey" + "JzdWIiOi1x." + RANDOM,
    "address": "postgres://app:" + "h4nds" + "aw99@db.example/kb",
    "setting": "DB_PASS" + "WORD=" + "tr0ub" + "adour9",
    "quoted": '"sec' + 'ret": "' + 'tr0ubadour9"',
    "header": "Authorization: Bear" + "er " + "a81kq77LpZx",
}
FIELDS: list[tuple[str, Any]] = [
    ("title", lambda text: {"title": text}),
    *(
        (name, lambda text, name=name: {name: text})
        for name in ("body", "topic", "summary", "brief", "owner")
    ),
    *((name, lambda text, name=name: {name: text}) for name in ("expected_result", "rollback_note")),
    *((f"{name}.1", lambda text, name=name: {name: ["a", text]}) for name in ("stack", "tools", "notes")),
    ("outline.0.text", lambda text: {"outline": [{"text": text}]}),
    ("checklists.0.title", lambda text: {"checklists": [{"title": text, "items": ["a"]}]}),
    ("checklists.0.items.0", lambda text: {"checklists": [{"items": [text]}]}),
    ("entities.0.name", lambda text: {"entities": [{"name": text, "type": "tool"}]}),
    ("images.0.url", lambda text: {"images": [{"url": text}]}),
    ("images.0.source", lambda text: {"images": [{"url": "u", "source": text}]}),
    ("images.0.caption", lambda text: {"images": [{"url": "u", "caption": text}]}),
    ("payload.scenario", lambda text: {"payload": {"scenario": text}}),
    ("payload.x.0.y", lambda text: {"payload": {"x": [{"y": text}]}}),
]


@pytest.mark.parametrize("secret", SECRETS.values(), ids=list(SECRETS))
def test_a_credential_is_found_and_not_repeated(secret: str) -> None:
    (evidence,) = secrets(f"Set it so: {secret} and go on.")

    assert evidence.field == "body"
    assert evidence.excerpt.endswith("…")
    # A private key's first line is no secret; of others four characters show.
    assert secret not in evidence.excerpt or secret.startswith("-----")


@pytest.mark.parametrize(("field", "fields"), FIELDS, ids=[field for field, _ in FIELDS])
def test_a_credential_is_found_in_every_text(field: str, fields: Any) -> None:
    assert secrets(**fields(f"see {SECRETS['git token']}")) == [Evidence(field, "ghp_…")]


@pytest.mark.parametrize(
    ("payload", "evidence"),
    [
        ({"password": "tr0ub" + "adour9"}, Evidence("payload.password", "password=tr0u…")),
        ({"x": {"api_key": ["tr0ub" + "adour9"]}}, Evidence("payload.x.api_key.0", "api_key=tr0u…")),
        ({SECRETS["git token"]: "x"}, Evidence("payload.ghp_…", "ghp_…")),
        ({SECRETS["git token"]: 1}, Evidence("payload.ghp_…", "ghp_…")),
        ({SECRETS["git token"]: []}, Evidence("payload.ghp_…", "ghp_…")),
    ],
)
def test_the_keys_of_a_payload_are_read_too(payload: dict[str, Any], evidence: Evidence) -> None:
    assert secrets(payload=payload) == [evidence]


@pytest.mark.parametrize(
    "text",
    [
        "password: example1234",
        "password: changeme123",
        "password=<your-password1>",
        "password = os.environ['DB_PASSWORD1']",
        'secret: getenv("X1234567")',
        "token: ${TOKEN_1234}",
        "token=12345678",
        "api_key=your-api-key-123",
        "secret: see vault/path/app1",
        "postgres://user:password@localhost/db",
        "postgres://app:***@db/kb",
        "https://e.example:8443/a@b",
        "The password is at least 12 characters long.",
        "Tokens: 8192000 of them.",
        "sk-learn-1234567890ab",
        "AK" + "IA" + "EXAMPLE",
    ],
)
def test_placeholders_and_prose_are_no_credentials(text: str) -> None:
    assert secrets(text) == []
    assert secrets(f"{text}\n{SECRETS['git token']}") == [Evidence("body", "ghp_…")]


def test_evidence_ends_after_twenty_credentials() -> None:
    assert len(secrets(" ".join([SECRETS["git token"]] * 30))) == 20


def seconds(text: str) -> float:
    document = Document.read({"title": "T", "body": text})
    started = process_time()
    flagging.credential(document)
    return process_time() - started


@pytest.fixture(scope="module")
def harmless() -> float:
    return seconds("some harmless words of prose. " * (1_000_000 // 30))


@pytest.mark.parametrize(
    "piece", ["eyJaaaaaaaa.", "ab://a:", "a+", "password=", "sk-proj-", "-----BEGIN ", "A"]
)
def test_hostile_text_takes_no_longer_than_harmless_text_of_its_length(piece: str, harmless: float) -> None:
    assert seconds(piece * (1_000_000 // len(piece))) < 10 * max(harmless, 0.1)


# --- From one revision to the next --------------------------------------------------------------------------
@pytest.mark.django_db
def test_flags_of_people_and_imports_go_along_and_those_of_rules_are_new(
    make_post: Any, people: Any, now: Any
) -> None:
    post = make_post(owner="", rollback_note="Revert.")
    reviewing.raise_flag(post, severity=ADVISORY, sentence="Thin.", by=people.reviewer, at=now)
    closed = reviewing.raise_flag(post, severity=ADVISORY, sentence="Odd.", by=people.reviewer, at=now)
    reviewing.close_flag(closed, by=people.reviewer, at=now, note="It is not.")
    flagging.conflict(post.head, aside=post.head, at=now)

    post.refresh_from_db()
    revising.save(
        post,
        Document.read({"title": "Another", "owner": "A team"}),
        base_number=1,
        by=people.editor,
        at=now,
        note=revising.ChangeNote("Named an owner."),
    )

    post.refresh_from_db()
    flags = [(flag.code, flag.severity, flag.raised_by) for flag in post.head.flags.all()]
    assert post.head.number == 2
    assert flags == [
        ("missing_rollback", ADVISORY, None),
        ("by_hand", ADVISORY, people.reviewer),
        ("import_conflict", BLOCKING, None),
    ]


@pytest.mark.django_db
def test_a_switched_off_conflict_raises_no_flag(make_post: Any, now: Any, settings: Any) -> None:
    head = make_post().head
    settings.KB_FLAG_RULES_OFF = ("import_conflict",)

    assert flagging.conflict(head, aside=head, at=now) is None
    assert not head.flags.filter(code="import_conflict").exists()
