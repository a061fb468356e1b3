"""Settings: typed, documented, and refused at the start with the variable's name."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from config import options as module
from config.options import OptionError, Options, declared, kept_key, load, require_ready_to_serve
from kb import checks
from kb.management.commands.defaults import markdown_table, text_table

PROJECT = Path(__file__).parent.parent
KEY = "a key of fifty characters and more, for this test alone"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Options]:
    """Read the options from exactly these variables."""

    def read(**variables: str) -> Options:
        for name in declared():
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"KB_DATA_DIR": str(tmp_path)} | variables).items():
            monkeypatch.setenv(name, value)
        found = load()
        monkeypatch.setattr(module, "options", found)
        return found

    return read


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py as an operator does, with these variables and none of this test run's."""
    clean = {name: value for name, value in os.environ.items() if name not in declared()}
    clean.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        [sys.executable, "-W", "error", PROJECT / "manage.py", *arguments],
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_an_empty_environment_means_production(environment: Callable[..., Options]) -> None:
    options = environment()

    assert options.DEBUG is False
    assert options.ALLOWED_HOSTS == ()
    assert options.KB_HTTPS is True
    assert options.KB_READ_ACCESS == "authenticated"
    assert options.KB_LOG_FORMAT == "json"
    assert options.KB_ALLOW_SELF_APPROVAL is False
    assert options.secret_key() == ""


def test_a_variable_that_is_set_but_empty_counts_as_unset(environment: Callable[..., Options]) -> None:
    assert environment(KB_READ_ACCESS="", SECRET_KEY="", DEBUG="") == environment()


@pytest.mark.parametrize("name", ["DEBUG", "KB_QUICKSTART"])
def test_ones_own_machine_has_defaults_of_its_own(environment: Callable[..., Options], name: str) -> None:
    options = environment(**{name: "true"})

    assert options.ALLOWED_HOSTS == ("127.0.0.1", "localhost", "[::1]")
    assert options.KB_HTTPS is False
    assert options.KB_READ_ACCESS == "public"
    assert options.KB_LOG_FORMAT == "text"


def test_what_is_set_wins_over_the_defaults_of_ones_own_machine(environment: Callable[..., Options]) -> None:
    options = environment(KB_QUICKSTART="true", KB_READ_ACCESS="authenticated", KB_LOG_FORMAT="json")

    assert (options.KB_READ_ACCESS, options.KB_LOG_FORMAT) == ("authenticated", "json")


def test_names_are_split_at_commas(environment: Callable[..., Options]) -> None:
    options = environment(ALLOWED_HOSTS="kb.example.com, .example.org,", KB_IMAGE_HOSTS="*.example.com:8443")

    assert options.ALLOWED_HOSTS == ("kb.example.com", ".example.org")
    assert options.KB_IMAGE_HOSTS == ("*.example.com:8443",)


@pytest.mark.parametrize(
    ("address", "host", "port", "starttls", "tls"),
    [
        ("smtp://kb:p%40ss@mail.example.com:2525?tls=starttls", "mail.example.com", 2525, True, False),
        ("smtp://kb:p%40ss@mail.example.com?tls=implicit", "mail.example.com", 465, False, True),
        ("smtp://kb:p%40ss@localhost", "localhost", 587, False, False),
    ],
)
def test_one_address_names_the_mail_server(
    address: str, host: str, port: int, starttls: bool, tls: bool
) -> None:
    found = module.mail_settings(address)

    assert found == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": "kb",
        "EMAIL_HOST_PASSWORD": "p@ss",
        "EMAIL_USE_TLS": starttls,
        "EMAIL_USE_SSL": tls,
        "EMAIL_TIMEOUT": 20,
    }


def test_links_in_mails_lead_to_what_is_set_or_to_the_first_host(environment: Callable[..., Options]) -> None:
    hosts = ".example.org,kb.example.com,other.example.com"

    assert environment(KB_BASE_URL="https://kb.example.org/", ALLOWED_HOSTS=hosts).base_url() == (
        "https://kb.example.org"
    )
    assert environment(ALLOWED_HOSTS=hosts).base_url() == "https://kb.example.com"
    assert environment(ALLOWED_HOSTS="*").base_url() == ""


def test_origins_are_kept_as_browsers_send_them(environment: Callable[..., Options]) -> None:
    given = "https://App.Example.com:443, http://localhost:3000, http://[::1]:80"

    assert environment(KB_API_ORIGINS=given).KB_API_ORIGINS == (
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]",
    )
    assert environment(KB_API_ORIGINS="*").KB_API_ORIGINS == ("*",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("DEBUG", "perhaps"),
        ("DATABASE_URL", "mysql://kb:hunter2@db/kb"),
        ("READING_DATABASE_URL", "db.example.com"),
        ("KB_DATABASE_POOL", "-1"),
        ("KB_READ_ACCESS", "everybody"),
        ("KB_IMAGE_HOSTS", "https://images.example.com"),
        ("KB_IMAGE_HOSTS", "images.example.com/pictures"),
        ("KB_IMAGE_HOSTS", "images.example.com;script-src *"),
        ("KB_HSTS_SECONDS", "1 year"),
        ("KB_SESSION_HOURS", "0"),
        ("KB_MAX_UPLOAD_MB", "0"),
        ("KB_SCORE_THRESHOLD", "101"),
        ("KB_API_ORIGINS", "app.example.com"),
        ("KB_API_ORIGINS", "https://app.example.com/path"),
        ("KB_API_ORIGINS", "https://*.example.com"),
        ("KB_API_ORIGINS", "*,https://app.example.com"),
        ("KB_API_ORIGINS", "null"),
        ("KB_API_RATE_ADDRESS", "-1"),
        ("KB_API_RATE_TOKEN", "many"),
        ("KB_API_CACHE_CONTROL", "private\r\nSet-Cookie: a=b"),
        ("KB_DIGEST_FROM", "nobody"),
        ("KB_DIGEST_FROM", "kb@example.com\r\nBcc: all@example.com"),
        ("KB_EMAIL_URL", "https://user:hunter2@mail.example.com"),
        ("KB_EMAIL_URL", "smtp://mail.example.com?tls=perhaps"),
        ("KB_EMAIL_URL", "smtp://mail.example.com:99999"),
        ("KB_BASE_URL", "kb.example.com"),
        ("KB_BASE_URL", "https://kb.example.com/path"),
        ("KB_TIME_ZONE", "Mars/Olympus"),
        ("KB_LOG_LEVEL", "LOUD"),
        ("KB_LOG_FORMAT", "xml"),
        ("KB_QUICKSTART", "maybe"),
    ],
)
def test_a_wrong_value_is_refused_with_name_value_and_expectation(
    environment: Callable[..., Options], name: str, value: str
) -> None:
    with pytest.raises(OptionError) as refusal:
        environment(**{name: value})

    text = str(refusal.value)
    assert text.startswith(f"{name}: got ")
    assert f"expected {declared()[name].expected}; correct the variable and start again." in text
    assert "hunter2" not in text
    assert "short" not in text


def test_all_wrong_values_are_named_at_once(environment: Callable[..., Options]) -> None:
    with pytest.raises(OptionError) as refusal:
        environment(KB_READ_ACCESS="everybody", KB_LOG_LEVEL="LOUD")

    assert [line.split(":")[0] for line in str(refusal.value).splitlines()] == [
        "KB_READ_ACCESS",
        "KB_LOG_LEVEL",
    ]


def test_quickstart_answers_under_loopback_names_alone(environment: Callable[..., Options]) -> None:
    with pytest.raises(
        OptionError, match=r"^ALLOWED_HOSTS: got kb\.example\.com, expected only loopback names"
    ):
        environment(KB_QUICKSTART="true", ALLOWED_HOSTS="kb.example.com")


def test_ones_own_machine_keeps_a_random_key_for_its_owner_alone(
    environment: Callable[..., Options], tmp_path: Path
) -> None:
    options = environment(KB_QUICKSTART="true", KB_DATA_DIR=str(tmp_path / "new" / "folder"))

    first, second = options.secret_key(), options.secret_key()

    path = tmp_path / "new" / "folder" / "secret-key"
    assert first == second == kept_key(path)
    assert len(first) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_was_never_written_whole_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    path.touch()

    assert len(kept_key(path)) >= 50


def test_serving_without_a_key_names_the_variable_and_quickstart(environment: Callable[..., Options]) -> None:
    environment(ALLOWED_HOSTS="kb.example.com")

    with pytest.raises(OptionError, match=r"(?s)SECRET_KEY is not set.*manage\.py quickstart"):
        require_ready_to_serve()


def test_serving_without_hosts_or_static_files_is_refused(environment: Callable[..., Options]) -> None:
    environment(SECRET_KEY=KEY)

    with pytest.raises(OptionError, match=r"(?s)ALLOWED_HOSTS is not set.*manage\.py collectstatic"):
        require_ready_to_serve()


def test_serving_with_all_that_it_needs_starts(environment: Callable[..., Options], tmp_path: Path) -> None:
    environment(SECRET_KEY=KEY, ALLOWED_HOSTS="kb.example.com")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "staticfiles.json").touch()

    require_ready_to_serve()


def test_a_wrong_setting_ends_a_command_without_a_traceback() -> None:
    result = manage("migrate", KB_READ_ACCESS="everybody")

    assert result.returncode == 1
    assert result.stderr.startswith("kb cannot start.\nKB_READ_ACCESS: got 'everybody'")
    assert "Traceback" not in result.stderr


def test_a_malformed_database_address_ends_a_command_without_its_password() -> None:
    result = manage("migrate", DATABASE_URL="postgresql://kb:hunter2@db:port/kb")

    assert result.returncode == 1
    assert "DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_runserver_without_a_key_names_the_variable_and_quickstart() -> None:
    result = manage("runserver", "--noreload")

    assert result.returncode == 1
    assert "SECRET_KEY is not set" in result.stderr
    assert "manage.py quickstart" in result.stderr
    assert "Traceback" not in result.stderr


def test_defaults_shows_every_setting_and_no_secret(tmp_path: Path) -> None:
    result = manage(
        "defaults",
        SECRET_KEY=KEY,
        DATABASE_URL="postgresql://kb:hunter2@db.example.com/kb",
        KB_DATA_DIR=str(tmp_path),
        KB_SITE_NAME="Notes",
        COLUMNS="160",
    )

    assert result.returncode == 0, result.stderr
    assert [name for name in declared() if not re.search(rf"^{name} ", result.stdout, re.MULTILINE)] == []
    assert "Notes" in result.stdout
    assert "set, not shown" in result.stdout
    assert KEY not in result.stdout
    assert "hunter2" not in result.stdout


@pytest.mark.parametrize("width", [100, 160])
def test_the_table_fits_its_terminal(width: int) -> None:
    assert max(map(len, text_table(width).splitlines())) <= width


@pytest.mark.parametrize("name", declared())
def test_every_setting_says_what_it_does_and_how_to_undo_it(name: str) -> None:
    option = declared()[name]

    assert option.what
    assert option.expected
    assert option.undo
    assert not (option.what + option.undo).endswith(".")


def test_the_readme_shows_the_table_that_defaults_prints() -> None:
    output = StringIO()
    call_command("defaults", "--markdown", stdout=output)

    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- defaults:start -->")[1].split("<!-- defaults:end -->")[0].strip()

    assert shown == output.getvalue().strip() == markdown_table(), (
        "README.md is behind: put the output of `manage.py defaults --markdown` between its markers"
    )


def test_a_misspelt_variable_is_reported_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_READ_ACESS", "public")

    [message] = checks.names()

    assert message.id == "kb.W001"
    assert message.msg == "KB_READ_ACESS is set, but kb has no such setting."
    assert "Did you mean KB_READ_ACCESS?" in message.hint


def test_the_writing_database_is_no_reading_database(
    environment: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://kb@db.example.com/kb"
    monkeypatch.setattr(checks, "options", environment(DATABASE_URL=url, READING_DATABASE_URL=url))
    assert [message.id for message in checks.reading_database()] == ["kb.W002"]

    monkeypatch.setattr(checks, "options", environment(DATABASE_URL=url))
    assert checks.reading_database() == []


def test_a_misspelt_flag_rule_is_reported(settings: Any) -> None:
    settings.KB_FLAG_RULES_OFF = ("image_heavi",)

    [message] = checks.flag_rules()

    assert message.id == "kb.E001"
    assert "image_heavi" in message.msg


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KB_QUICKSTART", True, "kb.W003"),
        ("KB_ALLOW_SELF_APPROVAL", True, "kb.W004"),
        ("ALLOWED_HOSTS", ["*"], "kb.W005"),
        ("KB_READ_ACCESS", "public", "kb.I001"),
    ],
)
def test_a_deployment_that_is_open_is_told_so(
    environment: Callable[..., Options],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    name: str,
    value: object,
    expected: str,
) -> None:
    monkeypatch.setattr(checks, "options", environment(DATABASE_URL="postgresql://kb@db.example.com/kb"))
    settings.ALLOWED_HOSTS = ["kb.example.com"]
    assert checks.installation() == []

    setattr(settings, name, value)
    [message] = checks.installation()

    assert message.id == expected
    assert message.hint


def test_a_deployment_on_the_embedded_database_is_told_so(
    environment: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "options", environment())

    assert [message.id for message in checks.installation()] == ["kb.W006"]
