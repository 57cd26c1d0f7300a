"""`fulfillment seed`: products and orders to look at, in every state, the same for the same seed."""

import asyncio
from typing import Annotated

import typer

from ops.commands.options import load_settings


def seed(
    orders: Annotated[int, typer.Option(min=1, help="how many; 3 of 20 end cancelled, 6 shipped, 4 delivered")] = 20,
    seed: Annotated[int, typer.Option(help="another number gives other data, beside what is there")] = 42,
) -> None:
    """Place orders over HTTP and bring them into all states; done twice it changes nothing. Exits 1 if any is not."""
    from rich.console import Console

    from ops.commands.seed_tables import summary
    from ops.seeding.run import run

    seeded = asyncio.run(run(load_settings(), orders, seed))
    Console(highlight=False).print(summary(seeded))
    raise typer.Exit(1 if seeded.wrong else 0)
