"""A missing permission: nothing is parked and nothing is lost, and the service continues once it is granted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from kafka import grant, messages, produce, revoke
from real_kafka import running_broker
from system import PATIENT, Api, System, api_at, eventually, wait_until

AUTHORIZER = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:nobody
"""
EVERYBODY = "User:*"


@pytest.fixture(scope="module")
def guarded(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose broker checks permissions."""
    with running_broker(tmp_path_factory.mktemp("guarded-broker"), AUTHORIZER) as broker:
        system = System(
            tmp_path_factory.mktemp("guarded"),
            **PATIENT,
            FULFILLMENT_KAFKA=broker.address,
            FULFILLMENT_PARTITIONS="2",
            FULFILLMENT_ROLES="orders,projector,api",
            FULFILLMENT_CLOSED_AFTER=str(2 / 86_400),
        )
        system.up()
        try:
            yield system
        finally:
            system.down()


@pytest.fixture
async def guarded_api(guarded: System) -> AsyncIterator[Api]:
    async with api_at(guarded.base) as api:
        yield api


@contextmanager
def forbidden(system: System, kind: ResourceType, name: str, *operations: AclOperation) -> Iterator[None]:
    """Deny an operation on a resource to every user."""
    client = AdminClient({"bootstrap.servers": system.settings.kafka})
    literal = ResourcePatternType.LITERAL
    all_else = AclBinding(kind, name, literal, EVERYBODY, "*", AclOperation.ALL, AclPermissionType.ALLOW)
    denied = [AclBinding(kind, name, literal, EVERYBODY, "*", each, AclPermissionType.DENY) for each in operations]
    grant(client, [all_else, *denied])
    try:
        yield
    finally:
        revoke(client, [all_else, *denied])


async def reasons(system: System, role: str) -> list[str]:
    """Return why a worker is not ready; empty while it does not answer."""
    port = next(each["port"] for each in system.status()["processes"] if each["role"] == role)
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return list((await answer.json())["reasons"])
    except aiohttp.ClientError:
        return []


@pytest.mark.parametrize("topic", ["order-events", "orders-states-changelog"])
async def test_a_topic_that_may_not_be_written_parks_nothing(guarded: System, guarded_api: Api, topic: str) -> None:
    pid, orders = guarded.pid("orders-0"), [f"{topic}-{number}" for number in range(6)]
    with forbidden(guarded, ResourceType.TOPIC, topic, AclOperation.WRITE):
        for order in orders:
            produce(guarded.settings, "order-commands", order, COMMAND)
        found = await eventually(lambda: reasons(guarded, "orders"), lambda found: len(found) == 2)
        for reason in found:
            assert "is blocked at offset" in reason
            assert f"TOPIC_AUTHORIZATION_FAILED: {topic}/" in reason
            assert "allow this service to write" in reason
    for order in orders:
        await guarded_api.order(order)
    await eventually(lambda: reasons(guarded, "orders"), lambda found: found == [])
    assert messages(guarded.settings, "dead-letters") == []
    assert guarded.pid("orders-0") == pid, "the worker was not restarted"


async def test_a_transactional_id_that_may_not_be_used_is_waited_for(guarded: System, guarded_api: Api) -> None:
    with forbidden(guarded, ResourceType.TRANSACTIONAL_ID, "orders-0", AclOperation.WRITE):
        produce(guarded.settings, "order-commands", "waited-for", COMMAND)
        code = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
        await eventually(lambda: reasons(guarded, "orders"), lambda found: code in " ".join(found))
    await guarded_api.order("waited-for")
    wait_until(lambda: bool(guarded.status()["ready"]), "everything to be ready")


async def test_commands_that_may_not_be_sent_are_refused_and_others_are_sent(guarded: System, guarded_api: Api) -> None:
    with forbidden(guarded, ResourceType.TOPIC, "inventory-commands", AclOperation.WRITE):
        status, answer, _ = await guarded_api("PUT", "/inventory/guarded", {"quantity": 1})
        assert (status, answer["error"]) == (503, "KAFKA_UNAVAILABLE")
        assert "TopicAuthorizationFailedError" in answer["message"]
        assert "nothing was sent" in answer["message"]
        await guarded_api.place(("guarded", 1))
    status, answer, _ = await guarded_api(
        "PUT", "/inventory/guarded", {"quantity": 1}, headers={"Prefer": "respond-async"}
    )
    assert status == 202, answer


async def test_an_archived_order_is_restored_once_its_events_may_be_read(guarded: System, guarded_api: Api) -> None:
    pid, status = guarded.pid("orders-0"), "/orders/archived/status"
    await guarded_api.place(("guarded", 1), orderId="archived")
    assert (await guarded_api("PUT", status, {"status": "CANCELLED"}))[0] == 200

    async def archived() -> bool:
        await guarded_api.place(("guarded", 1))  # tells the worker the time
        return "archivedAt" in (await guarded_api("GET", "/orders/archived"))[1]["data"]

    await eventually(archived, bool, pause=0.5)
    with forbidden(guarded, ResourceType.TOPIC, "order-events", AclOperation.READ):
        asked = asyncio.create_task(guarded_api("PUT", status, {"status": "SHIPPED"}))
        says = "archived orders cannot be restored: Kafka does not authorize this service for the topic order-events"
        await eventually(lambda: reasons(guarded, "orders"), lambda found: says in " ".join(found))
    await asked
    refused = await eventually(lambda: guarded_api("PUT", status, {"status": "SHIPPED"}), lambda it: it[0] < 500)
    assert (refused[0], refused[1]["error"]) == (422, "CANCELLED_ORDER_MODIFICATION")
    wait_until(lambda: bool(guarded.status()["ready"]), "everything to be ready")
    assert guarded.pid("orders-0") == pid, "the worker was not restarted"


ADDRESS = {"street": "1 High St", "city": "Bath", "zipCode": "BA1", "country": "GB"}
LINE = {"productId": "p", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}
COMMAND = {
    "type": "PlaceOrder",
    "data": {"customerId": "c", "lines": [LINE], "shippingAddress": ADDRESS, "billingAddress": ADDRESS},
}
