#!/usr/bin/env python3
"""Turn a command line into one of kb's operator commands."""

import os
import sys
from importlib import import_module

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main(arguments: list[str]) -> None:
    settings_module = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    command = arguments[1] if len(arguments) > 1 else "help"
    if command == "quickstart":
        # Before the settings load: it decides which of their defaults count.
        os.environ.setdefault("KB_QUICKSTART", "true")
    try:
        import_module(settings_module)
        if command == "runserver":
            import_module("config.options").require_ready_to_serve()
    except ImproperlyConfigured as error:
        sys.exit(f"kb cannot start.\n{error}")
    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
