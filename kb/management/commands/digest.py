"""Turn letters into mails: one a person and day, and one that fails stops no other."""

import smtplib
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from config.options import options
from kb.flow import digesting
from kb.flow.digesting import Letter


class Command(BaseCommand):
    help = (
        "Mail to each reviewer, editor and owner what waits for them, at most once a day; run it daily. "
        "Nobody gets a mail without content. Needs KB_DIGEST=true, KB_EMAIL_URL and KB_DIGEST_FROM."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Print the mails; send and note nothing.")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="DATE",
            help="Notices from then on (default: since the last mail).",
        )

    def handle(self, *args: Any, **given: Any) -> None:
        at = timezone.now()
        if not given["dry_run"]:
            require_mail()
        sent = failed = 0
        connection = None if given["dry_run"] else get_connection()
        for user in digesting.recipients(at=at).iterator(chunk_size=500):
            letter = digesting.compose(user, at=at, since=given["since"])
            if letter is None:
                continue
            if connection is None:
                self._print(letter)
            elif (reserved := digesting.reserve(user, at=at)) is None:
                continue
            else:
                try:
                    mail(letter, connection).send()
                except (OSError, smtplib.SMTPException, ValueError) as error:
                    digesting.release(reserved)
                    failed += 1
                    self.stderr.write(f"{user.get_username()}: not sent to {user.email!r}: {error}")
                    continue
            sent += 1
        what = "Dry run, nothing was sent; would be sent" if given["dry_run"] else "Sent"
        self.stdout.write(f"{what}: {sent}.")
        if failed:
            raise CommandError(
                f"{failed} could not be sent: see the lines above. The next run tries those again."
            )

    def _print(self, letter: Letter) -> None:
        self.stdout.write(f"To: {letter.user.email}\nSubject: {subject(letter)}\n\n{text(letter)}\n")


def require_mail() -> None:
    """Raise CommandError unless digests are on and can leave."""
    needed = {
        "KB_DIGEST": settings.KB_DIGEST,
        "KB_EMAIL_URL": options.KB_EMAIL_URL or settings.EMAIL_BACKEND.endswith("locmem.EmailBackend"),
        "KB_DIGEST_FROM": settings.KB_DIGEST_FROM,
        "KB_BASE_URL": settings.KB_BASE_URL,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise CommandError(
            f"Nothing was sent: set {', '.join(missing)} first. `manage.py digest --dry-run` shows what "
            "would be."
        )


def mail(letter: Letter, connection: Any) -> EmailMultiAlternatives:
    made = EmailMultiAlternatives(
        subject(letter),
        text(letter),
        settings.KB_DIGEST_FROM,
        [letter.user.email],
        connection=connection,
        # Out-of-office replies to a machine help nobody (RFC 3834).
        headers={"Auto-Submitted": "auto-generated"},
    )
    made.attach_alternative(render_to_string("kb/mail/digest.html", _context(letter)), "text/html")
    return made


def subject(letter: Letter) -> str:
    return f"{settings.KB_SITE_NAME}: {letter.subject}"


def text(letter: Letter) -> str:
    return render_to_string("kb/mail/digest.txt", _context(letter))


def _context(letter: Letter) -> dict[str, Any]:
    return {"letter": letter, "base": settings.KB_BASE_URL, "site": settings.KB_SITE_NAME}


def moment(text: str) -> datetime:
    """A day or a moment; without a zone it is the installation's."""
    try:
        found = parse_datetime(text)
        day = parse_date(text)
    except ValueError:
        found = day = None
    if found is None and day:
        found = datetime(day.year, day.month, day.day)  # noqa: DTZ001  (the zone comes next)
    if found is None:
        raise ArgumentTypeError(f"got {text!r}, expected a day such as 2026-11-23")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
