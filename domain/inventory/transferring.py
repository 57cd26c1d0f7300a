"""Transferring: available units leave one location for another, are in transit, and arrive, all or some of them.

Closed locations send and receive transfers, too: this is how they are emptied, and filled again.
"""

from msgspec.structs import replace

from domain.errors import InsufficientStock, InvalidQuantity, TransferExists, TransferNotFound
from domain.ids import refuse_confusable
from domain.policy import MAX_LOCATIONS

from .commands import ReceiveTransfer, TransferStock
from .events import StockTransferred, TransferReceived
from .figures import moved, with_balance
from .locations import Moved, after, at, refuse_new, refuse_unknown
from .state import Stock, StockState, Transfer


def transfer(command: TransferStock, state: StockState) -> list[StockTransferred]:
    """Send units from one location to another; no event if the same transfer is under way."""
    stock = state.stock
    if (known := _transfer(stock, command.transfer_id)) is not None:
        if known == Transfer(command.transfer_id, command.source, command.target, command.quantity):
            return []
        raise TransferExists(transferId=command.transfer_id)
    refuse_confusable("transferId", command.transfer_id)
    refuse_unknown(stock, command.source)
    refuse_new(stock, command.target)
    if command.source == command.target:
        raise InvalidQuantity(reason="a transfer needs two locations")
    if len(stock.transfers) >= MAX_LOCATIONS:
        raise InvalidQuantity(reason=f"at most {MAX_LOCATIONS} transfers of a product may be under way")
    available = at(stock, command.source).available
    if command.quantity > available:
        raise InsufficientStock(productId=state.product_id, asked=command.quantity, available=available)
    with_target = replace(stock, locations=after(stock, command.target, Moved()))
    return [
        StockTransferred(
            balance=moved(stock.balance, on_hand=-command.quantity, in_transit=command.quantity),
            locations=after(with_target, command.source, Moved(on_hand=-command.quantity)),
            transfer_id=command.transfer_id,
            source=command.source,
            target=command.target,
            quantity=command.quantity,
        )
    ]


def transferred(stock: Stock, event: StockTransferred) -> Stock:
    """Return `stock` with units in transit."""
    new = Transfer(event.transfer_id, event.source, event.target, event.quantity)
    return replace(with_balance(stock, event), transfers=(*stock.transfers, new))


def receive_transfer(command: ReceiveTransfer, state: StockState) -> list[TransferReceived]:
    """Receive the units of a transfer and end it; units that did not arrive are lost."""
    stock, transfer = state.stock, _transfer(state.stock, command.transfer_id)
    if transfer is None:
        raise TransferNotFound(transferId=command.transfer_id)
    units = transfer.quantity if command.quantity is None else command.quantity
    lost = transfer.quantity - units
    if lost < 0:
        raise InvalidQuantity(reason=f"{units} units received, {transfer.quantity} in transit")
    return [
        TransferReceived(
            balance=moved(stock.balance, on_hand=units, in_transit=-transfer.quantity, adjusted=-lost),
            locations=after(stock, transfer.target, Moved(on_hand=units)),
            transfer_id=transfer.transfer_id,
            location=transfer.target,
            quantity=units,
            lost=lost,
        )
    ]


def transfer_received(stock: Stock, event: TransferReceived) -> Stock:
    """Return `stock` without the transfer, and with its units on hand."""
    left = tuple(each for each in stock.transfers if each.transfer_id != event.transfer_id)
    return replace(with_balance(stock, event), transfers=left)


def _transfer(stock: Stock, transfer_id: str) -> Transfer | None:
    return next((each for each in stock.transfers if each.transfer_id == transfer_id), None)
