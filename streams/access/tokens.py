"""Named API tokens: a file with one line per token, which contains a hash and not the token.

    # name:scopes:hash
    shop:read,command:sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b

A name may have several lines, so that a new token is valid before the old one is removed. The hash is a plain SHA-256:
tokens are long and random, so that nothing is gained by hashing them slowly.

InvalidTokens                  the file cannot be read, or a line is invalid
"""

import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from streams.access.principals import OF_API_TOKEN, SCOPES, Principal, Scope

log = logging.getLogger(__name__)

SHORTEST = 32  # characters of a token
CHECK_SECONDS = 1.0  # between two looks at the file
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")  # no colon: `oidc:` and `cli:` begin other principals
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class InvalidTokens(ValueError):
    """The file of tokens cannot be read, or a line of it is invalid."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is valid."""

    principal: Principal
    digest: bytes

    @property
    def line(self) -> str:
        """The token's line in the file."""
        scopes = ",".join(each for each in SCOPES if each in self.principal.scopes)
        return f"{self.principal.name}:{scopes}:sha256:{self.digest.hex()}"


def new_token() -> str:
    """Return a new random token; its prefix lets scanners of source code recognise it."""
    return f"fulfillment_{secrets.token_urlsafe(32)}"


def named(name: str, scopes: Iterable[str], token: str) -> Token:
    """Return `token` as it is kept; raise `InvalidTokens` if it is too short, or its name or a scope is invalid."""
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidTokens(f"a token must have at least {SHORTEST} printable ASCII characters and no space")
    return Token(Principal(_name(name), _scopes(scopes)), digest_of(token))


def digest_of(token: str) -> bytes:
    """Return the hash of a token."""
    return sha256(token.encode(errors="surrogateescape")).digest()


def parse(text: str) -> tuple[Token, ...]:
    """Return the tokens in the text of a file; raise `InvalidTokens` with the number of an invalid line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            try:
                found.append(_parsed(line))
            except InvalidTokens as error:
                raise InvalidTokens(f"line {number}: {error}") from None
    return tuple(found)


def parse_single(text: str) -> tuple[Token, ...]:
    """Return the token that is all of the text of a file."""
    token = text.strip("\r\n")
    warn_if_short("the token in FULFILLMENT_API_TOKEN_FILE", token)
    return (Token(OF_API_TOKEN, digest_of(token)),)


def warn_if_short(what: str, token: str) -> None:
    """Log a warning if `token`, which `what` names, can be guessed."""
    if len(token) < SHORTEST:
        log.warning(
            "%s has %d characters and can be guessed: use at least %d, for example `openssl rand -hex 32`",
            what,
            len(token),
            SHORTEST,
        )


def _parsed(line: str) -> Token:
    name, _, rest = line.partition(":")
    scopes, _, digest = rest.partition(":")
    if (match := _DIGEST.fullmatch(digest)) is None:  # the line is not quoted: it may be a token by mistake
        raise InvalidTokens("must be name:scopes:sha256:hash; make one with `fulfillment tokens new`")
    return Token(Principal(_name(name), _scopes(scopes.split(","))), bytes.fromhex(match[1]))


def _name(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise InvalidTokens("a name has 1 to 64 letters, digits, dots, hyphens, underscores and @")
    if name == OF_API_TOKEN.name:
        raise InvalidTokens(f"{name} is the name of FULFILLMENT_API_TOKEN; choose another one")
    return name


def _scopes(names: Iterable[str]) -> frozenset[Scope]:
    found = {name.strip() for name in names}
    if not found or not found <= set(SCOPES):
        raise InvalidTokens(f"scopes are {', '.join(SCOPES)}")
    return frozenset(scope for scope in SCOPES if scope in found)


class TokenFile:
    """The tokens in a file, which is read again after it has changed.

    A file that becomes unreadable, invalid or empty is reported, and the tokens stay as they were until it can be read.
    Comments without a token are valid: all tokens were removed. `parse` returns the tokens in the text.
    """

    def __init__(self, path: Path, parse: Callable[[str], tuple[Token, ...]] = parse) -> None:
        self.path, self._parse = path, parse
        self._version: object = self._stat()
        self._tokens = self._read()
        self._reported = ""  # the error that was logged last
        self._looked = time.monotonic()

    def find(self, digest: bytes) -> Principal | None:
        """Return the principal of the token with this hash; the time it takes does not depend on which one it is."""
        self._refresh()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token.principal
        return found

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < CHECK_SECONDS:
            return
        self._looked = now
        if (version := self._stat()) == self._version is not None:
            return
        try:
            tokens = self._read()
        except InvalidTokens as error:
            self._report(str(error))
            return
        if self._stat() == version:  # else it was being written: the next look reads it again
            self._tokens, self._version, self._reported = tokens, version, ""
            log.info("read %d API tokens from %s", len(tokens), self.path)

    def _report(self, error: str) -> None:
        """Log why the file cannot be read, once: it is read again at every look."""
        self._version = None
        if error != self._reported:
            self._reported = error
            log.error("API tokens stay as they were: %s", error)

    def _stat(self) -> object:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[Token, ...]:
        try:
            if not (text := self.path.read_text()).strip():
                raise InvalidTokens("it is empty")
            return self._parse(text)
        except OSError as error:
            raise InvalidTokens(f"{self.path} cannot be read: {error.strerror}") from None
        except (InvalidTokens, UnicodeDecodeError) as error:
            raise InvalidTokens(f"{self.path}, {error}") from None
