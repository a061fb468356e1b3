"""Remove the demo content that quickstart brought, and nothing else."""

import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from kb.flow import demonstrating
from kb.models import Post


class Command(BaseCommand):
    help = (
        "Remove every demo post with its revisions, decisions, flags, publication, receipts and source "
        "records. Other posts and all users stay. Published ones appear in the feed as withdrawn."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        count = Post.objects.demo().count()
        if not count:
            self.stdout.write("There is no demo content; nothing was removed.")
            return
        if not options["yes"]:
            self._ask(count)
        removed = asdict(demonstrating.remove(at=timezone.now()))
        listed = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in removed.items())
        self.stdout.write(f"Removed {listed}.")
        self.stdout.write(
            "The users editor, reviewer and administrator stay; remove or deactivate them in the admin.\n"
            "The next `manage.py quickstart` brings the demo content back."
        )

    def _ask(self, count: int) -> None:
        if not sys.stdin.isatty():
            raise CommandError(
                "Nothing was removed: there is no terminal to ask on. Run `manage.py remove_demo --yes`."
            )
        self.stdout.write(
            f"This removes {count} demo posts with all their history, also what you changed in them."
        )
        if input("Remove them? [y/N] ").strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was removed.")
