"""Who waits is woken, and forgotten whatever happens; keys go where Kafka's Java client sends them."""

import asyncio

import pytest

from streams.messages import Outcome
from streams.partitions import partition_of
from streams.waiting import Waiting


def outcome(command_id: str) -> Outcome:
    return Outcome(command_id, "Hold", "order", "o-1", "accepted", "2026-11-23T10:00:00.000Z", "c-1", version=2)


async def test_all_who_wait_for_a_command_are_woken() -> None:
    waiting = Waiting()
    async with waiting.of("a") as first, waiting.of("a") as second, waiting.of("b") as other:
        assert b"a" in waiting
        waiting.resolve(outcome("a"))
        waiting.resolve(outcome("a"))
        assert (await first, await second) == (outcome("a"), outcome("a"))
        assert not other.done()
    assert len(waiting) == 0


async def test_who_gives_up_is_forgotten() -> None:
    waiting = Waiting()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), waiting.of("a") as future:
            await future
    assert len(waiting) == 0
    assert b"a" not in waiting
    assert None not in waiting
    waiting.resolve(outcome("a"))


@pytest.mark.parametrize(
    ("key", "murmur2"),  # from Kafka's UtilsTest
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536),
     (b"a-little-bit-longer-string", -1486304829), (b"abc", 479470107)],
)  # fmt: skip
def test_a_key_goes_where_the_java_client_sends_it(key: bytes, murmur2: int) -> None:
    assert partition_of(key, 8) == (murmur2 & 0x7FFFFFFF) % 8
