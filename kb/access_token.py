"""Turn randomness into access tokens that a scanner can tell from any other text.

    kb_ + 30 random characters + 6 of checksum, all of them of 0-9, A-Z, a-z

The form is that of GitHub's tokens: a prefix that no other word has, and the CRC-32 of the random part, so
that a typo or a made-up token is known without asking anybody. 30 characters of 62 are 178 bits: nobody
guesses them, and a plain SHA-256 is as good a hash as a slow one.
"""

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "kb_"
SHOWN = 8  # characters after the prefix that tell two tokens apart
PATTERN = re.compile(r"kb_([0-9A-Za-z]{30})([0-9A-Za-z]{6})")

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def make() -> str:
    """A new token."""
    random = "".join(secrets.choice(_DIGITS) for _ in range(30))
    return f"{PREFIX}{random}{_checksum(random)}"


def is_whole(text: str) -> bool:
    """Whether the text has the form of a token and a checksum that fits; it may never have been issued."""
    found = PATTERN.fullmatch(text)
    return bool(found and found[2] == _checksum(found[1]))


def digest(token: str) -> str:
    """What is kept of a token: 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def shown(token: str) -> str:
    """The part that people may see."""
    return token[len(PREFIX) :][:SHOWN]


def _checksum(random: str) -> str:
    number, found = zlib.crc32(random.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        found = _DIGITS[digit] + found
    return found
