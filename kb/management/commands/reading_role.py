"""Let readers' pages read the publication tables and nothing else, as the database sees it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kb import reading_role


class Command(BaseCommand):
    help = (
        "Make the database role kb_reading and give it SELECT on the publication tables, nothing else. "
        "Migrating does the same; run this after an administrator made the role, or to see the SQL."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--print-sql", action="store_true", help="Print what is missing as SQL; change nothing."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["print_sql"]:
            statements = reading_role.missing_sql()
            lines = [f"{statement};" for statement in statements] or ["-- The role kb_reading is in place."]
            self.stdout.write("\n".join(lines))
            return
        left = reading_role.grant()
        if left:
            raise CommandError(reading_role.for_the_administrator(left))
        tables = ", ".join(sorted(reading_role.publication_tables())) or "no table yet"
        self.stdout.write(f"The role kb_reading is in place; it can read {tables}, and nothing else of kb.")
