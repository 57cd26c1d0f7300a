"""Random load over HTTP and Kafka, and the promises that its answers made.

The client remembers the promises: every 2xx answer promises that its effect exists exactly once, every 202 that its
outcome will be known. Requests that failed without an answer are repeated under the same Idempotency-Key.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import orjson
from confluent_kafka import Producer
from system import ADDRESS, PATIENCE_SECONDS, System

from streams.messages.envelope import instant_of

PRODUCTS = 6  # few, so that they are hot and often short
CLIENTS = 8
WAIT_SECONDS = 5  # for an outcome; then the answer is 202
FLUSH_SECONDS = 180  # an upper bound
# the codes of a 503 while a server is being replaced
RETRYABLE = ("KAFKA_UNAVAILABLE", "MONGODB_UNAVAILABLE", "READ_MODEL_BEHIND")


@dataclass
class Promises:
    """The promises the system has made."""

    done: dict[str, str] = field(
        default_factory=dict
    )  # command id → what it promised; its events must exist exactly once
    accepted: set[str] = field(default_factory=set)  # command ids answered with 202: their outcomes must become known
    refused: int = 0
    kept: int = 0  # answers 2xx of the API
    unavailable: Counter[str] = field(default_factory=Counter)  # answers 503 that ask for a repeat, and got one
    failed: Counter[str] = field(default_factory=Counter)  # other answers 5xx, which nothing excuses
    unanswered: int = 0  # no answer even after repeats: nothing is known, nothing promised

    @property
    def broken(self) -> list[str]:
        """Return the answers that nothing excuses."""
        return [f"{times} × {answer}" for answer, times in self.failed.items()]

    def __str__(self) -> str:
        counts = f"{len(self.done)} done, {len(self.accepted)} accepted, {self.refused} refused"
        return f"{counts}, {self.unavailable.total()} unavailable, {self.unanswered} unanswered"


class Load:
    """Clients that place, change, ship, return and cancel orders of a few products while it is `running`."""

    def __init__(self, system: System, seed: int, clients: int = CLIENTS, bases: Sequence[str] | None = None) -> None:
        """`bases`: the addresses of the APIs that get requests in turns; the caller may change them."""
        self.system, self.random, self.clients = system, random.Random(seed), clients
        self.bases = [system.base] if bases is None else bases
        self.promises, self._turn = Promises(), 0
        self.orders: list[str] = []
        self.shipments: list[tuple[str, str]] = []  # (order, shipment), from answers
        self.returns: list[tuple[str, str]] = []
        self._stopping = asyncio.Event()
        self._run = uuid.UUID(int=self.random.getrandbits(128)).hex[:8]
        kafka = {"bootstrap.servers": system.settings.kafka, "enable.idempotence": True, "log_level": 0}
        self._producer = Producer(kafka)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send requests until the block ends, or is left by an error; an error of the load ends the block."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            try:
                yield
            finally:  # a client that loses the cancellation after an error ends, too
                self._stopping.set()

    async def _send(self) -> None:
        """Send requests until `_stopping` is set; every request in flight is answered or given up first."""
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._client(session) for _ in range(self.clients)), self._by_hand())
        assert await asyncio.to_thread(self._producer.flush, FLUSH_SECONDS) == 0, "Kafka does not acknowledge commands"

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping.is_set():
            method, path, body = self._next()
            await self._ask(session, method, path, body)
            await asyncio.sleep(self.random.random() * 0.05)  # think time, which keeps the load below saturation

    def _product(self) -> str:
        return f"{self._run}-{self.random.randrange(PRODUCTS)}"

    def _next(self) -> tuple[str, str, Any]:
        dice = self.random.random()
        if dice < 0.12:
            return "POST", f"inventory/{self._product()}/receive", {"quantity": self.random.randint(1, 40)}
        if dice < 0.14:
            return (
                "POST",
                f"inventory/{self._product()}/adjust",
                {"delta": -self.random.randint(1, 3), "reason": "lost"},
            )
        if dice < 0.15:  # often below what is reserved
            return "POST", f"inventory/{self._product()}/count", {"quantity": self.random.randint(0, 40)}
        if dice < 0.18:
            basket = {"orderId": f"basket-{self.random.randrange(30)}", "quantity": 1, "expiresAt": self._soon()}
            return "POST", f"inventory/{self._product()}/allocate", basket
        if dice < 0.22:
            return self._at_locations()
        if dice < 0.55 or not self.orders:
            return "POST", "orders", self._order()
        if dice < 0.72 and self.shipments + self.returns:
            return self._go_on()
        if dice < 0.76:  # any order, which may be archived
            return self._change(self.random.choice(self.orders))
        return self._change(self.random.choice(self.orders[-200:]))

    def _at_locations(self) -> tuple[str, str, Any]:
        """Receive, send or count units at one of three locations of a product, or open or close it."""
        product = f"inventory/{self._product()}"
        here, there = self.random.sample(["default", "north", "south"], 2)
        transfer = f"t-{self.random.randrange(5)}"
        units = {"quantity": self.random.randint(1, 8)}
        return self.random.choice(
            [
                ("POST", f"{product}/receive", units | {"location": here}),
                ("POST", f"{product}/count", units | {"location": here}),
                ("POST", f"{product}/transfers", units | {"transferId": transfer, "source": here, "target": there}),
                ("POST", f"{product}/transfers/{transfer}/receive", {}),
                ("POST", f"{product}/locations/north/close", {"reason": "fire"}),  # `default` takes what is received
                *[("POST", f"{product}/locations/north/open", {})] * 2,
            ]
        )

    def _order(self) -> dict[str, Any]:
        order_id = f"{self._run}-{self.random.getrandbits(64):x}"
        lines = [
            {"productId": self._product(), "quantity": self.random.randint(1, 4), "price": "19.99"}
            for _ in range(self.random.randint(1, 3))
        ]
        self.orders.append(order_id)
        policy = self.random.choice(["BACKORDER", "BACKORDER", "PARTIAL", "ALL_OR_NOTHING"])
        body = {"orderId": order_id, "customerId": f"c-{self.random.randrange(50)}", "items": lines, "policy": policy}
        if self.random.random() < 0.2:
            body["backordersExpireAt"] = self._soon()
        if (strategy := self.random.choice(["", "", "priority", "fewest-shipments", "keep-together"])) != "":
            together = self.random.random() < 0.5  # lines at several locations are then asked to move
            locations = self.random.sample(["north", "south"], 1)
            body["allocation"] = {"strategy": strategy, "locations": locations, "oneLocation": together}
        if self.random.random() < 0.4:
            body["shipBy"] = self._soon()
            body["whenLate"] = self.random.choice(["KEEP", "CANCEL"])
        return body | {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}

    def _soon(self) -> str:
        """Return a time that comes while the load runs, or has passed when the command is decided."""
        return instant_of(time.time() + self.random.uniform(-1, 6))

    def _change(self, order: str) -> tuple[str, str, Any]:
        return self.random.choice(
            [
                ("PUT", f"orders/{order}/status", {"status": "SHIPPED"}),
                ("PUT", f"orders/{order}/status", {"status": "PARTIALLY_SHIPPED"}),
                ("PUT", f"orders/{order}/status", {"status": "DELIVERED"}),
                ("POST", f"orders/{order}/shipments", {}),
                ("POST", f"orders/{order}/shipments", {"location": self.random.choice(["default", "north"])}),
                ("POST", f"orders/{order}/returns", {"lines": [{"lineId": "1", "quantity": 1}], "reason": "small"}),
                ("POST", f"orders/{order}/lines/cancel", {"lines": [{"lineId": "1", "quantity": 1}], "reason": "less"}),
                ("POST", f"orders/{order}/hold", {"reason": "check"}),
                ("POST", f"orders/{order}/hold", {"holdId": "second", "reason": "check"}),
                ("POST", f"orders/{order}/hold", {"holdId": "short", "until": self._soon(), "whenOver": "RELEASE"}),
                ("POST", f"orders/{order}/hold", {"holdId": "last", "until": self._soon(), "whenOver": "CANCEL"}),
                ("DELETE", f"orders/{order}/hold", None),
                ("POST", f"orders/{order}/lines", {"productId": self._product(), "quantity": 2, "price": "5.00"}),
                ("PUT", f"orders/{order}/lines/1/quantity", {"quantity": self.random.randint(0, 5)}),
                ("PUT", f"orders/{order}/shipping-address", {"shippingAddress": ADDRESS | {"street": "2 Low Street"}}),
                ("PUT", f"orders/{order}/policy", {"policy": self.random.choice(["BACKORDER", "PARTIAL"])}),
                ("POST", f"orders/{order}/lines/1/replace", {"productId": self._product()}),
                ("DELETE", f"orders/{order}/holds/second", None),
                ("DELETE", f"orders/{order}", None),
            ]
        )

    def _go_on(self) -> tuple[str, str, Any]:
        """Deliver or cancel a shipment, or count in a return."""
        if self.returns and self.random.random() < 0.3:
            order, back = self.random.choice(self.returns)  # in several parcels, as far as units are announced
            lines = [{"lineId": "1", "received": 1, "damaged": self.random.randint(0, 1)}]
            return "POST", f"orders/{order}/returns/{back}/receive", {"lines": lines}
        if not self.shipments:
            return self._change(self.random.choice(self.orders[-200:]))
        order, shipment = self.shipments[self.random.randrange(len(self.shipments))]
        if self.random.random() < 0.2:
            rest = self.random.choice(["RESEND", "WRITE_OFF"])
            return "POST", f"orders/{order}/shipments/{shipment}/close", {"rest": rest}
        if self.random.random() < 0.25:
            return "DELETE", f"orders/{order}/shipments/{shipment}", None
        return "POST", f"orders/{order}/shipments/{shipment}/deliver", {}

    async def _ask(self, session: aiohttp.ClientSession, method: str, path: str, body: Any) -> None:
        headers = {"Idempotency-Key": f"{self.random.getrandbits(128):032x}", "Prefer": f"wait={WAIT_SECONDS}"}
        end = time.monotonic() + PATIENCE_SECONDS  # longer than the lease of a request whose process was killed
        while time.monotonic() < end:
            try:
                self._turn += 1
                bases = self.bases[:]  # another thread may remove one
                address = f"{bases[self._turn % len(bases)]}/{path}"
                async with session.request(method, address, json=body, headers=headers) as response:
                    answer = orjson.loads(await response.read())
                    if response.status >= 500:
                        self._note_failure(response, answer)
                    if response.status < 500 and answer.get("error") != "IDEMPOTENCY_KEY_IN_FLIGHT":
                        self._note(response.status, f"{method} {path} ", answer)
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # no answer: repeat under the same key
            await asyncio.sleep(0.5)
        self.promises.unanswered += 1

    def _note_failure(self, response: aiohttp.ClientResponse, answer: Any) -> None:
        expected = response.status == 503 and answer.get("error") in RETRYABLE and "Retry-After" in response.headers
        counted = self.promises.unavailable if expected else self.promises.failed
        counted[f"{response.status} {answer.get('error')}: {answer.get('message')}"] += 1

    def _note(self, status: int, what: str, answer: Any) -> None:
        self.promises.kept += status < 300
        if status == 202:
            self.promises.accepted.add(answer["data"]["commandId"])
        elif status < 300:
            self.promises.done[answer["data"]["commandId"]] = what
            self._remember(what, answer["data"])
        else:
            self.promises.refused += 1

    def _remember(self, what: str, data: Any) -> None:
        if what.endswith("/shipments "):
            self.shipments.append((data["id"], data["shipmentId"]))
        if what.endswith("/returns "):
            self.returns.append((data["id"], data["returnId"]))

    async def _by_hand(self) -> None:
        """Produce commands as a foreign client does: with another partitioner, and each of them twice."""
        while not self._stopping.is_set():
            command_id = f"{self.random.getrandbits(128):032x}"
            topic, key, kind, data = self._place() if self.random.random() < 0.5 else self._receive()
            value = orjson.dumps({"id": command_id, "type": kind, "data": data})
            written = partial(self._note_written, command_id, f"{kind} {key}")
            for _ in range(2):
                self._producer.produce(topic, key=key, value=value, on_delivery=written)
            self._producer.poll(0)
            await asyncio.sleep(0.2)

    def _note_written(self, command_id: str, what: str, error: Any, _: Any) -> None:
        """Note that Kafka has a command, which is then handled once; without an acknowledgement nothing is promised."""
        if error is None:
            self.promises.done[command_id] = what

    def _receive(self) -> tuple[str, str, str, Any]:
        return "inventory-commands", self._product(), "ReceiveStock", {"quantity": 2}

    def _place(self) -> tuple[str, str, str, Any]:
        self.orders.append(order := f"{self._run}-{self.random.getrandbits(64):x}")
        price = {"amount": 1999, "currency": "EUR"}
        lines = [{"productId": self._product(), "quantity": self.random.randint(1, 3), "price": price}]
        addresses = {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}
        return "order-commands", order, "PlaceOrder", {"customerId": "c-hand", "lines": lines} | addresses
