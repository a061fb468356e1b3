"""Start, stop or describe the embedded PostgreSQL."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.template.defaultfilters import filesizeformat


class Command(BaseCommand):
    help = (
        "Start, stop or describe the embedded database. Every command starts it when needed, the last "
        "one stops it; after `start` it keeps running until `stop`. `status` ends with 0 (running) or 3."
    )
    # It must answer when the database does not.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["start", "stop", "status"])
        parser.add_argument(
            "--force", action="store_true", help="With stop: even while other processes use it."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        parts = connection.settings_dict
        if "data_dir" not in parts["OPTIONS"]:
            self._say_external(options["act"])
            return
        # Only here: the embedded database needs POSIX locks, a server elsewhere does not.
        from config.embedded.server import EmbeddedDatabaseError, server_of

        server = server_of(parts["OPTIONS"]["data_dir"])
        try:
            getattr(self, f"_{options['act']}")(server, options)
        except (EmbeddedDatabaseError, LookupError) as error:
            raise CommandError(str(error)) from error

    def _start(self, server: Any, options: dict[str, Any]) -> None:
        folder = server.attach()
        server.keep()
        self.stdout.write(
            f"The embedded database runs until `manage.py database stop`; its socket is in {folder}."
        )
        self.stdout.write(f"Connect with: manage.py dbshell, or psql -h {folder} -U kb kb")

    def _stop(self, server: Any, options: dict[str, Any]) -> None:
        was_alive = server.is_alive()
        if not server.stop(force=options["force"]):
            raise CommandError(
                "Other processes of kb use the embedded database. It stops when the last one ends; "
                "to stop it now, end them or run: manage.py database stop --force"
            )
        self.stdout.write(
            "The embedded database is stopped. The next command or page that needs it starts it again."
            if was_alive
            else "The embedded database was not running."
        )

    def _status(self, server: Any, options: dict[str, Any]) -> None:
        is_alive = server.is_alive()
        rows = {
            "state": "running" if is_alive else "stopped",
            "version": f"PostgreSQL {server.version()}",
            "data": server.data if server.data.exists() else f"{server.data} (made at the first use)",
            "size": filesizeformat(_size(server.data)),
            "socket": (server.running_socket_folder() if is_alive else None) or "none while stopped",
            "log": server.log,
        }
        self.stdout.write("\n".join(f"{name + ':':<9}{value}" for name, value in rows.items()))
        if not is_alive:
            raise SystemExit(3)

    def _say_external(self, act: str) -> None:
        parts = connection.settings_dict
        where = f"the database {parts['NAME']} on {parts['HOST'] or 'the local server'}"
        if act != "status":
            raise CommandError(f"DATABASE_URL is set: kb uses {where}, which it neither starts nor stops.")
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            raise CommandError(
                f"DATABASE_URL is set: kb uses {where}, which does not answer: {error}"
            ) from error
        major, minor = connection.get_database_version()
        self.stdout.write(f"DATABASE_URL is set: kb uses {where}; it answers (PostgreSQL {major}.{minor}).")


def _size(folder: Path) -> int:
    """Add up what the folder takes; files may vanish meanwhile, and a closed folder counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue
    return total
