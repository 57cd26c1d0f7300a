"""Compare this checkout with another commit: both are measured in turns on their own stacks, reported as ratios.

python -m bench.against BASE [--parts PART …] [--rounds N] [--tiny] [--write PAGE]
"""

import argparse
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.checkout import HERE, ROOT, Checkout, commit_of, made, opened
from bench.compared import COMPARED
from bench.machine import machine, versions
from bench.parts import run_parts
from bench.report import RATIO_HEAD, comparison, ratio_rows, with_section
from bench.results import Results
from bench.stacks import Stacks
from bench.suite import Sizes
from bench.turns import Turns

SIZES = Sizes(commands=30_000, orders=3_000, already=40_000, replayed=150_000, singles=200, rounds=5)
RESULTS = Path(".fulfillment/against.json")


def main() -> int:
    """Run the comparison; return 1 if a part failed."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the stacks are stopped too
    results = Results(arguments.results, go_on=bool(arguments.parts))
    sizes = Sizes.tiny() if arguments.tiny else SIZES
    sizes = replace(sizes, rounds=arguments.rounds or sizes.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-base-") as folder, Stacks() as stacks:
        base = _base(arguments.base, Path(folder) / "base", arguments.python)
        turns = Turns(base, sizes, stacks, replace(HERE, commit=commit_of(ROOT)))
        failed = run_parts(COMPARED, arguments.parts or list(COMPARED), turns, results)
        about = f"{machine()} · {versions(stacks.mongo_version())}"
    table = Table(*RATIO_HEAD, title=f"against {arguments.base}", title_justify="left")
    for row in ratio_rows(results):
        table.add_row(*row)
    Console().print(table)
    if arguments.write:
        name = base.commit[:7] if Path(arguments.base).is_dir() else arguments.base  # a path means nothing to others
        section = comparison(results, name, about)
        arguments.write.write_text(with_section(arguments.write.read_text(), "against", section))
    return failed


def _base(wanted: str, folder: Path, python: str) -> Checkout:
    """Return the checkout to compare with: an installed one, or a commit that is cloned and installed."""
    if (Path(wanted) / ".venv").is_dir():
        return opened(Path(wanted).resolve())
    Console(stderr=True).print(f"installing {wanted} from its own lock", highlight=False)
    return made(wanted, folder, python)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.against", description=__doc__)
    parser.add_argument("base", help="a commit, tag or branch; or a folder with a checkout that has a .venv")
    parser.add_argument("--parts", nargs="*", metavar="PART", choices=COMPARED, help=f"of {', '.join(COMPARED)}")
    parser.add_argument("--rounds", type=int, help=f"how often each figure is measured (default: {SIZES.rounds})")
    parser.add_argument("--python", default=sys.executable, help="the interpreter for the base's .venv")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny sizes that only show that it works; the figures mean nothing"
    )
    parser.add_argument("--write", type=Path, help="also write the table into its section of this page")
    parser.add_argument(
        "--results", type=Path, default=RESULTS,
        help="keep the figures here (default: %(default)s); the named parts replace their figures, others stay",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
