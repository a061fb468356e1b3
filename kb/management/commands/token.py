"""Issue, list and revoke access tokens, for whoever runs this machine."""

import json
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from kb.access_token import PREFIX
from kb.choices import Scope
from kb.errors import Refused
from kb.flow import issuing
from kb.models import AccessToken

YEARS = 10


def days(text: str) -> int:
    if not text.isdecimal() or int(text) > YEARS * 365:
        raise ArgumentTypeError(f"got {text!r}, expected a number of days from 0 to {YEARS * 365}")
    return int(text)


class Command(BaseCommand):
    help = (
        "Access tokens for machines that read the API. `issue` prints the token on standard output, once and "
        "never again; what else there is to say goes to standard error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="issue|list|revoke")
        issue = acts.add_parser("issue", help="issue a token and print it")
        issue.add_argument("label", help="what it is for, such as “status page”")
        issue.add_argument("--owner", required=True, metavar="USERNAME", help="who answers for it")
        issue.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="what it may read; give it again for more (default: read)",
        )
        issue.add_argument(
            "--days", type=days, default=365, help="days until it expires; 0: never (default: 365)"
        )
        listing = acts.add_parser("list", help="list all tokens, the newest first")
        listing.add_argument("--json", action="store_true", help="one JSON object a line")
        revoke = acts.add_parser("revoke", help="end a token at once and for good")
        revoke.add_argument("token", metavar="NUMBER|PREFIX", help="as `list` shows it, or the token itself")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['act']}")(options)
        except Refused as refused:
            raise CommandError(str(refused)) from None

    def _issue(self, options: dict[str, Any]) -> None:
        at = timezone.now()
        made, token = issuing.issue(
            options["label"],
            owner=_user(options["owner"]),
            scopes=options["scope"] or [Scope.READ],
            expires_at=at + timedelta(days=options["days"]) if options["days"] else None,
            at=at,
        )
        self.stdout.write(token)
        self.stderr.write(f"Token {made.pk}, {_until(made)}. Keep it now: it is not shown again.")

    def _list(self, options: dict[str, Any]) -> None:
        at = timezone.now()
        found = AccessToken.objects.select_related("owner")
        for token in found.iterator(chunk_size=500):
            if options["json"]:
                self.stdout.write(json.dumps(_plain(token, token.state(at)), ensure_ascii=False))
            else:
                self.stdout.write(_line(token, token.state(at)))
        if not options["json"] and not found.exists():
            self.stdout.write("No tokens yet: `manage.py token issue LABEL --owner USERNAME` makes one.")

    def _revoke(self, options: dict[str, Any]) -> None:
        token = issuing.revoke(_token(options["token"]), at=timezone.now())
        self.stdout.write(f"Revoked: {token}. The next request with it is refused.")


def _user(name: str) -> Any:
    found = get_user_model().objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"Nobody here has the username “{name}”.")
    return found


def _token(text: str) -> AccessToken:
    """The one that this number or beginning names."""
    prefix = text.removeprefix(PREFIX).rstrip("…")
    if text.isascii() and text.isdecimal() and len(text) < 8:
        found = list(AccessToken.objects.filter(pk=int(text)))
    else:
        found = list(AccessToken.objects.filter(prefix=prefix[:8])[:2])
    if len(found) != 1:
        how = "no token" if not found else "more than one token"
        raise CommandError(f"“{text[:11]}” names {how}: give a number that `manage.py token list` shows.")
    return found[0]


def _line(token: AccessToken, state: str) -> str:
    used = f"used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
    facts = (token.owner.get_username(), " ".join(token.scopes), _until(token), used)
    return f"{token.pk:>4}  {state:<9}{token}: {', '.join(facts)}"


def _until(token: AccessToken) -> str:
    return f"expires {token.expires_at:%Y-%m-%d}" if token.expires_at else "never expires"


def _plain(token: AccessToken, state: str) -> dict[str, Any]:
    moments = {
        name: getattr(token, name) for name in ("created_at", "expires_at", "last_used_at", "revoked_at")
    }
    return {
        "number": token.pk,
        "label": token.label,
        "prefix": f"{PREFIX}{token.prefix}",
        "owner": token.owner.get_username(),
        "scopes": token.scopes,
        "state": state,
        **{name: at.isoformat() if at else None for name, at in moments.items()},
    }
