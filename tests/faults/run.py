"""`python tests/faults/run.py SEED …`: one schedule of faults per seed, each on a fresh system, with one row of
output."""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

from cluster import BROKERS, Cluster, ClusterChaos  # noqa: E402  # found by the line above
from deliveries import delivered  # noqa: E402
from elections import summary  # noqa: E402
from load import Load  # noqa: E402
from report import Row, write  # noqa: E402
from schedule import SETTINGS, Chaos  # noqa: E402
from system import System  # noqa: E402
from verify import Verdict, verdict  # noqa: E402


async def one(system: System, seed: int, seconds: float) -> tuple[Load, Chaos, Verdict]:
    """Load the system and inject faults for `seconds`, then let it settle; return the broken promises."""
    load = Load(system, seed)
    chaos = ClusterChaos(system, seed) if isinstance(system, Cluster) else Chaos(system, seed)
    async with delivered(system, seed) as deliveries:
        async with load.running():
            await chaos.run(seconds)
        found, events = await verdict(system, load.promises, deliveries)
    return load, chaos, Verdict(load.promises.broken + found, events)


def main() -> None:
    """Run all seeds; return 1 if any of them broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--brokers", type=int, default=1, choices=[1, BROKERS], help="with 3, also 3 MongoDB nodes")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of load and faults per seed")
    parser.add_argument("--jobs", type=int, default=1, help="number of systems that run concurrently")
    parser.add_argument("--keep", action="store_true", help="leave a broken system running for inspection")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown file, between its marks")
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs every broken connection
    rows: list[Row] = []
    with ThreadPoolExecutor(arguments.jobs) as jobs:
        for row in jobs.map(lambda seed: run(seed, arguments), arguments.seeds):
            rows.append(row)
            if arguments.write:  # each time, so that the table exists if the rest is interrupted
                write(arguments.write, rows, arguments.seconds, arguments.brokers)
    sys.exit(1 if any(row.found for row in rows) else 0)


def run(seed: int, arguments: argparse.Namespace) -> Row:
    """Run one seed on a fresh system; print its row."""
    kind, keep = System if arguments.brokers == 1 else Cluster, arguments.keep
    system = kind(Path(tempfile.mkdtemp(prefix=f"faults-{seed}-")), **SETTINGS)
    began = time.monotonic()
    row = Row(seed, [], "", 0, 0, ["it did not finish"])
    system.up()
    try:
        load, chaos, (found, events) = asyncio.run(one(system, seed, arguments.seconds))
        row = Row(seed, chaos.injected, str(load.promises), events, time.monotonic() - began, found, *served(chaos))
        print(*map(str, load.promises.unavailable.items()), sep="\n", file=sys.stderr)
    except Exception as unfinished:  # after any error, the seed counts as failed and the next one runs
        row = Row(seed, [], "", 0, time.monotonic() - began, [repr(unfinished)])
    finally:
        if not (keep and row.found):
            system.down()
    if row.found:
        print(f"the data and logs are in {system.settings.data}", file=sys.stderr)
    else:
        shutil.rmtree(system.settings.data)
    print(row, summary(row.partitions, row.reads), flush=True)
    return row


def served(chaos: Chaos) -> tuple[list[float], list[float]]:
    """Return how long after each election a partition, and MongoDB, served clients again."""
    return (chaos.elections.partitions, chaos.elections.reads) if isinstance(chaos, ClusterChaos) else ([], [])


if __name__ == "__main__":
    main()
