"""Named tokens: each does what its scopes allow, on the API and on workers, and a changed file counts at once."""

import os
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from web_server import Server

from streams.access import attempts, tokens
from streams.access.attempts import Attempts
from streams.access.denials import TooManyAttempts, Unauthorized
from streams.access.principals import UNTOLD, Principal
from streams.access.tokens import InvalidTokens, TokenFile, digest_of, named, new_token, parse
from streams.runtime.settings import Settings
from web.documents.openapi import document

PLAIN = {name: new_token() for name in ("reader", "shop", "operator", "poller", "new")}
SCOPES = {"reader": "read", "shop": "command", "operator": "operate", "poller": "read,command", "new": "read"}


def lines(*names: str) -> str:
    return "".join(f"{named(name, SCOPES[name].split(','), PLAIN[name]).line}\n" for name in names)


def write(file: Path, text: str | None) -> None:
    """Change the file, or remove it."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CHECK_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("# who may do what\n\n" + lines("reader", "shop", "operator", "poller"))
    return path


Asking = Callable[..., Any]


@pytest.fixture
async def servers(file: Path) -> Any:
    async with AsyncExitStack() as stack:

        async def start(role: str = "api", **changes: Any) -> Server:
            return await stack.enter_async_context(Server(role, api_tokens_file=file, **changes))

        yield start


READ = ("GET", "/api/v1/orders/o-1")
COMMAND = ("POST", "/api/v1/orders/o-1/hold")
OUTCOME = ("GET", "/api/v1/commands/c-1")
RETRY = ("POST", "/api/v1/letters/order/o-1/retry")
BATCH = ("POST", "/api/v1/commands")
METRICS = ("GET", "/metrics")
ALLOWED = {
    "reader": {READ, OUTCOME, METRICS},
    "shop": {COMMAND, OUTCOME, BATCH},
    "operator": {RETRY},
    "poller": {READ, OUTCOME, COMMAND, BATCH, METRICS},
}


async def test_each_token_does_what_its_scopes_allow(servers: Asking) -> None:
    api = await servers()
    for name, allowed in ALLOWED.items():
        for method, path in (READ, COMMAND, OUTCOME, RETRY, BATCH, METRICS):
            status, error, answer = await api.ask(method, path, token=PLAIN[name])
            if (method, path) in allowed:
                assert status not in (401, 403), (name, path, error)
                continue
            assert (status, error) == (403, "MISSING_SCOPE"), (name, path)
            needed = answer["details"]["needed"]
            assert answer["details"]["principal"] == name
            assert not set(needed) & set(SCOPES[name].split(","))
            assert api.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{" ".join(needed)}"'


async def test_the_document_names_the_scopes_of_each_operation(servers: Asking) -> None:
    api = await servers()
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            scopes = {scope for each in operation["security"] for scope in each.get("token", ())}
            if not scopes:
                assert path in ("/livez", "/readyz", "/health")
                continue
            sent = re.sub(r"{\w+}", "one", path)
            status, error, answer = await api.ask(method.upper(), sent, token=PLAIN["operator"])
            denied = (status, error) == (403, "MISSING_SCOPE")
            assert denied == ("operate" not in scopes), (method, path, status, answer)
            assert not denied or set(answer["details"]["needed"]) == scopes


async def test_workers_show_lag_and_metrics_to_readers(servers: Asking) -> None:
    worker = await servers("orders")
    for path in ("/metrics", "/entries?partition=0"):
        assert (await worker.ask("GET", path))[:2] == (401, "UNAUTHORIZED")
        assert (await worker.ask("GET", path, token=PLAIN["shop"]))[:2] == (403, "MISSING_SCOPE")
    assert (await worker.ask("GET", "/entries?partition=0", token=PLAIN["reader"]))[0] == 404


async def test_strangers_learn_no_address(servers: Asking) -> None:
    for role in ("api", "orders"):
        server = await servers(role)
        for token in (None, "x" * 40, PLAIN["shop"]):
            status, _, answer = await server.ask("GET", "/readyz", token=token)
            assert (status, answer["ready"]) == (503, False)
            assert set(answer["reasons"] if role == "orders" else answer["reasons"].values()) == {UNTOLD}
            assert set(answer) == {"ready", "reasons"}
        _, _, answer = await server.ask("GET", "/readyz", token=PLAIN["reader"])
        assert UNTOLD not in str(answer["reasons"])
    api = await servers()
    assert "servers" not in (await api.ask("GET", "/asyncapi.json"))[2]
    assert (await api.ask("GET", "/asyncapi.json", token=PLAIN["reader"]))[2]["servers"]["kafka"]["host"]


async def test_tokens_come_and_go_without_a_restart(servers: Asking, file: Path) -> None:
    api = await servers()
    assert (await api.ask(*READ, token=PLAIN["new"]))[0] == 401
    write(file, lines("reader", "new"))
    assert (await api.ask(*READ, token=PLAIN["new"]))[0] == 503
    assert (await api.ask(*READ, token=PLAIN["reader"]))[0] == 503
    assert (await api.ask(*READ, token=PLAIN["poller"]))[0] == 401


async def test_a_name_may_have_several_tokens(servers: Asking, file: Path) -> None:
    other = new_token()
    write(file, lines("reader") + named("reader", ["read"], other).line)
    api = await servers()
    assert {(await api.ask(*READ, token=token))[0] for token in (PLAIN["reader"], other)} == {503}


async def test_a_broken_file_leaves_the_tokens_as_they_were(
    servers: Asking, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api = await servers()
    write(file, f"reader:read:{PLAIN['reader']}\n")
    assert (await api.ask(*READ, token=PLAIN["shop"]))[0] == 403
    write(file, None)
    assert (await api.ask(*READ, token=PLAIN["reader"]))[0] == 503
    errors = [each.getMessage() for each in caplog.records if each.msg.startswith("API tokens stay")]
    assert len(errors) == 2
    assert "line 1" in errors[0]
    assert PLAIN["reader"] not in caplog.text


@pytest.mark.parametrize("broken", ["", "\n", "shop:read:sha256:0\n"], ids=repr)
def test_a_file_that_could_not_be_read_is_read_again_until_it_can_be(
    file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = TokenFile(file)
    write(file, broken + "\n" * (len(lines("new")) - len(broken)))
    before = file.stat()
    for _ in range(3):
        assert found.find(digest_of(PLAIN["reader"])) is not None
    write(file, lines("new"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as after `chmod`, which changes no other time
    assert found.find(digest_of(PLAIN["new"])) is not None
    assert found.find(digest_of(PLAIN["reader"])) is None
    assert caplog.text.count("API tokens stay as they were") == 1


def test_the_last_token_can_be_removed(file: Path) -> None:
    found = TokenFile(file)
    write(file, "# nobody\n")
    assert found.find(digest_of(PLAIN["reader"])) is None
    write(file, "")
    with pytest.raises(InvalidTokens, match="it is empty"):
        TokenFile(file)


async def test_the_single_token_still_has_all_scopes(servers: Asking) -> None:
    api = await servers(api_token="secret")
    for method, path in (READ, COMMAND, RETRY, METRICS):
        assert (await api.ask(method, path, token="secret"))[0] not in (401, 403)
    assert (await api.ask(*READ, token=PLAIN["reader"]))[0] == 503


async def test_the_single_token_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write(file, f"{PLAIN['shop']}\n")
    async with Server("api", api_token_file=file) as api:
        assert (await api.ask(*READ, token=PLAIN["shop"]))[0] == 503
        write(file, PLAIN["operator"])
        assert (await api.ask(*READ, token=PLAIN["shop"]))[0] == 401
        assert (await api.ask(*RETRY, token=PLAIN["operator"]))[0] not in (401, 403)
        write(file, "")
        assert (await api.ask(*READ, token=PLAIN["operator"]))[0] == 503
    with pytest.raises(ValueError, match="not both"):
        Settings(api_token="x", api_token_file=file)
    assert Settings(api_token_file=file).secret("api_token") == ""


async def test_guessing_is_logged_and_slow(
    servers: Asking, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "AT_ONCE", 3.0)
    monkeypatch.setattr(attempts, "EACH_SECOND", 0.01)
    api = await servers()
    assert (await api.ask(*READ, token=PLAIN["reader"]))[0] == 503
    guesses = [new_token() for _ in range(5)]
    assert [(await api.ask(*READ, token=guess))[0] for guess in guesses] == [401] * 3 + [429] * 2
    assert 50 < int(api.headers["Retry-After"]) <= 100
    assert (await api.ask(*READ, token=PLAIN["poller"]))[0] == 503  # it was not sent before, but cannot be guessed
    assert (await api.ask(*READ))[:2] == (401, "UNAUTHORIZED")
    assert caplog.text.count("a request of 127.0.0.1 has no valid token") == 3
    assert caplog.text.count("127.0.0.1 sent too many invalid tokens") == 1
    assert not any(guess in caplog.text for guess in guesses)


@pytest.mark.parametrize("seen", [True, False])
async def test_a_short_token_is_not_checked_after_many_guesses_unless_it_was_valid_before(
    servers: Asking, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    monkeypatch.setattr(attempts, "AT_ONCE", 3.0)
    monkeypatch.setattr(attempts, "EACH_SECOND", 0.01)
    api = await servers(api_token="secret")
    if seen:
        assert (await api.ask(*READ, token="secret"))[0] == 503
    assert [(await api.ask(*READ, token=f"guess{number}"))[0] for number in range(4)] == [401] * 3 + [429]
    assert (await api.ask(*READ, token="secret"))[:2][0] == (503 if seen else 429)


def test_a_removed_token_uses_up_no_more_than_the_allowance(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(attempts, "monotonic", lambda: clock[0])
    tried, removed = Attempts(), b"removed"
    tried.succeeded("proxy", removed)
    for number in range(200):
        if number < attempts.AT_ONCE:
            tried.failed("proxy", removed, Unauthorized())
        else:
            with pytest.raises(TooManyAttempts):
                tried.failed("proxy", removed, Unauthorized())
    with pytest.raises(TooManyAttempts) as refused:  # the token is not remembered as valid
        tried.check("proxy", removed)
    assert refused.value.headers["Retry-After"] == "1"
    assert len(caplog.records) == attempts.AT_ONCE + 1
    clock[0] += 1
    tried.check("proxy", b"another")


@pytest.mark.parametrize("role", ["api", "orders"])
async def test_each_denied_request_is_counted_by_its_code(servers: Asking, role: str) -> None:
    def counted() -> dict[str, float]:
        name = "fulfillment_http_denied_total"
        return {code: REGISTRY.get_sample_value(name, {"code": code}) or 0.0 for code in expected}

    expected = {"UNAUTHORIZED": 3, "MISSING_SCOPE": 1}
    server = await servers(role)
    before = counted()
    path = ("GET", "/metrics")
    await server.ask(*path)
    await server.ask(*path, Authorization="Basic c2VjcmV0")
    await server.ask(*path, token=new_token())
    await server.ask(*path, token=PLAIN["shop"])
    assert (await server.ask("GET", "/livez", token=new_token()))[0] == 200
    after = counted()
    assert {code: after[code] - before[code] for code in expected} == expected


def test_a_short_token_is_refused_or_warned_about(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with pytest.raises(InvalidTokens, match="at least 32"):
        named("shop", ["read"], "x" * 31)
    from streams.access.gate import Gate

    Gate(Settings(api_token="secret"))
    assert "FULFILLMENT_API_TOKEN has 6 characters" in caplog.text
    file = tmp_path / "token"
    file.write_text("x\n")
    Gate(Settings(api_token_file=file))
    assert "the token in FULFILLMENT_API_TOKEN_FILE has 1 characters" in caplog.text
    assert "secret" not in caplog.text.replace("FULFILLMENT", "")


def test_an_empty_variable_names_no_file() -> None:
    settings = Settings(api_token_file="", api_tokens_file="", mongo_file="", kafka_ca="", kafka_password_file="")
    assert not settings.is_guarded
    assert (settings.api_tokens_file, settings.kafka_ca, settings.kafka_password_file) == (None, None, None)


@pytest.mark.parametrize(
    "line",
    ["shop", "shop:read", "shop:read:secret", "shop::sha256:" + "0" * 64, "shop:write:sha256:" + "0" * 64,
     "oidc:shop:read:sha256:" + "0" * 64, "shop:read:sha256:" + "0" * 63, "api-token:read:sha256:" + "0" * 64,
     ":read:sha256:" + "0" * 64],
)  # fmt: skip
def test_an_invalid_line_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(InvalidTokens, match=r"^line 2: "):
        parse(f"# tokens\n{line}\n")


def test_a_line_is_read_as_it_was_written() -> None:
    token = named("shop", ["command", "read"], PLAIN["shop"])
    assert token.line.startswith("shop:read,command:sha256:")
    assert parse(token.line) == (token,)
    assert token.principal == Principal("shop", frozenset({"read", "command"}))


def test_the_file_counts_as_credentials_off_loopback(file: Path) -> None:
    with pytest.raises(ValueError, match="FULFILLMENT_API_TOKENS_FILE"):
        Settings(http_host="0.0.0.0")
    assert Settings(http_host="0.0.0.0", api_tokens_file=file).is_guarded
