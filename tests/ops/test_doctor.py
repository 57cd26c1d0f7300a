"""`fulfillment doctor` on a system that is well, and on what is not."""

import json
from pathlib import Path

import pytest
from system import System, free_ports

from ops.doctor import machine
from ops.doctor.command import examine
from ops.doctor.finding import Finding
from streams.settings import Settings


def named(found: list[Finding], what: str) -> Finding:
    return next(each for each in found if each.what == what)


def test_a_system_that_runs_is_looked_at_whole(system: System) -> None:
    system.quiet()
    done = system.run("doctor", "--json", check=False)
    found = {each["what"]: each for each in json.loads(done.stdout)}
    for what in ("Python", "Kafka", "MongoDB", "API", "orders-0", "topics", "MongoDB version", "indexes", "clocks"):
        assert found[what]["well"], found[what]
    for group in ("orders", "inventory", "fulfilment"):
        assert "0 messages" in found[f"group {group}"]["found"]
        assert not found[f"group {group}"]["found"].startswith("no worker")
    assert done.returncode == (0 if all(each["well"] for each in found.values()) else 1)


async def test_what_is_missing_is_said_with_its_remedy(system: System) -> None:
    found = await examine(system.settings.model_copy(update={"prefix": "elsewhere-"}))
    topics = named(found, "topics")
    assert "missing: elsewhere-order-commands" in topics.found
    assert topics.remedy == "run `fulfillment topics create`"
    indexes = named(found, "indexes")
    assert "orders_v1.createdAt_1__id_1" in indexes.found
    assert "start a projector" in indexes.remedy
    other = await examine(system.settings.model_copy(update={"partitions": 4}))
    assert "has partitions 8, this installation needs 4" in named(other, "topics").found
    assert "FULFILLMENT_PARTITIONS=8" in named(other, "topics").remedy


async def test_what_is_away_is_said_once(tmp_path: Path) -> None:
    first = free_ports(3)
    settings = Settings(
        kafka=f"127.0.0.1:{first}", mongo=f"mongodb://127.0.0.1:{first + 1}", http_port=first + 2, data=tmp_path
    )
    found = await examine(settings)
    assert [each.what for each in found if not each.well] == ["Kafka", "MongoDB", "API"]
    assert named(found, "Kafka").remedy == "start it (`fulfillment up`), or set FULFILLMENT_KAFKA"


def test_a_full_disk_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=tmp_path / "not" / "yet")
    assert named(machine.disk(settings), "disk").well
    monkeypatch.setattr(machine, "LEAST_FREE", 1 << 60)
    assert "make room" in named(machine.disk(settings), "disk").remedy
