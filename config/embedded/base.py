"""Django's PostgreSQL backend, which starts the embedded server at the first real connection.

OPTIONS["data_dir"] names the data folder. The settings keep HOST and PORT empty, so that every alias of the
embedded server has the same test database.
"""

import os
import signal
import subprocess
from collections.abc import Iterable
from typing import Any

import psycopg
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient

from config.embedded import binaries
from config.embedded.server import EmbeddedDatabaseError, EmbeddedServer, server_of


class DatabaseClient(PostgresClient):
    """`manage.py dbshell` with the psql that belongs to the server."""

    def runshell(self, parameters: Iterable[str]) -> None:
        server = server_of(self.connection.settings_dict["OPTIONS"]["data_dir"])
        where = {**self.connection.settings_dict, "HOST": str(server.ensure())}
        arguments, environment = self.settings_to_cmd_args_env(where, list(parameters))
        arguments[0] = binaries.find(server.data).program("psql")
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            subprocess.run(arguments, env={**os.environ, **(environment or {})}, check=True)  # noqa: S603  (psql)
        finally:
            signal.signal(signal.SIGINT, handler)


class DatabaseWrapper(PostgresWrapper):
    client_class = DatabaseClient

    @property
    def embedded_server(self) -> EmbeddedServer:
        return server_of(self.settings_dict["OPTIONS"]["data_dir"])

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        del parameters["data_dir"]
        parameters["host"] = str(self.embedded_server.ensure())
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # With a pool, conn_params are those of the first time; the server may have died since.
        self.embedded_server.ensure()
        try:
            return super().get_new_connection(conn_params)
        except EmbeddedDatabaseError:
            raise
        except psycopg.OperationalError:
            # It may have died this moment. Whoever comes second finds it answering, and tries once more.
            folder = self.embedded_server.attach()
            return super().get_new_connection({**conn_params, "host": str(folder)})
