"""Commands are read strictly: every unknown field is refused by name; events and tables are read tolerantly."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from domain.address import Address
from domain.orders import Order
from domain.orders.commands import PlaceOrder
from streams.messages.codec import (
    EVENTS,
    INVENTORY_COMMANDS,
    ORDER_COMMANDS,
    BadMessage,
    RecordAt,
    decode_command,
    decode_event,
)
from streams.messages.envelope import CommandMessage
from streams.messages.models import model_of
from streams.messages.spelling import closest
from streams.messages.strict import IGNORED, MOST_ERRORS, field_errors, fields_at, read
from tables.orders import CODEC, OrderEntry
from web.commands.bodies import OrderRequest
from web.documents.asyncapi_examples import examples

COMMANDS = {**ORDER_COMMANDS, **INVENTORY_COMMANDS}
ADDRESS = {"street": "s", "city": "c", "zipCode": "1", "country": "US"}
LINE = {"productId": "boots", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}
PLACE = {"customerId": "ada", "lines": [LINE], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}


def decoded(name: str, data: Any, **attributes: Any) -> CommandMessage:
    value = json.dumps({"type": name, "data": data, **attributes}).encode()
    at = RecordAt("commands", 0, 0, 0.0, b"o-1")
    types = ORDER_COMMANDS if name in ORDER_COMMANDS else INVENTORY_COMMANDS
    return decode_command(value, at, types, "orderId" if types is ORDER_COMMANDS else "productId")


def refused(name: str, data: Any, **attributes: Any) -> BadMessage:
    with pytest.raises(BadMessage) as error:
        decoded(name, data, **attributes)
    return error.value


def objects(data: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in JSON, the outermost first."""
    if isinstance(data, dict):
        yield data
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from objects(each)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_field_is_refused_wherever_it_is(name: str) -> None:
    example = examples()[name]
    decoded(name, example)
    for number, _ in enumerate(objects(example)):
        data = copy.deepcopy(example)
        list(objects(data))[number]["surprise"] = None
        error = refused(name, data)
        assert error.code in ("INVALID_COMMAND", "INVALID_ORDER")
        assert "unknown field `surprise`" in error.message
        assert [path.split(".")[-1] for path in error.details] == ["surprise"]


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields_of_events_are_ignored_wherever_they_are(name: str) -> None:
    envelope = {"id": "e", "type": name, "subject": "s", "sequence": 1, "time": "2026-11-23T10:00:00.000Z",
                "source": "x", "correlationid": "c", "causationid": "c",
                "schemaversion": EVENTS[name].schema_version}  # fmt: skip
    known = decode_event(json.dumps({**envelope, "data": examples()[name]}).encode())
    data: Any = copy.deepcopy(examples()[name])
    for each in list(objects(data)):
        each["surprise"] = {"of": "newer code"}
    assert decode_event(json.dumps({**envelope, "data": data}).encode()).event == known.event


def test_unknown_fields_of_a_changelog_are_ignored_wherever_they_are() -> None:
    order = {"customer_id": "ada", "policy": "BACKORDER", "total_cost": {"amount": 1, "currency": "EUR"},
             "lines": [{"line_id": "1", "product_id": "boots", "price": {"amount": 1, "currency": "EUR"}, "ordered": 1,
                        "pending": 1}],
             "shipping_address": ADDRESS, "billing_address": ADDRESS}  # fmt: skip
    entry = copy.deepcopy({"version": 1, "state": order})
    known = CODEC.decode(b"o-1", json.dumps(entry).encode())
    for each in list(objects(entry)):
        each["surprise"] = 1
    newer = CODEC.decode(b"o-1", json.dumps(entry).encode())
    assert isinstance(newer, OrderEntry)
    assert isinstance(newer.state, Order)
    assert newer == known


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("CreateShipment", {"items": [{"lineId": "1"}]}, "items: unknown field `items`: did you mean `lines`"),
        ("ReceiveReturn", {"returnId": "r", "items": []}, "unknown field `items`: did you mean `lines`?"),
        ("DeliverShipment", {"shipmentId": "s", "line": {}}, "unknown field `line`: did you mean `lines`?"),
        ("CreateShipment", {"tracking_number": "x"}, "unknown field `tracking_number`: did you mean `trackingNumber`?"),
        ("CreateShipment", {"Lines": []}, "unknown field `Lines`: did you mean `lines`?"),
        ("CreateShipment", {"lnes": []}, "unknown field `lnes`: did you mean `lines`?"),
        ("CancelLines", {"lines": [{"line": "1"}]}, "lines.0.line: unknown field `line`: did you mean `lineId`"),
        ("CancelLines", {"lines": [{"lineId": "1", "qty": 1}]}, "unknown field `qty`: did you mean `quantity`?"),
        ("SetStock", {"qty": 1}, "unknown field `qty`: did you mean `quantity`?"),
        ("AdjustStock", {"quantity": 1}, "unknown field `quantity`: did you mean `delta`?"),
        ("AdjustStock", {"delta": 1, "expectedonhand": 3}, "`expectedonhand`: did you mean `expectedOnHand`?"),
        ("ReactivateProduct", {"until": "noon"}, "unknown field `until`: none is known here"),
        ("Release", {"until": "noon"}, "unknown field `until`: known are `holdId`"),
        ("Hold", {"x" * 1_000: 1}, "unknown field `" + "x" * 64 + "`: known are `holdId`, `reason`, `until`, "),
        ("PlaceOrder", PLACE | {"totalCost": {"value": "1", "currency": "EUR"}}, "did you mean `amount`?"),
        ("PlaceOrder", PLACE | {"customer_id": "bob"}, "unknown field `customer_id`: did you mean `customerId`?"),
    ],
)  # fmt: skip
def test_the_closest_field_is_named(name: str, data: Any, sentence: str) -> None:
    assert sentence in refused(name, data).message


def test_another_spelling_of_a_field_may_repeat_its_value_but_not_differ() -> None:
    same = decoded("PlaceOrder", PLACE | {"shippingAddress": ADDRESS | {"zipcode": "1"}})
    assert same.command == decoded("PlaceOrder", PLACE).command
    error = refused("PlaceOrder", PLACE | {"shippingAddress": ADDRESS | {"zipcode": "2"}})
    assert "given twice with different values" in error.details["shippingAddress.zipcode"]


@pytest.mark.parametrize(("other", "name"), Address.spellings.items())
def test_a_name_people_spell_otherwise_is_the_same_field(other: str, name: str) -> None:
    usual = {"street": "1 High St", "city": "Bath", "state": "", "zipCode": "BA1", "country": "GB", name: "X"}
    spelled = {each: value for each, value in usual.items() if each != name} | {other: "X"}
    assert decoded("PlaceOrder", PLACE | {"shippingAddress": spelled}).command == (
        decoded("PlaceOrder", PLACE | {"shippingAddress": usual}).command
    )
    both = decoded("PlaceOrder", PLACE | {"shippingAddress": usual | {other: "X"}})
    assert both.command == decoded("PlaceOrder", PLACE | {"shippingAddress": usual}).command
    error = refused("PlaceOrder", PLACE | {"shippingAddress": usual | {other: "Y"}})
    said = error.details[f"shippingAddress.{other}"]
    assert said == f"is given twice with different values: it is the same field as `{name}`"


def test_two_other_spellings_must_agree_too() -> None:
    address = ADDRESS | {"address2": "Flat 1", "line2": "Flat 2"}
    error = refused("PlaceOrder", PLACE | {"shippingAddress": address})
    assert list(error.details) == ["shippingAddress.line2"]
    same = decoded("PlaceOrder", PLACE | {"shippingAddress": address | {"line2": "Flat 1"}}).command
    assert isinstance(same, PlaceOrder)
    assert same.shipping_address.street2 == "Flat 1"


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("firstName", "name"),
        ("address_line_2", "addressLine2"),
        ("Phone", "phone"),
        ("e-mail", "email"),
        ("tel", "phone"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_closest_one(field: str, meant: str) -> None:
    error = refused("PlaceOrder", PLACE | {"shippingAddress": ADDRESS | {field: "x"}})
    assert error.details[f"shippingAddress.{field}"] == f"unknown field `{field}`: did you mean `{meant}`?"


@pytest.mark.parametrize(("name", "fields"), [(n, f) for n, f in IGNORED.items() if n in COMMANDS])
def test_fields_on_the_list_are_ignored_at_the_top_and_nowhere_else(name: str, fields: frozenset[str]) -> None:
    assert not fields & set(fields_at(COMMANDS[name]))
    example = examples()[name]
    more = {field: {"deep": [1]} for field in fields}
    assert decoded(name, example | more).command == decoded(name, example).command
    assert "unknown field `surprise`" in refused(name, example | more | {"surprise": 1}).message
    if name == "PlaceOrder":
        assert "unknown field `status`" in refused(name, PLACE | {"lines": [LINE | {"status": "X"}]}).message


@pytest.mark.parametrize("name", ["Hold", "CreateShipment", "SetStock", "PlaceOrder"])
def test_the_aggregates_id_may_be_in_the_data(name: str) -> None:
    field = "productId" if name == "SetStock" else "orderId"
    assert decoded(name, examples()[name] | {field: "o-1"}).key == "o-1"


def test_a_flood_of_unknown_fields_is_refused_in_one_sentence() -> None:
    flood = {f"x{number}": None for number in range(50_000)}
    error = refused("Hold", {"reason": "x", **flood})
    assert list(error.details) == ["data"]
    assert "50000 things are wrong" in error.message
    with pytest.raises(ValidationError) as found:
        read(model_of(OrderRequest), {f"x{number}": None for number in range(MOST_ERRORS - 10)})
    assert len(field_errors(found.value, model_of(OrderRequest))) < MOST_ERRORS


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("customerid", ["customerId", "status"], "customerId"),
        ("customerId[$ne]", ["customerId", "status"], "customerId"),
        ("page", ["limit", "cursor"], "cursor"),
        ("pageSize", ["limit", "cursor"], "limit"),
        ("orderId", ["orderId"], "orderId"),
        ("colour", ["limit", "cursor"], None),
        ("", ["limit"], None),
        ("[$]", ["limit"], None),
    ],
)
def test_the_suggested_name(name: str, known: list[str], meant: str | None) -> None:
    assert closest(name, known) == meant
