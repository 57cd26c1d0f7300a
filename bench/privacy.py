"""The cost of encrypting personal data: CPU time per order of our own code, without and with it, in turns.

    python -m bench.privacy [--orders N] [--rounds N]

A round takes orders through all steps of `bench.cpu` in the clear, encrypted for one customer, and encrypted for as
many customers as orders, each of whom gets a key with the first order. The figures are the minimum of the rounds.
"""

import argparse
import base64
import os

from bench.cpu import FETCH, Spent, least_of, measure
from streams.runtime import garbage
from streams.runtime.settings import Settings

ORDERS, ROUNDS = 500, 15
CLEAR, ENCRYPTED, NEW = "in the clear", "encrypted", "encrypted, each customer new"
SEALED_STEP = "orders: place"  # the only step that encrypts; the others only carry longer texts


def main() -> None:
    """Print CPU time per order: of the step that encrypts, and of all steps."""
    parser = argparse.ArgumentParser(prog="bench.privacy", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS, help="per round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="the minimum of these rounds is shown")
    asked = parser.parse_args()
    found = costs(asked.orders, asked.rounds)
    clear = sum(found[CLEAR].values())
    for name, steps in found.items():
        one, every = steps[SEALED_STEP], sum(steps.values())
        print(f"{name:30} {one:8.1f} µs to place, {every:8.1f} µs an order ({(every / clear - 1) * 100:+.1f} %)")


def costs(orders: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the minimum time per order of each step, in microseconds, for each way to place them."""
    garbage.configure()
    key = base64.b64encode(os.urandom(32)).decode()
    encrypting = Settings(personal_data_key=key)
    ways = {CLEAR: (Settings(), 1), ENCRYPTED: (encrypting, 1), NEW: (encrypting, orders)}
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (settings, customers) in ways.items():
            spent[name].append(Spent())
            measure(settings, orders, FETCH, spent[name][-1], customers)
    return {name: least_of(measured, orders) for name, measured in spent.items()}


if __name__ == "__main__":
    main()
