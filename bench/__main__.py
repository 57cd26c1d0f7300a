"""`python -m bench [PART …]`: run benchmarks on their own stacks, print the tables, and write them if asked to.

`python -m bench state` measures tables on disk, with a page of its own (bench/state.py), and
`python -m bench capacity --orders N --rate N` calculates what is needed from measured figures (bench/sizing.py).
"""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench import sizing, state
from bench.machine import machine, versions
from bench.parts import PARTS, run_parts
from bench.report import as_markdown, as_tables, sections
from bench.results import Results
from bench.stacks import Stacks
from bench.suite import Bench, Sizes

RESULTS = Path(".fulfillment/benchmarks.json")


def main() -> int:
    """Run the requested parts; return 1 if one failed."""
    if sys.argv[1:2] == ["capacity"]:
        return sizing.main(sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the stacks are stopped too
    if sys.argv[1:2] == ["state"]:
        return state.main(sys.argv[2:])
    arguments = _arguments()
    names = arguments.parts or list(PARTS)
    results = Results(arguments.results, go_on=bool(arguments.parts))
    with Stacks() as stacks:
        failed = run_parts(PARTS, names, Bench(_sizes(arguments), stacks, results), results)
        page = as_markdown(results, machine(), versions(stacks.mongo_version()))
    for table in as_tables(results):
        Console().print(table)
    if arguments.write:
        other = sections(arguments.write.read_text()) if arguments.write.exists() else ""
        arguments.write.write_text(page + other)
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    parser.add_argument("--orders", type=int, help="orders placed concurrently over HTTP")
    parser.add_argument("--commands", type=int, help="backlog of order commands to decide")
    parser.add_argument("--rounds", type=int, help="how often each figure is measured")
    parser.add_argument(
        "--full",
        action="store_true",
        help="also measure with 1,000,000 existing orders and replay as many events: takes much longer",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="tiny sizes that only show that it works; the figures mean nothing"
    )
    parser.add_argument("--write", type=Path, help="also write the tables to this file as Markdown")
    parser.add_argument(
        "--results", type=Path, default=RESULTS,
        help="keep the figures here (default: %(default)s); the named parts replace their figures, others stay",
    )  # fmt: skip
    arguments = parser.parse_args()
    if strange := set(arguments.parts) - PARTS.keys():
        parser.error(f"unknown part {', '.join(sorted(strange))}; choose from {', '.join(PARTS)}")
    return arguments


def _sizes(arguments: argparse.Namespace) -> Sizes:
    wanted = {name: getattr(arguments, name) for name in ("orders", "commands", "rounds")}
    sizes = Sizes.tiny() if arguments.tiny else Sizes(million=arguments.full)
    return replace(sizes, **{name: value for name, value in wanted.items() if value})


if __name__ == "__main__":
    sys.exit(main())
