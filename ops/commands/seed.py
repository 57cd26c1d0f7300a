"""`fulfillment seed`."""

import asyncio
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table

from domain.orders.state import OrderStatus
from ops.commands.options import load_settings
from ops.commands.progress import progress
from ops.commands.tables import table
from ops.seeding.result import Seeded
from streams.wording import counted

SHOWN_WRONG = 10


def seed(
    orders: Annotated[
        int, typer.Option(min=1, help="Number of orders. Of every 20, 3 end cancelled, 6 shipped and 4 delivered.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the sample data; another seed adds other orders.")] = 42,
    locations: Annotated[
        int,
        typer.Option(
            min=1,
            max=3,
            help="Number of locations of every product. With several, orders are split and changed, "
            "units are transferred and returned, and one location closes halfway.",
        ),
    ] = 1,
) -> None:
    """Place sample orders over HTTP and bring them into all states; exit with 1 if one has the wrong state.

    A second run with the same options changes nothing.
    """
    from ops.seeding.run import run

    seeded = asyncio.run(run(load_settings(), orders, seed, progress, locations))
    Console(highlight=False).print(summary(seeded))
    raise typer.Exit(1 if seeded.wrong else 0)


def summary(seeded: Seeded) -> Group:
    """Return the contents of the read models, and the orders whose state differs from the expected one."""
    return Group(_orders(seeded), _products(seeded), *_complaints(seeded), _sentence(seeded))


def _orders(seeded: Seeded) -> Table:
    found = table("status", "orders", "expected")
    shown, expected = Counter(seeded.shown.values()), Counter(seeded.expected.values())
    for status in OrderStatus:
        if shown[status] or expected[status]:
            style = "" if shown[status] == expected[status] else "red"
            found.add_row(status.value, f"{shown[status]:,}", f"{expected[status]:,}", style=style)
    return found


def _products(seeded: Seeded) -> Table:
    found = table("product", "status", "on hand", "allocated", "available", "backordered")
    for column in found.columns[2:]:
        column.justify = "right"
    for product in seeded.products:
        names = "onHandQuantity", "allocatedQuantity", "availableQuantity", "backorderedQuantity"
        found.add_row(product["id"], product["status"], *(f"{product[name]:,}" for name in names))
    return found


def _complaints(seeded: Seeded) -> list[str]:
    refused = [
        f"refused {counted(times, 'time')}: {sentence}" for sentence, times in seeded.refused.most_common(SHOWN_WRONG)
    ]
    wrong = seeded.wrong
    listed = [f"{order_id} is {found}, expected {expected}" for order_id, expected, found in wrong[:SHOWN_WRONG]]
    more = [f"… and {counted(len(wrong) - SHOWN_WRONG, 'more order')}"] if len(wrong) > SHOWN_WRONG else []
    return [*refused, *listed, *more]


def _sentence(seeded: Seeded) -> str:
    orders = seeded.seed.orders
    if not seeded.placed:
        return f"{counted(orders, 'order')} of seed {seeded.seed.seed} existed already: nothing was written."
    rate = f"{counted(orders, 'order')} in {seeded.seconds:.1f} s, {orders / seeded.seconds:,.0f} per second"
    existing = orders - seeded.placed
    return f"{rate}; {existing:,} of them existed already." if existing else f"{rate}."
