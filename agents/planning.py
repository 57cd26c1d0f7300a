"""Chooses the locations from which a new order gets its units: those it names, or those of the settings."""

from msgspec.structs import replace

from domain.orders.commands import PlaceOrder
from streams.messages.envelope import CommandMessage
from streams.runtime.settings import Settings


class Planning:
    """Completes orders by the settings, before they are decided. Their addresses must not be encrypted yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.is_needed = settings.allocation is not None or settings.one_location or settings.locations_file is not None

    def planned(self, command: CommandMessage) -> CommandMessage:
        """Return a command to place an order with its plan; one that names locations keeps them."""
        order = command.command
        assert isinstance(order, PlaceOrder), "only new orders are planned"
        plan = self._settings.plan(order.allocation, order.shipping_address)
        if plan == order.allocation:
            return command
        return replace(command, command=replace(order, allocation=plan))
