"""Turn the settings into the WSGI application that granian serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.options import require_ready_to_serve  # noqa: E402  (the settings module must be named first)

require_ready_to_serve()
application = get_wsgi_application()
