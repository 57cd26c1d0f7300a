"""Finds out who sends a request, from its bearer token.

A token is `FULFILLMENT_API_TOKEN`, which has all scopes and may come from a file; one of `FULFILLMENT_API_TOKENS_FILE`;
or a JWT of `FULFILLMENT_OIDC_ISSUER`. Without any of these settings, no request needs credentials.
"""

import hmac
from typing import TYPE_CHECKING

from aiohttp import web

from streams.access.attempts import Attempts
from streams.access.denials import Denied, Unauthorized
from streams.access.principals import ANYBODY, OF_API_TOKEN, Principal
from streams.access.tokens import SHORTEST, TokenFile, digest_of, parse_single, warn_if_short
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from streams.access.jwts import Issuer

JWT_DOTS = 2  # between header, claims and signature
INVALID = "the token is not valid: it may be mistyped, replaced or expired"


class Gate:
    """The credentials of an installation; raises `InvalidTokens` if its file of tokens is invalid."""

    def __init__(self, settings: Settings) -> None:
        self.is_open = not settings.is_guarded
        self._single = digest_of(settings.api_token) if settings.api_token else None
        single, several = settings.api_token_file, settings.api_tokens_file
        self._single_file = TokenFile(single, parse_single) if single else None
        self._file = TokenFile(several) if several else None
        self._issuer = _issuer_of(settings) if settings.oidc_issuer else None
        self._attempts = Attempts()
        if settings.api_token:
            warn_if_short("FULFILLMENT_API_TOKEN", settings.api_token)

    async def principal_of(self, request: web.BaseRequest) -> Principal:
        """Return who sends a request; raise `Denied` if it has no valid credentials."""
        if self.is_open:
            return ANYBODY
        token = _bearer(request.headers.get("Authorization"))
        address, digest = request.remote or "", digest_of(token)
        try:
            if len(token) < SHORTEST:
                self._attempts.check(address, digest)
            principal = await self._find(token, digest)
        except Unauthorized as error:
            self._attempts.failed(address, digest, error)
            raise
        self._attempts.succeeded(address, digest)
        return principal

    async def known(self, request: web.BaseRequest) -> Principal | None:
        """Return who sends a request that needs no credentials; None for a stranger."""
        try:
            return await self.principal_of(request)
        except Denied:
            return None

    async def _find(self, token: str, digest: bytes) -> Principal:
        if self._single is not None and hmac.compare_digest(self._single, digest):
            return OF_API_TOKEN
        if self._single_file is not None and (found := self._single_file.find(digest)) is not None:
            return found
        if self._file is not None and len(token) >= SHORTEST and (found := self._file.find(digest)) is not None:
            return found
        if self._issuer is not None and token.count(".") == JWT_DOTS:
            return await self._issuer.principal_of(token, digest)
        raise Unauthorized(INVALID)


def _issuer_of(settings: Settings) -> "Issuer":
    """Return the issuer in the settings; only installations that have one load the library for JWTs."""
    from streams.access.jwts import Issuer

    return Issuer(settings)


def _bearer(header: str | None) -> str:
    """Return the token in an Authorization header."""
    if header is None:
        raise Unauthorized
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("the Authorization header has no bearer token: send Authorization: Bearer <token>")
    return token
