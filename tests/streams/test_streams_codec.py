"""Bytes to models: refused values, defaults, and reading older events."""

import json
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace
from system import ADDRESS

from domain.inventory.commands import ReceiveStock, ReserveStock
from domain.message import Event
from domain.orders.commands import CreateShipment, PlaceOrder
from domain.orders.events import OrderHeld
from streams.messages import codec
from streams.messages.codec import (
    INVENTORY_COMMANDS,
    ORDER_COMMANDS,
    BadMessage,
    RecordAt,
    Upcasters,
    decode_command,
    decode_event,
    source_of,
)
from streams.messages.envelope import CommandMessage, EventMessage, derived_id
from streams.messages.strict import read_command

LINE = {"productId": "p", "quantity": 1, "price": {"amount": 100, "currency": "EUR"}}
ODD_IDS = ["no\u00a0break", "zero\u200bwidth", "a/b", "50%", "é漢🧦", " ", "x" * 128]
NO_IDS: list[Any] = ["", "x" * 129, "a\nb", "a\x00", "a\x7f", "a\x85", "a\u2028b", 5, True, ["a"], {"a": 1}]


def at(key: bytes | None = b"boots", offset: int = 7, timestamp: float = 1_763_000_000.123) -> RecordAt:
    return RecordAt("inventory-commands", 3, offset, timestamp, key)


def read(message: Any, where: RecordAt | None = None) -> CommandMessage:
    value = message if isinstance(message, bytes) else json.dumps(message).encode()
    return decode_command(value, where or at(), INVENTORY_COMMANDS, "productId")


def receive(**more: Any) -> dict[str, Any]:
    return {"type": "ReceiveStock", "data": {"quantity": 5}} | more


def refused(message: Any, where: RecordAt | None = None) -> BadMessage:
    with pytest.raises(BadMessage) as bad:
        read(message, where)
    return bad.value


# --- refused values


@pytest.mark.parametrize(
    "value", [b"", b"{", b"\xff\xfe", b"[]", b"3", b'"ReceiveStock"', b"null", b"NaN", b"[" * 5000]
)
def test_a_value_that_is_not_a_json_object_is_refused(value: bytes) -> None:
    assert refused(value).code == "INVALID_MESSAGE"


def test_a_tombstone_is_refused_as_a_command() -> None:
    with pytest.raises(BadMessage) as bad:
        decode_command(None, at(), INVENTORY_COMMANDS, "productId")
    assert bad.value.code == "INVALID_MESSAGE"


@pytest.mark.parametrize("name", [None, 5, "", "receivestock", "PlaceOrder", "StockReceived", ["ReceiveStock"]])
def test_an_unknown_type_is_named_beside_the_accepted_ones(name: Any) -> None:
    bad = refused(receive(type=name))
    assert bad.code == "UNKNOWN_TYPE"
    assert repr(name) in bad.message
    assert "ReceiveStock, SetStock" in bad.message
    assert bad.envelope["data"] == {"quantity": 5}


@pytest.mark.parametrize("data", [[], "x", 5, False])
def test_data_must_be_an_object(data: Any) -> None:
    bad = refused(receive(data=data))
    assert (bad.code, bad.details) == ("INVALID_MESSAGE", {"data": "must be an object"})


@pytest.mark.parametrize("absent", [{}, {"data": None}])
def test_data_may_be_missing_only_where_a_command_has_none(absent: dict[str, Any]) -> None:
    """A shipment whose data was lost on its way would ship everything."""
    assert read({"type": "FillBackorders", **absent}).type == "FillBackorders"
    without = json.dumps({"type": "Release", **absent}).encode()  # it has a field that older clients do not know
    assert decode_command(without, at(), ORDER_COMMANDS, "orderId").type == "Release"
    for name in ("ReceiveStock", "DiscontinueProduct"):
        bad = refused({"type": name, **absent})
        assert (bad.code, bad.details) == ("INVALID_MESSAGE", {"data": "is missing"})
    assert read({"type": "DiscontinueProduct", "data": {}}).type == "DiscontinueProduct"


@pytest.mark.parametrize(
    ("name", "data", "code", "path"),
    [
        ("ReceiveStock", {"quantity": 0}, "INVALID_QUANTITY", "quantity"),
        ("ReceiveStock", {"quantity": "5"}, "INVALID_QUANTITY", "quantity"),
        ("ReceiveStock", {"quantity": 1.5}, "INVALID_QUANTITY", "quantity"),
        ("ReceiveStock", {"quantity": True}, "INVALID_QUANTITY", "quantity"),
        ("AdjustStock", {"delta": 10**13}, "INVALID_QUANTITY", "delta"),
        ("ReserveStock", {"quantity": 1}, "INVALID_COMMAND", "orderId"),
        ("ReleaseStock", {"orderId": "o", "lineId": "1"}, "INVALID_COMMAND", "data"),
        ("DiscontinueProduct", {"reason": "a\x00b"}, "INVALID_COMMAND", "reason"),
    ],
)
def test_invalid_data_names_the_field(name: str, data: Any, code: str, path: str) -> None:
    bad = refused(receive(type=name, data=data))
    assert (bad.code, list(bad.details)) == (code, [path])
    assert bad.message == f"{name}: {path}: {bad.details[path]}"


def test_an_invalid_order_is_named_whatever_is_wrong_with_it() -> None:
    data = {"customerId": "c\x00", "lines": [{"productId": "p", "quantity": 0}], "shippingAddress": ADDRESS}
    with pytest.raises(BadMessage) as bad:
        decode_command(json.dumps({"type": "PlaceOrder", "data": data}).encode(), at(), ORDER_COMMANDS, "orderId")
    assert bad.value.code == "INVALID_ORDER"
    assert set(bad.value.details) == {"customerId", "lines.0.quantity", "lines.0.price", "billingAddress"}
    assert bad.value.details["customerId"] == "must not contain control characters"


def test_an_address_names_the_error_in_each_part() -> None:
    wrong = ADDRESS | {"street": "", "city": "x" * 201, "state": "a\x07", "country": 4}
    data = {"customerId": "c", "lines": [LINE], "shippingAddress": wrong, "billingAddress": ADDRESS}
    with pytest.raises(BadMessage) as bad:
        decode_command(json.dumps({"type": "PlaceOrder", "data": data}).encode(), at(), ORDER_COMMANDS, "orderId")
    assert bad.value.details == {
        "shippingAddress.street": "String should have at least 1 character",
        "shippingAddress.city": "String should have at most 200 characters",
        "shippingAddress.state": "must not contain control characters other than line breaks and tabs",
        "shippingAddress.country": "Input should be a valid string",
    }


def test_an_address_may_have_line_breaks() -> None:
    parts = ADDRESS | {"street": "c/o Ann\r\n\t1 High St"}
    data = {"customerId": "c", "lines": [LINE], "shippingAddress": parts, "billingAddress": ADDRESS}
    command = read_command(PlaceOrder, data)
    assert command.shipping_address.street == parts["street"]


@pytest.mark.parametrize("field", ["id", "correlationid", "causationid", "subject"])
@pytest.mark.parametrize("value", NO_IDS)
def test_an_invalid_id_is_refused_everywhere(field: str, value: Any) -> None:
    bad = refused(receive(**{field: value}))
    assert bad.code == "INVALID_MESSAGE"
    assert "1 to 128 characters without control characters" in bad.message


@pytest.mark.parametrize("key", [b"\xff", b"\xed\xa0\x80"])
def test_a_key_that_is_not_utf8_is_refused(key: bytes) -> None:
    assert refused(receive(), at(key=key)).code == "MISSING_KEY"


@pytest.mark.parametrize("key", ["a\nb", "x" * 129, "a\u2029"])
def test_a_key_that_is_not_an_id_is_refused(key: str) -> None:
    assert refused(receive(), at(key=key.encode())).code == "INVALID_MESSAGE"


@pytest.mark.parametrize("time", ["yesterday", 5, "2026-13-01T00:00:00Z", "2026-02-30", "", "0000-01-01T00:00:00Z"])
def test_an_invalid_time_is_refused(time: Any) -> None:
    bad = refused(receive(time=time))
    assert (bad.code, bad.message) == ("INVALID_MESSAGE", "time: must be a time like 2026-11-23T10:00:00.000Z")


def test_long_sources_that_begin_alike_are_different() -> None:
    one, other = (source_of({"source": "https://shop.example/" + "s" * 200 + end}) for end in "ab")
    assert one != other
    assert one == source_of({"source": "https://shop.example/" + "s" * 200 + "a"})
    assert (len(one), one[:21]) == (128, "https://shop.example/")
    assert source_of({"source": "x" * 128}) == "x" * 128


@pytest.mark.parametrize("version", [-1, 1.0, "one", "1 2", "", True, [], [1], {}])
def test_an_invalid_expected_version_is_refused(version: Any) -> None:
    assert refused(receive(expectedversion=version)).message.startswith("expectedversion must be a whole number")


@pytest.mark.parametrize("odd", ["..", " ", " a", "a ", "zero\u200bwidth", "cafe\u0301", "\u202ea", "no\u00a0break"])
def test_a_confusable_id_is_refused(odd: str) -> None:
    bad = refused(receive(id=odd))
    assert (bad.code, list(bad.details)) == ("INVALID_MESSAGE", ["id"])


@pytest.mark.parametrize("id_", ["1", "a/b", "été", "walking boots", "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01", "*x"])
def test_other_ids_are_accepted(id_: str) -> None:
    assert read(receive(id=id_)).id == id_


# --- defaults


@pytest.mark.parametrize("odd", ODD_IDS)
def test_every_id_that_an_order_can_name_is_valid_as_a_key(odd: str) -> None:
    """A product that an order was placed with can be reserved: the rule is one."""
    assert read_command(ReserveStock, {"orderId": odd, "lineId": odd, "quantity": 1}).order_id == odd
    command = read(receive(correlationid=odd, causationid=odd), at(key=odd.encode()))
    assert (command.key, command.correlation_id, command.causation_id) == (odd, odd, odd)


def test_a_missing_id_is_derived_from_the_position() -> None:
    first, again, other = read(receive()), read(receive()), read(receive(), at(offset=8))
    assert first.id == again.id == derived_id("inventory-commands", 3, 7)
    assert other.id != first.id
    assert first.correlation_id == first.id
    assert first.causation_id is None


def test_a_missing_time_is_taken_from_kafka() -> None:
    assert read(receive()).time == "2025-11-13T02:13:20.123Z"
    assert read(receive(time="2026-11-23T11:00:00+01:00")).time == "2026-11-23T10:00:00.000Z"


def test_the_key_comes_from_kafka_or_the_data_or_the_subject() -> None:
    of_data = receive(data={"quantity": 1, "productId": "boots"})
    for where in (at(), at(key=None), at(key=b"")):
        assert read(receive(subject="boots"), where).key == "boots"
        assert read(of_data, where).key == "boots"
        assert read(of_data | {"subject": "boots"}, where).key == "boots"
    assert refused(receive(), at(key=None)).code == "MISSING_KEY"


@pytest.mark.parametrize(
    ("key", "subject", "in_data"),
    [
        (b"boots", "socks", None),
        (b"boots", None, "socks"),
        (None, "boots", "socks"),
        (b"boots", "boots", "socks"),
        (b"boots", "socks", "boots"),
    ],
)
def test_ids_that_differ_are_refused_and_both_named(
    key: bytes | None, subject: str | None, in_data: str | None
) -> None:
    data = {"quantity": 1} | ({"productId": in_data} if in_data else {})
    bad = refused(receive(data=data) | ({"subject": subject} if subject else {}), at(key=key))
    assert bad.code == "INVALID_MESSAGE"
    assert "'boots'" in bad.message
    assert "'socks'" in bad.message
    assert list(bad.details) == ["productId"]


def order_command(name: str, key: bytes | None, data: dict[str, Any], **more: Any) -> CommandMessage:
    value = json.dumps({"type": name, "data": data, **more}).encode()
    return decode_command(value, at(key), ORDER_COMMANDS, "orderId")


PLACED = {"customerId": "ada", "lines": [LINE], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}


def test_an_order_keyed_by_its_customer_is_refused_unless_it_says_that_it_is_called_so() -> None:
    with pytest.raises(BadMessage, match=r"the Kafka key is 'ada', and data\.customerId is 'ada' too"):
        order_command("PlaceOrder", b"ada", PLACED)
    assert order_command("PlaceOrder", b"ada", PLACED, subject="ada").key == "ada"
    with pytest.raises(BadMessage, match=r"the Kafka key is 'ada' and data\.orderId is 'o1'"):
        order_command("PlaceOrder", b"ada", PLACED | {"orderId": "o1"})


def test_a_reservation_keyed_by_its_order_is_refused() -> None:
    bad = refused({"type": "ReserveStock", "data": {"orderId": "o1", "quantity": 1}}, at(key=b"o1"))
    assert bad.message.startswith("the Kafka key is 'o1', and data.orderId is 'o1' too")


def test_the_id_of_a_created_thing_is_derived_from_the_command() -> None:
    value = json.dumps({"type": "CreateShipment", "data": {}}).encode()
    first, again = (decode_command(value, at(), ORDER_COMMANDS, "orderId").command for _ in range(2))
    assert isinstance(first, CreateShipment)
    assert first.shipment_id
    assert first == again


def test_a_command_is_read_as_it_was_written() -> None:
    sent = CommandMessage(
        id="id",
        key="boots",
        command=ReceiveStock(quantity=5),
        time="2026-11-23T10:00:00.000Z",
        source="web",
        correlation_id="c",
        causation_id="b",
        expected_version=0,
    )
    assert read(sent.encode()) == replace(sent, received="2025-11-13T02:13:20.123Z")


# --- upcasting


class Weighed(Event):
    schema_version: ClassVar[int] = 3
    grams: int
    note: str


def chain(*versions: int) -> Upcasters:
    steps = Upcasters()
    for version in versions:
        steps.register("Weighed", version)(lambda data: data)
    return steps


def test_a_whole_chain_passes() -> None:
    chain(1, 2).check({"Weighed": Weighed, "OrderHeld": OrderHeld})


@pytest.mark.parametrize(("versions", "missing"), [((), 1), ((2,), 1), ((1,), 2)])
def test_a_gap_in_the_chain_is_refused(versions: tuple[int, ...], missing: int) -> None:
    with pytest.raises(ValueError, match=f"no upcaster for Weighed version {missing}"):
        chain(*versions).check({"Weighed": Weighed})


def test_two_upcasters_of_one_version_are_refused() -> None:
    with pytest.raises(ValueError, match="two upcasters for Weighed version 1"):
        chain(1, 1)


def test_an_upcaster_of_todays_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 3, which is not older than today's"):
        chain(1, 2, 3).check({"Weighed": Weighed})


def test_an_upcaster_of_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="Weighed, which is not an event"):
        chain(1).check({"OrderHeld": OrderHeld})


def test_our_own_chain_passes() -> None:
    codec.UPCASTERS.check(codec.EVENTS)


def event(version: int, data: dict[str, Any], name: str = "Weighed") -> bytes:
    envelope = {"id": "e", "type": name, "subject": "boots", "sequence": 4, "time": "2026-11-23T10:00:00.000Z"}
    envelope |= {"source": "inventory", "correlationid": "c", "causationid": "d"}
    return json.dumps(envelope | {"schemaversion": version, "data": data}).encode()


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Upcasters()
    steps.register("Weighed", 1)(lambda data: {"kilos": data["kilos"], "note": "of " + data["by"]})
    steps.register("Weighed", 2)(lambda data: {"grams": data["kilos"] * 1000, "note": data["note"] + ", kept"})
    monkeypatch.setitem(codec.EVENTS, "Weighed", Weighed)  # type: ignore[index]
    monkeypatch.setattr(codec, "UPCASTERS", steps)


@pytest.mark.usefixtures("weighed")
@pytest.mark.parametrize(
    ("version", "data", "note"),
    [
        (1, {"kilos": 2, "by": "ann"}, "of ann, kept"),
        (2, {"kilos": 2, "note": "n"}, "n, kept"),
        (3, {"grams": 2000, "note": "n"}, "n"),
    ],
)
def test_older_events_go_through_the_steps_that_are_left(version: int, data: dict[str, Any], note: str) -> None:
    assert decode_event(event(version, data)).event == Weighed(grams=2000, note=note)


@pytest.mark.usefixtures("weighed")
def test_newer_and_unknown_events_ask_for_newer_code() -> None:
    for value in (event(4, {}), event(1, {}, "NoSuchEvent")):
        with pytest.raises(BadMessage, match="deploy newer code") as bad:
            decode_event(value)
        assert bad.value.code == "UNKNOWN_EVENT"


def test_an_event_is_read_as_it_was_written() -> None:
    sent = EventMessage("e", "o/1", OrderHeld(reason="é\n"), 3, "2026-11-23T10:00:00.000Z", "order", "c", "d")
    assert decode_event(sent.encode()) == sent


@pytest.mark.parametrize("line", [{}, 5, {"productId": "p", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}])
def test_too_many_lines_are_one_error(line: Any) -> None:
    """If each were checked first: a million errors, a minute of work, and an outcome no broker accepts."""
    data = {"customerId": "c", "lines": [line] * 20_000, "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    with pytest.raises(BadMessage) as bad:
        decode_command(json.dumps({"type": "PlaceOrder", "data": data}).encode(), at(), ORDER_COMMANDS, "orderId")
    assert bad.value.details == {"lines": "must have at most 200 lines"}
