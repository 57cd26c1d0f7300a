"""The benchmark of queries: it has every GET route of the API, and every pair of filters."""

from bench.routes import UNMEASURED as LEFT_OUT
from bench.routes import Route, Taken, all_routes, as_markdown, failed, unmeasured


def test_every_route_is_measured_or_left_out_for_a_reason() -> None:
    assert unmeasured() == LEFT_OUT.keys()
    names = [route.name for route in all_routes()]
    assert len(names) == len(set(names))
    assert {"/orders?status&allocationStatus&sort=-updatedAt", "/orders?customerId&from&sort=createdAt"} <= set(names)


def test_paths_are_of_existing_orders() -> None:
    paths = {route.name: route.path(10) for route in all_routes()}
    assert paths["/orders?from&sort=createdAt"] == (
        "/orders?from=2026-11-23T10%3A00%3A01.200Z&to=2026-11-23T10%3A00%3A01.250Z&sort=createdAt"
    )
    assert paths["/inventory/{productId}/backorders"] == "/inventory/product-00000000/backorders"
    assert not any("{" in path for path in paths.values())


def test_a_route_that_grows_and_a_slow_list_miss_their_goals() -> None:
    def taken(name: str, few: float, many: float, lists: bool = True) -> Taken:
        return Taken(Route(name, lambda _: name, lists), {10: few, 1_000: many})

    found = [taken("same", 2.0, 2.1), taken("grows", 2.0, 2.5), taken("noise", 0.5, 0.7), taken("slow", 21.0, 21.0),
             taken("one", 21.0, 21.0, lists=False)]  # fmt: skip
    assert failed(found) == ["grows", "slow"]
    assert "| `GET grows` | 2.00 ms | 2.50 ms | +25% ✗ |\n" in as_markdown(found)
