"""Tokens for OAUTHBEARER, which a token endpoint issues for this service's client credentials.

NoToken                        the endpoint issued no token
"""

import asyncio
import base64
import http.client
import json
import logging
import math
import ssl
import time
import urllib.error
import urllib.request
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

TOKEN_SECONDS = 10.0  # time limit of the token endpoint
USED_SHARE = 0.8  # the share of a token's life after which the next one is requested
AGAIN_SECONDS = 5.0  # pause after a request for the next token that failed while the current one is valid
UNSTATED_SECONDS = 60.0  # life of a token whose endpoint does not state it


class NoToken(KafkaError):  # type: ignore[misc]  # aiokafka is not typed
    """The token endpoint issued no token."""

    retriable = True


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would send the client secret to the other server as well."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request, so that the redirect is an error."""


def _token_in(answer: Any) -> tuple[str, float]:
    """Return the token in an answer of the endpoint, and for how many seconds it is valid; raise `ValueError`."""
    if not isinstance(answer, dict) or not isinstance(token := answer.get("access_token"), str):
        raise ValueError("the answer contains no access_token")
    life = answer.get("expires_in", UNSTATED_SECONDS)
    if isinstance(life, bool) or not isinstance(life, int | float | str) or not 0 < (seconds := float(life)) < math.inf:
        raise ValueError("the answer contains an expires_in that is not a number of seconds")
    return token, seconds


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """The tokens of this service, issued for its client credentials (RFC 6749, 4.4), each used for most of its life."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._asking = settings, Lock()
        self._token, self._renew_at, self._expires_at = "", 0.0, 0.0

    @staticmethod
    @lru_cache(maxsize=4)
    def of(settings: Settings) -> "Tokens":
        """Return the tokens that all clients with these settings share."""
        return Tokens(settings)

    async def token(self) -> str:
        """Return a token for aiokafka."""
        return (await asyncio.to_thread(self.current))[0]

    def for_librdkafka(self, _: str) -> tuple[str, float]:
        """Return a token for librdkafka, and when it expires."""
        return self.current()

    def current(self) -> tuple[str, float]:
        """Return a token and the time at which it expires; raise `NoToken`."""
        with self._asking:
            if time.time() >= self._renew_at:
                self._renew()
            return self._token, self._expires_at

    def _renew(self) -> None:
        """Get the next token; without one, the current one is used for as long as it is valid."""
        asked = time.time()
        try:
            self._token, life = self._ask()
        except NoToken as error:
            if time.time() >= self._expires_at:
                raise
            log.warning("%s; the current token is still valid; retrying", error)
            self._renew_at = time.time() + AGAIN_SECONDS
        else:
            self._renew_at, self._expires_at = asked + USED_SHARE * life, asked + life

    def _ask(self) -> tuple[str, float]:
        """Return a new token, and for how many seconds it is valid."""
        endpoint = str(self._settings.kafka_oauth_token_endpoint)
        opener = urllib.request.build_opener(NoRedirects, urllib.request.HTTPSHandler(context=self._tls()))
        try:
            with opener.open(self._request(endpoint), timeout=TOKEN_SECONDS) as answer:
                return _token_in(json.load(answer))
        except urllib.error.HTTPError as error:
            raise NoToken(f"{endpoint} issued no token: it answered {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise NoToken(f"{endpoint} issued no token: {error.reason}") from None
        except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
            raise NoToken(f"{endpoint} issued no token: {error or type(error).__name__}") from None

    def _request(self, endpoint: str) -> urllib.request.Request:
        names = (self._settings.secret("kafka_oauth_client_id"), self._settings.secret("kafka_oauth_client_secret"))
        credentials = ":".join(quote(name or "", safe="") for name in names)
        asked = {"grant_type": "client_credentials"}
        if self._settings.kafka_oauth_scope:
            asked["scope"] = self._settings.kafka_oauth_scope
        login = base64.b64encode(credentials.encode()).decode()
        return urllib.request.Request(
            endpoint,
            urlencode(asked).encode(),
            {"Authorization": f"Basic {login}", "Accept": "application/json"},
        )

    def _tls(self) -> ssl.SSLContext | None:
        """Return a context that trusts the system's authorities and Kafka's."""
        if not str(self._settings.kafka_oauth_token_endpoint).startswith("https:"):
            return None
        context = ssl.create_default_context()
        if self._settings.kafka_ca:
            context.load_verify_locations(self._settings.kafka_ca)
        return context
