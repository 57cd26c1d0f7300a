"""Answers contain sealed data in the clear, or say that it was erased."""

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pymongo.errors import ServerSelectionTimeoutError

from privacy.keys import CustomerKey
from privacy.masters import CannotUnwrap
from privacy.sealing import Cipher
from streams.runtime.settings import Settings
from web.opening import ERASED, Opening
from web.queries.handling import QueryRoute, Shape
from web.services import SERVICES

KEY = bytes(range(32))
HOME = {"street": "1 High St", "city": "Bath"}
CIPHER = Cipher("k-1", KEY)


class Reversing:
    """A key management service."""

    def wrap(self, key: bytes) -> bytes:
        return key[::-1]

    def unwrap(self, wrapped: bytes) -> bytes:
        if wrapped == b"lost":
            raise CannotUnwrap("its master key is not set")
        return wrapped[::-1]


class Keys:
    """The keys in MongoDB; those in `late` arrive after some looks."""

    def __init__(self, *late: str, **known: CustomerKey | None) -> None:
        self.known, self.late, self.asked = {name.replace("_", "-"): key for name, key in known.items()}, late, 0

    async def find(self, ids: Iterable[str]) -> dict[str, CustomerKey | None]:
        self.asked += 1
        if self.asked > 2:
            self.known |= dict.fromkeys(self.late, CustomerKey.of("k-1", KEY[::-1]))
        return {each: self.known[each] for each in ids if each in self.known}


def opening(keys: Keys) -> Opening:
    return Opening(Settings(), keys, Reversing())  # type: ignore[arg-type]


HAS_KEY = Keys(k_1=CustomerKey.of("k-1", KEY[::-1]))


def sealed(order_id: str = "o-1", field: str = "shippingAddress") -> str:
    return CIPHER.seal(order_id, field, json.dumps(HOME).encode())


def order(order_id: str = "o-1") -> dict[str, Any]:
    return {"id": order_id, "shippingAddress": sealed(order_id), "billingAddress": sealed(order_id, "billingAddress")}


def placed(order_id: str = "o-1", name: str = "orderId") -> dict[str, Any]:
    return {"id": "an event", name: order_id, "data": {**order(order_id), "customerId": "c-1"}}


async def test_an_order_is_opened_as_an_object_and_as_json() -> None:
    shown = await opening(HAS_KEY).documents([order(), orjson.Fragment(json.dumps(order("o-2"))), {"id": "o-3"}])
    assert [each.get("billingAddress") for each in shown] == [HOME, HOME, None]  # type: ignore[union-attr]


async def test_json_without_anything_sealed_is_not_parsed() -> None:
    clear = orjson.Fragment('{"id":"o-1","shippingAddress":{}}')
    (shown,) = await opening(Keys()).documents([clear])
    assert shown is clear


async def test_an_entry_of_a_history_is_opened_in_a_copy() -> None:
    entry = placed()
    (shown,) = await opening(HAS_KEY).documents([entry])
    assert shown["data"]["shippingAddress"] == HOME  # type: ignore[index]
    assert entry["data"]["shippingAddress"] != HOME


async def test_server_sent_events_are_opened() -> None:
    message = (
        b"id: 1.2\nevent: OrderPlaced\ndata: %b\n\n"
        % json.dumps(placed(name="subject"), separators=(",", ":")).encode()
    )
    other = b"id: 1.3\nevent: OrderHeld\ndata: {}\n\n"
    first, second = await opening(HAS_KEY).messages([message, other])
    before, data, *after = first.split(b"\n")[1:]
    assert (before, after) == (b"event: OrderPlaced", [b"", b""])
    assert json.loads(data.removeprefix(b"data: "))["data"]["shippingAddress"] == HOME
    assert second is other


async def test_an_address_with_an_erased_key_says_so() -> None:
    (shown,) = await opening(Keys(k_1=None)).documents([order()])
    assert shown["shippingAddress"] == shown["billingAddress"] == ERASED  # type: ignore[index]


async def test_a_key_that_arrives_a_moment_later_is_waited_for() -> None:
    (shown,) = await opening(Keys("k-1")).documents([order()])
    assert shown["shippingAddress"] == HOME  # type: ignore[index]


@pytest.mark.parametrize("copied", [True, False], ids=["all keys are copied", "more keys may come"])
async def test_a_missing_key_is_erased_only_if_all_keys_are_copied(
    copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(_: object) -> dict[int, int]:
        if not copied:
            raise TimeoutError
        return {}

    async def until_copied(_: object, __: object) -> None:
        return None

    monkeypatch.setattr(Opening, "_ends", ends)
    monkeypatch.setattr(Opening, "_until_copied", until_copied)
    keys = Keys()
    subject = opening(keys)
    (shown,) = await subject.documents([order()])
    assert shown["shippingAddress"] == (ERASED if copied else sealed())  # type: ignore[index]
    asked = keys.asked
    await subject.documents([order()])
    assert (keys.asked == asked + 1) == copied, "it is remembered that a key is gone"


async def test_an_address_that_cannot_be_opened_stays_sealed() -> None:
    moved = {"id": "o-1", "shippingAddress": sealed("o-2")}
    (shown,) = await opening(HAS_KEY).documents([moved])
    assert shown == moved
    (shown,) = await opening(Keys(k_1=CustomerKey.of("k-1", b"lost"))).documents([order()])
    assert shown == order()


async def test_events_are_sent_sealed_while_mongodb_is_unreachable() -> None:
    class Away(Keys):
        async def find(self, ids: Iterable[str]) -> dict[str, CustomerKey | None]:
            raise ServerSelectionTimeoutError("no server")

    message = b"data: %b\n\n" % json.dumps(placed(name="subject"), separators=(",", ":")).encode()
    assert await opening(Away()).messages([message]) == [message]


async def test_events_do_not_wait_for_a_projector_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(_: object) -> dict[int, int]:
        raise AssertionError("the stream waits until all keys are copied")

    monkeypatch.setattr(Opening, "_ends", ends)
    message = b"data: %b\n\n" % json.dumps(placed(name="subject"), separators=(",", ":")).encode()
    keys = Keys()
    subject = opening(keys)
    assert await subject.messages([message]) == [message]
    asked = keys.asked
    for _ in range(3):
        assert await subject.messages([message]) == [message]
    assert keys.asked == asked + 3, "a look each, without a pause"
    keys.known |= HAS_KEY.known
    assert HOME["street"].encode() in (await subject.messages([message]))[0]


# --- answers to conditional requests


@pytest.mark.parametrize("encrypts", [True, False], ids=["encrypted", "not encrypted any more"])
async def test_an_order_with_sealed_data_is_never_304_because_erasing_keeps_the_version(encrypts: bool) -> None:
    found = await conditional(order(), opening(Keys(k_1=None)) if encrypts else None)
    assert found.status == 200
    assert found.body["data"]["shippingAddress"] == (ERASED if encrypts else sealed())


async def test_an_order_in_the_clear_is_304() -> None:
    assert (await conditional({"id": "o-1", "shippingAddress": HOME}, opening(Keys()))).status == 304


async def conditional(document: dict[str, Any], opening: Opening | None) -> Any:
    """Return the answer to a GET of version 1 of an order by a client that has version 1."""

    class Queries:
        async def show(self, *_: str) -> Any:
            return orjson.Fragment(json.dumps(document)), 1

    app = web.Application()
    app[SERVICES] = SimpleNamespace(queries=Queries(), opening=opening)  # type: ignore[assignment]
    request = make_mocked_request(
        "GET", "/orders/o-1", {"If-None-Match": '"1"'}, match_info={"order_id": "o-1"}, app=app
    )
    found = await QueryRoute("/orders/{order_id}", "orders", "", Shape("order", {}), many=False)(request)
    return SimpleNamespace(status=found.status, body=found.body and json.loads(found.encoded()))
