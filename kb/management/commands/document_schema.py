"""Turn the Document's fields into their JSON Schema, for those who write source files."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from kb import document


class Command(BaseCommand):
    help = "Print the JSON Schema (draft 2020-12) of the Document, as the API serves it."
    # It must answer when a check fails: it reads code alone.
    requires_system_checks: list[str] | tuple[str, ...] = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(document.json_schema(), indent=2, ensure_ascii=False))
