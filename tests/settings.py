"""Turn production's defaults into settings for a test run, whatever the developer's shell holds."""

import os
import sys

# Written also where the shell says not to: without it each worker rewrites the assertions of all tests, and
# each command that a test runs compiles the whole of kb.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_KEPT = {
    "DATABASE_URL",
    "READING_DATABASE_URL",
    "KB_DATA_DIR",
    "KB_DATABASE_POOL",
    "KB_BROWSER",
    "KB_BROWSER_REQUIRED",
}
_NAMES = {"SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS"}
for _name in [name for name in os.environ if name in _NAMES or name.startswith("KB_")]:
    if _name not in _KEPT:
        del os.environ[_name]

# The test client and the live server speak plain http; tests/test_security.py looks at the rest of KB_HTTPS.
os.environ["KB_HTTPS"] = "false"
os.environ["SECRET_KEY"] = "for test runs alone: signs nothing that anybody else would believe"

from config.settings import *  # noqa: E402, F403  (the environment comes first; these are that module's names)

# Argon2 is slow on purpose, and tests log in thousands of times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Straight from the apps: a test run collects no files.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
# A test run that the machine breaks off is not resumed: no commit has to wait for the disk.
for _database in DATABASES.values():  # noqa: F405
    _options = _database["OPTIONS"]
    _options["options"] = f"{_options.get('options', '')} -c synchronous_commit=off".strip()
# Whose minute ends when is no matter of most tests; tests/test_rate_limits.py looks at the limits themselves.
KB_API_RATE_ADDRESS = KB_API_RATE_TOKEN = 0
# Loading the model takes a second of each process: tests of it switch it on.
KB_SEMANTIC = "off"
