"""Generate products and orders that look real, and are the same for the same seed and number.

An order depends only on the seed and its own number, so that a larger seed adds orders to a smaller one.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from random import Random
from typing import Any

from domain.orders.state import OrderStatus

# The states of every twenty orders, mixed so that the first N have the same proportions for any N, rounded.
PATTERN = "RSRSDRCSRDSRDCRSSRDC"
STATES = {
    "R": OrderStatus.REGISTERED,
    "S": OrderStatus.SHIPPED,
    "D": OrderStatus.DELIVERED,
    "C": OrderStatus.CANCELLED,
}
PRODUCTS = {  # product → price in cents
    "hiking-boots": 12900, "rain-jacket": 8990, "wool-socks": 1450, "tent-2p": 24900, "sleeping-bag": 11995,
    "head-torch": 3490, "water-bottle": 1800, "trekking-poles": 6450, "camping-stove": 4500, "map-case": 1295,
}  # fmt: skip
ADDRESSES = (
    ("12 Quay Street", "Bristol", "", "BS1 4DJ", "GB"), ("5 Rue des Lilas", "Lyon", "", "69003", "FR"),
    ("Hauptstraße 41", "Freiburg", "BW", "79098", "DE"), ("Via Roma 8", "Torino", "TO", "10121", "IT"),
    ("Calle Mayor 22", "Zaragoza", "", "50001", "ES"), ("Kerkstraat 7", "Utrecht", "", "3511 AB", "NL"),
    ("88 Pine Avenue", "Portland", "OR", "97205", "US"), ("Nygata 3", "Bergen", "", "5003", "NO"),
)  # fmt: skip
REASONS = ("ordered by mistake", "found it cheaper", "takes too long", "changed my mind")
CARRIERS = ("DHL", "UPS", "GLS", "Royal Mail")
BLOCK, CUSTOMERS = 1_000, 10  # every 1,000 consecutive orders are placed by 10 customers
LOCATIONS = ("utrecht", "bristol", "freiburg")  # the last one closes when half of the orders are placed
STRATEGIES = ("priority", "nearest", "fewest-shipments")  # with enough stock, none of them leaves a line waiting
SPARE = 5  # units of a product at each location that no order needs
FIRST_DELIVERY = 128  # orders that the first delivery of stock is for; each later one doubles the total
BEGIN = datetime(2025, 1, 6, 8, tzinfo=UTC)


@dataclass(frozen=True)
class SeedOrder:
    """An order as it is placed, and its expected final status."""

    id: str
    data: dict[str, Any]
    expected: OrderStatus
    reason: str
    carrier: str
    tracking_number: str
    several: bool = False  # whether its units may be at several locations

    @property
    def customer(self) -> str:
        """The id of the customer."""
        return str(self.data["customerId"])

    def place(self) -> dict[str, Any]:
        """Return the command that places the order."""
        return self._command("PlaceOrder", self.data)

    def change(self) -> list[dict[str, Any]]:
        """Return the commands that hold the order until a time and reduce its first line, if it is one of several."""
        if not self.several or self.expected is not OrderStatus.REGISTERED:
            return []
        until = {"holdId": "check", "reason": "address check", "until": self.data["issuedAt"]}
        return [self._command("Hold", until), self._command("ChangeQuantity", {"lineId": "1", "quantity": 1})]

    def cancel(self) -> dict[str, Any]:
        """Return the command that cancels the order."""
        return self._command("CancelOrder", {"reason": self.reason})

    def ship(self) -> list[dict[str, Any]]:
        """Return the commands that ship the order, and deliver it if that is its expected status."""
        shipment = {"shipmentId": f"{self.id}-1"}
        if self.several:
            return self._ship_from_each_location(shipment)
        sent = {**shipment, "carrier": self.carrier, "trackingNumber": self.tracking_number}
        commands = [self._command("CreateShipment", sent)]
        if self.expected is OrderStatus.DELIVERED:
            commands.append(self._command("DeliverShipment", shipment))
        return commands

    def _ship_from_each_location(self, shipment: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the commands that ship all units, wherever they are, and take back a unit of a delivered order."""
        commands = [self._command("UpdateStatus", {"status": "SHIPPED", **shipment})]
        if self.expected is OrderStatus.DELIVERED:
            back = {"returnId": f"{self.id}-r"}
            lines = {"lines": [{"lineId": "1", "quantity": 1}]}
            commands += [
                {**self._command("UpdateStatus", {"status": "DELIVERED"}), "id": f"{self.id}-Delivered"},
                self._command("RequestReturn", {**back, **lines, "reason": self.reason}),
                self._command("ReceiveReturn", {**back, "receiptId": f"{self.id}-p"}),
            ]
        return commands

    def _command(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"{self.id}-{name}", "type": name, "source": "seed", "subject": self.id, "data": data}


@dataclass(frozen=True)
class Delivery:
    """Units of a product for a block of orders that begins with the order `first`."""

    number: int
    first: int
    product_id: str
    quantity: int
    location: str | None = None


@dataclass(frozen=True)
class Seed:
    """All data that follows from a seed."""

    seed: int
    orders: int
    locations: int = 1

    @cached_property
    def products(self) -> dict[str, int]:
        """Product id → price in cents."""
        return {f"{name}-{self._name}": cents for name, cents in PRODUCTS.items()}

    @property
    def _name(self) -> str:
        return f"{self.seed}" if self.locations == 1 else f"{self.seed}-{self.locations}-locations"

    @property
    def places(self) -> tuple[str, ...]:
        """The locations; empty if all stock is at `default`."""
        return LOCATIONS[: self.locations] if self.locations > 1 else ()

    def order_id(self, number: int) -> str:
        """Return the id of an order."""
        return f"seed-{self._name}-{number:06}"

    def expected(self, number: int) -> OrderStatus:
        """Return the expected final status of an order."""
        return STATES[PATTERN[number % len(PATTERN)]]

    def order(self, number: int) -> SeedOrder:
        """Return an order by its number, from 0."""
        random = Random(f"{self.seed}/{number}")
        items = self._items(random)
        address = dict(zip(("street", "city", "state", "zipCode", "country"), random.choice(ADDRESSES), strict=True))
        data = {
            "customerId": f"customer-{self._name}-{number // BLOCK * CUSTOMERS + random.randrange(CUSTOMERS):03}",
            "lines": [
                {"productId": product, "quantity": units, "price": _euros(cents)} for product, units, cents in items
            ],
            "totalCost": _euros(sum(units * cents for _, units, cents in items)),
            "shippingAddress": address,
            "billingAddress": address,
            "policy": random.choice(("BACKORDER", "BACKORDER", "BACKORDER", "PARTIAL", "ALL_OR_NOTHING")),
            "issuedAt": (BEGIN + timedelta(minutes=number)).isoformat().replace("+00:00", "Z"),
        }
        chosen = random.choice(REASONS), random.choice(CARRIERS), f"JD{random.randrange(10**10):010}"
        if self.places:
            order = random.sample(self.places, len(self.places))
            data["allocation"] = {"strategy": random.choice(STRATEGIES), "locations": order}
        return SeedOrder(self.order_id(number), data, self.expected(number), *chosen, several=bool(self.places))

    def _items(self, random: Random) -> list[tuple[str, int, int]]:
        chosen = random.sample(sorted(self.products), random.choice((1, 1, 2, 2, 3, 4)))
        return [(product, random.choice((1, 1, 1, 2, 3)), self.products[product]) for product in chosen]

    def deliveries(self) -> Iterator[Delivery]:
        """Yield the stock that the orders need, block by block, and some more.

        The stock of a block is for all of its orders, even if only some of them are seeded now.
        """
        for block in count():
            first = 0 if block == 0 else FIRST_DELIVERY << (block - 1)
            if first >= self.orders:
                return
            needed = Counter[str]()
            for number in range(first, FIRST_DELIVERY << block):
                needed.update({product: units for product, units, _ in self._items(Random(f"{self.seed}/{number}"))})
            for product in self.products:
                units = (needed[product] // 10 + 2) * 10
                if not self.places:
                    yield Delivery(block, first, product, units)
                for place in self.places:  # without the last one, which closes, the others have enough
                    yield Delivery(block, first, product, units // (len(self.places) - 1) + SPARE, place)


def _euros(cents: int) -> dict[str, Any]:
    return {"amount": cents, "currency": "EUR"}
