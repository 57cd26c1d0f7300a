"""What docs/operations.md says is so: what Prometheus is told, by processes that run."""

from uuid import uuid4

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from readme_tables import EXPORTED, OPERATIONS, metrics_of, metrics_table, rewritten
from system import Api, System, eventually

from streams.topics import INVENTORY_EVENTS, ORDER_COMMANDS, ORDER_EVENTS

Metrics = dict[str, dict[str, Metric]]  # role → name → what it says
ROLES = {
    "all": "api orders inventory fulfilment projector",
    "workers": "orders inventory",
    "projector, api": "projector api",
}


STORES = ("kafka", "mongod")


def ports(system: System) -> dict[str, int]:
    return {each["role"]: each["port"] for each in system.status()["processes"] if each["role"] not in STORES}


async def scraped(ports: dict[str, int]) -> Metrics:
    found: Metrics = {}
    async with aiohttp.ClientSession() as session:
        for role, port in ports.items():
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                families = text_string_to_metric_families(await answer.text())
                found[role] = {family.name: family for family in families}
    return found


def value(metric: Metric, suffix: str = "", **labels: str) -> float:
    """Return the sum of a metric's samples that carry `labels`."""
    return sum(
        sample.value
        for sample in metric.samples
        if sample.name == metric.name + suffix and labels.items() <= sample.labels.items()
    )


def test_the_table_in_the_operations_guide_is_that_of_the_code() -> None:
    text = OPERATIONS.read_text()
    assert rewritten(text, {"metrics": metrics_table}) == text, "run .venv/bin/python tests/docs/readme_tables.py"


async def test_an_order_can_be_followed_through_the_metrics(system: System, api: Api) -> None:
    boots = f"boots-{uuid4()}"
    await api.stock(boots, 10)
    placed = await api.place((boots, 1))
    await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    assert (await api("POST", f"/orders/{placed['id']}/shipments/none/deliver"))[0] == 404
    found = ports(system)

    def tell_all(metrics: Metrics) -> bool:
        orders, inventory, projector = (metrics[role] for role in ("orders", "inventory", "projector"))
        commands = orders["fulfillment_commands"]
        return (
            value(commands, "_total", type="PlaceOrder", outcome="accepted") >= 1
            and value(commands, "_total", type="DeliverShipment", outcome="SHIPMENT_NOT_FOUND") >= 1
            and value(inventory["fulfillment_commands"], "_total", type="ReserveStock", outcome="accepted") >= 1
            and value(orders["fulfillment_transaction_seconds"], "_count", result="committed") >= 3
            and value(orders["fulfillment_handled_seconds"], "_count", topic=ORDER_COMMANDS.name) >= 3
            and value(metrics["fulfilment"]["fulfillment_handled_seconds"], "_count", topic=ORDER_EVENTS.name) >= 1
            and value(projector["fulfillment_visible_seconds"], "_count", topic=INVENTORY_EVENTS.name) >= 2
            and value(orders["fulfillment_partition_position"]) >= 3
            and all(value(one["fulfillment_ready"]) == 1 for one in metrics.values())
        )

    metrics = await eventually(lambda: scraped(found), tell_all, 60)
    for role in ("orders", "inventory", "fulfilment", "projector"):
        assert value(metrics[role]["fulfillment_fetch_records"], "_sum") >= 1
        assert len(metrics[role]["fulfillment_partition_lag"].samples) % system.settings.partitions == 0
        assert value(metrics[role]["fulfillment_partitions_stopped"]) == 0
    assert value(metrics["orders"]["fulfillment_recovery_seconds"], "_count") >= 1
    assert value(metrics["orders"]["fulfillment_table_entries"], table="orders-states") >= 1


async def test_everything_is_exported_without_ids(system: System, api: Api) -> None:
    customer = f"nobody-{uuid4()}"
    await api("GET", f"/orders/{customer}")
    metrics = await scraped(ports(system))
    for whose, module in EXPORTED.items():
        for role in ROLES.get(whose, whose).split():
            assert {metric._name for metric in metrics_of(module)} <= metrics[role].keys(), role
    texts = [str(sample) for role in metrics.values() for metric in role.values() for sample in metric.samples]
    assert not any(customer in text for text in texts)
    assert len(texts) < 5_000


async def test_a_projection_that_has_all_is_not_old(system: System, api: Api) -> None:
    found = ports(system)

    def young(metrics: Metrics) -> bool:
        ages = metrics["projector"]["fulfillment_projection_age_seconds"].samples
        return len(ages) >= 3 * system.settings.partitions and all(age.value == 0 for age in ages)

    await eventually(lambda: scraped(found), young, 60)
