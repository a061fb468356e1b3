"""Do what is due: publish what is scheduled, flag and withhold what nobody verified, bring dates along."""

import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, close_old_connections
from django.utils import timezone

from kb.flow import maintaining
from kb.flow.maintaining import Done

WORDS = {
    "published": "published on time",
    "lapsed": "lapsed",
    "dated": "got a new date",
    "flagged": "flagged as overdue",
    "withheld": "withheld from readers",
    "hashed": "hashed to find duplicates",
    "indexed": "indexed for the search of the admin",
    "embedded": "can be found by meaning",
}


def seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 86_400:
        raise ArgumentTypeError(f"got {text!r}, expected a number of seconds from 1 to 86400")
    return int(text)


class Command(BaseCommand):
    help = (
        "Publish what was approved for a moment that has come, flag what nobody verified in time, withhold "
        "what is set so, and bring dates of verification along. Run it every minute, or let it run with "
        "--every. Safe to repeat. Status 1: some posts failed, and their lines say why."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=seconds, metavar="SECONDS", help="Again and again, until ended.")

    def handle(self, *args: Any, **options: Any) -> None:
        every = options["every"]
        if every is None:
            done = maintaining.upkeep(at=timezone.now())
            self._tell(done, quiet=False)
            if done and done.failed:
                raise CommandError(f"{len(done.failed)} failed: see above; the next run tries again.")
            return
        try:
            while True:
                self._run_again()
                time.sleep(every)
        except KeyboardInterrupt:
            self.stdout.write("Upkeep: ended.")

    def _run_again(self) -> None:
        """One run of many: what fails now may work the next time."""
        close_old_connections()
        try:
            self._tell(maintaining.upkeep(at=timezone.now()), quiet=True)
        except OperationalError as error:
            self.stderr.write(f"Upkeep: the database cannot be used: {error}")

    def _tell(self, done: Done | None, *, quiet: bool) -> None:
        for line in done.failed if done else ():
            self.stderr.write(f"Upkeep: {line}")
        if not quiet or (done and said(done)):
            self.stdout.write(f"Upkeep: {said(done) or 'nothing to do'}." if done else BUSY)
            self.stdout.flush()


BUSY = "Upkeep: another run is at it; nothing done."


def said(done: Done) -> str:
    """What was done, in words; "" for nothing."""
    return ", ".join(f"{number} {words}" for name, words in WORDS.items() if (number := getattr(done, name)))
