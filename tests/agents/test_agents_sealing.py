"""Personal data is encrypted before a command is decided, and its key is erased by `ForgetCustomer`."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from system import ADDRESS
from test_agents_deciding import SETTINGS, Desk, key_on, messages, written

from agents.orders import ORDER
from domain.address import Address
from parking.queue import Letter, Letters
from privacy.keys import entry_key, name_of, record_key, record_of
from privacy.masters import MasterKeys
from privacy.sealing import Cipher, key_id_of
from projections.orders import project, whole
from streams.kafka.transactions import ANY_PARTITION
from streams.messages.codec import decode_event
from streams.runtime.settings import Settings
from tables.orders import CODEC

MASTER, ANOTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def encrypting(master: str) -> Settings:
    given = Settings(personal_data_key=master)  # type: ignore[arg-type]
    return SETTINGS.model_copy(update={"personal_data_key": given.personal_data_key})


SEALED = encrypting(MASTER)
STREET, CUSTOMER = ADDRESS["street"], "c 1/ä"
O1, O2, ELSEWHERE = key_on(1, "order"), key_on(1, "another"), key_on(2, "order")
KEY = entry_key(CUSTOMER)


def placing(command_id: str = "cmd-1", customer: str = CUSTOMER, **more: Any) -> dict[str, Any]:
    line = {"productId": "boots", "quantity": 1, "price": {"amount": 100, "currency": "EUR"}}
    data = {"customerId": customer, "lines": [line], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    return {"type": "PlaceOrder", "id": command_id, "source": "shop", "data": data | more}


def forgetting(customer: str = CUSTOMER) -> dict[str, Any]:
    return {"type": "ForgetCustomer", "id": "f-1", "subject": customer, "data": {"customerId": customer}}


@pytest.fixture
def desk() -> Desk:
    return Desk(ORDER, SEALED)


def place(desk: Desk, key: str = O1, partition: int = 1, **more: Any) -> Any:
    return desk.decide(desk.record(placing(**more), partition, key))


def forget(desk: Desk, partition: int = 1) -> Any:
    return desk.decide(desk.record(forgetting(), partition, CUSTOMER))


def outcome(decided: Any) -> dict[str, Any]:
    (found,) = messages(decided, "command-outcomes")
    return dict(found["data"])


def opened(desk: Desk, decided: Any, field: str = "shippingAddress", key: str = O1, partition: int = 1) -> Any:
    """Return an address of the event that places the order, opened with the key in the table."""
    (event,) = messages(decided, "order-events")
    kept = desk.table.data.partitions[partition].get(KEY)
    cipher = Cipher(kept.id, MasterKeys(SEALED).unwrap(kept.raw))
    return json.loads(cipher.open(key, field, event["data"][field]))


def test_an_order_is_placed_with_sealed_addresses_and_the_customers_first_key(desk: Desk) -> None:
    decided = place(desk)
    assert outcome(decided)["status"] == "accepted"
    assert opened(desk, decided) == opened(desk, decided, "billingAddress")
    assert opened(desk, decided)["street"] == STREET
    (write,) = written(decided, "customer-keys")
    assert (write.partition, write.key) == (ANY_PARTITION, record_key(CUSTOMER, 1))
    record = record_of(write.value or b"")
    assert record == name_of(write.key or b"")._replace(key=desk.table.data.partitions[1].get(KEY))


def test_nothing_that_is_written_has_the_address_in_the_clear(desk: Desk) -> None:
    decided = place(desk)
    assert decided.writes
    assert not [write for write in decided.writes if STREET.encode() in (write.value or b"")]


def test_a_customer_has_one_key_in_a_partition(desk: Desk) -> None:
    first, second = place(desk), place(desk, O2, command_id="cmd-2")
    assert not written(second, "customer-keys")
    ids = {key_id_of(messages(each, "order-events")[0]["data"]["shippingAddress"]) for each in (first, second)}
    assert len(ids) == 1
    elsewhere = place(desk, ELSEWHERE, 2, command_id="cmd-3")
    assert len(written(elsewhere, "customer-keys")) == 1


def test_two_orders_of_a_new_customer_in_one_fetch_share_the_key(desk: Desk) -> None:
    decided = desk.decide(desk.record(placing(), 1, O1), desk.record(placing("cmd-2"), 1, O2))
    assert len(written(decided, "customer-keys")) == 1
    assert len(messages(decided, "order-events")) == 2


def test_a_rejected_order_creates_no_key(desk: Desk) -> None:
    decided = place(desk, totalCost={"amount": 1, "currency": "EUR"})
    assert outcome(decided)["code"] == "TOTAL_MISMATCH"
    assert not written(decided, "customer-keys")
    assert KEY not in desk.table.data.partitions[1]


def test_a_bug_undoes_the_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("agents.answering.outcome_write", fail)
    decided = place(desk)
    assert [letter["data"]["kind"] for letter in messages(decided, "dead-letters")] == ["parked"]
    assert not written(decided, "customer-keys")
    assert KEY not in desk.table.data.partitions[1]


def test_a_key_whose_master_key_is_not_set_parks_the_order(desk: Desk) -> None:
    place(desk)
    later = Desk(ORDER, encrypting(ANOTHER))
    later.table.data.replace(desk.table.data.partitions)
    later.offsets = desk.offsets
    (letter,) = messages(place(later, O2, command_id="cmd-2"), "dead-letters")
    assert "not in FULFILLMENT_PERSONAL_DATA_KEY" in letter["data"]["message"]


# --- repeats


@given(
    addresses=st.tuples(
        *[st.fixed_dictionaries({**dict.fromkeys(("street", "city"), st.sampled_from(["a", "Ä b", "x" * 200])),
                                 "zipCode": st.sampled_from(["1", "2"]), "country": st.just("GB")},
                                optional={"name": st.just("Ada")})] * 2
    )
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_a_repeat_is_sealed_to_the_same_bytes_and_answered_as_before(addresses: tuple[dict[str, str], ...]) -> None:
    desk = Desk(ORDER, SEALED)
    data = dict(zip(("shippingAddress", "billingAddress"), addresses, strict=True))
    first, again = place(desk, **data), place(desk, **data)
    assert not messages(again, "order-events")
    assert outcome(first) == outcome(again)
    other = place(desk, command_id="cmd-2", **data)
    assert outcome(other)["status"] == "accepted", "the same order, under another id"
    assert not messages(other, "order-events")


def test_another_address_under_the_same_id_is_refused(desk: Desk) -> None:
    place(desk)
    assert outcome(place(desk, shippingAddress=ADDRESS | {"street": "2"}))["code"] == "COMMAND_ID_REUSED"
    other = outcome(place(desk, command_id="cmd-2", billingAddress=ADDRESS | {"street": "2"}))
    assert (other["code"], other["details"]["differs"]) == ("ORDER_EXISTS", ["billingAddress"])


def test_another_customer_cannot_repeat_the_order(desk: Desk) -> None:
    place(desk)
    decided = place(desk, command_id="cmd-2", customer="other")
    assert outcome(decided)["details"]["differs"] == ["customerId"]
    assert not written(decided, "customer-keys")


def test_a_rejection_is_repeated_with_the_digest_of_what_is_sealed(desk: Desk) -> None:
    place(desk)
    other = ADDRESS | {"street": "2"}
    first = outcome(place(desk, command_id="cmd-2", shippingAddress=other))
    assert outcome(place(desk, command_id="cmd-2", shippingAddress=other)) == first
    plain = Desk(ORDER)
    place(plain)
    assert outcome(place(plain, command_id="cmd-2", shippingAddress=other))["commandDigest"] != first["commandDigest"]


def test_a_repeat_of_an_order_that_is_older_than_encryption_is_recognized(desk: Desk) -> None:
    plain = Desk(ORDER)
    before = place(plain)
    desk.table.data.replace(plain.table.data.partitions)
    desk.offsets = plain.offsets
    again = place(desk)
    assert outcome(again) == outcome(before)
    assert not written(again, "customer-keys")
    assert outcome(place(desk, shippingAddress=ADDRESS | {"street": "2"}))["code"] == "COMMAND_ID_REUSED"


def test_a_repeat_is_recognized_by_a_worker_that_does_not_encrypt(desk: Desk) -> None:
    first = place(desk)
    plain = Desk(ORDER)
    plain.table.data.replace(desk.table.data.partitions)
    plain.offsets = desk.offsets
    assert outcome(place(plain)) == outcome(first)
    other = place(plain, command_id="cmd-2")
    assert outcome(other)["status"] == "accepted", "the same order, under another id"
    assert not messages(other, "order-events")
    (event,) = messages(place(plain, O2, command_id="cmd-4"), "order-events")
    assert event["data"]["shippingAddress"]["street"] == STREET, "a new order stays in the clear"


# --- forgetting


def test_forgetting_deletes_the_key_and_writes_a_tombstone(desk: Desk) -> None:
    place(desk)
    decided = forget(desk)
    assert outcome(decided)["result"] == {"partition": 1, "erased": True}
    (tombstone,) = written(decided, "customer-keys")
    assert (tombstone.key, tombstone.value) == (record_key(CUSTOMER, 1), None)
    assert [write.value for write in written(decided, "orders-states-changelog") if write.key == KEY] == [None]
    assert KEY not in desk.table.data.partitions[1]


def test_forgetting_that_comes_too_late_erases_nothing(desk: Desk) -> None:
    place(desk)
    late = outcome(desk.decide(desk.record(forgetting() | {"validuntil": "2020-01-01T00:00:00Z"}, 1, CUSTOMER)))
    assert (late["status"], late["code"]) == ("rejected", "COMMAND_EXPIRED")
    in_time = forgetting() | {"id": "f-2", "validuntil": "9999-01-01T00:00:00Z"}
    assert outcome(desk.decide(desk.record(in_time, 1, CUSTOMER)))["result"]["erased"]


def test_forgetting_is_handled_where_it_arrives(desk: Desk) -> None:
    for partition in range(4):
        place(desk, key_on(partition, "order"), partition, command_id=f"cmd-{partition}")
    results = [outcome(forget(desk, partition))["result"] for partition in range(4)]
    assert results == [{"partition": partition, "erased": True} for partition in range(4)]


def test_the_customer_may_be_the_key_of_a_message_without_a_subject(desk: Desk) -> None:
    place(desk)
    message = {"type": "ForgetCustomer", "data": {"customerId": CUSTOMER}}
    assert outcome(desk.decide(desk.record(message, 1, CUSTOMER)))["result"] == {"partition": 1, "erased": True}


def test_forgetting_twice_erases_nothing_more(desk: Desk) -> None:
    place(desk)
    forget(desk)
    again = forget(desk)
    assert outcome(again)["result"] == {"partition": 1, "erased": False}
    assert len(written(again, "customer-keys")) == 1, "also a key that this table does not know is erased"


def test_forgetting_does_not_wait_behind_parked_commands_of_an_order_with_that_id(desk: Desk) -> None:
    place(desk)
    changes = desk.table.data.changes(1)
    Letters(changes, CUSTOMER).append(Letter("x", "Hold", "t", 1, 0, 0.0, b"", b"", (), "c", "m"), 0.0)
    changes.encode()
    changes.merge()
    assert outcome(forget(desk))["result"]["erased"]


def test_an_erased_address_counts_as_the_same_when_the_order_is_placed_again(desk: Desk) -> None:
    first = place(desk)
    forget(desk)
    again = place(desk)
    assert outcome(again) == outcome(first)
    assert not written(again, "customer-keys"), "a repeat creates no key"


def test_a_later_order_gets_a_new_key(desk: Desk) -> None:
    (before,) = messages(place(desk), "order-events")
    forget(desk)
    decided = place(desk, O2, command_id="cmd-2")
    assert len(written(decided, "customer-keys")) == 1
    assert opened(desk, decided, key=O2)["street"] == STREET
    (after,) = messages(decided, "order-events")
    assert key_id_of(before["data"]["shippingAddress"]) != key_id_of(after["data"]["shippingAddress"])


def test_without_encryption_forgetting_is_an_unknown_command() -> None:
    plain = Desk(ORDER)
    assert outcome(forget(plain))["code"] == "UNKNOWN_TYPE"


def test_a_client_cannot_send_a_sealed_address(desk: Desk) -> None:
    (event,) = messages(place(desk), "order-events")
    sealed = event["data"]["shippingAddress"]
    assert outcome(place(desk, O2, command_id="cmd-2", shippingAddress=sealed))["code"] == "INVALID_ORDER"


# --- readers without a key


def test_events_and_states_are_read_in_both_forms_without_a_key(desk: Desk) -> None:
    for decided, sealed in ((place(desk), True), (place(Desk(ORDER)), False)):
        (write,) = written(decided, "order-events")
        message = decode_event(write.value or b"")
        document = project(None, message)
        shown = whole(document)["shippingAddress"]
        assert isinstance(shown, str if sealed else dict)
        held = {"type": "OrderHeld", "sequence": 2, "data": {"reason": ""}, "schemaversion": 1}
        envelope = {**json.loads(write.value or b""), **held}
        again = project(document, decode_event(json.dumps(envelope).encode()))
        assert whole(again)["shippingAddress"] == shown
        (entry,) = [w for w in written(decided, "orders-states-changelog") if w.key == O1.encode()]
        state = CODEC.decode(O1.encode(), entry.value or b"").state
        assert isinstance(state.shipping_address, str if sealed else Address)


# --- another address of an order


def moving(street: str = "2 Low Street", command_id: str = "move-1") -> dict[str, Any]:
    data = {"shippingAddress": {**ADDRESS, "street": street}}
    return {"type": "ChangeShippingAddress", "id": command_id, "source": "shop", "data": data}


def test_a_changed_address_is_sealed_with_the_customers_key(desk: Desk) -> None:
    place(desk)
    decided = desk.decide(desk.record(moving(), 1, O1))
    assert opened(desk, decided)["street"] == "2 Low Street"
    assert not written(decided, "customer-keys")
    assert not [write for write in decided.writes if b"Low Street" in (write.value or b"")]
    for command_id in ("move-1", "move-2"):
        again = desk.decide(desk.record(moving(command_id=command_id), 1, O1))
        assert (outcome(again)["status"], messages(again, "order-events")) == ("accepted", [])


def test_an_order_whose_address_was_changed_is_still_the_one_that_was_placed(desk: Desk) -> None:
    place(desk)
    desk.decide(desk.record(moving(), 1, O1))
    for command_id in ("cmd-1", "other"):
        assert outcome(place(desk, command_id=command_id))["status"] == "accepted"


def test_the_changed_address_of_an_order_in_the_clear_is_sealed() -> None:
    plain = Desk(ORDER, SETTINGS)
    plain.decide(plain.record(placing(), 1, O1))
    desk = Desk(ORDER, SEALED)
    desk.table.data.replace(plain.table.data.partitions)
    desk.offsets = plain.offsets
    decided = desk.decide(desk.record(moving(), 1, O1))
    assert opened(desk, decided)["street"] == "2 Low Street"
    assert len(written(decided, "customer-keys")) == 1
    assert outcome(place(desk, command_id="other"))["status"] == "accepted"


@pytest.mark.parametrize("what", ["forgotten", "with a new key", "encrypts now", "encrypts no more", "as before"])
def test_the_repeat_of_a_changed_address_is_recognized(desk: Desk, what: str) -> None:
    begins = Desk(ORDER, SETTINGS) if what == "encrypts now" else desk
    begins.decide(begins.record(placing(), 1, O1))
    first = outcome(begins.decide(begins.record(moving(), 1, O1)))
    if what in ("forgotten", "with a new key"):
        forget(begins)
    if what == "with a new key":
        place(begins, O2, command_id="cmd-2")
        begins.decide(begins.record(moving("3 High Street", command_id="move-2"), 1, O1))
    ends = begins if begins is desk else desk
    if what == "encrypts no more":
        ends = Desk(ORDER, SETTINGS)
    if ends is not begins:
        ends.table.data.replace(begins.table.data.partitions)
        ends.offsets = begins.offsets
    again = ends.decide(ends.record(moving(), 1, O1))
    assert {**outcome(again), "result": None} == {**first, "result": None}
    assert not messages(again, "order-events")
    assert not written(again, "customer-keys"), "a repeat creates no key"
    another = ends.decide(ends.record({**moving(), "type": "Hold", "data": {"reason": ""}}, 1, O1))
    assert outcome(another)["code"] == "COMMAND_ID_REUSED"
    if what == "as before":
        other = outcome(ends.decide(ends.record(moving("9 Low Street"), 1, O1)))
        assert other["code"] == "COMMAND_ID_REUSED"


def test_the_address_of_an_order_that_does_not_exist_creates_no_key(desk: Desk) -> None:
    decided = desk.decide(desk.record(moving(), 1, O1))
    assert outcome(decided)["code"] == "ORDER_NOT_FOUND"
    assert not written(decided, "customer-keys")
