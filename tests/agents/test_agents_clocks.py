"""Events have the broker's times, which never run backwards within an aggregate; producers' times are beside them."""

import json
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from test_agents_deciding import BOOTS, Desk, messages, receive
from test_agents_identity import KINDS, WRITTEN

from projections import inventory
from streams.keys import segment
from streams.messages.codec import decode_event
from streams.messages.envelope import instant_of, now
from tables.entries import Answer
from tables.rows import MemoryRows
from tables.store import Entries

BROKERS, PRODUCERS = 1, 0  # clocks, as records name them
TEN = 1_763_000_000_000  # Unix milliseconds


def event_of(desk: Desk, ms: int, clock: int = BROKERS, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let a command that Kafka got at `ms` be decided; return its event and its outcome."""
    fields = desk.record(receive(1, **more))
    record = ConsumerRecord(*[getattr(fields, name) for name in ("topic", "partition", "offset")], ms, clock,
                            fields.key, fields.value, None, 0, 0, ())  # fmt: skip
    decided = desk.decide(record)
    return messages(decided, "inventory-events")[0], messages(decided, "command-outcomes")[0]


@pytest.mark.parametrize(
    "said", ["2020-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2025-11-13T03:13:20.5+01:00"]
)
def test_an_event_has_the_time_of_the_broker_and_keeps_that_of_its_producer(said: str) -> None:
    desk = Desk()
    for message in event_of(desk, TEN, time=said):
        assert message["time"] == instant_of(TEN / 1000)
        assert message["producertime"].startswith(said[:4])
    for message in event_of(desk, TEN + 5):  # without a time there is nothing to keep
        assert message["time"] == instant_of((TEN + 5) / 1000)
        assert "producertime" not in message


def test_times_never_run_backwards_within_an_aggregate() -> None:
    """The broker's clock may be set back, or its partition's leader may move to a broker whose clock is behind."""
    desk = Desk()
    told = [event_of(desk, TEN + ms, time="2020-01-01T00:00:00Z") for ms in (0, 500, 400, -86_400_000, 501)]
    assert [event["time"] for event, _ in told] == [instant_of((TEN + ms) / 1000) for ms in (0, 500, 500, 500, 501)]
    assert all(event["time"] == outcome["time"] for event, outcome in told)
    view = None
    for event, _ in told:
        after = inventory.fold(view, decode_event(json.dumps(event).encode()))
        assert view is None or after.updated_at >= view.updated_at
        view = after


def test_a_refusal_comes_after_what_was_accepted_before() -> None:
    desk = Desk()
    event_of(desk, TEN + 500)
    fields = desk.record({"type": "AdjustStock", "data": {"delta": -9}})
    record = ConsumerRecord(fields.topic, 1, fields.offset, TEN, BROKERS, fields.key, fields.value, None, 0, 0, ())
    (refused,) = messages(desk.decide(record), "command-outcomes")
    assert (refused["data"]["code"], refused["time"]) == ("INSUFFICIENT_STOCK", instant_of((TEN + 500) / 1000))


def test_a_time_stamped_by_a_producer_is_never_in_the_future() -> None:
    """A topic that older code has created may still hold some."""
    desk, before = Desk(), now()
    event, _ = event_of(desk, 253_402_300_799_000, PRODUCERS)
    assert before <= event["time"] <= now()
    assert event_of(desk, TEN, PRODUCERS)[0]["time"] == event["time"]  # its second event is not before its first


@pytest.mark.parametrize("kind", ["inventory", "order"])
def test_an_aggregate_of_older_code_continues_at_the_brokers_time(kind: str) -> None:
    """Its last event may have a producer's time of the year 9999; new events must not wait for that."""
    desk = Desk(KINDS[kind])
    entries = {key.encode(): value.encode() for key, value in WRITTEN[kind]["changelog"].items()}
    desk.table.data.replace({1: Entries(desk.table.codec, MemoryRows(entries))})
    desk.offsets[1] = 10
    assert desk.entry().time == ""
    sent = receive(1) if kind == "inventory" else {"type": "Release", "data": {}}
    (event,) = messages(desk.decide(desk.record(sent | {"time": "9999-12-31T23:59:59Z"})), f"{kind}-events")
    assert event["time"] == "2025-11-13T02:13:20.123Z"
    again = desk.table.codec.decode(segment(BOOTS), desk.table.data.partitions[1].rows.get(segment(BOOTS)))
    assert (again.time, again.version) == (event["time"], 3)


@pytest.mark.parametrize("kind", ["inventory", "order"])
def test_events_and_outcomes_of_older_code_are_read_as_they_were(kind: str) -> None:
    for value in WRITTEN[kind]["events"]:
        message = decode_event(value.encode())
        assert (message.time, message.producer_time) == (json.loads(value)["time"], None)
        assert message.encode() == value.encode()


def test_an_entry_keeps_the_time_of_its_last_event_when_nothing_happens() -> None:
    desk = Desk()
    first, _ = event_of(desk, TEN, id="a")
    desk.tell("AdjustStock", {"delta": -9})  # a later, refused command
    assert desk.entry().time == first["time"]
    assert isinstance(desk.entry().recent[-1], Answer)


def test_times_of_one_fetch_are_those_of_its_records() -> None:
    desk = Desk()
    times = [event_of(desk, TEN + ms)[0]["time"] for ms in range(3)]
    assert all(earlier < later for earlier, later in pairwise(times))
