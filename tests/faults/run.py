"""`python tests/faults/run.py SEED …`: one schedule of faults per seed, each on a fresh system, with one row of
output."""

import argparse
import asyncio
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

from cluster import BROKERS, Cluster, ClusterChaos  # noqa: E402  # found by the line above
from load import Load  # noqa: E402
from report import Row, write  # noqa: E402
from schedule import Chaos  # noqa: E402
from system import System  # noqa: E402
from verify import Verdict, verdict  # noqa: E402


async def one(system: System, seed: int, seconds: float) -> tuple[Load, Chaos, Verdict]:
    """Load the system and inject faults for `seconds`, then let it settle; return the broken promises."""
    load = Load(system, seed)
    chaos = ClusterChaos(system, seed) if isinstance(system, Cluster) else Chaos(system, seed)
    running = asyncio.create_task(load.run())
    await chaos.run(seconds)
    load.stopping.set()
    await running
    return load, chaos, await verdict(system, load.promises)


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
    with ThreadPoolExecutor(arguments.jobs) as jobs:
        rows = list(jobs.map(lambda seed: run(seed, arguments), arguments.seeds))
    if arguments.write:
        write(arguments.write, rows, arguments.seconds, arguments.brokers)
    sys.exit(1 if any(row.found for row in rows) else 0)


def run(seed: int, arguments: argparse.Namespace) -> Row:
    """Run one seed on a fresh system; print its row."""
    kind, keep = System if arguments.brokers == 1 else Cluster, arguments.keep
    system = kind(Path(tempfile.mkdtemp(prefix=f"faults-{seed}-")))
    began = time.monotonic()
    row = Row(seed, [], "", 0, 0, ["it did not finish"])
    system.up()
    try:
        load, chaos, (found, events) = asyncio.run(one(system, seed, arguments.seconds))
        row = Row(seed, chaos.injected, str(load.promises), events, time.monotonic() - began, found)
    except Exception as unfinished:  # after any error, the seed counts as failed and the next one runs
        row = Row(seed, [], "", 0, time.monotonic() - began, [repr(unfinished)])
    finally:
        if not (keep and row.found):
            system.down()
    print(row, f"(look at {system.settings.data})" if keep and row.found else "", flush=True)
    return row


if __name__ == "__main__":
    main()
