"""JWTs of an OpenID Connect issuer: checked with its public keys, which are kept and read again when they change.

The keys are read when the first token comes, when they are old, and when a token names an unknown key; after that, not
before a pause, which doubles as long as the issuer does not answer. Keys that are known stay valid meanwhile, and a
token with an unknown key gets 503, because the issuer may have the key.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from time import monotonic
from typing import Any

import aiohttp
import jwt

from streams.access.denials import IssuerUnavailable, Unauthorized
from streams.access.principals import SCOPES, Principal, Scope
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
KEPT_SECONDS = 600.0  # age at which keys are read again
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 30.0  # seconds between two requests for keys
TIMEOUT = aiohttp.ClientTimeout(total=5)
LEEWAY_SECONDS = 30.0  # allowed difference of clocks
MOST_TOKENS = 10_000  # checked tokens that are kept
LONGEST_SUBJECT = 255  # characters, as OpenID Connect has it
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is for another audience"),
    (jwt.InvalidIssuerError, "it is from another issuer"),
    (jwt.MissingRequiredClaimError, "it lacks a required claim (exp, iss, aud or sub)"),
)


Described = Mapping[str, Any]  # a key as the issuer publishes it (JWK)


class Keys:
    """The public keys of an issuer, by id."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: dict[str | None, Described] = {}
        self._answered = False  # whether the issuer answered when it was asked last
        self._read_at = self._next = float("-inf")  # monotonic clock
        self._pause = FIRST_PAUSE
        self._reading = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> Described:
        """Return a key; raise `Unauthorized` if the issuer has no such key, `IssuerUnavailable` if that is unknown."""
        if (found := self._known(key_id)) is not None:
            if monotonic() - self._read_at > KEPT_SECONDS and (self._renewing is None or self._renewing.done()):
                self._renewing = asyncio.create_task(self._read_if_due())
            return found
        await self._read_if_due()
        if (found := self._known(key_id)) is not None:
            return found
        if self._answered:
            raise Unauthorized("the token is not valid: its issuer has no such key")
        seconds = max(math.ceil(self._next - monotonic()), 1)
        raise IssuerUnavailable(
            "the issuer of the token does not answer, so the token cannot be checked",
            headers={"Retry-After": str(seconds)},
        )

    def _known(self, key_id: str | None) -> Described | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _read_if_due(self) -> None:
        async with self._reading:
            if monotonic() < self._next:
                return
            self._answered = False
            try:
                self._keys = await self._read()
                self._answered, self._read_at, self._pause = True, monotonic(), FIRST_PAUSE
                log.info("read %d keys of the issuer %s", len(self._keys), self._issuer)
            except (aiohttp.ClientError, TimeoutError, ValueError, TypeError, KeyError) as error:
                log.warning("cannot read the keys of the issuer %s: %r", self._issuer, error)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            finally:  # also after an unexpected error, so that not every request asks the issuer
                self._next = monotonic() + self._pause

    async def _read(self) -> dict[str | None, Described]:
        async with aiohttp.ClientSession(timeout=TIMEOUT, raise_for_status=True) as session:
            about = await _json(session, self._issuer.rstrip("/") + DISCOVERY)
            if about["issuer"] != self._issuer:
                raise ValueError(f"it calls itself {about['issuer']!r:.200}")
            address = str(about["jwks_uri"])
            if self._issuer.startswith("https://") and not address.startswith("https://"):
                raise ValueError(f"its keys are at {address!r:.200}, which is not https")
            document = await _json(session, address)
        found = {each.get("kid"): each for each in document["keys"] if _is_usable(each)}
        if not found:
            raise ValueError("it has no key for signatures that we know")
        return found


async def _json(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    async with session.get(address) as answer:
        found = await answer.json(content_type=None)
    if not isinstance(found, dict):
        raise ValueError(f"{address} is not a JSON object")
    return found


def _is_usable(each: Any) -> bool:
    """Return whether a key is a public key for signatures; an issuer may add kinds that we do not know."""
    if not isinstance(each, dict) or not isinstance(each.get("kid"), str | None):
        return False
    if each.get("use", "sig") != "sig" or each.get("kty") == "oct":
        return False
    try:
        jwt.PyJWK(each)
    except Exception as error:  # odd values raise any kind, and one key must not hide the others
        log.info("ignored a key that cannot be used: %r", error)
        return False
    return True


class Issuer:
    """Checks the tokens of the issuer in the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.oidc_issuer)
        self._checked: OrderedDict[bytes, tuple[Principal, float, Described]] = OrderedDict()

    async def principal_of(self, token: str, digest: bytes) -> Principal:
        """Return whose token it is; raise `Unauthorized` or `IssuerUnavailable`. `digest` is the token's hash."""
        try:
            header = jwt.get_unverified_header(token)
            if (algorithm := header.get("alg")) not in self._settings.oidc_algorithms:
                raise Unauthorized("the token is not valid: its signature algorithm is not allowed")
            key = await self._keys.find(header.get("kid"))
            if (known := self._checked.get(digest)) is not None and known[2] is key and time.time() < known[1]:
                return known[0]
            claims = self._claims(token, jwt.PyJWK(dict(key), key.get("alg") or algorithm))
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:  # the others for odd texts
            reason = next((said for kind, said in REASONS if isinstance(error, kind)), "it is malformed or forged")
            raise Unauthorized(f"the token is not valid: {reason}") from None
        principal = Principal(f"oidc:{_subject(claims)}", self._scopes(claims))
        self._checked[digest] = principal, float(claims["exp"]), key
        if len(self._checked) > MOST_TOKENS:
            self._checked.popitem(last=False)
        return principal

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=list(self._settings.oidc_algorithms),
            issuer=self._settings.oidc_issuer,
            audience=self._settings.oidc_audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        said = _claim(claims, self._settings.oidc_scope_claim)
        words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        return frozenset(scope for scope in SCOPES if self._settings.oidc_scope_prefix + scope in words)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim; a name that is not a claim is a path into objects."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise Unauthorized("the token is not valid: its subject is not printable text of at most 255 characters")
    return subject
