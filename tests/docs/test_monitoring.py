"""The monitoring guide is right: what Prometheus is told, by processes that run."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import yaml
from documents import DOCS, ROOT
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from system import Api, System, eventually

from ops.reference.metrics import EXPORTED, metrics_of
from streams.topics import INVENTORY_EVENTS, ORDER_COMMANDS

Metrics = dict[str, dict[str, Metric]]  # role → name → what it says
ROLES = {
    "all": "api orders inventory projector",
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
            and value(projector["fulfillment_visible_seconds"], "_count", topic=INVENTORY_EVENTS.name) >= 2
            and value(orders["fulfillment_partition_position"]) >= 3
            and all(value(one["fulfillment_ready"]) == 1 for one in metrics.values())
        )

    metrics = await eventually(lambda: scraped(found), tell_all)
    for role in ("orders", "inventory", "projector"):
        assert value(metrics[role]["fulfillment_fetch_records"], "_sum") >= 1
        assert len(metrics[role]["fulfillment_partition_lag"].samples) % system.settings.partitions == 0
        assert value(metrics[role]["fulfillment_partitions_stopped"]) == 0
    assert value(metrics["orders"]["fulfillment_recovery_seconds"], "_count") >= 1
    assert value(metrics["orders"]["fulfillment_table_entries"], table="orders-states") >= 1


async def test_everything_is_exported_without_ids(system: System, api: Api) -> None:
    customer = f"nobody-{uuid4()}"
    await api("GET", f"/orders/{customer}")
    metrics = await scraped(ports(system))
    for whose, module in EXPORTED:
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

    await eventually(lambda: scraped(found), young)


# --- Prometheus's rules and Grafana's dashboard

DEPLOY = ROOT / "deploy"
RULES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"][0]["rules"]
SCRAPE: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/fulfillment.json").read_text())
OF_TARGETS = {"job", "instance", "role", "le"}  # labels that no process gives itself


def questions() -> Iterator[str]:
    """Yield the PromQL of all rules and panels."""
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ()))


def labels_of(question: str) -> set[str]:
    """Return the labels a question names, in `by (…)` and `{…}`."""
    grouped = " ".join(re.findall(r"\bby \(([^)]*)\)", question)).replace(",", " ").split()
    chosen = [re.findall(r"(\w+)(?:=~|!=|=)", braces) for braces in re.findall(r"\{([^}]*)\}", question)]
    return {*grouped, *(name for names in chosen for name in names)}


async def test_rules_and_dashboard_ask_for_what_is_exported(system: System) -> None:
    metrics = await scraped(ports(system))
    names = {family.name + end for role in metrics.values() for family in role.values() for end in ENDS[family.type]}
    labels = {label for _, module in EXPORTED for metric in metrics_of(module) for label in metric._labelnames}
    for question in questions():
        asked = set(re.findall(r"\b(?:fulfillment|process)_\w+", question))
        assert asked, question
        assert asked <= names, question
        assert labels_of(question) <= labels | OF_TARGETS, question


ENDS = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "unknown": (), "info": ()}


def test_every_alert_says_what_to_do() -> None:
    told = set(re.findall(r"^\| (\w+) \| ", (DOCS / "how-to/monitor.md").read_text(), re.MULTILINE))
    alerts = [rule["alert"] for rule in RULES]
    assert len(set(alerts)) == len(alerts) >= 8
    assert set(alerts) <= told
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in RULES)


def test_memory_is_reported_at_three_quarters_of_the_limits() -> None:
    (rule,) = [each["expr"] for each in RULES if each["alert"] == "MemoryHigh"]
    reported = re.findall(r'role="(\w+)"}\) > ([\d.]+) \* 1024 \^ 3', rule)
    containers = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    pods = yaml.safe_load((DEPLOY / "helm/values.yaml").read_text())["roles"]
    assert [role for role, _ in reported] == ["orders", "inventory", "projector", "api"]
    for role, gibibytes in reported:
        limit = f"{float(gibibytes) / 0.75:g}G"
        assert containers[role]["deploy"]["resources"]["limits"]["memory"] == limit
        assert pods[role]["resources"]["limits"]["memory"] == f"{limit}i"


def test_prometheus_finds_every_role_and_gives_the_token() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    (discovery,) = SCRAPE["dns_sd_configs"]
    assert sorted(discovery["names"]) == sorted(ROLES["all"].split())
    assert set(discovery["names"]) <= services.keys()
    assert f"FULFILLMENT_WORKER_PORT={discovery['port']}" in (ROOT / "Dockerfile").read_text()
    (secret,) = services["prometheus"]["secrets"]
    assert SCRAPE["authorization"]["credentials_file"] == f"/run/secrets/{secret}"


def test_panels_have_places_and_titles_of_their_own() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))


def test_grafana_reads_the_dashboard_from_where_compose_puts_it() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/fulfillment.yml").read_text())["providers"]
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    folders = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert folders["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert source["url"] == "http://prometheus:9090"
    assert {t["datasource"]["uid"] for p in DASHBOARD["panels"] for t in p.get("targets", ())} == {source["uid"]}
