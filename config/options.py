"""Turn environment variables into typed, checked options: everything that an operator may set, declared once.

Names that Django and hosting platforms already know (SECRET_KEY, DEBUG, ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS,
DATABASE_URL) stay as they are, READING_DATABASE_URL follows them, and all others start with KB_.
"""

import fcntl
import os
import re
import secrets
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SHORTEST_KEY = 50


# Also keeps a stray ";" or quote from writing into the Content-Security-Policy.
_host = re.compile(r"(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?")


_origin = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(:(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class OptionError(ImproperlyConfigured):
    """An operator's setting that kb cannot start with; the text names the variable and the way out."""


@dataclass(frozen=True)
class Option:
    """What an operator reads about one setting. `local` is the default with KB_QUICKSTART or DEBUG."""

    what: str
    expected: str
    undo: str
    local: str | None = None
    shown_default: str | None = None


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_host.fullmatch(value) for value in values):
        raise ValueError("not all are host names")
    return values


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """As browsers write them in the Origin header: in small letters, without the scheme's own port."""
    if values == ("*",):
        return values
    found = [_origin.fullmatch(value) for value in values]
    if not all(found):
        raise ValueError("not all are origins")
    return tuple(_as_sent(match) for match in found if match)


def _as_sent(origin: re.Match[str]) -> str:
    scheme, host, port = origin["scheme"], origin["host"].lower(), origin["port"]
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


def _postgresql_url(value: SecretStr | None) -> SecretStr | None:
    if value and urlsplit(value.get_secret_value()).scheme not in {"postgres", "postgresql"}:
        raise ValueError("not a PostgreSQL address")
    return value


def _time_zone(value: str) -> str:
    if value not in zoneinfo.available_timezones():
        raise ValueError("no such time zone")
    return value


def _email_url(value: SecretStr | None) -> SecretStr | None:
    if value:
        mail_settings(value.get_secret_value())
    return value


def mail_settings(address: str) -> dict[str, Any]:
    """Django's settings for this mail server. Raises ValueError if the address is none."""
    if address == "console:":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    parts = urlsplit(address)
    tls = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))) or {"tls": "none"}
    if parts.scheme != "smtp" or not parts.hostname or parts.path.strip("/") or set(tls) != {"tls"}:
        raise ValueError("not a mail server's address")
    if tls["tls"] not in {"starttls", "implicit", "none"}:
        raise ValueError("no such kind of TLS")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if tls["tls"] == "implicit" else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": tls["tls"] == "starttls",
        "EMAIL_USE_SSL": tls["tls"] == "implicit",
        "EMAIL_TIMEOUT": 20,
    }


def _email(value: str) -> str:
    if not value:
        return value
    name, address = parseaddr(value)
    if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address) or "\n" in value or "\r" in value:
        raise ValueError("not an e-mail address")
    return formataddr((name, address))


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if value and not (
        parts.scheme in {"http", "https"}
        and _host.fullmatch(parts.netloc)
        and parts.path in {"", "/"}
        and not parts.query
        and not parts.fragment
    ):
        raise ValueError("not the address of a host")
    return value.rstrip("/")


def _long_key(value: SecretStr | None) -> SecretStr | None:
    if value and len(value.get_secret_value()) < SHORTEST_KEY:
        raise ValueError("too short")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Address = Annotated[SecretStr | None, AfterValidator(_postgresql_url)]

URL_EXPECTED = "an address such as postgres://user:password@host:5432/name?sslmode=require"
SWITCH = "true or false"


class Options(BaseSettings):
    """Every value that an operator may set. The field's name is the variable's name."""

    # A variable that is set but empty counts as unset: container tools pass such variables on.
    model_config = SettingsConfigDict(case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True)

    SECRET_KEY: Annotated[
        SecretStr | None,
        AfterValidator(_long_key),
        Option(
            what="Signs sessions and links that reset a password, and makes the secrets of webhooks. Needed "
            "to serve pages and by `deliver`; whoever knows it can log in as anybody",
            expected=f"{SHORTEST_KEY} or more random characters",
            undo="set a new one; everybody has to log in again, and each webhook needs a new secret",
            shown_default="none; quickstart and DEBUG make one in KB_DATA_DIR",
        ),
    ] = None
    DEBUG: Annotated[
        bool,
        Option(
            what="Pages with code and values when something fails, static files without collecting them. "
            "Never where others can reach it",
            expected=SWITCH,
            undo="unset it and restart",
        ),
    ] = False
    ALLOWED_HOSTS: Annotated[
        Names,
        Option(
            what="Host names under which kb answers; others get a 400",
            expected="host names with commas between them, such as kb.example.com",
            undo="remove the name and restart",
            local=", ".join(LOOPBACK),
        ),
    ] = ()
    CSRF_TRUSTED_ORIGINS: Annotated[
        Names,
        Option(
            what="Further origins whose forms are accepted; needed only when a proxy changes the Host header",
            expected="origins with scheme, such as https://kb.example.com, with commas between them",
            undo="unset it and restart",
        ),
    ] = ()
    DATABASE_URL: Annotated[
        Address,
        Option(
            what="PostgreSQL (15 or later) that holds everything; unset: an embedded one in KB_DATA_DIR",
            expected=URL_EXPECTED,
            undo="unset it; what was written stays in the database that it named",
            shown_default="none (embedded PostgreSQL)",
        ),
    ] = None
    READING_DATABASE_URL: Annotated[
        Address,
        Option(
            what="Database for readers' pages and API: the restricted role, or a replica",
            expected=URL_EXPECTED,
            undo="unset it and restart",
            shown_default="none (the server of DATABASE_URL)",
        ),
    ] = None
    KB_DATA_DIR: Annotated[
        Path,
        Option(
            what="Folder for the embedded database, collected static files and quickstart's secret key",
            expected="a path",
            undo="stop kb, move the folder back, unset it",
            shown_default=".kb in the project",
        ),
    ] = PROJECT / ".kb"
    KB_DATABASE_POOL: Annotated[
        int,
        Field(ge=0, le=200),
        Option(
            what="Most connections that one process keeps for what is not reading; 0: one a request. Reading "
            "keeps one a thread",
            expected="a whole number from 0 to 200",
            undo="unset it and restart",
        ),
    ] = 8
    KB_READ_ACCESS: Annotated[
        Literal["public", "authenticated"],
        Option(
            what="Who may read what was published: everybody who reaches the server, or people who logged in",
            expected="public or authenticated",
            undo="unset it and restart; copies that were read meanwhile stay where they are",
            local="public",
        ),
    ] = "authenticated"
    KB_IMAGE_HOSTS: Annotated[
        Names,
        AfterValidator(_hosts),
        Option(
            what="Hosts from which pages may load images over https; they learn who reads. Other images show "
            "as caption, credit and link",
            expected="host names with commas between them, such as images.unsplash.com; no scheme, no path",
            undo="unset it and restart",
        ),
    ] = ()
    KB_HTTPS: Annotated[
        bool,
        Option(
            what="Redirects http to https, sends HSTS and marks cookies Secure with the __Host- prefix",
            expected=SWITCH,
            undo="see KB_HSTS_SECONDS first, then set false; everybody has to log in again",
            local="false",
        ),
    ] = True
    KB_BEHIND_PROXY: Annotated[
        bool,
        Option(
            what="Believe X-Forwarded-Proto, X-Forwarded-For and X-Request-ID. Only behind a proxy that sets "
            "them itself and drops headers with an underscore, as nginx does: X_Forwarded_For counts as the "
            "same; without it a TLS-ending proxy makes a redirect loop",
            expected=SWITCH,
            undo="unset it and restart",
        ),
    ] = False
    KB_HSTS_SECONDS: Annotated[
        int,
        Field(ge=0, le=63_072_000),
        Option(
            what="How long browsers refuse plain http for this host and those below it",
            expected="a whole number of seconds from 0 to 63072000",
            undo="set 0, keep serving https; each browser forgets at its next visit",
        ),
    ] = 31_536_000
    KB_SESSION_HOURS: Annotated[
        int,
        Field(ge=1, le=720),
        Option(
            what="Hours until a login ends; what the admin tells somebody begins them anew",
            expected="a whole number from 1 to 720",
            undo="unset it; logins that exist keep the age they were given",
        ),
    ] = 12
    KB_MAX_UPLOAD_MB: Annotated[
        int,
        Field(ge=1, le=1024),
        Option(
            what="Largest request body in MiB; more is a 413",
            expected="a whole number from 1 to 1024",
            undo="unset it and restart",
        ),
    ] = 10
    KB_ALLOW_SELF_APPROVAL: Annotated[
        bool,
        Option(
            what="Lets people approve what they wrote themselves; for installations with one person",
            expected=SWITCH,
            undo="unset it and restart; approvals that were given stay valid",
        ),
    ] = False
    KB_SCORE_THRESHOLD: Annotated[
        int,
        Field(ge=0, le=100),
        Option(
            what="A quality, freshness, depth or clarity score below this raises an advisory flag",
            expected="a whole number from 0 to 100",
            undo="unset it; flags that were raised stay until closed",
        ),
    ] = 60
    KB_VERIFY_DAYS: Annotated[
        int,
        Field(ge=1, le=3650),
        Option(
            what="Days after which a published post is verified again, where no policy says otherwise",
            expected="a whole number from 1 to 3650",
            undo="unset it; `manage.py upkeep` brings the dates along",
        ),
    ] = 90
    KB_FLAG_RULES_OFF: Annotated[
        Names,
        Option(
            what="Codes of flag rules that do not run",
            expected="codes with commas between them, such as image_heavy",
            undo="unset it; the rules run on the next revision of each post",
        ),
    ] = ()
    KB_INDEXING: Annotated[
        bool,
        Option(
            what="Lets search engines list readers' pages where everybody may read: sitemap, robots.txt and "
            "pages without noindex",
            expected=SWITCH,
            undo="unset it and restart; engines forget at their next visit",
        ),
    ] = False
    KB_API_CACHE_CONTROL: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9=,\- ]+$"),
        Option(
            what="Cache-Control of published answers; readers ask again with the ETag",
            expected="directives such as private, no-cache",
            undo="unset it and restart; caches keep what they hold for the time they were given",
        ),
    ] = "private, no-cache"
    KB_API_ORIGINS: Annotated[
        Names,
        AfterValidator(_origins),
        Option(
            what="Other sites whose pages may read the API and load the meta box in a browser (CORS). Logins "
            "never cross: such a page reads what is public, or sends a token that all its readers can see",
            expected="origins with scheme, such as https://app.example.com, with commas between them; or *",
            undo="unset it and restart; browsers ask again after at most 2 hours",
        ),
    ] = ()
    KB_API_RATE_ADDRESS: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Option(
            what="Requests a minute that one address may send to the API without a token or login; 0: any "
            "number. Behind a proxy set KB_BEHIND_PROXY, else all readers share one address",
            expected="a whole number from 0 to 1000000",
            undo="unset it and restart",
        ),
    ] = 1200
    KB_API_RATE_TOKEN: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Option(
            what="Requests a minute to the API with one token, or of one person who logged in; 0: any number",
            expected="a whole number from 0 to 1000000",
            undo="unset it and restart",
        ),
    ] = 6000
    KB_SEMANTIC: Annotated[
        Literal["auto", "off"],
        Option(
            what="Search by meaning, and posts similar in meaning, where the extra `semantic` and "
            "pgvector are; see `manage.py meaning`",
            expected="auto or off",
            undo="unset it and restart; vectors that were stored stay",
        ),
    ] = "auto"
    KB_DIGEST: Annotated[
        bool,
        Option(
            what="Lets `manage.py digest` send mail; needs KB_EMAIL_URL and KB_DIGEST_FROM",
            expected=SWITCH,
            undo="unset it; what was sent stays sent",
        ),
    ] = False
    KB_DIGEST_FROM: Annotated[
        str,
        AfterValidator(_email),
        Option(
            what="Sender of digests",
            expected="an address such as kb@example.com, or kb <kb@example.com>",
            undo="unset it",
            shown_default="none",
        ),
    ] = ""
    KB_EMAIL_URL: Annotated[
        SecretStr | None,
        AfterValidator(_email_url),
        Option(
            what="Mail server; `console:` prints mails instead",
            expected="smtp://user:password@host:587?tls=starttls (or tls=implicit, tls=none), or console:",
            undo="unset it",
        ),
    ] = None
    KB_BASE_URL: Annotated[
        str,
        AfterValidator(_base_url),
        Option(
            what="Where people reach kb, for links in mails",
            expected="an address without a path, such as https://kb.example.com",
            undo="unset it; mails then name the first of ALLOWED_HOSTS",
            shown_default="none (the first of ALLOWED_HOSTS)",
        ),
    ] = ""
    KB_HOOK_PRIVATE: Annotated[
        bool,
        Option(
            what="Lets webhooks reach private and loopback addresses, as in an internal network; link-local "
            "ones never",
            expected=SWITCH,
            undo="unset it and restart; messages to such addresses then fail and wait",
            local="true",
        ),
    ] = False
    KB_HOOK_DAYS: Annotated[
        int,
        Field(ge=1, le=3650),
        Option(
            what="Days for which `upkeep` keeps deliveries to webhooks that got through, and those that were "
            "given up, so that somebody can try them again",
            expected="a whole number from 1 to 3650",
            undo="unset it; what is forgotten stays so, and receivers follow the changes feed",
        ),
    ] = 90
    KB_SITE_NAME: Annotated[
        str,
        Field(min_length=1, max_length=60),
        Option(
            what="Name in page titles and headers",
            expected="1 to 60 characters",
            undo="unset it and restart",
        ),
    ] = "kb"
    KB_TIME_ZONE: Annotated[
        str,
        AfterValidator(_time_zone),
        Option(
            what="Time zone in which people see times; stored times are UTC",
            expected="a name such as UTC or Europe/Berlin",
            undo="unset it and restart",
        ),
    ] = "UTC"
    KB_LOG_LEVEL: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        Option(
            what="Least severe log line that is written; INFO has one line a request",
            expected="DEBUG, INFO, WARNING or ERROR",
            undo="unset it and restart",
        ),
    ] = "INFO"
    KB_LOG_FORMAT: Annotated[
        Literal["json", "text"],
        Option(
            what="One JSON object a line, or lines for people",
            expected="json or text",
            undo="unset it and restart",
            local="text",
        ),
    ] = "json"
    KB_QUICKSTART: Annotated[
        bool,
        Option(
            what="Set by manage.py quickstart: loopback only, no TLS, own secret key. Not for operators",
            expected=SWITCH,
            undo="unset it and restart",
        ),
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _local_defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        on = {"1", "true", "yes", "on", "t", "y"}
        if not any(str(given.get(name, "")).lower() in on for name in ("DEBUG", "KB_QUICKSTART")):
            return given
        return {name: option.local for name, option in declared().items() if option.local is not None} | given

    @model_validator(mode="after")
    def _quickstart_stays_on_loopback(self) -> Self:
        strangers = sorted(set(self.ALLOWED_HOSTS) - set(LOOPBACK))
        if self.KB_QUICKSTART and strangers:
            raise ValueError(
                f"ALLOWED_HOSTS: got {', '.join(strangers)}, expected only loopback names while "
                "KB_QUICKSTART is on; unset one of the two and start again."
            )
        return self

    @property
    def local(self) -> bool:
        """Whether this is a developer's or newcomer's own machine, not an installation that others reach."""
        return self.DEBUG or self.KB_QUICKSTART

    def base_url(self) -> str:
        """Where links in mails lead, or "" if nothing says it. A pattern for many hosts is no place."""
        host = next((host for host in self.ALLOWED_HOSTS if host.strip(".*") == host), "")
        named = f"{'https' if self.KB_HTTPS else 'http'}://{host}" if host else ""
        return self.KB_BASE_URL or named

    def secret_key(self) -> str:
        """The key, a kept random one on one's own machine, or "" for commands that sign nothing."""
        if self.SECRET_KEY:
            return self.SECRET_KEY.get_secret_value()
        return kept_key(self.KB_DATA_DIR / "secret-key") if self.local else ""


def declared() -> dict[str, Option]:
    """Each variable's name and its declaration, in the order of the table."""
    return {name: _option(field) for name, field in Options.model_fields.items()}


def _option(field: FieldInfo) -> Option:
    return next(part for part in field.metadata if isinstance(part, Option))


def default_text(name: str) -> str:
    """The default as the operator would write it, and what counts instead on one's own machine."""
    option = declared()[name]
    text = option.shown_default or value_text(Options.model_fields[name].default)
    return text if option.local is None else f"{text}; {option.local} with quickstart or DEBUG"


def value_text(value: object) -> str:
    """A value as the operator would write it; of a secret only that there is one."""
    match value:
        case None | ():
            return "none"
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(value)
        case SecretStr():
            return "set, not shown"
        case _:
            return str(value)


def load() -> Options:
    """Read the environment, or raise OptionError with one line for each variable that is wrong."""
    try:
        return Options()
    except ValidationError as error:
        lines = [_failure(dict(problem)) for problem in error.errors(include_url=False)]
        raise OptionError("\n".join(lines)) from None


def _failure(problem: Mapping[str, Any]) -> str:
    if not problem["loc"]:
        return str(problem["ctx"]["error"])
    name = str(problem["loc"][0])
    shown = "a value that is kept secret here" if _is_secret(name) else repr(os.environ.get(name, ""))[:80]
    return f"{name}: got {shown}, expected {declared()[name].expected}; correct the variable and start again."


def _is_secret(name: str) -> bool:
    return "SecretStr" in str(Options.model_fields[name].annotation)


def kept_key(path: Path) -> str:
    """The random key in this file, made at the first call, readable by its owner alone."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    # Locked: of two processes that start at once, one makes the key and the other reads it whole.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        key = file.read().strip()
        if len(key) < SHORTEST_KEY:
            file.seek(0)
            file.write(key := secrets.token_urlsafe(SHORTEST_KEY))
            file.truncate()
    return key


options = load()


def require_ready_to_serve() -> None:
    """Raise OptionError if what serving needs beyond running commands is missing."""
    needed = {"SECRET_KEY": options.secret_key(), "ALLOWED_HOSTS": options.ALLOWED_HOSTS}
    lines = [
        f"{name} is not set, expected {declared()[name].expected}."
        for name, value in needed.items()
        if not value
    ]
    if not options.local and not (options.KB_DATA_DIR / "static" / "staticfiles.json").exists():
        lines.append("Static files are not collected: run `python manage.py collectstatic --no-input` first.")
    if lines:
        lines.append("To try kb on this machine run `python manage.py quickstart`: it needs no settings.")
        raise OptionError("\n".join(lines))
