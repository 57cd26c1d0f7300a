"""One order's trace, from its request to MongoDB, as a collector receives it from all processes."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from receiver import Received, Receiver, receiving
from system import PATIENT, Api, System, wait_until

from streams.tracing.spans import trace_of

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def system(processes: None, tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[System]:
    """A system of its own, which sends its traces to `receiver`."""
    system = System(
        tmp_path_factory.mktemp("traced"),
        FULFILLMENT_OTLP_ENDPOINT=receiver.endpoint,
        FULFILLMENT_PARTITIONS="2",
        **PATIENT,
    )
    system.up()
    try:
        yield system
    finally:
        system.down()


def ways(spans: list[Received]) -> set[tuple[str, ...]]:
    """Return the names on the way from the root to each span."""
    known = {span.id: span for span in spans}
    assert len(known) == len(spans), "two spans have one id"

    def way(span: Received) -> tuple[str, ...]:
        return (*(way(known[span.parent]) if span.parent else ()), span.name)

    return {way(span) for span in spans}


POST = "POST /api/v1/orders"
PLACED = (POST, "send PlaceOrder", "decide PlaceOrder")
RESERVED = (*PLACED, "manage OrderPlaced", "decide ReserveStock")
RECORDED = (*RESERVED, "manage StockReserved", "decide RecordAllocation")
TREE = {
    PLACED,
    (*PLACED, "project OrderPlaced"),
    RESERVED,
    (*RESERVED, "project StockReserved"),
    RECORDED,
    (*RECORDED, "project AllocationRecorded"),
}


async def test_an_order_is_one_trace_through_all_processes(receiver: Receiver, api: Api) -> None:
    boots = f"boots-{uuid4()}"
    await api.stock(boots, 10)
    placed = await api.place((boots, 1))  # the correlation id of its command
    trace = f"{trace_of(placed['commandId']):032x}"
    wait_until(lambda: ways(_rooted(receiver.of(trace))) >= TREE, "all spans of the order")

    spans = receiver.of(trace)
    assert {span.service for span in spans} == {
        f"fulfillment-{role}" for role in ("api", "orders", "inventory", "projector")
    }
    assert all(0 < span.began <= span.ended for span in spans)
    by_name = {span.name: span for span in spans}
    assert by_name[POST].kind == SERVER
    assert by_name["send PlaceOrder"].kind == PRODUCER
    decided = by_name["decide PlaceOrder"]
    assert decided.kind == CONSUMER
    assert decided.attributes["messaging.message.id"] == placed["commandId"]
    assert decided.attributes["messaging.message.conversation_id"] == placed["commandId"]
    assert decided.attributes["messaging.destination.name"] == "order-commands"
    assert decided.attributes["messaging.kafka.offset"] >= 0
    assert decided.attributes["fulfillment.aggregate.id"] == placed["id"]
    assert decided.attributes["fulfillment.outcome"] == "accepted"
    assert by_name["manage OrderPlaced"].attributes["fulfillment.commands"] == 1


def _rooted(spans: list[Received]) -> list[Received]:
    """Return the spans whose ancestors have all arrived."""
    known = {span.id: span for span in spans}
    while lonely := [span for span in known.values() if span.parent and span.parent not in known]:
        for span in lonely:
            del known[span.id]
    return list(known.values())


async def test_a_fetch_is_linked_to_its_messages_and_includes_the_writes(receiver: Receiver, api: Api) -> None:
    placed = await api.place((f"boots-{uuid4()}", 1))
    trace = f"{trace_of(placed['commandId']):032x}"

    def linked(name: str) -> list[Received]:
        """Return the spans of the fetch of a message."""
        found = next((span for span in receiver.of(trace) if span.name == name), None)
        return receiver.of(found.links[0][0]) if found else []

    wait_until(lambda: "batch" in {span.name for span in linked("project OrderPlaced")}, "the projector's batch")
    wait_until(lambda: bool(linked("decide PlaceOrder")), "the transaction")
    (transaction,) = linked("decide PlaceOrder")
    assert (transaction.name, transaction.service) == ("transaction", "fulfillment-orders")
    assert transaction.attributes["messaging.batch.message_count"] >= 1
    assert trace in {to for to, _ in transaction.links}
    *writes, batch = sorted(linked("project OrderPlaced"), key=lambda span: span.name == "batch")
    assert batch.name == "batch"
    assert {write.parent for write in writes} == {batch.id}
    assert {write.kind for write in writes} == {CLIENT}
    assert "orders_v1" in {write.attributes["db.collection.name"] for write in writes}


async def test_a_trace_of_the_caller_is_continued(receiver: Receiver, api: Api) -> None:
    trace, parent = uuid4().hex, "00f067aa0ba902b7"
    caller = {"traceparent": f"00-{trace}-{parent}-01"}
    status, _, headers = await api("PUT", f"/inventory/laces-{uuid4()}", {"quantity": 1}, headers=caller)
    assert (status, headers["Correlation-Id"]) == (200, trace)
    wanted = {"PUT /api/v1/inventory/{productId}", "send SetStock", "decide SetStock"}
    wait_until(lambda: wanted <= {span.name for span in receiver.of(trace)}, "the caller's trace")
    names = {span.name: span for span in receiver.of(trace)}
    assert names["PUT /api/v1/inventory/{productId}"].parent == parent
    assert names["decide SetStock"].parent == names["send SetStock"].id

    named = {**caller, "Correlation-Id": f"mine-{uuid4()}"}
    await api("PUT", f"/inventory/laces-{uuid4()}", {"quantity": 1}, headers=named)
    own = f"{trace_of(named['Correlation-Id']):032x}"
    wait_until(lambda: any(span.links == [(trace, parent)] for span in receiver.of(own)), "the link")


async def test_a_batch_keeps_one_trace_per_command(receiver: Receiver, api: Api) -> None:
    envelopes = [{"type": "SetStock", "data": {"productId": f"p-{uuid4()}", "quantity": 1}} for _ in range(2)]
    status, answer, _ = await api("POST", "/commands", envelopes)
    assert status == 202
    traces = [f"{trace_of(each['commandId']):032x}" for each in answer["data"]]
    wait_until(lambda: all(len(receiver.of(trace)) >= 3 for trace in traces), "both traces")
    wait_until(lambda: "send SetStock" in {span.name for span in receiver.of(traces[0])}, "the span of the sending")
    (sent, *_) = [span for span in receiver.of(traces[0]) if span.name == "send SetStock"]
    ((request, parent),) = sent.links
    wait_until(lambda: parent in {span.id for span in receiver.of(request)}, "the span of the request")
    assert "POST /api/v1/commands" in {span.name for span in receiver.of(request) if span.id == parent}
    assert not sent.parent
