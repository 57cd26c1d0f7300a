"""Tables that are rebuilt from events have a timer for each deadline that has not been acted on."""

from typing import Any

from audit_world import TIME, World, histories, place
from msgspec.structs import replace

from domain.inventory.commands import ReceiveStock, ReserveStock
from domain.orders.deadlines import ReachDeadline
from ops.audit.report import Report
from ops.kafka.adopt import READERS
from ops.replay.rebuild import Rebuilding
from streams.runtime.settings import Settings
from tables.timers import PREFIX, timer_key

SOON = "2026-11-27T12:00:00.000Z"


def rebuilt(world: World, role: str) -> list[bytes]:
    """Return the keys of the timers in the rebuilt table of a role."""
    kind: Any = "order" if role == "orders" else "inventory"
    aggregates = list(histories(kind, world.logs[kind], Report()).aggregates.values())
    rebuilding = Rebuilding(Settings())
    rebuilding.times |= {(kind, each.key): TIME for each in aggregates}
    (reader,) = [each for each in READERS if each.role == role]
    return [key for key, _ in rebuilding._encoded(reader, aggregates) if key.startswith(PREFIX)]


def test_an_order_that_is_late_already_has_no_timer() -> None:
    world = World()
    world.stock("boots", ReceiveStock(quantity=5))
    world.order("o/1", replace(place(boots=1), ship_by=SOON))
    world.order("o-2", place(boots=1))
    world.order("o-3", replace(place(boots=1), ship_by=SOON), ReachDeadline(now=SOON))  # type: ignore[arg-type]
    assert rebuilt(world, "orders") == [timer_key(SOON, b"o%2F1")]


def test_a_reservation_that_has_expired_has_no_timer() -> None:
    world = World()
    world.stock("boots", ReceiveStock(quantity=5))
    for order_id in ("a", "b"):
        world.stock("boots", ReserveStock(order_id=order_id, quantity=1, expires_at=SOON))
    world.stock("boots", ReserveStock(order_id="c", quantity=1))
    assert rebuilt(world, "inventory") == [timer_key(SOON, b"boots/a/manual"), timer_key(SOON, b"boots/b/manual")]
