"""Turn a request into where it came from, as far as anybody vouches for it."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "unknown"


def sender(request: HttpRequest) -> str:
    """An address, of IPv6 the network, for one reader has a whole one of these."""
    given: str = request.META.get("REMOTE_ADDR", "")
    if settings.TRUST_FORWARDED_FOR:
        # The last one is the proxy's own word; those before it anybody can make up.
        given = request.META.get("HTTP_X_FORWARDED_FOR", given).rpartition(",")[2].strip()
    return _network(given)


@lru_cache(maxsize=4096)  # the API asks for each request, and most come from the same few
def _network(given: str) -> str:
    # Some proxies add the port; an IPv6 address has more colons than one.
    if given.count(":") == 1:
        given = given.partition(":")[0]
    try:
        address = ip_address(given)
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return str(address)
