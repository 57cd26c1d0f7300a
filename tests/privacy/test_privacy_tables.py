"""Tables that are rebuilt from the topics get the keys of customers back."""

from ops.replay.memory import CustomerKeys
from privacy.keys import CustomerKey, KeyRecord, entry_key
from tables.orders import CODEC

HERE = KeyRecord("c/1", 3, CustomerKey.of("k-1", b"wrapped"))
ELSEWHERE = KeyRecord("c/1", 2, CustomerKey.of("k-2", b"wrapped"))
KEYS = CustomerKeys({record.name: record for record in (HERE, ELSEWHERE)})


def test_each_partition_gets_its_own_keys() -> None:
    entries = KEYS.entries("order", 3, CODEC)
    assert entries.keys() == {entry_key("c/1")}
    assert CODEC.decode(entry_key("c/1"), entries[entry_key("c/1")]) == HERE.key


def test_stock_has_no_keys() -> None:
    assert KEYS.entries("inventory", 3, CODEC) == {}
