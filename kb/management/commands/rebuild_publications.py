"""Compile every publication again from what was approved, and name those that came out different."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from kb.flow import publishing
from kb.flow.publishing import Rebuilt


class Command(BaseCommand):
    help = (
        "Compile all publications, and the lists beside them, again. The bytes stay the same unless kb's "
        "code or a row was changed; those that differ are named. With --check nothing is written, and a "
        "difference ends with status 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; status 1 if any differs.")

    def handle(self, *args: Any, **options: Any) -> None:
        rebuilt = rebuilt_and_undone() if options["check"] else publishing.rebuild()
        for slug in rebuilt.changed:
            self.stdout.write(f"differs: {slug}")
        if rebuilt.changed and options["check"]:
            raise CommandError(
                f"{len(rebuilt.changed)} of what belongs to {rebuilt.checked} publications differ from what "
                "was approved; nothing was written. Run `manage.py rebuild_publications` to compile again."
            )
        outcome = f"{len(rebuilt.changed)} differed and were stored" if rebuilt.changed else "the same bytes"
        self.stdout.write(f"Publications compiled again: {rebuilt.checked}; {outcome}.")


def rebuilt_and_undone() -> Rebuilt:
    """What compiling again would change. Publishers wait until it is through."""
    with transaction.atomic():
        rebuilt = publishing.rebuild()
        transaction.set_rollback(True)
    return rebuilt
