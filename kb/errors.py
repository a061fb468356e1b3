"""Everything that kb refuses, in one page: each error names the thing, the obstacle and the way out."""

from dataclasses import dataclass
from datetime import datetime


class KbError(Exception):
    """Base of what kb raises on purpose. Its text is fit for the eye of the person who acted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what came in, at its place."""

    field: str  # dotted path such as "scores.quality" or "checklists.0.items.3"; "" for the whole
    got: str  # what came, shortened
    expected: str
    retry: str = "fix the source and import again"

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}got {self.got}, expected {self.expected}; {self.retry}."


class InvalidDocument(KbError):
    """Content that cannot be a Document. `problems` has one entry for each thing that is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(" ".join(str(problem) for problem in problems))


class SourceError(KbError):
    """A source record that cannot be read. `place` is "file:line"."""

    def __init__(self, place: str, problems: list[Problem]) -> None:
        self.place = place
        self.problems = problems
        super().__init__(f"{place}: " + " ".join(str(problem) for problem in problems))


class Refused(KbError):
    """An act that the flow does not allow now. Nothing was changed."""

    def __init__(self, sentence: str, *, code: str) -> None:
        self.code = code  # stable, such as "open_blocking_flags"
        super().__init__(sentence)


class TooOften(Refused):
    """Somebody acts more often than is allowed. `again_at` is when the next time is free."""

    def __init__(self, sentence: str, *, again_at: datetime) -> None:
        self.again_at = again_at
        super().__init__(sentence, code="too_often")


class Conflict(Refused):
    """Somebody else changed the post since it was opened. Nothing was written."""

    def __init__(self, sentence: str, *, base_number: int, current_number: int) -> None:
        self.base_number = base_number
        self.current_number = current_number
        super().__init__(sentence, code="conflict")
