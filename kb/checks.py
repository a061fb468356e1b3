"""Turn operators' mistakes into system checks, each with an id and a way out."""

import difflib
import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004  (Django's own name)

from config.options import declared, options
from kb import meaning

# Of the tests and of .ci/run.
NO_SETTINGS = {"KB_BROWSER", "KB_BROWSER_REQUIRED"}


@register
def names(**_: Any) -> list[CheckMessage]:
    """A misspelt variable has no effect, and nobody would notice."""
    strangers = sorted(name for name in os.environ if name.startswith("KB_") and name not in declared())
    return [
        Warning(f"{name} is set, but kb has no such setting.", hint=_nearest(name), id="kb.W001")
        for name in strangers
        if name not in NO_SETTINGS
    ]


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, declared(), n=1)
    meant = f"Did you mean {near[0]}? " if near else ""
    return f"{meant}`python manage.py defaults` lists all settings."


@register
def reading_database(**_: Any) -> list[CheckMessage]:
    """The reading side would get every right of the writing side, drafts among them."""
    if not options.READING_DATABASE_URL or options.READING_DATABASE_URL != options.DATABASE_URL:
        return []
    return [
        Warning(
            "READING_DATABASE_URL is the same as DATABASE_URL: readers' pages could reach drafts.",
            hint="Unset it, or let it name the restricted role or a replica.",
            id="kb.W002",
        )
    ]


@register
def flag_rules(**_: Any) -> list[CheckMessage]:
    """A misspelt code switches nothing off."""
    from kb.flow import flagging

    unknown = sorted(set(settings.KB_FLAG_RULES_OFF) - set(flagging.RULES))
    return [
        Error(
            f"KB_FLAG_RULES_OFF names {code}, but there is no such rule.",
            hint=f"The rules are {', '.join(sorted(flagging.RULES))}.",
            id="kb.E001",
        )
        for code in unknown
    ]


@register
def mail(**_: Any) -> list[CheckMessage]:
    """Digests that are on and cannot leave would be missed by nobody."""
    needed = {"KB_EMAIL_URL": options.KB_EMAIL_URL, "KB_DIGEST_FROM": settings.KB_DIGEST_FROM}
    needed["KB_BASE_URL or ALLOWED_HOSTS"] = settings.KB_BASE_URL
    missing = [name for name, value in needed.items() if not value]
    if not settings.KB_DIGEST or not missing:
        return []
    return [
        Warning(
            f"KB_DIGEST is on, but {', '.join(missing)} is not set: `manage.py digest` sends nothing.",
            hint="Set it, or unset KB_DIGEST.",
            id="kb.W007",
        )
    ]


@register(Tags.security, deploy=True)
def installation(**_: Any) -> list[CheckMessage]:
    """What is right on one's own machine and rarely where others reach it."""
    return list(_installation())


def _installation() -> Iterator[CheckMessage]:
    if settings.KB_QUICKSTART:
        yield Warning(
            "KB_QUICKSTART is on: no TLS, everybody may read, a key that was made on this machine.",
            hint="Unset KB_QUICKSTART and set SECRET_KEY and ALLOWED_HOSTS.",
            id="kb.W003",
        )
    if settings.KB_ALLOW_SELF_APPROVAL:
        yield Warning(
            "KB_ALLOW_SELF_APPROVAL is on: one person alone can publish anything.",
            hint="Unset it as soon as a second person can review.",
            id="kb.W004",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "ALLOWED_HOSTS has *: links in mails and pages can be made to lead elsewhere.",
            hint="Name the hosts under which kb is reached.",
            id="kb.W005",
        )
    if not options.DATABASE_URL:
        yield Warning(
            "DATABASE_URL is not set: the embedded database has no backups, no replica and no monitoring.",
            hint="Set it to a PostgreSQL that is looked after, or look after it yourself.",
            id="kb.W006",
        )
    # Off by the setting is off on purpose.
    if settings.KB_SEMANTIC != "off" and (why_not := meaning.why_not()):
        yield Info(
            f"Search by meaning is off: {why_not}.",
            hint="Words find posts without it. `manage.py meaning` sets it up and tells its state.",
            id="kb.I002",
        )
    if settings.KB_READ_ACCESS == "public":
        yield Info(
            "KB_READ_ACCESS is public: whoever reaches this server reads what was published.",
            hint="Unset it to ask readers to log in.",
            id="kb.I001",
        )
