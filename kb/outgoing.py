"""Turn a message into one signed HTTP request to an address that was looked at, and its answer into a fact.

The signature is that of the Standard Webhooks specification 1.0: HMAC-SHA256 over id, timestamp and body.
A name is resolved once and the connection goes to what it resolved to: a name that changes its mind
(DNS rebinding) leads nowhere else. No redirect is followed, no proxy asked, and no body of an answer read.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Timer
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from kb.errors import KbError

PATIENCE_SECONDS = 10.0  # for each step: connecting, the first byte
WHOLE_SECONDS = 20.0  # for all of it, however slowly bytes come
BUSY = (429, 503)  # whose Retry-After counts
SECRET_PREFIX = "whsec_"  # noqa: S105  (what every secret of the specification begins with)
INSIDE = "is no public address: KB_HOOK_PRIVATE lets others be reached, but never link-local ones."
# Addresses that carry an IPv4 address inside, which would have to be looked at instead.
_CARRIERS = tuple(
    ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


class Failed(KbError):
    """The message did not get through. `status` is what the receiver answered, if it did.

    `retry_after` is that header as it came, of an answer that asks to be left alone for a while.
    """

    def __init__(self, sentence: str, status: int | None = None, retry_after: str = "") -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(sentence)


class Place(NamedTuple):
    """Where an address leads."""

    tls: bool
    host: str
    port: int
    target: str  # path and query

    @classmethod
    def read(cls, url: str, *, private: bool) -> Self:
        """Raise ValueError, with a sentence, for what is no address to send to."""
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise ValueError("An address has no blanks and only ASCII characters; write others as %-codes.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("That is no address: expected one such as https://example.com/hook.") from None
        if parts.scheme not in {"http", "https"} or not host or port == 0:
            raise ValueError("Expected an address with http or https, such as https://example.com/hook.")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("An address with a user, password or #fragment is not taken.")
        if _is_known(host) and not _may_reach(host, private=private):
            raise ValueError(f"{host} {INSIDE}")
        tls = parts.scheme == "https"
        path = parts.path or "/"
        return cls(tls, host, port or (443 if tls else 80), f"{path}?{parts.query}" if parts.query else path)


def secret(key: bytes) -> str:
    """The key as its receiver keeps it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signed(message: str, body: bytes, *, key: bytes, timestamp: int) -> dict[str, str]:
    """The headers that let a receiver trust this body. Neither id nor timestamp may hold a full stop."""
    content = b".".join([message.encode(), str(timestamp).encode(), body])
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
    """Send this JSON and give the status, 200 to 299. Raises Failed for anything else."""
    try:
        place = Place.read(url, private=private)
    except ValueError as error:
        raise Failed(str(error)) from None
    connection = _Connection(place, _resolved(place, private=private))
    cut = Timer(WHOLE_SECONDS, connection.cut)
    cut.daemon = True
    cut.start()
    try:
        given = {"Content-Type": "application/json", "User-Agent": "kb", "Connection": "close", **headers}
        connection.request("POST", place.target, body, given)
        response = connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"Its certificate is not valid: {error.verify_message}.") from None
    except (TimeoutError, OSError, http.client.HTTPException) as error:
        raise Failed(connection.why(error)) from None
    finally:
        cut.cancel()
        connection.close()
    status = response.status
    if not 200 <= status < 300:
        asked = response.getheader("Retry-After", "") if status in BUSY else ""
        raise Failed(f"It answered {status}{_hint(status)}.", status, asked)
    return status


def asked_pause(retry_after: str, at: datetime) -> timedelta:
    """How long a `Retry-After` asks to wait: seconds or an HTTP date (RFC 9110); none for anything else."""
    asked = retry_after.strip()
    if asked.isascii() and asked.isdigit():
        return timedelta(seconds=int(asked[:9]))
    try:
        moment = parsedate_to_datetime(asked)
    except (ValueError, TypeError, OverflowError):
        return timedelta(0)
    return max(timedelta(0), moment.replace(tzinfo=moment.tzinfo or UTC) - at)


def _hint(status: int) -> str:
    if 300 <= status < 400:
        return ", and a redirect is not followed: give the address that it leads to"
    return ""


class _Connection(http.client.HTTPConnection):
    """To one IP address, under the name that was asked for."""

    def __init__(self, place: Place, address: str) -> None:
        super().__init__(place.host, place.port)
        self.default_port = 443 if place.tls else 80  # such a port is not part of the Host header
        self._place, self._address = place, address
        self._is_cut = False

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self._place.port), PATIENCE_SECONDS)
        if self._place.tls:
            self.sock = ssl.create_default_context().wrap_socket(
                self.sock, server_hostname=self._place.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def cut(self) -> None:
        """End what takes too long as a whole, though each of its steps is quick enough."""
        self._is_cut = True
        # It was over, or is not there yet: connecting has a limit of its own.
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def why(self, error: Exception) -> str:
        if self._is_cut or isinstance(error, TimeoutError):
            return "It took too long to answer."
        if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
            return "What it answered is not HTTP."
        return f"The connection failed: {getattr(error, 'strerror', None) or 'it was closed'}."


def _resolved(place: Place, *, private: bool) -> str:
    """An IP address of this host that may be reached."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Failed(f"No address is known for {place.host}.") from None
    addresses = [str(where[0]) for *_, where in found]
    allowed = [address for address in addresses if _may_reach(address, private=private)]
    if not allowed:
        raise Failed(f"{place.host} ({addresses[0]}) {INSIDE}")
    return allowed[0]


def _is_known(host: str) -> bool:
    """Whether the host is an IP address or this machine itself, so that nothing has to be resolved."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _may_reach(host: str, *, private: bool) -> bool:
    """Whether messages may go there. Link-local ones never: there clouds give away their keys."""
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in net for net in _CARRIERS):
            return False
        address = address.ipv4_mapped or address
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return private or address.is_global
