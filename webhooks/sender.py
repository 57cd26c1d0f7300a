"""One request to a receiver: no redirects, a time limit, and an answer that is not read beyond a few kilobytes."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from streams.runtime.settings import Settings
from streams.runtime.webserver import SOFTWARE

from .addresses import CheckedResolver, Refused, check_url, refuse_literal, without_secrets
from .names import Resolver

MOST_ANSWER = 4_096  # bytes
GONE = 410


class Attempt(NamedTuple):
    """The result of one request; `error` is None if the receiver took the event."""

    error: str | None
    status: int | None = None
    seconds: float = 0.0
    retry_after: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more events."""
        return self.status == GONE


class Sender:
    """Sends events to receivers, in one session for https and one for http, which reaches only allowed networks."""

    def __init__(self, settings: Settings) -> None:
        self._networks, self._seconds = settings.allowed_networks, settings.webhook_timeout
        self._resolver = Resolver()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def _session(self, *, encrypted: bool) -> aiohttp.ClientSession:
        if (session := self._sessions.get(encrypted)) is None:
            checked = CheckedResolver(self._networks, encrypted=encrypted, names=self._resolver)
            session = self._sessions[encrypted] = aiohttp.ClientSession(
                # no limit for all receivers together: one that is slow would take the connections of others
                connector=aiohttp.TCPConnector(limit=0, resolver=checked, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": f"{SOFTWARE}-webhooks"},
            )
        return session

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Send an event, and return the result."""
        began, parsed = time.monotonic(), None
        try:
            parsed = check_url(url)
            refuse_literal(parsed, self._networks)
            session = self._session(encrypted=parsed.scheme == "https")
            async with session.post(parsed, data=body, headers=headers, allow_redirects=False) as response:
                await response.content.read(MOST_ANSWER)  # so that a short answer does not close the connection
                return _attempt(response, time.monotonic() - began)
        except TimeoutError:
            error = f"no answer within {self._seconds:g} s"
        except Refused as refused:
            error = str(refused)
        except (aiohttp.ClientError, OSError, UnicodeError, ValueError) as failure:
            cause = failure.__cause__  # aiohttp's own sentence begins with the address again
            error = str(cause if isinstance(cause, Refused) else failure) or type(failure).__name__
        for shown in {url, str(parsed)}:  # some errors of aiohttp quote it
            error = error.replace(shown, without_secrets(url))
        return Attempt(error[:300], None, time.monotonic() - began)

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()


def _attempt(response: aiohttp.ClientResponse, seconds: float) -> Attempt:
    status = response.status
    if 200 <= status < 300:
        return Attempt(None, status, seconds)
    why = "; redirects are not followed" if 300 <= status < 400 else ""
    asked = response.headers.get("Retry-After", "")
    later = float(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else None
    return Attempt(f"the receiver answered {status}{why}", status, seconds, later)
