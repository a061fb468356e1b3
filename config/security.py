"""Turn the options into everything that protects kb: one page to read, one place to change.

Names are Django's own. SECURE_CSP is Django 6's form, so that its middleware replaces ours on upgrade.
"""

from config.options import options

SECRET_KEY = options.secret_key()
DEBUG = options.DEBUG
ALLOWED_HOSTS = list(options.ALLOWED_HOSTS)
CSRF_TRUSTED_ORIGINS = list(options.CSRF_TRUSTED_ORIGINS)

# --- What a page may do -------------------------------------------------------------------------------------
SECURE_CSP: dict[str, list[str]] = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:", *(f"https://{host}" for host in options.KB_IMAGE_HOSTS)],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
SECURE_CSP_REPORT_ONLY: dict[str, list[str]] = {}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CROSS_ORIGIN_RESOURCE_POLICY = "same-origin"
# A page of text needs none of these.
_unused = (
    "accelerometer autoplay camera display-capture encrypted-media fullscreen geolocation gyroscope hid "
    "idle-detection magnetometer microphone midi payment publickey-credentials-get screen-wake-lock serial "
    "usb xr-spatial-tracking"
)
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in _unused.split())

# --- The line -----------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = options.KB_HTTPS
SECURE_HSTS_SECONDS = options.KB_HSTS_SECONDS if options.KB_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# Preloading binds a whole domain in every browser for months: its owner's choice, not one of a default.
SECURE_HSTS_PRELOAD = False
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if options.KB_BEHIND_PROXY else None
USE_X_FORWARDED_HOST = False
TRUST_REQUEST_ID = options.KB_BEHIND_PROXY
TRUST_FORWARDED_FOR = options.KB_BEHIND_PROXY

# --- Logins, cookies, forms ---------------------------------------------------------------------------------
# __Host-: browsers take such a cookie only over https, from this very host, for all its paths.
_prefix = "__Host-" if options.KB_HTTPS else ""
SESSION_COOKIE_NAME = f"{_prefix}kb-session"
SESSION_COOKIE_SECURE = options.KB_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = options.KB_SESSION_HOURS * 3600
CSRF_COOKIE_NAME = f"{_prefix}kb-csrf"
CSRF_COOKIE_SECURE = options.KB_HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_AGE = None
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
# A message may quote a draft's title: in the session it stays on the server.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 3600

# --- What a request may weigh -------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = options.KB_MAX_UPLOAD_MB * 1024 * 1024
# A post with long checklists, entities and images has some two thousand form fields in the admin.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
DATA_UPLOAD_MAX_NUMBER_FILES = 10
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700

SILENCED_SYSTEM_CHECKS = [
    "security.W021",  # asks for HSTS preloading: see SECURE_HSTS_PRELOAD
]
