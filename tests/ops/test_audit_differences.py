"""The differences of two values are described briefly."""

from dataclasses import dataclass

from domain.orders.commands import Price
from ops.audit.differences import differences


@dataclass
class Line:
    units: int
    price: Price


def test_only_the_leaves_that_differ_are_named() -> None:
    ours = {"lines": (Line(1, Price(amount=5, currency="EUR")), Line(2, Price(amount=5, currency="EUR"))), "hold": None}
    theirs = {"lines": (Line(1, Price(amount=5, currency="EUR")), Line(2, Price(amount=6, currency="EUR"))), "hold": ""}
    assert differences(ours, theirs) == "lines.1.price.amount is 5, the events say 6; hold is None, the events say ''"


def test_missing_and_surplus_fields_are_named() -> None:
    assert differences({"a": 1}, {"b": 1}) == "b is missing, the events say 1; a is 1, the events say missing"


def test_many_differences_are_counted_and_long_values_cut() -> None:
    said = differences(dict.fromkeys("abcde", "x" * 100), dict.fromkeys("abcde", "y"))
    assert said.endswith("; and 2 more")
    assert "x" * 61 not in said
