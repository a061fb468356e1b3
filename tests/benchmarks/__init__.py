"""Measurements that no test run makes: each is a command, `python -m tests.benchmarks.<name>`."""

import os

import django

# Before the imports of the module that runs.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()
