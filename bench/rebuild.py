"""`python -m bench.rebuild`: how fast read models are rebuilt from offset zero, on their own servers."""

import argparse
import tempfile
from pathlib import Path

from bench.replay import logs, rebuild
from bench.stacks import Stacks

NAMES = ("customer_summary", "orders", "inventory")


def main() -> None:
    """Fill the event topics, then build each read model."""
    parser = argparse.ArgumentParser(prog="bench.rebuild", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000, help="per topic")
    parser.add_argument("--names", nargs="*", default=NAMES, help="names of projections")
    arguments = parser.parse_args()
    with Stacks() as stacks, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        install = logs(stacks.servers, Path(folder), arguments.events)
        for name in arguments.names:
            print(f"{name}: {rebuild(install, name)}", flush=True)


if __name__ == "__main__":
    main()
