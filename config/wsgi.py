"""Turn the settings into the WSGI application that granian serves."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

from config.handler import Handler, keep_connections_cheaply
from config.options import require_ready_to_serve

require_ready_to_serve()
django.setup(set_prefix=False)
if not settings.DEBUG:
    keep_connections_cheaply()
application = Handler()
