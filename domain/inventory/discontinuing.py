"""Discontinuing: a product accepts no new reservations until it is reactivated."""

from msgspec.structs import replace

from .backorders import fill, reject_waiting
from .commands import DiscontinueProduct, ReactivateProduct
from .events import ProductDiscontinued, ProductReactivated, ReservationRejected, StockReserved
from .figures import with_balance
from .state import Stock, StockState


def discontinue(command: DiscontinueProduct, state: StockState) -> list[ProductDiscontinued | ReservationRejected]:
    """Accept no new reservations and reject waiting lines; reserved units stay reserved."""
    stock = state.stock
    if stock.discontinued:
        return []
    event = ProductDiscontinued(balance=stock.balance, locations=stock.locations, reason=command.reason)
    return [event, *reject_waiting(stock, state.waiting)]


def discontinued(stock: Stock, event: ProductDiscontinued) -> Stock:
    """Return `stock`, which accepts no new reservations."""
    return replace(with_balance(stock, event), discontinued=True)


def reactivate(command: ReactivateProduct, state: StockState) -> list[ProductReactivated | StockReserved]:
    """Accept reservations again, and serve waiting lines that have not been rejected yet."""
    stock = state.stock
    if not stock.discontinued:
        return []
    return [ProductReactivated(balance=stock.balance, locations=stock.locations), *fill(stock, state.waiting)]


def reactivated(stock: Stock, event: ProductReactivated) -> Stock:
    """Return `stock`, which accepts reservations again."""
    return replace(with_balance(stock, event), discontinued=False)
