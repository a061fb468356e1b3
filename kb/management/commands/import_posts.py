"""Turn files into drafts, with a line for each record that needs attention."""

import json
import sys
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from kb.choices import Outcome
from kb.errors import Refused
from kb.flow import importing
from kb.models import ImportRun, Receipt
from kb.sources import FORMATS

FAILURES = {Outcome.REJECTED.value, Outcome.CONFLICT.value}
EVERY = 20  # records between two steps of the progress line


class Command(BaseCommand):
    help = (
        "Import posts from files and folders. They become drafts; nothing is published. The same file twice "
        "changes nothing, and what a person edited is never overwritten. "
        "Exit status: 0 all fine, 1 something was rejected or is in conflict, 2 wrong usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder with all below it")
        parser.add_argument("--format", choices=sorted(FORMATS), help="default: as each file's content tells")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen; change nothing")
        parser.add_argument(
            "--json", action="store_true", help="print a JSON object for each record, and a summary"
        )
        parser.add_argument("--by", metavar="USERNAME", help="the user who imports and needs the right to")

    def handle(self, *args: Any, **options: Any) -> None:
        user = _user(options["by"])
        shown = 0

        def progress(receipt: Receipt) -> None:
            nonlocal shown
            shown += 1
            self._show(receipt, shown, as_json=options["json"])

        try:
            run = importing.run(
                options["paths"],
                format=options["format"],
                by=user,
                at=timezone.now(),
                dry_run=options["dry_run"],
                progress=progress,
            )
        except Refused as refusal:
            raise CommandError(str(refusal), returncode=2) from None
        finally:
            self._clear_progress()
        self._summarise(run, dry_run=options["dry_run"], as_json=options["json"])
        failed = sum(run.counts[outcome] for outcome in FAILURES)
        if failed:
            raise CommandError(
                f"{failed} of {sum(run.counts.values())} records need attention: see the lines above.",
                returncode=1,
            )

    def _show(self, receipt: Receipt, number: int, *, as_json: bool) -> None:
        failed = receipt.outcome in FAILURES
        if as_json:
            self.stdout.write(json.dumps(_plain(receipt), ensure_ascii=False))
        elif failed or receipt.reason:
            self._clear_progress()
            line = f"{receipt.place}: {receipt.outcome}. {receipt.reason}".rstrip()
            self.stdout.write(self.style.ERROR(line) if failed else line)
        if self._on_terminal() and (number == 1 or number % EVERY == 0):
            self.stderr.write(f"\r{number:,} records", ending="")
            self.stderr.flush()

    def _summarise(self, run: ImportRun, *, dry_run: bool, as_json: bool) -> None:
        if as_json:
            summary = {"run": run.pk, "dry_run": dry_run, "counts": run.counts}
            self.stdout.write(json.dumps({"summary": summary}))
            return
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in run.counts.items())
        head = "Dry run, nothing was written" if dry_run else f"Import {run.pk}"
        self.stdout.write(f"{head}: {counts}.")

    def _clear_progress(self) -> None:
        if self._on_terminal():
            self.stderr.write("\r\x1b[K", ending="")

    def _on_terminal(self) -> bool:
        return bool(self.stderr.isatty()) and self.stderr._out is sys.stderr


def _user(username: str | None) -> Any:
    if username is None:
        return None
    user = get_user_model()._default_manager.filter(username=username).first()
    if user is None:
        raise CommandError(
            f"--by: got {username!r}, expected the name of a user; correct it and run again.", returncode=2
        )
    return user


def _plain(receipt: Receipt) -> dict[str, Any]:
    return {
        "place": receipt.place,
        "outcome": receipt.outcome,
        "reason": receipt.reason,
        "source": receipt.source,
        "source_id": receipt.source_id,
        "slug": receipt.post.slug if receipt.post else None,
        "revision": receipt.revision.number if receipt.revision else None,
    }
