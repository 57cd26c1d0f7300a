"""JWTs of an OpenID Connect issuer, which here is a server of the test: it signs tokens and changes its keys."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
import raw
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from web_server import Server

from streams.access import jwts
from streams.access.denials import IssuerUnavailable, Unauthorized
from streams.access.jwts import Issuer
from streams.access.principals import Principal
from streams.access.tokens import digest_of
from streams.runtime.settings import Settings

AUDIENCE = "fulfillment"


class LocalIssuer:
    """An issuer: its discovery document, its keys, and the tokens it signs."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.others: list[Any] = [{"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}, {"kty": "OKP", "kid": "odd"}]
        self.names_algorithms = True
        self.calls_itself: str | None = None
        self.asked = 0
        self.is_down = False
        application = web.Application()
        application.router.add_get("/realm/.well-known/openid-configuration", self._describe)
        application.router.add_get("/keys", self._show_keys)
        self.server = TestServer(application)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/realm"))

    def add_key(self, name: str, algorithm: str = "RS256") -> None:
        made = (
            ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 2048)
        )
        self.keys[name] = (algorithm, made)

    def sign(self, name: str = "first", **changes: Any) -> str:
        algorithm, key = self.keys[name]
        return jwt.encode(self.claims(**changes), key, algorithm, headers={"kid": name})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "shop", "scope": "openid read", "iat": now, "exp": now + 300}
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    async def _describe(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.is_down:
            raise web.HTTPServiceUnavailable
        found = {"issuer": self.calls_itself or self.url, "jwks_uri": str(self.server.make_url("/keys"))}
        return web.json_response(found)

    async def _show_keys(self, _: web.Request) -> web.Response:
        shown = [*self.others]
        for name, (algorithm, key) in self.keys.items():
            as_jwk = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
            shown.append({**as_jwk, "kid": name, "use": "sig", **({"alg": algorithm} if self.names_algorithms else {})})
        return web.json_response({"keys": shown})


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    issuer = LocalIssuer()
    await issuer.server.start_server()
    issuer.add_key("first")
    yield issuer
    await issuer.server.close()


@pytest.fixture
def checked(issuer: LocalIssuer) -> Callable[[str], Any]:
    """Return the principal of a token."""
    of = Issuer(Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE))
    return lambda token: of.principal_of(token, digest_of(token))


READ = ("GET", "/api/v1/orders/o-1")
COMMAND = ("POST", "/api/v1/orders/o-1/hold")


async def test_its_tokens_open_the_api_as_far_as_their_scopes_go(issuer: LocalIssuer) -> None:
    async with Server("api", oidc_issuer=issuer.url, oidc_audience=AUDIENCE, api_token="x" * 32) as api:
        assert (await api.ask(*READ, token=issuer.sign()))[0] == 503
        status, error, answer = await api.ask(*COMMAND, token=issuer.sign())
        assert (status, error, answer["details"]["principal"]) == (403, "MISSING_SCOPE", "oidc:shop")
        assert (await api.ask(*COMMAND, token=issuer.sign(scope="command")))[0] == 503
        status, error, answer = await api.ask(*READ, token=issuer.sign(exp=int(time.time()) - 60))
        assert (status, error, "expired" in answer["message"]) == (401, "UNAUTHORIZED", True)
        assert (await api.ask(*READ, token="x" * 32))[0] == 503
        assert (await api.ask(*READ, token=issuer.sign()))[0] == 503


async def test_without_its_issuer_a_token_cannot_be_checked(issuer: LocalIssuer) -> None:
    issuer.is_down = True
    async with Server("api", oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as api:
        assert (await api.ask(*READ, token=issuer.sign()))[:2] == (503, "ISSUER_UNAVAILABLE")
        assert 1 <= int(api.headers["Retry-After"]) <= 2 * jwts.FIRST_PAUSE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1_000_000_000}, "expired"),
        ({"exp": None}, "lacks a required claim"),
        ({"sub": None}, "lacks a required claim"),
        ({"sub": "a\nb"}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"aud": "other"}, "another audience"),
        ({"aud": None}, "lacks a required claim"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_now_is_refused(
    issuer: LocalIssuer, checked: Callable[[str], Any], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unauthorized, match=reason):
        await checked(issuer.sign(**changes))


async def test_only_signatures_of_its_keys_and_allowed_algorithms_count(
    issuer: LocalIssuer, checked: Callable[[str], Any]
) -> None:
    assert await checked(issuer.sign()) == Principal("oidc:shop", frozenset({"read"}))
    key = rsa.generate_private_key(65537, 2048)
    forged = [
        jwt.encode(issuer.claims(), key, "RS256", headers={"kid": "first"}),
        jwt.encode(issuer.claims(), None, "none", headers={"kid": "first"}),
        jwt.encode(issuer.claims(), "c2VjcmV0" * 8, "HS256", headers={"kid": "shared"}),
        jwt.encode(issuer.claims(), "c2VjcmV0" * 8, "HS256", headers={"kid": "first"}),
        jwt.encode(issuer.claims(), issuer.keys["first"][1], "RS384", headers={"kid": "first"}),
        issuer.sign()[:-4] + "AAAA",
        "a.b.c",
        "..",
    ]
    for token in forged:
        with pytest.raises(Unauthorized):
            await checked(token)


async def test_new_keys_are_read_after_a_pause_and_removed_ones_end(
    issuer: LocalIssuer, checked: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = issuer.sign()
    await checked(old)
    issuer.add_key("second", "ES256")
    with pytest.raises(Unauthorized, match="no such key"):
        await checked(issuer.sign("second"))
    assert issuer.asked == 1  # not before the pause
    later = time.monotonic() + jwts.FIRST_PAUSE + 1
    monkeypatch.setattr(jwts, "monotonic", lambda: later)
    del issuer.keys["first"]
    assert (await checked(issuer.sign("second"))).name == "oidc:shop"
    with pytest.raises(Unauthorized, match="no such key"):
        await checked(old)
    assert issuer.asked == 2


async def test_a_token_with_a_new_key_is_not_refused_for_good_while_the_issuer_is_down(
    issuer: LocalIssuer, checked: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = issuer.sign()
    await checked(old)
    issuer.add_key("second", "ES256")
    issuer.is_down, clock = True, [time.monotonic()]
    monkeypatch.setattr(jwts, "monotonic", lambda: clock[0])
    for pause in (2, 4, 6, 6):  # times the first
        clock[0] += jwts.LONGEST_PAUSE + 1
        with pytest.raises(IssuerUnavailable) as refused:
            await checked(issuer.sign("second"))
        assert refused.value.headers["Retry-After"] == str(round(pause * jwts.FIRST_PAUSE))
    assert (await checked(old)).name == "oidc:shop"
    issuer.is_down = False
    clock[0] += jwts.LONGEST_PAUSE
    assert (await checked(issuer.sign("second"))).name == "oidc:shop"


async def test_odd_keys_do_not_hide_the_others(issuer: LocalIssuer, checked: Callable[[str], Any]) -> None:
    issuer.others += [
        None, "key", {}, {"kty": "RSA", "kid": ["x"]}, {"kty": "RSA", "alg": "none"}, {"kty": "RSA", "alg": ["x"]},
        {"kty": "RSA", "kid": "n", "n": 1, "e": 1}, {"kty": ["RSA"]}, {"kty": "EC", "crv": "P-256", "x": "", "y": {}},
    ]  # fmt: skip
    assert (await checked(issuer.sign())).name == "oidc:shop"
    assert issuer.asked == 1


async def test_an_unexpected_error_does_not_let_every_request_ask_the_issuer(
    issuer: LocalIssuer, checked: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        issuer.asked += 1
        raise RuntimeError("unexpected")

    monkeypatch.setattr(jwts, "_json", fail)
    with pytest.raises(RuntimeError):
        await checked(issuer.sign())
    with pytest.raises(IssuerUnavailable):
        await checked(issuer.sign())
    assert issuer.asked == 1


@pytest.mark.parametrize("names_algorithms", [True, False])
async def test_a_key_without_an_algorithm_takes_each_that_is_allowed(
    issuer: LocalIssuer, checked: Callable[[str], Any], names_algorithms: bool
) -> None:
    issuer.names_algorithms = names_algorithms
    issuer.add_key("curve", "ES256")
    assert (await checked(issuer.sign())).name == "oidc:shop"
    assert (await checked(issuer.sign("curve"))).name == "oidc:shop"
    other = jwt.encode(issuer.claims(), issuer.keys["first"][1], "PS256", headers={"kid": "first"})
    mixed = jwt.encode(issuer.claims(), issuer.keys["first"][1], "RS256", headers={"kid": "curve"})
    not_allowed = jwt.encode(issuer.claims(), issuer.keys["first"][1], "RS384", headers={"kid": "first"})
    for token, is_valid in ((other, not names_algorithms), (mixed, False), (not_allowed, False)):
        if is_valid:
            assert (await checked(token)).name == "oidc:shop"
        else:
            with pytest.raises(Unauthorized):
                await checked(token)


@pytest.mark.parametrize(
    "token", [b"a.b.\xff", b"\xff.b.c", jwt.utils.base64url_encode(b"[" * 4_000) + b".b.c"], ids=["end", "head", "deep"]
)
async def test_odd_bytes_are_refused(issuer: LocalIssuer, token: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with Server("api", oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as api:
        for path, wanted in ((b"/livez", 200), (b"/metrics", 401)):
            lines = [b"GET %b HTTP/1.1" % path, b"Host: localhost", b"Connection: close"]
            sent = b"\r\n".join([*lines, b"Authorization: Bearer %b" % token, b"", b""])
            assert raw.parsed(await raw.exchange("127.0.0.1", api.port, sent))[0] == wanted
    assert "Traceback" not in caplog.text


async def test_old_keys_are_read_again_and_stay_while_the_issuer_is_down(
    issuer: LocalIssuer, checked: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Issuer(Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE))
    token = issuer.sign()

    async def check() -> str | None:
        principal = await of.principal_of(token, digest_of(token))
        if of._keys._renewing is not None:
            await of._keys._renewing
        return principal.name

    assert await check() == "oidc:shop"
    real, ahead = time.monotonic, 0.0
    monkeypatch.setattr(jwts, "monotonic", lambda: real() + ahead)
    issuer.is_down, ahead = True, jwts.KEPT_SECONDS + 1
    for _ in range(3):
        assert await check() == "oidc:shop"
    assert issuer.asked == 2  # the failure begins a longer pause
    issuer.is_down, ahead = False, ahead + 2 * jwts.FIRST_PAUSE + 1
    assert await check() == "oidc:shop"
    assert issuer.asked == 3


async def test_an_issuer_that_calls_itself_otherwise_is_not_ours(
    issuer: LocalIssuer, checked: Callable[[str], Any]
) -> None:
    issuer.calls_itself = "https://evil.example"
    with pytest.raises(IssuerUnavailable):
        await checked(issuer.sign())


@pytest.mark.parametrize(
    ("claim", "prefix", "claims", "scopes"),
    [
        ("scope", "", {"scope": "read operate profile"}, {"read", "operate"}),
        ("scp", "", {"scp": ["command"], "scope": "read"}, {"command"}),
        ("realm_access.roles", "", {"realm_access": {"roles": ["read", "admin"]}}, {"read"}),
        ("https://x.example/roles", "", {"https://x.example/roles": ["operate"]}, {"operate"}),
        ("scope", "fulfillment.", {"scope": "read fulfillment.command"}, {"command"}),
        ("roles", "", {"scope": "read"}, set()),
        ("roles", "", {"roles": {"read": True}}, set()),
    ],
)
async def test_scopes_come_from_a_claim(
    issuer: LocalIssuer, claim: str, prefix: str, claims: dict[str, Any], scopes: set[str]
) -> None:
    changes = {"oidc_scope_claim": claim, "oidc_scope_prefix": prefix}
    of = Issuer(Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, **changes))
    token = issuer.sign(**claims)
    assert (await of.principal_of(token, digest_of(token))).scopes == scopes


@pytest.mark.parametrize(
    "changes",
    [
        {"oidc_issuer": "http://issuer.example", "oidc_audience": "x"},
        {"oidc_issuer": "https://issuer.example"},
        {"oidc_issuer": "https://issuer.example", "oidc_audience": "x", "oidc_algorithms": "RS256,HS256"},
        {"oidc_issuer": "https://issuer.example", "oidc_audience": "x", "oidc_algorithms": "none"},
        {"oidc_issuer": "https://issuer.example", "oidc_audience": "x", "oidc_algorithms": ""},
    ],
    ids=str,
)
def test_unsafe_settings_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"oidc|OIDC"):
        Settings(**changes)
