"""Let what is published be found by its meaning: make room for vectors, fill it, index it, tell the state."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kb.errors import Refused
from kb.flow import embedding
from kb.flow.embedding import State


class Command(BaseCommand):
    help = (
        "Let what is published be found by its meaning, with the extra `semantic` and pgvector: create the "
        "extension and the column, embed what lacks a vector, index it. Safe to repeat; upkeep keeps up with "
        "what is published from then on. Status 1: it cannot be, and the line says why."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Tell the state; change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            self.stdout.write(said(embedding.state()))
            return
        try:
            model = embedding.set_up()
        except Refused as refused:
            raise CommandError(str(refused)) from None
        done = 0
        for number in embedding.fill(model):
            done += number
            if options["verbosity"] > 1:
                self.stdout.write(f"Embedded: {done}")
        embedding.index(model)
        self.stdout.write(f"{said(embedding.state())} Embedded in this run: {done}.")


def said(state: State) -> str:
    if state.why_not:
        return f"Search by meaning is off: {state.why_not}."
    index = "indexed" if state.is_indexed else "not indexed, run manage.py meaning"
    return (
        f"Search by meaning is on: {state.embedded} of {state.published} published posts have a vector of "
        f"{state.model}, {index}."
    )
