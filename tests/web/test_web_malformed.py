"""Client errors are 4xx in JSON, leave nothing in the log, and do not count as internal errors."""

import asyncio
import base64
import gzip
import re
import zlib
from typing import Any
from uuid import uuid4

import aiohttp
import psutil
import pytest
from raw import exchange, parsed, raw
from system import Api, System, eventually

OF_SERVERS = re.compile(rb"^\S+ \S+ (?:INFO|WARNING) (?:aiokafka|streams\.kafka|projections\.mongo)\b")  # they are busy
BOMB = b"".join(128 * [gzip.compress(bytes(1 << 20))])  # 128 KiB, which become 128 MiB


def post(body: bytes, *headers: str, path: str = "/api/v1/orders", length: int | None = None) -> bytes:
    """Return a request whose length may be a lie."""
    named = {line.partition(":")[0].lower() for line in headers}
    usual = ["Host: localhost", "Connection: close", "Content-Type: application/json"]
    usual.append(f"Content-Length: {len(body) if length is None else length}")
    unsaid = [line for line in usual if line.partition(":")[0].lower() not in named]
    if "transfer-encoding" in named:
        unsaid = [line for line in unsaid if not line.startswith("Content-Length")]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *unsaid, *headers, "", ""])
    return head.encode("latin-1") + body


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: localhost", b"Connection: close", *headers, b"", b""])


NO_HTTP = {
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "no request line": (b"GARBAGE\r\n\r\n", 400),
    "an unknown method": (b"FROB /api/v1/orders HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "an unknown version": (b"GET / HTTP/7.8\r\nHost: localhost\r\n\r\n", 400),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60, 400),
    "http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n", 400),
    "a header with NUL": (get(b"/livez", b"X: a\0b"), 400),
    "a header without a name": (get(b"/livez", b": x"), 400),
    "too many headers": (get(b"/livez", *[b"X%d: y" % number for number in range(300)]), 400),
    "a length that is not a number": (post(b"", "Content-Length: x"), 400),
    "a negative length": (post(b"", "Content-Length: -1"), 400),
    "a length beyond 64 bits": (post(b"", f"Content-Length: {2**64}"), 400),
    "two lengths": (post(b"ab", "Content-Length: 1", "Content-Length: 2"), 400),
    "a length and chunks": (post(b"0\r\n\r\n", "Content-Length: 1", "Transfer-encoding: chunked"), 400),
    "a bad chunk": (post(b"zz\r\nabc\r\n", "Transfer-Encoding: chunked"), 400),
    "a bad second chunk": (post(b"2\r\n{}\r\nzz\r\n", "Transfer-Encoding: chunked"), 400),
    "a long address": (get(b"/" + b"x" * 9_000), 414),
    "a long query": (get(b"/api/v1/orders?cursor=" + b"x" * 9_000), 414),
    "a long header": (get(b"/livez", b"X: /" + b"x" * 9_000), 431),
    "an unknown Expect": (post(b"", "Expect: banana"), 417),
    "brotli": (post(b"{}", "Content-Encoding: br"), 415),
    "zstd": (post(b"{}", "Content-Encoding: zstd"), 415),
}
HOLD = "/api/v1/orders/a/hold"
BODIES = {
    "no gzip": (post(b"{}", "Content-Encoding: gzip"), 400, "BAD_REQUEST"),
    "gzip and more": (post(gzip.compress(b"{}") + b"xx", "Content-Encoding: gzip"), 400, "BAD_REQUEST"),
    "half a gzip": (post(gzip.compress(b"{" * 500)[:20], "Content-Encoding: gzip"), 400, "BAD_REQUEST"),
    "a gzip without its end": (post(gzip.compress(b"{}")[:-1], "Content-Encoding: gzip"), 400, "BAD_REQUEST"),
    "a gzip with another checksum": (
        post(gzip.compress(b"{}")[:-8] + b"\0" * 8, "Content-Encoding: gzip"), 400, "BAD_REQUEST"),
    "half a deflate": (post(zlib.compress(b"{}")[:-5], "Content-Encoding: deflate"), 400, "BAD_REQUEST"),
    "deflate and more": (post(zlib.compress(b"{}") + b"x", "Content-Encoding: deflate"), 400, "BAD_REQUEST"),
    "no deflate": (post(b"{}\x01\x02", "Content-Encoding: deflate"), 400, "BAD_REQUEST"),
    "a bomb": (post(BOMB, "Content-Encoding: gzip"), 413, "BODY_TOO_LARGE"),
    "a deflated bomb": (post(zlib.compress(bytes(1 << 22)), "Content-Encoding: deflate"), 413, "BODY_TOO_LARGE"),
    "an unknown coding": (post(b"{}", "Content-Encoding: rot13"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "gzip twice": (post(b"{}", "Content-Encoding: gzip, gzip"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "an unknown transfer coding": (
        post(b"0\r\n\r\n", "Transfer-Encoding: foo, chunked"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "another charset": (
        post(b'{"a":1}', "Content-Type: application/json; charset=iso-8859-1"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "UTF-16": (post('{"a":1}'.encode("utf-16")), 400, "NOT_JSON"),
    "a byte order mark": (post(b"\xef\xbb\xbf{}"), 400, "NOT_JSON"),
    "a lone surrogate": (post(b'{"customerId":"\\ud800"}'), 400, "NOT_JSON"),
    "brackets 2,000 deep": (post(b"[" * 2_000 + b"]" * 2_000, path="/api/v1/commands"), 400, "NOT_JSON"),
    "brackets 300 deep": (post(b'{"a":' * 300 + b"1" + b"}" * 300, path="/api/v1/commands"), 400, "UNKNOWN_TYPE"),
    "a type of bytes": (post(b"{}", "Content-Type: text/\xff"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "a coding of bytes": (post(b"{}", "Content-Encoding: \xff"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "a tag of bytes": (
        post(b"", 'If-Match: "\xff"', f"Idempotency-Key: {uuid4()}", path=HOLD), 400, "VALIDATION_FAILED"),
    "a query of bytes": (post(b"", f"Idempotency-Key: {uuid4()}", path=f"{HOLD}?\xff=\xff"), 400, "BAD_REQUEST"),
    "multipart": (post(b"--x--", "Content-Type: multipart/form-data; boundary=x"), 415, "UNSUPPORTED_MEDIA_TYPE"),
}  # fmt: skip
CURSOR = base64.urlsafe_b64encode(b'["-createdAt",18446744073709551615,"a"]').rstrip(b"=")
ADDRESSES = {
    "a path that is not UTF-8": (get(b"/api/v1/orders/%ff%fe"), 400),
    "a path that is UTF-8 in capitals": (get(b"/api/v1/orders/caf%C3%A9"), 404),
    "bytes in a path": (get(b"/api/v1/orders/\xff\xfe"), (400, 404)),
    "half an escape": (get(b"/api/v1/orders/%zz"), (400, 404)),
    "NUL in a path": (get(b"/api/v1/orders/%00"), 400),
    "a query that is not UTF-8": (get(b"/api/v1/orders?customerId=%ff"), (200, 400)),
    "a cursor beyond 64 bits": (get(b"/api/v1/orders?cursor=" + CURSOR), 400),
    "a version beyond 64 bits": (get(b"/api/v1/orders/a?version=18446744073709551616"), 400),
    "a limit of 5,000 digits": (get(b"/api/v1/orders?limit=" + b"9" * 5_000), 400),
    "a negative limit": (get(b"/api/v1/orders?limit=-1"), 400),
    "the year 0": (get(b"/api/v1/orders/a?asOf=0000-01-01T00:00:00Z"), 400),
    "the year 10000": (get(b"/api/v1/orders/a?asOf=10000-01-01T00:00:00Z"), 400),
    "before the year 1": (get(b"/api/v1/orders/a?asOf=0001-01-01T00:00:00%2B14:00"), 400),
    "a correlation id of bytes": (get(b"/api/v1/orders", b"Correlation-Id: \xff\xfe"), 400),
    "a token of bytes": (get(b"/api/v1/orders", b"Consistency-Token: \xff\xfe"), 400),
    "a range": (get(b"/api/v1/orders?limit=1", b"Range: bytes=banana"), 200),
    "an absolute address": (get(b"http://[::1/api/v1/orders"), (400, 404)),
    "a body that is not gzip": (get(b"/livez", b"Content-Encoding: gzip", b"Content-Length: 2", b"", b"{}")[:-4], 200),
}  # fmt: skip


@pytest.fixture
async def silent(system: System, api: Api) -> Any:
    """Meanwhile no internal error is logged or counted."""
    before, log = await faults(system), system.settings.data / "logs" / "api-0.log"
    size = log.stat().st_size
    yield
    assert await faults(system) == before
    with log.open("rb") as written:
        written.seek(size)
        assert [line for line in written.read().splitlines() if not OF_SERVERS.search(line)] == []


async def faults(system: System) -> list[str]:
    """Return what the api says of its answers of 5xx."""
    text = await metrics(system)
    return [line for line in text.splitlines() if re.match(r'fulfillment_http_request_seconds_count.*status="5', line)]


async def metrics(system: System) -> str:
    base = system.base.removesuffix("/api/v1")
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
        return await response.text()


@pytest.mark.parametrize("name", NO_HTTP)
async def test_malformed_http_is_refused_in_json(address: str, silent: None, name: str) -> None:
    sent, expected = NO_HTTP[name]
    status, headers, answer = await raw(address, sent)
    assert (status, answer["success"]) == (expected, False), answer
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert {"error", "message", "details"} <= answer.keys()


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_cannot_be_read_is_refused(address: str, silent: None, name: str) -> None:
    sent, status, code = BODIES[name]
    found, _, answer = await raw(address, sent)
    assert (found, answer["error"]) == (status, code), answer


@pytest.mark.parametrize("name", ADDRESSES)
async def test_an_odd_address_or_header_is_not_an_internal_error(address: str, silent: None, name: str) -> None:
    sent, expected = ADDRESSES[name]
    status, headers, answer = await raw(address, sent)
    assert status == expected or (isinstance(expected, tuple) and status in expected), answer
    assert headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "sent",
    [
        post(b"{}", length=50),
        post(b'5\r\n{"a"', "Transfer-Encoding: chunked"),
        post(gzip.compress(b"{}" * 500)[:15], "Content-Encoding: gzip", length=60),
        b"POST /api/v1/orders HTTP/1.1\r\nHos",
    ],
    ids=["half a body", "half a chunk", "half a gzip", "half a head"],
)
async def test_a_client_that_disconnects_is_not_an_internal_error(address: str, silent: None, sent: bytes) -> None:
    answer = await raw_bytes(address, sent)
    assert b"500" not in answer.partition(b"\r\n")[0]


async def raw_bytes(address: str, sent: bytes, *, end: bool = True) -> bytes:
    host, _, port = address.removeprefix("http://").rstrip("/").partition(":")
    return await exchange(host, int(port), sent, end=end)


async def test_a_thousand_malformed_requests_are_counted_and_not_logged(
    system: System, address: str, silent: None
) -> None:
    async def count() -> float:
        found = re.search(
            r'^fulfillment_http_malformed_total\{status="400"\} (\S+)', await metrics(system), re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    before = await count()
    for _ in range(40):
        answers = await asyncio.gather(*(raw(address, b"GARBAGE\r\n\r\n") for _ in range(25)))
        assert {answer[0] for answer in answers} == {400}
    assert await count() == before + 1_000


async def test_a_compression_bomb_does_not_fill_the_memory(system: System, address: str) -> None:
    api = psutil.Process(system.process("api-0").pid)
    before = api.memory_info().rss
    answers = await asyncio.gather(*(raw(address, post(BOMB, "Content-Encoding: gzip")) for _ in range(5)))
    assert {answer[0] for answer in answers} == {413}
    assert api.memory_info().rss - before < 64 << 20


async def test_expect_is_answered_before_the_body(address: str) -> None:
    answer = await raw_bytes(address, post(b"{}", "Expect: 100-continue"), end=False)
    first, _, second = answer.partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 100 Continue"
    assert parsed(second)[0] == 400


async def test_a_command_nested_too_deeply_does_not_affect_the_others(address: str, api: Api) -> None:
    one = b'{"type":"SetStock","data":{"productId":"malformed-%d","quantity":1%b}}'
    deep = b',"x":' + b"[" * 300 + b"]" * 300
    body = b"[" + b",".join([one % (1, b""), one % (2, deep), one % (3, b"")]) + b"]"
    status, _, answer = await raw(address, post(body, path="/api/v1/commands"))
    assert status == 202
    assert [each["status"] for each in answer["data"]] == ["pending", "refused", "pending"]
    assert (answer["data"][1]["code"], "deep" in answer["data"][1]["message"]) == ("INVALID_MESSAGE", True)
    for taken in (answer["data"][0], answer["data"][2]):
        outcome = await eventually(
            lambda taken=taken: api("GET", f"/commands/{taken['commandId']}"),
            lambda found: found[1]["data"]["status"] != "pending",
        )
        assert outcome[1]["data"]["status"] == "accepted"


async def test_a_value_nested_as_deep_as_json_may_be_is_refused(address: str, silent: None) -> None:
    deep = b"[" * 1_000 + b"]" * 1_000
    for path, body in (
        ("/api/v1/orders", b'{"customerId":%b}'),
        ("/api/v1/inventory/a/receive", b'{"quantity":%b}'),
        ("/api/v1/orders/a/shipments/b/deliver", b'{"shipmentId":%b}'),
        ("/api/v1/commands", b'{"type":"Hold","datacontenttype":%b,"data":{"orderId":"a","reason":"r"}}'),
        ("/api/v1/commands", b'{"type":%b}'),
        ("/api/v1/letters/order/a/discard", b'{"reason":%b}'),
    ):
        status, _, answer = await raw(address, post(body % deep, path=path))
        assert (status, answer["success"]) == (400, False), (path, answer)


async def test_a_worker_refuses_in_json_too(system: System) -> None:
    port = next(each["port"] for each in system.status()["processes"] if each["name"] == "orders-0")
    for sent, status in ((b"GARBAGE\r\n\r\n", 400), (get(b"/nope"), 404), (get(b"/" + b"x" * 9_000), 414)):
        found, headers, answer = await raw(f"http://127.0.0.1:{port}/", sent)
        assert (found, answer["success"], headers["content-type"][:16]) == (status, False, "application/json")
