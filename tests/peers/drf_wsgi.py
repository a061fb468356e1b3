"""Turn the settings of the DRF project into its WSGI application."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
