"""`fulfillment forget`."""

from typing import Annotated

import orjson
import typer

from ops.commands.auditing import record
from ops.commands.options import Json, load_settings
from streams.wording import counted


def forget(
    customer: Annotated[str, typer.Argument(help="Id of the customer.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the workers.")] = 30.0,
    json: Json = False,
) -> None:
    """Erase a customer's personal data: delete the keys that their addresses are encrypted with, forever.

    Orders, events and figures stay, and show that the addresses were erased. A later order of the customer gets a new
    key.
    """
    from ops.kafka.forgetting import check, forget

    check(customer)
    settings = load_settings()
    record(settings, "forget customer", customer)
    erased = forget(settings, customer, timeout)
    if json:
        typer.echo(orjson.dumps({"customerId": customer, "partitions": settings.partitions, "erased": erased}))
    elif erased:
        typer.echo(f"erased the keys of {customer}, {len(erased)} in {counted(settings.partitions, 'partition')}")
    else:
        typer.echo(f"{customer} has no key: nothing was encrypted, or it was erased before")
