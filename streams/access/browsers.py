"""Requests that a page of another site makes a browser send.

A server on loopback without credentials trusts every client that reaches it, and every page in a local browser does.
Two checks refuse such pages. A page whose owner makes its name resolve to 127.0.0.1 (DNS rebinding) sends that name as
`Host`. Any other page cannot read our answers, but it could send a POST without a body; browsers add `Origin` or
`Sec-Fetch-Site` to it, and other clients send neither. With credentials, no check is needed: a page has no token.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from streams.access.denials import ForeignHost, ForeignOrigin
from streams.runtime.settings import LOOPBACK, Settings

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # methods that change nothing
DEFAULT_PORTS = {"http": 80, "https": 443}


class Browsers:
    """Refuses requests that a page of another site may have sent."""

    def __init__(self, settings: Settings) -> None:
        self._guarded, self._allowed = settings.is_guarded, frozenset(settings.allowed_hosts)
        self._hosts = LOOPBACK | self._allowed | {settings.http_host}
        self._is_our_host = lru_cache(maxsize=1_000)(self._find_host)

    def refuse_foreign(self, method: str, headers: Mapping[str, str]) -> None:
        """Raise `ForeignHost` or `ForeignOrigin` if a page of another site may have sent the request."""
        if self._guarded:
            return
        host = headers.get("Host")  # HTTP/1.0 needs none, and health checks of proxies send none; browsers always do
        if host is not None and not self._is_our_host(host):
            raise ForeignHost(
                f"this service does not answer for the host {host!r:.80}: use 127.0.0.1 or localhost, or add the name "
                "to FULFILLMENT_ALLOWED_HOSTS",
                {"host": host[:80]},
            )
        if method not in SAFE:
            self._refuse_origin(headers.get("Origin"), headers.get("Sec-Fetch-Site"), host or "")

    def _refuse_origin(self, origin: str | None, site: str | None, host: str) -> None:
        if site == "cross-site" or (origin is not None and not self._is_our_page(origin, host)):
            raise ForeignOrigin(
                f"a page of {origin or 'another site'!r:.80} sent this request: only programs and pages of this "
                "service may change something",
                {"origin": None if origin is None else origin[:80]},
            )

    def _find_host(self, host: str) -> bool:
        """Return whether a Host header names this machine or a host of the settings; its port does not matter."""
        name = _name_of(f"//{host}")
        return name is not None and (name in self._hosts or _is_loopback(name))

    def _is_our_page(self, origin: str, host: str) -> bool:
        """Return whether a page of `origin` is ours: it has the request's host and port, or a host of the settings.

        A proxy may change the scheme, so it is not compared.
        """
        name = _name_of(origin)
        if name is None or not origin.startswith(("http://", "https://")):
            return False
        return name in self._allowed or _authority(origin) == _authority(f"{origin.partition(':')[0]}://{host}")


def _is_loopback(name: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _authority(address: str) -> tuple[str | None, int | None]:
    parts = urlsplit(address)
    return _name_of(address), parts.port or DEFAULT_PORTS.get(parts.scheme)


def _name_of(address: str) -> str | None:
    """Return the host name in an address, or None if it is missing or the address is invalid."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return None
    if parts.username is not None or parts.path not in ("", "/") or parts.query:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None
