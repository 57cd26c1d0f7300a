"""CPU time per event of replaying in the builder's own code, by step, without Kafka and MongoDB.

    python -m bench.fold [--events N] [--rounds N]

The figure is the minimum of many short rounds: on a shared machine, everything above it is the load of other processes.
"""

import argparse
import gc

from bench.cpu import Spent, project
from bench.events import having, histories
from bench.memory import Log
from projections.projection import Projection
from projections.table import CUSTOMER_SUMMARY, INVENTORY, ORDERS
from streams.kafka.transactions import Write
from streams.runtime.settings import Settings


def main() -> None:
    """Print CPU time per event by step."""
    parser = argparse.ArgumentParser(prog="bench.fold", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="per topic and round")
    parser.add_argument("--rounds", type=int, default=10, help="the minimum of these rounds is shown")
    asked = parser.parse_args()
    settings, log = Settings(), Log(Settings())
    events = histories(*having(asked.events))
    log.write(Write(settings.named(topic), -1, key, value) for topic, key, value in events)
    gc.freeze()
    gc.disable()  # like the builder
    for projection in (CUSTOMER_SUMMARY, ORDERS, INVENTORY):
        rounds = [measure(log, settings.named(projection.topic.name), projection) for _ in range(asked.rounds)]
        least = {step: min(each[step] for each in rounds) for step in rounds[0]}
        for step, microseconds in [*least.items(), (f"projector: {projection.name}, all", sum(least.values()))]:
            print(f"{step:38} {microseconds:6.2f} µs an event")


def measure(log: Log, topic: str, projection: Projection) -> dict[str, float]:
    """Fold all events of a topic as one batch; return CPU µs per event by step."""
    log.begin_again()
    spent, events = Spent(), 0
    for fetch in log.fetches([topic], 1 << 40):
        project(projection, fetch, {}, spent)
        events += sum(len(part.records) for part in fetch.parts.values())
    gc.collect()
    return {step: 1e6 * seconds / events for step, seconds in spent.seconds.items()}


if __name__ == "__main__":
    main()
