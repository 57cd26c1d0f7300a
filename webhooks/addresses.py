"""The addresses that receivers may have: public ones, and those of the networks in `FULFILLMENT_WEBHOOK_NETWORKS`.

An address is checked when a subscription is made, and again for each connection, after its name is resolved: the
connection is made to the checked address, so a name that resolves to another address afterwards changes nothing.

Refused                        a URL, or an address that its host resolves to, is not allowed
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams.runtime.webhook_settings import Network

MOST_URL = 2_000
RESOLVE_SECONDS = 5.0
TRANSLATED = ip_network("64:ff9b::/96")  # IPv4 addresses behind a gateway (RFC 6052)
_HINT = "allow its network in FULFILLMENT_WEBHOOK_NETWORKS, if events may be sent there"

Address = IPv4Address | IPv6Address


class Refused(OSError):
    """A URL, or an address that its host resolves to, is not allowed."""


def check_url(url: str) -> URL:
    """Return a URL as it is used; raise `Refused` unless it is an absolute one of http or https without credentials."""
    try:
        parsed = URL(url)
        parsed.port  # noqa: B018  # raises if it is out of range
    except ValueError:
        raise Refused("is not a URL") from None
    if len(url) > MOST_URL:
        raise Refused(f"is longer than {MOST_URL} characters")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Refused("must begin with https:// and name a host")
    if parsed.user is not None or parsed.password is not None:
        raise Refused("must not contain a user or password; receivers check the signature")
    return parsed.with_fragment(None)


def refusal(address: Address, networks: Sequence[Network], *, encrypted: bool) -> str | None:
    """Return why nothing is sent to an address; None if it may be."""
    inner = _inner(address)
    if any(each in network for each in {address, inner} for network in networks if each.version == network.version):
        return None
    if not _is_public(inner):
        return f"{address} is not a public address: {_HINT}"
    return None if encrypted else f"{address} is public, so the URL must begin with https://"


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if not isinstance(address, IPv6Address):
        return address
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def without_secrets(url: str) -> str:
    """Return a URL for logs and errors: without its user, password and query, which may contain a token."""
    try:
        parsed = URL(url)
    except ValueError:
        return "(a text that is not a URL)"
    query = "?…" if parsed.raw_query_string else ""
    return f"{parsed.with_user(None).with_query(None).with_fragment(None)}{query}"


async def check_receiver(url: str, networks: Sequence[Network], names: AbstractResolver) -> None:
    """Raise `Refused` if a URL may not be used, or if its host resolves to an address that may not.

    A host that `names` does not resolve now is accepted, because it is checked again when something is delivered.
    """
    parsed = check_url(url)
    host = parsed.host or ""
    resolver = CheckedResolver(networks, encrypted=parsed.scheme == "https", names=names)
    refuse_literal(parsed, networks)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            await resolver.resolve(host, parsed.port or 443)
    except Refused:
        raise
    except (OSError, TimeoutError, UnicodeError):
        return


def refuse_literal(url: URL, networks: Sequence[Network]) -> None:
    """Raise `Refused` if the host is an address that may not be used; aiohttp does not resolve those."""
    try:
        address = ip_address((url.host or "").split("%")[0])
    except ValueError:
        return
    if why := refusal(address, networks, encrypted=url.scheme == "https"):
        raise Refused(why)


class CheckedResolver(AbstractResolver):
    """Resolves names, and leaves out addresses that may not be used; raises `Refused` if none is left."""

    def __init__(self, networks: Sequence[Network], *, encrypted: bool, names: AbstractResolver) -> None:
        self._networks, self._encrypted, self._names = networks, encrypted, names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host that may be used."""
        found = await self._names.resolve(host, port, family)
        why = [refusal(ip_address(each["host"].split("%")[0]), self._networks, encrypted=self._encrypted)
               for each in found]  # fmt: skip
        allowed = [each for each, no in zip(found, why, strict=True) if no is None]
        if not allowed:
            raise Refused(next(filter(None, why), f"{host} has no address"))
        return allowed

    async def close(self) -> None:
        """Close the resolver."""
        await self._names.close()
