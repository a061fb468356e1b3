"""Send to webhooks what waits for them, apart from upkeep: a slow receiver shall hold up nothing else."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, close_old_connections

from config.options import load
from kb.flow import delivering
from kb.flow.delivering import Sent
from kb.management.commands.upkeep import seconds


class Command(BaseCommand):
    help = (
        "Send to webhooks what waits for them; what fails is tried again later. Run it every minute, or let "
        "it run with --every. Several may run at once. Needs the SECRET_KEY of the server."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=seconds, metavar="SECONDS", help="Again and again, until ended.")

    def handle(self, *args: Any, **options: Any) -> None:
        require_key()
        every = options["every"]
        if every is None:
            self._tell(delivering.deliver(), quiet=False)
            return
        try:
            while True:
                self._run_again()
                time.sleep(every)
        except KeyboardInterrupt:
            self.stdout.write("Deliver: ended.")

    def _run_again(self) -> None:
        """One run of many: what fails now may work the next time."""
        close_old_connections()
        try:
            self._tell(delivering.deliver(), quiet=True)
        except OperationalError as error:
            self.stderr.write(f"Deliver: the database cannot be used: {error}")

    def _tell(self, sent: Sent, *, quiet: bool) -> None:
        if not quiet or sent != Sent():
            self.stdout.write(f"Deliver: {said(sent) or 'nothing to do'}.")
            self.stdout.flush()


def require_key() -> None:
    if not load().secret_key():
        raise CommandError(
            "SECRET_KEY is not set: give the one that the server has, for it makes the secrets that sign."
        )


WORDS = {
    "delivered": "delivered",
    "failed": "failed and will be tried again",
    "dead": "given up",
    "off": "webhooks switched off",
}


def said(sent: Sent) -> str:
    """What was done, in words; "" for nothing."""
    return ", ".join(f"{number} {words}" for name, words in WORDS.items() if (number := getattr(sent, name)))
