"""Waiting requests are woken and always removed; keys have the same partitions as in Kafka's Java client."""

import asyncio
from typing import Any

import pytest

from domain.orders.commands import Hold
from streams.kafka.partitions import partition_of
from streams.messages.envelope import CommandMessage, Outcome
from web.commands.outcome_reader import Waiting
from web.commands.outcomes import chosen
from web.errors import Problem

TIME = "2026-11-23T10:00:00.000Z"


def command(command_id: str, source: str = "web") -> CommandMessage:
    return CommandMessage(command_id, "o-1", Hold(reason="?"), TIME, source, "c-1")


def outcome(command_id: str, key: str = "o-1", name: str = "Hold", source: str | None = "web") -> Outcome:
    return Outcome(command_id, name, "order", key, "accepted", TIME, "c-1", version=2, command_source=source)


async def test_all_requests_that_wait_for_a_command_are_woken() -> None:
    waiting = Waiting()
    async with waiting.of(command("a")) as first, waiting.of(command("a")) as second, waiting.of(command("b")) as other:
        assert b"a" in waiting
        waiting.resolve(outcome("a"))
        waiting.resolve(outcome("a"))
        assert (await first, await second) == (outcome("a"), outcome("a"))
        assert not other.done()
    assert len(waiting) == 0


@pytest.mark.parametrize("other", [outcome("a", source="shop"), outcome("a", key="o-2"), outcome("a", name="Release")])
async def test_the_outcome_of_another_command_with_the_same_id_is_ignored(other: Outcome) -> None:
    waiting = Waiting()
    async with waiting.of(command("a")) as future, waiting.of(command("a", "crm")) as stranger:
        waiting.resolve(other)
        waiting.resolve(outcome("a"))
        assert await future == outcome("a")
        assert not stranger.done()


async def test_an_outcome_of_older_code_without_a_source_is_accepted() -> None:
    waiting, older = Waiting(), outcome("a", source=None)
    async with waiting.of(command("a")) as future:
        waiting.resolve(older)
        assert await future == older


async def test_a_request_that_stops_waiting_is_removed() -> None:
    waiting = Waiting()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), waiting.of(command("a")) as future:
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
def test_a_key_has_the_same_partition_as_in_the_java_client(key: bytes, murmur2: int) -> None:
    assert partition_of(key, 8) == (murmur2 & 0x7FFFFFFF) % 8


def document(**more: Any) -> dict[str, Any]:
    said = {"source": "shop", "aggregate": "order", "aggregateId": "o-1", "type": "Hold", "status": "accepted",
            "code": None, "retryable": False, "version": 1, "events": []}  # fmt: skip
    return {name: value for name, value in (said | more).items() if value is not None or name == "code"}


@pytest.mark.parametrize(
    ("found", "first"),
    [
        ([document()], 0),
        ([document(), document(code="COMMAND_ID_REUSED")], 0),
        ([document(code="COMMAND_ID_REUSED")], 0),
        ([document(), document(source="web")], 1),
        ([document(aggregateId="o-2"), document(source="web", code="ORDER_ON_HOLD")], 1),
        ([document(source=None, retryable=True), document(source="web")], 1),
        ([document(source=None), document(source="web")], 1),
    ],
)
def test_the_outcome_of_an_id_is_the_one_of_this_api_or_the_only_one(found: list[Any], first: int) -> None:
    shown = chosen("c", found)
    assert {name: value for name, value in shown.items() if name != "others"} == found[first]


@pytest.mark.parametrize(
    "found",
    [
        [document(), document(source="crm")],
        [document(), document(aggregateId="o-2")],
        [document(source="web"), document(source="web", aggregate="inventory")],
    ],
)
def test_an_id_of_several_equal_commands_is_ambiguous(found: list[Any]) -> None:
    with pytest.raises(Problem) as problem:
        chosen("c", found)
    assert (problem.value.status, problem.value.code) == (409, "AMBIGUOUS_COMMAND_ID")
    assert problem.value.details == {"outcomes": found}
