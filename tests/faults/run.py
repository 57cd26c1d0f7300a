"""`python tests/faults/run.py SEED …`: one schedule of faults a seed, each on a fresh system; prints a row each."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

from load import Load  # noqa: E402  # found by the line above
from schedule import Chaos  # noqa: E402
from system import System  # noqa: E402
from verify import broken  # noqa: E402


async def one(system: System, seed: int, seconds: float) -> tuple[Load, Chaos, list[str]]:
    """Load the system and hurt it for so long, then let it rest; return what was broken."""
    load, chaos = Load(system, seed), Chaos(system, seed)
    running = asyncio.create_task(load.run())
    await chaos.run(seconds)
    load.stopping.set()
    await running
    return load, chaos, await broken(system, load.promises)


def main() -> None:
    """Run the seeds, stop at nothing, exit 1 when any of them broke something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load and faults a seed")
    parser.add_argument("--keep", action="store_true", help="leave a broken system running, to look at it")
    arguments = parser.parse_args()
    failed = sum(not passes(seed, arguments.seconds, arguments.keep) for seed in arguments.seeds)
    sys.exit(1 if failed else 0)


def passes(seed: int, seconds: float, keep: bool) -> bool:
    """Run one seed on a fresh system; print its row."""
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{seed}-"))
    system = System(folder)
    began = time.monotonic()
    system.up()
    found: list[str] = ["it did not finish"]
    try:
        load, chaos, found = asyncio.run(one(system, seed, seconds))
        row = [str(seed), "; ".join(chaos.injected), str(load.promises), f"{time.monotonic() - began:.0f} s"]
        print("|", " | ".join([*row, "; ".join(found) or "clean"]), "|", flush=True)
    finally:
        if not (keep and found):
            system.down()
    return not found


if __name__ == "__main__":
    main()
