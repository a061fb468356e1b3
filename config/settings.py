"""Turn the options into Django's settings. What protects kb is in config/security.py."""

import tomllib

from config.database import databases
from config.logs import logging_settings
from config.options import PROJECT, mail_settings, options
from config.security import *  # noqa: F403  (flat settings; the names are in one visible place there)

# --- Parts --------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "kb",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "config.logs.RequestLogMiddleware",  # outermost: every answer has an id and a line
    "config.lanes.LanesMiddleware",  # the API goes by API_MIDDLEWARE from here
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.ResponseHeadersMiddleware",
    "config.cors.CorsMiddleware",  # inside the headers that it changes, outside of all that may refuse
    "config.health.ProbeMiddleware",  # before the host check and the redirect to https
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.BodyLimitMiddleware",
    "config.middleware.Utf8Middleware",
    "config.middleware.NoNulMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# As little as it needs: it reads no body, and looks up a login only where KB_READ_ACCESS asks for one.
API_MIDDLEWARE = [
    "config.lanes.HeadersMiddleware",
    "config.cors.CorsMiddleware",
    "kb.api.limits.RateLimitMiddleware",  # who asks, and how often; on every answer
    "config.lanes.GuardMiddleware",
]
LOGIN_URL = "site:login"
LOGIN_REDIRECT_URL = "site:home"
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


# --- Data ---------------------------------------------------------------------------------------------------
DATABASES = databases(
    database_url=options.DATABASE_URL.get_secret_value() if options.DATABASE_URL else None,
    reading_url=options.READING_DATABASE_URL.get_secret_value() if options.READING_DATABASE_URL else None,
    data_dir=options.KB_DATA_DIR,
    pool_size=options.KB_DATABASE_POOL,
)
DATABASE_ROUTERS = ["config.database.ReadingRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Log ----------------------------------------------------------------------------------------------------
LOGGING = logging_settings(options.KB_LOG_FORMAT, options.KB_LOG_LEVEL)

# --- Mail ---------------------------------------------------------------------------------------------------
# Without a server nothing is sent: Django's own default would try one on this machine.
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
if options.KB_EMAIL_URL:
    globals().update(mail_settings(options.KB_EMAIL_URL.get_secret_value()))

# --- API ----------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    # kb.api.access decides who may read.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    # Nothing is written through the API, so no body is ever read.
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "kb.api.schema.Described",
    "EXCEPTION_HANDLER": "kb.api.problems.answer",
    # A parameter like any other would be: unknown.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": f"{options.KB_SITE_NAME} API",
    "DESCRIPTION": "What was approved, as JSON. Addresses in answers are without the host. Lists come in "
    "pages: go on with `next`. Each answer has an ETag: send it back as If-None-Match and save the transfer.",
    "VERSION": "1",
    # The Document's JSON Schema is draft 2020-12, as in OpenAPI 3.1.
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # In the order of the addresses, and of the forms that declare parameters.
    "SORT_OPERATIONS": False,
    "SORT_OPERATION_PARAMETERS": False,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "kb.api.schema.with_document",
        "kb.api.schema.with_security",
        "kb.api.schema.with_parts",
    ],
}

# --- Language and time --------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = options.KB_TIME_ZONE

# --- Static files -------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = options.KB_DATA_DIR / "static"
_static_storage = "django.contrib.staticfiles.storage.StaticFilesStorage"
if not options.local:
    _static_storage = "whitenoise.storage.CompressedManifestStaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_storage},
}
# On one's own machine files come straight from the apps, without collecting them.
# Who may load them from elsewhere is KB_API_ORIGINS' to say: see config/cors.py.
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = options.local

# --- kb -----------------------------------------------------------------------------------------------------
KB_QUICKSTART = options.KB_QUICKSTART
KB_DATA_DIR = options.KB_DATA_DIR
KB_READ_ACCESS = options.KB_READ_ACCESS
KB_INDEXING = options.KB_INDEXING
KB_IMAGE_HOSTS = options.KB_IMAGE_HOSTS
KB_ALLOW_SELF_APPROVAL = options.KB_ALLOW_SELF_APPROVAL
KB_SCORE_THRESHOLD = options.KB_SCORE_THRESHOLD
KB_FLAG_RULES_OFF = options.KB_FLAG_RULES_OFF
KB_VERIFY_DAYS = options.KB_VERIFY_DAYS
KB_API_CACHE_CONTROL = options.KB_API_CACHE_CONTROL
KB_API_ORIGINS = options.KB_API_ORIGINS
KB_API_RATE_ADDRESS = options.KB_API_RATE_ADDRESS
KB_API_RATE_TOKEN = options.KB_API_RATE_TOKEN
KB_SITE_NAME = options.KB_SITE_NAME
KB_HOOK_PRIVATE = options.KB_HOOK_PRIVATE
KB_HOOK_DAYS = options.KB_HOOK_DAYS
KB_VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
KB_SEMANTIC = options.KB_SEMANTIC
KB_DIGEST = options.KB_DIGEST
KB_DIGEST_FROM = options.KB_DIGEST_FROM
KB_BASE_URL = options.base_url()
