"""Canaries: posts in every state that readers must not notice, with a word of its own in every field.

A word that turns up where readers look has leaked, and its place says from where.
"""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management import call_command

from kb.choices import Severity, State
from kb.document import Document
from kb.flow import publishing, reporting, reviewing, revising, verifying
from kb.models import Entity, ImportRun, Post, Receipt
from kb.sources import Record, jsonl
from tests.conftest import make_groups

MARK = "kanari"  # every word begins so
BEFORE = datetime(2019, 2, 3, 4, 5, 6, 700, tzinfo=UTC)  # what is published before the drafts
DRAFTED = datetime(2021, 3, 4, 5, 6, 7, 123457, tzinfo=UTC)  # the drafts' day: a canary like any word
PUBLISHED = datetime(2022, 5, 6, 7, 8, 9, 500, tzinfo=UTC)  # the day on which all of them are approved
CANARY = re.compile(
    rf"{MARK}[0-9]+x[0-9a-f]+|[1-9][0-9]{{14}}(?![0-9])"
    r"|2021-03-04|4 March 2021|March 4, 2021|04 Mar 2021|1614834367",
    re.IGNORECASE,
)

# What published posts name too.
SHARED_CHECKLIST = {"title": "Before release", "items": ["run linting", "tag the release"]}
SHARED_ENTITY = {"name": "python services", "type": "stack"}


class Words:
    """Canaries, each with the place that it was put into."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        self.public: set[str] = set()  # those that readers get once their post is published

    def new(self, place: str, *, public: bool = False) -> str:
        return self._keep(f"{MARK}{len(self.places)}x{secrets.token_hex(2)}", place, public)

    def number(self, place: str, *, public: bool = False) -> int:
        return int(self._keep(str(10**14 + secrets.randbelow(8 * 10**14)), place, public))

    def _keep(self, canary: str, place: str, public: bool) -> str:
        self.places[canary] = place
        if public:
            self.public.add(canary)
        return canary

    def in_text(self, text: str) -> set[str]:
        found = {canary.lower() for canary in CANARY.findall(text)}
        return {
            canary for canary in found if len(canary) != 15 or not canary.isdigit() or canary in self.places
        }

    def named(self, canaries: set[str]) -> list[str]:
        return sorted(self.places.get(canary, canary) for canary in canaries)


def full(words: Words, post: str, *, public: bool = False, by_machine: bool = True) -> dict[str, Any]:
    """A Document's data with a canary in every field, beside values that published posts have too."""

    def word(place: str) -> str:
        return words.new(f"{post}, {place}", public=public)

    return {
        "title": f"Note {word('title')}",
        "body": f"Text {word('body')}, `code {word('code')}`, [link {word('link')}](https://example.com/"
        f"{word('href')}), ![{word('alt')}](https://images.example.com/{word('src')}.png)",
        "body_format": "markdown",
        "topic": word("topic"),
        "summary": f"In short: {word('summary')}.",
        "outline": [{"label": word("outline label"), "text": word("outline text")}],
        "brief": word("brief"),
        "stack": [word("stack"), "python services"],
        "tools": [word("tools"), "uvicorn"],
        "code_language": word("code language"),
        "difficulty": "advanced",
        "reading_time": 12,
        "scores": {"quality": 90, "freshness": 91, "depth": 92, "clarity": 93},
        "checklists": [
            {"title": word("checklist title"), "items": [word("checklist item")]},
            SHARED_CHECKLIST,
        ],
        "entities": [{"name": word("entity name"), "type": word("entity type")}, SHARED_ENTITY],
        "images": [
            {
                "source": word("image source"),
                "url": f"https://images.example.com/{word('image url')}.png",
                "caption": word("image caption"),
            }
        ],
        "payload": {
            "source_id": word("payload source id"),
            "generator": word("payload generator") if by_machine else "",
            "paragraphs": 7,
            "scenario": word("payload scenario"),
            "seed": words.number(f"{post}, payload seed", public=public),
            word("payload key"): [word("payload value")],
        },
        "notes": [word("notes")],
        "flags": {
            "ai_generated_style": by_machine,
            "has_images": True,
            "needs_human_review": by_machine,
            "image_heavy": True,
        },
        "owner": word("owner"),
        "expected_result": word("expected result"),
        "rollback_note": word("rollback note"),
    }


def record(words: Words, post: str, data: dict[str, Any], **envelope: Any) -> Record:
    """What an import reads: the Document with an envelope whose every field holds a canary."""
    texts = ("reference", "source", "source_id", "source_hash", "source_status", "source_version")
    line = {
        "slug": post,
        **{name: words.new(f"{post}, {name}") for name in texts},
        "source_last_reviewed": f"{DRAFTED:%Y-%m-%d}",
        "view_count": words.number(f"{post}, view count"),
        words.new(f"{post}, unknown key"): words.new(f"{post}, unknown value"),
        **envelope,
        "document": data,
    }
    return jsonl.parse(json.dumps(line).encode(), words.new(f"{post}, file name"))


@dataclass
class Story:
    """How a post comes into a state that readers must not notice, `act` being the last step.

    What is published of it beforehand holds no canary; its draft, `last`, holds one in every field.
    """

    name: str
    slug: str
    act: "Callable[[World, Story], None]"
    state: State
    first: Record
    last: Document
    was_published: bool

    @property
    def is_hidden(self) -> bool:
        """Whether readers see nothing of it at all."""
        return not self.was_published or "withdrawal" in self.name


@dataclass
class World:
    words: Words = field(default_factory=Words)
    stories: list[Story] = field(default_factory=list)
    at: datetime = BEFORE

    def __post_init__(self) -> None:
        if not Group.objects.filter(name="Administrators").exists():
            make_groups()
        self.editor, self.reviewer, administrator = map(
            self._person, ["Editors", "Reviewers", "Administrators"]
        )
        self.stranger = User.objects.create_user("stranger", "stranger@example.com", "pw")
        self.run = ImportRun.objects.create(
            by=administrator, paths=[self.words.new("import path")], started_at=DRAFTED
        )
        # All content is decided before any of it is written, so that one can ask for it before.
        for name, (act, state) in ACTS.items():
            self.stories.append(self._story(name, act, state))
            if name in AGAIN:
                self.stories.append(self._story(f"{name} after publication", act, state, was_published=True))
        self.stories.append(self._story("draft after withdrawal", leave, State.DRAFT, was_published=True))

    def _person(self, group: str) -> User:
        name = self.words.new(f"{group}, user name")
        names = {part: self.words.new(f"{group}, {part}") for part in ("first_name", "last_name")}
        user = User.objects.create_user(name, f"{self.words.new('address')}@example.com", "pw", **names)
        user.groups.add(Group.objects.get(name=group))
        return user

    def _story(
        self, name: str, act: Callable[["World", Story], None], state: State, *, was_published: bool = False
    ) -> Story:
        words = self.words
        data = full(words, name, public=True, by_machine=state != State.DRAFT)
        if name.startswith("blocked"):
            # A reviewer who closes the flag approves the credential; what the sanitiser took out nobody can.
            secret, lost = words.new(f"{name}, credential", public=True), words.new(f"{name}, removed")
            data["body_format"] = "html"
            data["body"] = (
                f"<p>{data['body']} token = {secret}</p><script>{lost}</script><p onclick='{lost}'>.</p>"
            )
            data["images"].append({"source": "", "url": f"javascript:{lost}", "caption": ""})
        if was_published:
            slug = name.replace(" ", "-")
            plain = {
                "title": f"Published {name}",
                "body": "Fine.",
                "stack": ["python services"],
                "entities": [SHARED_ENTITY],
                "checklists": [SHARED_CHECKLIST],
                "owner": "web team",
                "rollback_note": "Revert.",
            }
            first = record(words, slug, plain, reference="a-reference", source_hash="a-hash", view_count=77)
        else:
            slug = f"{words.new(f'{name}, slug', public=True)}-{name}"
            first = record(words, slug, full(words, f"{name}, first revision"))
            words.public |= {first.reference, first.source_hash, str(first.view_count)}
        return Story(name, slug, act, state, first, Document.read(data), was_published)

    def later(self) -> datetime:
        self.at += timedelta(seconds=1, microseconds=1)
        return self.at

    def post(self, slug: str) -> Post:
        return Post.objects.select_related("head").get(slug=slug)

    def save(self, story: Story, document: Document) -> None:
        post, note = self.post(story.slug), self.note(story)
        revising.save(
            post, document, base_number=post.head.number, by=self.editor, at=self.later(), note=note
        )

    def note(self, story: Story) -> revising.ChangeNote:
        parts = ("reason", "files_touched", "command_used", "metric_improved")
        return revising.ChangeNote(**{part: self.words.new(f"{story.name}, note: {part}") for part in parts})

    def approve(self, slug: str) -> None:
        """Publish the newest revision, closing whatever blocks it."""
        post = self.post(slug)
        for flag in post.head.flags.open().exclude(severity=Severity.ASKS):
            note = self.words.new(f"{slug}, closing note")
            reviewing.close_flag(flag, by=self.reviewer, at=self.later(), note=note)
        reviewing.approve(
            post,
            number=post.head.number,
            fingerprint=post.head.fingerprint,
            by=self.reviewer,
            at=self.later(),
            comment=self.words.new(f"{slug}, approving comment"),
        )

    def withdraw(self, slug: str) -> None:
        comment = self.words.new(f"{slug}, why withdrawn")
        reviewing.withdraw(self.post(slug), by=self.reviewer, at=self.later(), comment=comment)

    def withhold(self, slug: str, *, upkept: bool) -> None:
        """Publish a post full of canaries whose verification is overdue for years and that is withheld so."""
        revising.import_new(record(self.words, slug, full(self.words, slug)), run=self.run, at=self.later())
        self.approve(slug)
        post = self.post(slug)
        verifying.set_withholding(post, on=True, by=self.reviewer, at=self.later())
        self.verify(slug)
        if upkept:
            overdue = self.at + timedelta(days=91)
            verifying.flag_overdue(post, at=overdue)
            verifying.withhold(post, at=overdue)

    def verify(self, slug: str) -> None:
        approval = publishing.approval_shown(self.post(slug))
        assert approval
        verifying.verify(
            self.post(slug),
            published=approval.fingerprint,
            checked=self.words.new(f"{slug}, what was checked"),
            evidence=f"https://example.com/{self.words.new(f'{slug}, evidence')}",
            by=self.reviewer,
            at=self.later(),
        )

    def report(self, slug: str) -> None:
        reporting.report(
            slug,
            kind="wrong",
            sentence=self.words.new(f"{slug}, what a reader reports"),
            sender=self.words.new("address of a reader"),
            at=self.later(),
        )

    # --- What happens, in this order ---
    def publish_what_readers_have(self) -> None:
        """Posts without a canary, some of which get drafts later; and one full of them, withdrawn again."""
        for story in self.stories:
            if story.was_published:
                revising.import_new(story.first, run=self.run, at=self.later())
                self.approve(story.slug)
                if story.is_hidden:
                    self.withdraw(story.slug)
        revising.import_new(
            record(self.words, "gone", full(self.words, "gone")), run=self.run, at=self.later()
        )
        self.approve("gone")
        self.withdraw("gone")
        self.withhold("retracted", upkept=True)
        self.withhold("withheld", upkept=False)
        call_command("rebuild_publications", verbosity=0)

    def write_drafts(self) -> None:
        self.at = DRAFTED
        for story in self.stories:
            if not story.was_published:
                revising.import_new(story.first, run=self.run, at=self.later())
            self.save(story, story.last)
            story.act(self, story)
            if not story.is_hidden:
                self.report(story.slug)
        for entity in Entity.objects.all():
            entity.aliases = [self.words.new(f"alias of {entity}")]
            entity.save()
        texts = ("place", "source", "source_id", "reason")
        rejected = {name: self.words.new(f"rejected record, {name}") for name in texts}
        Receipt.objects.create(run=self.run, outcome="rejected", **rejected)
        call_command("rebuild_publications", verbosity=0)

    def publish_everything(self) -> None:
        self.at = PUBLISHED
        for story in self.stories:
            self.approve(story.slug)

    def withdraw_everything(self) -> None:
        verifying.withhold(self.post("withheld"), at=self.later())
        for story in self.stories:
            self.withdraw(story.slug)


# --- The last step of each story ---
def leave(world: World, story: Story) -> None:
    """Nobody asks for anything."""


def ask_for_review(world: World, story: Story) -> None:
    reviewing.ask_for_review(world.post(story.slug), by=world.editor, at=world.later())


def raise_flag(severity: Severity) -> Callable[[World, Story], None]:
    def act(world: World, story: Story) -> None:
        sentence = world.words.new(f"{story.name}, {severity} flag")
        post = world.post(story.slug)
        reviewing.raise_flag(post, severity=severity, sentence=sentence, by=world.reviewer, at=world.later())

    return act


def send_back(world: World, story: Story) -> None:
    post = world.post(story.slug)
    reviewing.request_changes(
        post,
        number=post.head.number,
        fingerprint=post.head.fingerprint,
        by=world.reviewer,
        at=world.later(),
        comment=world.words.new(f"{story.name}, requested changes"),
    )


def meet_import(world: World, story: Story) -> None:
    """The source brings other content after a person's edit; a receipt tells of it."""
    data = full(world.words, f"{story.name}, kept aside")
    incoming = record(world.words, story.slug, data, source=story.first.source)
    post = world.post(story.slug)
    aside = revising.keep_aside(post, incoming, run=world.run, at=world.later())
    Receipt.objects.create(
        run=world.run,
        place=incoming.place,
        source=incoming.source,
        source_id=incoming.source_id,
        outcome="conflict",
        reason=world.words.new(f"{story.name}, receipt"),
        post=post,
        revision=aside,
    )


def bring_back(world: World, story: Story) -> None:
    """The last draft again, after one with a shorter brief."""
    post = world.post(story.slug)
    number, brief = post.head.number, world.words.new(f"{story.name}, shortened brief")
    world.save(story, story.last.model_copy(update={"brief": brief}))
    note = world.note(story)
    revising.restore(
        post, number=number, base_number=number + 1, by=world.editor, at=world.later(), note=note
    )


ACTS: dict[str, tuple[Callable[[World, Story], None], State]] = {
    "draft": (leave, State.DRAFT),
    "advised": (raise_flag(Severity.ADVISORY), State.DRAFT),
    "waiting": (ask_for_review, State.WAITING),
    "asking": (raise_flag(Severity.ASKS), State.WAITING),
    "blocked": (raise_flag(Severity.BLOCKING), State.WAITING),
    "returned": (send_back, State.CHANGES_REQUESTED),
    "conflict": (meet_import, State.WAITING),
    "restored": (bring_back, State.DRAFT),
}
# Those that come once more, as drafts of posts that readers have in an older form.
AGAIN = {"draft", "blocked", "returned", "conflict"}
