"""Turn a count and a seed into JSON Lines on standard output, for load tests."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kb.sources import synthesis

BATCH = 500  # lines in one write


class Command(BaseCommand):
    help = (
        "Print posts in the shape that generators deliver, one JSON object a line, ready for import_posts. "
        "The same count and seed print the same bytes. Nothing is stored."
    )
    # It needs neither database nor settings.
    requires_system_checks: list[str] | tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--count", type=int, required=True, help="how many posts")
        parser.add_argument("--seed", type=int, default=1, help="other seeds give other posts (default: 1)")

    def handle(self, *args: Any, **options: Any) -> None:
        count, seed = options["count"], options["seed"]
        if count < 0 or not 0 <= seed < 10**9:
            got = f"--count {count} --seed {seed}"
            raise CommandError(
                f"Got {got}, expected a count from 0 and a seed below 1000000000; correct it and run again.",
                returncode=2,
            )
        try:
            self._print(count, seed)
        except BrokenPipeError:
            # The reader has had enough, as `head` does. Python would complain once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _print(self, count: int, seed: int) -> None:
        batch = []
        for line in synthesis.lines(count, seed):
            batch.append(line)
            if len(batch) == BATCH:
                self._write(b"".join(batch))
                batch.clear()
        self._write(b"".join(batch))

    def _write(self, content: bytes) -> None:
        # As bytes where there are some: the terminal's encoding must not decide over the file's.
        binary = getattr(self.stdout._out, "buffer", None)
        if binary:
            binary.write(content)
            binary.flush()
        else:
            self.stdout.write(content.decode(), ending="")
