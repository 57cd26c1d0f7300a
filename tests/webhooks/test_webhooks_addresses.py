import asyncio
import socket
import threading
from ipaddress import ip_address, ip_network

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from webhooks.addresses import CheckedResolver, Refused, check_receiver, check_url, refusal, without_secrets
from webhooks.names import Resolver

PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1",
    "ff02::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::1", "64:ff9b::a00:1",
    "64:ff9b:1::1", "2001:db8::1",
]  # fmt: skip
LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_with_https_only(address: str) -> None:
    assert refusal(ip_address(address), (), encrypted=True) is None
    assert "https://" in str(refusal(ip_address(address), LOCAL, encrypted=False))


@pytest.mark.parametrize("address", PRIVATE)
def test_other_addresses_are_refused(address: str) -> None:
    assert "not a public address" in str(refusal(ip_address(address), (), encrypted=True))


def test_allowed_networks_are_reached_with_either_scheme() -> None:
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "::1"):
        assert refusal(ip_address(address), LOCAL, encrypted=False) is None
    assert refusal(ip_address("10.0.0.1"), LOCAL, encrypted=True) is not None


@pytest.mark.parametrize(
    "url",
    ["", "shop.example/hooks", "ftp://shop.example", "file:///etc/passwd", "https://", "https://a:b@shop.example/",
     "https://user@shop.example", "https://shop.example:99999/", "https://x/" + "y" * 2_000],
)  # fmt: skip
def test_urls_that_cannot_be_a_receiver_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]:8443/", "https://169.254.169.254/latest",
     "https://localhost/", "https://127.1/", "https://2130706433/", "https://0x7f.1/", "http://8.8.8.8/"],
)  # fmt: skip
async def test_hosts_that_are_not_public_are_refused_however_they_are_written(url: str) -> None:
    with pytest.raises(Refused):
        await check_receiver(url, (), Resolver())


async def test_an_allowed_receiver_is_accepted_and_one_that_does_not_resolve_is_checked_later() -> None:
    await check_receiver("http://127.0.0.1:9/", LOCAL, Resolver())
    await check_receiver("https://no-such-host.invalid/", (), Resolver())


async def test_a_slow_name_server_blocks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, loop = threading.Event(), asyncio.get_running_loop()

    def slow(*_: object) -> list[object]:
        go_on.wait()
        return []

    monkeypatch.setattr("webhooks.addresses.RESOLVE_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    names = Resolver(2)
    try:
        urls = [f"https://slow-{number}.example/" for number in range(50)]  # more than the default executor has threads
        await asyncio.gather(*(check_receiver(url, (), names) for url in urls))
        assert await asyncio.wait_for(loop.run_in_executor(None, lambda: "done"), 30) == "done"
        assert sum(each.name.startswith("webhook-names") for each in threading.enumerate()) <= 2
    finally:
        go_on.set()
        await names.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://shop.example/hooks?token=t0ps3cret", "https://shop.example/hooks?…"),
        ("https://t0ps3cret:t0ps3cret@shop.example:8443/a#t0ps3cret", "https://shop.example:8443/a"),
        ("https://shop.example/hooks", "https://shop.example/hooks"),
        ("https://t0ps3cret@shop.example:99999/", "(a text that is not a URL)"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


class Names(AbstractResolver):
    """A name server that answers each question with the next of its addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = self.answers.pop(0)
        return [ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0) for each in found]

    async def close(self) -> None:
        pass


async def test_a_name_that_changes_its_address_is_checked_each_time() -> None:
    names = CheckedResolver((), encrypted=True, names=Names(["8.8.8.8"], ["127.0.0.1"], ["10.0.0.1", "8.8.4.4"], []))
    assert [each["host"] for each in await names.resolve("shop.example", 443)] == ["8.8.8.8"]
    with pytest.raises(Refused, match=r"127\.0\.0\.1 is not a public address"):
        await names.resolve("shop.example", 443)
    assert [each["host"] for each in await names.resolve("shop.example", 443)] == ["8.8.4.4"]
    with pytest.raises(Refused, match="has no address"):
        await names.resolve("shop.example", 443)
