"""Orders that do not say from which locations they get their units, and the settings that say it."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from agents.planning import Planning
from domain.address import Address
from domain.orders.commands import NewLine, PlaceOrder, Price
from domain.policy import MAX_LOCATIONS, AllocationPlan, AllocationStrategy
from streams.messages.envelope import CommandMessage
from streams.runtime.settings import Settings

TABLE = """{"priority": ["main"], "nearest": [
    {"country": "DE", "locations": ["berlin", "paris"]},
    {"country": "de", "postalPrefix": "8", "locations": ["munich"]},
    {"country": "FR", "locations": ["paris"]}
]}"""
LINE = NewLine(product_id="boots", quantity=1, price=Price(amount=1, currency="EUR"))
NEAREST = AllocationPlan(strategy=AllocationStrategy.NEAREST)


def planned(settings: Settings, country: str = "DE", code: str = "10115", plan: AllocationPlan | None = None) -> Any:
    home = Address(street="1 Main St", city="Springfield", zip_code=code, country=country)
    order = PlaceOrder(customer_id="ann", lines=(LINE,), shipping_address=home, billing_address=home, allocation=plan)
    command = CommandMessage("c", "o", order, "2026-11-23T10:00:00.000Z", "web", "c")
    found = Planning(settings).planned(command)
    assert replace(found.command, allocation=plan) == order  # nothing else changes
    return found.command.allocation  # type: ignore[attr-defined]  # is a PlaceOrder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (file := tmp_path / "locations.json").write_text(TABLE)
    return file


@pytest.mark.parametrize(
    ("country", "code", "locations"),
    [
        ("DE", "10115", ("berlin", "paris")),
        ("de", "8 0331", ("munich",)),
        ("FR", "75001", ("paris",)),
        ("IE", "D01", ("main",)),
    ],
)
def test_the_nearest_locations_come_from_the_table(
    table: Path, country: str, code: str, locations: tuple[str, ...]
) -> None:
    settings = Settings(locations_file=table)
    assert planned(settings, country, code, NEAREST) == replace(NEAREST, locations=locations)


def test_the_setting_is_for_orders_that_name_no_strategy(table: Path) -> None:
    settings = Settings(one_location=True, locations_file=table)
    assert planned(settings) == AllocationPlan(locations=("main",), one_location=True)
    assert planned(settings, plan=NEAREST) == replace(NEAREST, locations=("berlin", "paris"))
    settings = Settings(locations_file=table)
    asked = replace(NEAREST, one_location=True)
    assert planned(settings, plan=asked) == replace(asked, locations=("berlin", "paris"))
    settings = Settings(allocation=AllocationStrategy.KEEP_TOGETHER, locations_file=table)
    together = AllocationPlan(strategy=AllocationStrategy.KEEP_TOGETHER, locations=("main",))
    assert planned(settings) == together
    assert planned(settings, plan=NEAREST) == replace(NEAREST, locations=("berlin", "paris"))
    own = AllocationPlan(locations=("attic",))
    assert planned(settings, plan=own) == own


def test_without_settings_orders_stay_as_they_are() -> None:
    assert not Planning(Settings()).is_needed
    assert planned(Settings()) is None


MANY = json.dumps({"priority": [f"l{number}" for number in range(MAX_LOCATIONS + 1)]})  # more than an order can name
EMPTY = '{"nearest": [{"country": "DE", "locations": [""]}]}'


@pytest.mark.parametrize("text", ['{"nearest": [{"country": "DE"}]}', "{", '{"first": []}', MANY, EMPTY])
def test_an_invalid_table_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    (file := tmp_path / "locations.json").write_text(text)
    with pytest.raises(ValidationError, match="FULFILLMENT_LOCATIONS_FILE"):
        Settings(locations_file=file)
    with pytest.raises(ValidationError, match="cannot be read"):
        Settings(locations_file=tmp_path / "missing.json")
