"""Commands that cannot be decoded are refused with their bytes, and block nothing else."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from letters_desk import TOPIC, Broken, Desk, keys

from agents.deciding import Decided
from parking.letter import DeadLetter
from streams.kafka.partitions import partition_of
from streams.kafka.unreadable import Unreadable

NAME = b"M\xfcnchen".decode("utf-8", "surrogateescape")
HEADERS = ((NAME, b"\xff"), ("n", None), ("\0base64:", b""))


def with_headers(record: Any) -> Any:
    return replace(record, headers=HEADERS)


def letters(desk: Desk) -> list[DeadLetter]:
    return [DeadLetter.decode(write.value) for write in desk.written if write.topic == "dead-letters"]


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff\xfe", b"{", b"[]", b'{"type":7}', b"\x00" * 100, b'"\xed\xa0\x80"']
)
@pytest.mark.parametrize("key", [None, b"", b"\xfc", b"k" * 1_000_000])
def test_a_command_that_cannot_be_decoded_is_refused_with_its_bytes(key: bytes | None, value: bytes | None) -> None:
    desk = Desk()
    record = replace(with_headers(desk.record(None, b"")), key=key, value=value)
    desk.decide([record, desk.record("boots", {"type": "ReceiveStock", "data": {"quantity": 1}})])
    (letter,) = letters(desk)
    assert (letter.key, letter.value, letter.headers, letter.kind) == (key, value, HEADERS, "invalid")
    assert [outcome["data"]["status"] for outcome in desk.messages("command-outcomes")] == ["rejected", "accepted"]


@pytest.mark.parametrize("timestamp", [-1, 0, 1 << 52, -(1 << 52)])
def test_a_command_of_any_time_is_decided(timestamp: int) -> None:
    desk = Desk()
    for message in ({"type": "ReceiveStock", "data": {"quantity": 1}}, b"nonsense"):
        desk.decide([replace(desk.record("boots", message), timestamp=timestamp)])
    assert desk.events("boots") == [(1, "StockReceived")]
    assert len(letters(desk)) == 1


def test_a_parked_command_keeps_its_headers_through_restart_and_retry() -> None:
    desk = Desk()
    (key,) = keys(1)
    with Broken("ReceiveStock"):
        desk.decide([with_headers(desk.record(key, {"type": "ReceiveStock", "id": "p", "data": {"quantity": 1}}))])
    desk.restart()
    with Broken("ReceiveStock"):
        desk.tell(("RetryLetters", key, {}))
    desk.restart()
    desk.tell(("RetryLetters", key, {}))
    assert [(letter.kind, letter.headers) for letter in letters(desk)] == [
        ("parked", HEADERS),
        ("parked", HEADERS),
        ("retried", HEADERS),
    ]
    assert desk.events(key) == [(1, "StockReceived")]


def test_a_parked_command_keeps_its_key_and_value_through_restart_and_retry() -> None:
    """Some of their characters are different ones in the two alphabets of base64."""
    desk = Desk()
    key = next(f"???>>>{n}" for n in range(99) if partition_of(f"???>>>{n}".encode(), 4) == 1)
    record = desk.record(key, {"type": "ReceiveStock", "id": "???>>>", "data": {"quantity": 1}})
    with Broken("ReceiveStock"):
        desk.decide([record])
    desk.restart()
    desk.tell(("RetryLetters", key, {}))
    assert [(letter.kind, letter.key, letter.value) for letter in letters(desk)] == [
        ("parked", record.key, record.value),
        ("retried", record.key, record.value),
    ]


def test_a_letter_that_an_older_release_parked_is_read() -> None:
    desk = Desk()
    (key,) = keys(1)
    with Broken("ReceiveStock"):
        desk.tell(("ReceiveStock", key, {"quantity": 1}))
    (at,) = (each for each in desk.entries.rows.keys(b"/") if each.endswith(b"/0"))
    assert orjson.loads(desk.entries.rows.get(at) or b"")["headers"] == [
        ["h", "_w=="],
        ["n", None],
    ]  # in the same format as before


# --- a batch that cannot be read


def unreadable(desk: Desk, count: int = 3) -> Unreadable:
    """Return an unreadable batch of `count` commands."""
    first, desk.offset = desk.offset + 1, desk.offset + count
    return Unreadable(
        TOPIC, 1, desk.offset, -1, 0, None, b"\x00" * 80, None, -1, 80, (), first, "the checksum is wrong"
    )


def receive(desk: Desk) -> Any:
    return desk.record("boots", {"type": "ReceiveStock", "data": {"quantity": 1}})


def stopped_at(decided: Decided) -> list[Any]:
    return [stop.record for stop in decided.stops.values()]


def test_only_commands_before_an_unreadable_batch_are_handled() -> None:
    desk = Desk()
    before, batch, behind = receive(desk), unreadable(desk), receive(desk)
    decided = desk.decide([before, batch, behind])
    assert desk.events("boots") == [(1, "StockReceived")]
    assert stopped_at(decided) == [batch]
    assert [str(stop.why) for stop in decided.stops.values()] == [
        "offsets 2 to 4 cannot be read: the checksum is wrong"
    ]
    assert decided.offsets == {(TOPIC, 1): batch.first}


def test_the_position_is_after_a_skipped_batch() -> None:
    desk = Desk()
    batch, behind = unreadable(desk), receive(desk)
    desk.deciding.refusing.skipped = {(TOPIC, 1, batch.offset): "lost"}
    decided = desk.decide([batch])
    assert decided.offsets == {(TOPIC, 1): batch.offset + 1}
    assert decided.stops == {}
    assert desk.messages("command-outcomes", decided) == []
    desk.decide([behind])
    assert desk.events("boots") == [(1, "StockReceived")]


def test_a_batch_that_was_handled_before_it_became_unreadable_stops_nothing() -> None:
    desk = Desk()
    desk.decide([receive(desk) for _ in range(3)])
    batch = replace(unreadable(desk), offset=desk.offset - 3, first=desk.offset - 5)
    assert desk.decide([batch, receive(desk)]).stops == {}  # a group that was reset to zero
    partly = replace(unreadable(desk), first=2)
    assert stopped_at(desk.decide([partly])) == [partly]
