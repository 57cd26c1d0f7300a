"""`python -m bench [PART …]`: run benchmarks against stacks of their own, print the tables, write them where asked."""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.machine import machine, versions
from bench.parts import PARTS, run_part
from bench.report import as_markdown, as_tables
from bench.results import Results
from bench.stacks import Stacks
from bench.suite import Bench, Sizes

RESULTS = Path(".fulfillment/benchmarks.json")


def main() -> int:
    """Run what was asked for; 1 when a part failed."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # the stacks are ended too
    names = arguments.parts or list(PARTS)
    results = Results(arguments.results, go_on=bool(arguments.parts))
    with Stacks() as stacks:
        failed = _run(names, Bench(_sizes(arguments), stacks, results))
        page = as_markdown(results, machine(), versions(stacks.servers.mongo_version()))
    for table in as_tables(results):
        Console().print(table)
    if arguments.write:
        arguments.write.write_text(page)
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    parser.add_argument("--orders", type=int, help="orders placed at a time over HTTP")
    parser.add_argument("--commands", type=int, help="backlog of order commands to decide")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument(
        "--full",
        action="store_true",
        help="also with 1,000,000 orders there, and so many events replayed: takes much longer",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="as little as shows that it works; the figures mean nothing"
    )
    parser.add_argument("--write", type=Path, help="also write the tables to this file, as Markdown")
    parser.add_argument(
        "--results", type=Path, default=RESULTS,
        help="keep the figures here (default: %(default)s); parts that are named replace theirs, the others stay",
    )  # fmt: skip
    arguments = parser.parse_args()
    if strange := set(arguments.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(strange))}: choose from {', '.join(PARTS)}")
    return arguments


def _sizes(arguments: argparse.Namespace) -> Sizes:
    wanted = {name: getattr(arguments, name) for name in ("orders", "commands", "rounds")}
    sizes = Sizes.tiny() if arguments.tiny else Sizes(million=arguments.full)
    return replace(sizes, **{name: value for name, value in wanted.items() if value})


def _run(names: list[str], bench: Bench) -> int:
    """Run the parts; return 1 when one of them failed."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting Kafka and MongoDB", total=sum(PARTS[name].seconds for name in names))
        bench.say = lambda what: progress.update(task, description=what)
        for name in names:
            bench.say(PARTS[name].title)
            part = run_part(name, bench, lambda one: progress.console.print(str(one), markup=False))
            bench.results.keep(name, part)
            progress.advance(task, PARTS[name].seconds)
            if part.failed:
                progress.console.print(f"{name} failed: {part.failed}", markup=False)
    return int(any(bench.results.parts[name].failed for name in names))


if __name__ == "__main__":
    sys.exit(main())
