"""What `fulfillment seed` says at the end."""

from collections import Counter

from rich.console import Group
from rich.table import Column, Table

from domain.orders.state import OrderStatus
from ops.seeding.result import Seeded

SHOWN_WRONG = 10


def summary(seeded: Seeded) -> Group:
    """Return what the read models show, and what is not as promised."""
    return Group(_orders(seeded), _products(seeded), *_complaints(seeded), _sentence(seeded))


def _orders(seeded: Seeded) -> Table:
    table = Table("status", "orders", "promised", title="orders", title_justify="left")
    shown, promised = Counter(seeded.shown.values()), Counter(seeded.promised.values())
    for status in OrderStatus:
        if shown[status] or promised[status]:
            style = "" if shown[status] == promised[status] else "red"
            table.add_row(status.value, f"{shown[status]:,}", f"{promised[status]:,}", style=style)
    return table


def _products(seeded: Seeded) -> Table:
    whole = Column("product", overflow="fold")  # an id that is cut off cannot be looked up
    table = Table(whole, "status", title="products", title_justify="left")
    for column in ("on hand", "allocated", "available", "backordered"):
        table.add_column(column, justify="right")
    for product in seeded.products:
        names = "onHandQuantity", "allocatedQuantity", "availableQuantity", "backorderedQuantity"
        table.add_row(product["id"], product["status"], *(f"{product[name]:,}" for name in names))
    return table


def _complaints(seeded: Seeded) -> list[str]:
    refused = [f"refused, {times} times: {sentence}" for sentence, times in seeded.refused.most_common(SHOWN_WRONG)]
    wrong = seeded.wrong
    listed = [f"{order_id} is {found}, promised was {promised}" for order_id, promised, found in wrong[:SHOWN_WRONG]]
    more = [f"… and {len(wrong) - SHOWN_WRONG:,} orders more"] if len(wrong) > SHOWN_WRONG else []
    return [*refused, *listed, *more]


def _sentence(seeded: Seeded) -> str:
    orders = seeded.seed.orders
    if not seeded.placed:
        return f"All {orders:,} orders of seed {seeded.seed.seed} were there already: nothing new was written."
    rate = f"{orders:,} orders in {seeded.seconds:.1f} s, {orders / seeded.seconds:,.0f} a second"
    there = orders - seeded.placed
    return f"{rate}; {there:,} of them were there already." if there else f"{rate}."
