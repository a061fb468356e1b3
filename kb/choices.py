"""The closed lists of kb, each with the words that people see."""

from datetime import timedelta
from enum import StrEnum

from django.db.models import TextChoices


class BodyFormat(StrEnum):
    MARKDOWN = "markdown"
    HTML = "html"


class Difficulty(StrEnum):
    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"


class State(TextChoices):
    """What is going on with a post. What readers have is another matter: see Publication."""

    DRAFT = "draft", "Draft"
    WAITING = "waiting", "Waiting for review"
    CHANGES_REQUESTED = "changes_requested", "Changes requested"
    SETTLED = "settled", "Up to date"


class Origin(TextChoices):
    """Where a revision came from."""

    PERSON = "person", "Edited by a person"
    IMPORT = "import", "Imported"
    RESTORE = "restore", "Restored from an earlier revision"
    ASIDE = "aside", "Imported and kept aside: a person had edited the post"


class Severity(TextChoices):
    """How much a flag holds up an approval."""

    BLOCKING = "blocking", "Blocking"  # closed with a note before approval
    ASKS = "asks", "Asks for review"  # the decision itself settles it
    ADVISORY = "advisory", "Advisory"


class Verdict(TextChoices):
    """What a reviewer said of one fingerprint."""

    APPROVE = "approve", "Approved"
    REQUEST_CHANGES = "request_changes", "Changes requested"
    WITHDRAW = "withdraw", "Withdrawn"
    TAKE_BACK = "take_back", "Taken back"  # its reviewer's, within moments, of what reached no reader


class Outcome(TextChoices):
    """What became of a source record."""

    CREATED = "created", "Created"
    UPDATED = "updated", "Updated"
    UNCHANGED = "unchanged", "Unchanged"
    CONFLICT = "conflict", "Conflict"
    REJECTED = "rejected", "Rejected"


class Truth(TextChoices):
    """Whether what is published is still vouched for. Computed from its date and the clock, never stored."""

    FRESH = "fresh", "Fresh"
    DUE = "due", "Due for verification"
    OVERDUE = "overdue", "Verification overdue"


DUE_WITHIN = timedelta(days=14)  # before its date, what is published is due for verification


class ReportKind(TextChoices):
    """What a reader says of a published post."""

    WRONG = "wrong", "Wrong"
    OUTDATED = "outdated", "Outdated"
    UNCLEAR = "unclear", "Unclear"


class ChangeKind(TextChoices):
    """What an entry of the feed tells a consumer."""

    PUBLISHED = "published", "Published"
    UPDATED = "updated", "Updated"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Bump(TextChoices):
    """Which part of a semantic version a change raises."""

    MAJOR = "major", "Major"
    MINOR = "minor", "Minor"
    PATCH = "patch", "Patch"


class FacetKind(TextChoices):
    """What readers narrow a list by. ALL has one value, "", and counts every publication."""

    ALL = "all"
    TOPIC = "topic"
    STACK = "stack"
    TOOL = "tool"
    ENTITY = "entity"
    CHECKLIST = "checklist"
    DIFFICULTY = "difficulty"
    CODE_LANGUAGE = "code_language"
    AI_INVOLVED = "ai_involved"


class Scope(TextChoices):
    """What an access token may read."""

    READ = "read", "Posts, entities, checklists and search"
    CHANGES = "changes", "The feed of changes"
    EXPORT = "export", "Everything at once, as a file"
