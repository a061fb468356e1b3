"""Turn the settings into the WSGI application that granian serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.options import require_ready_to_serve

require_ready_to_serve()
application = get_wsgi_application()
