"""`python tests/faults/run_points.py`: each fault point by itself, in all its roles at once, then a verification.

`kill`: the processes kill themselves (-9) at the point and are restarted. `stop`: they are suspended for longer than
session and transaction time-outs, others take over, and the zombies continue from the point.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent)]

from load import Load  # noqa: E402  # found by the line above
from points import PAUSE, Aim, Marksman, aims  # noqa: E402
from report_points import Row, write  # noqa: E402
from system import System  # noqa: E402
from verify import verdict  # noqa: E402

from streams.runtime.faults import POINTS, Point  # noqa: E402

ACTIONS = ("kill", "stop")
TWO = "orders=2,inventory=2,projector=2"  # takes over from suspended processes
CLIENTS = 4  # enough for every fetch to have messages
WARM = 1.0  # seconds of load before and after a fault


def main() -> None:
    """Run all points; return 1 if any of them broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", nargs="*", help="run only these points")
    parser.add_argument("--actions", default=",".join(ACTIONS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="number of systems that run concurrently")
    parser.add_argument("--write", type=Path, help="put the rows into this Markdown file, between its marks")
    arguments = parser.parse_args()
    shots = [
        (action, point, aim)
        for action in arguments.actions.split(",")
        for point in POINTS
        if point.name in (arguments.points or [point.name])
        for aim in aims(point, arguments.seed)
    ]
    shares = [shots[number :: arguments.jobs] for number in range(arguments.jobs)]
    with ThreadPoolExecutor(arguments.jobs) as jobs:
        broken = sum(jobs.map(lambda share: run(share, arguments.seed, arguments.write), shares))
    sys.exit(1 if broken else 0)


def run(shots: list[tuple[str, Point, Aim]], seed: int, report: Path | None) -> int:
    """Run the points on a system that is replaced once one has broken it; return how many did."""
    workers = TWO if any(action == "stop" for action, _, _ in shots) else ""
    (system, marksman), broken = fresh(workers), 0
    try:
        for number, (action, point, aim) in enumerate(shots):
            row = asyncio.run(shoot(marksman, action, point, aim, seed * 1000 + number))
            print(row, f"(look at {system.settings.data})" if row.found else "", flush=True)
            if report:
                write(report, row)
            if row.found:
                broken += 1
                system.down()
                system, marksman = fresh(workers)
    finally:
        system.down()
    return broken


def fresh(workers: str) -> tuple[System, Marksman]:
    """Start a system."""
    folder = Path(tempfile.mkdtemp(prefix="points-"))
    (asked := folder / "asked").mkdir()
    system = System(folder / "data", **Marksman.environment(asked))
    system.run("up", "--detach", "--workers", workers)
    return system, Marksman(system, asked)


async def shoot(marksman: Marksman, action: str, point: Point, aim: Aim, seed: int) -> Row:
    """Hit every role that has the point while it works; return how it recovered, and the broken promises."""
    load, began = Load(marksman.system, seed, CLIENTS), time.monotonic()
    names = [f"{role}-0" for role in sorted(point.roles)]
    happened, found = "", []
    try:
        async with load.running():
            await asyncio.sleep(WARM)
            happened = await (kill if action == "kill" else stop)(marksman, names, aim)
            await asyncio.sleep(WARM)
    except Exception as unfinished:  # this is a finding as well; the next point gets a system of its own
        found = [repr(unfinished)]
    try:
        broken, events = await verdict(marksman.system, load.promises)
    except Exception as unfinished:
        broken, events = [repr(unfinished)], 0
    return Row(action, str(aim), names, happened, str(load.promises), events, time.monotonic() - began, found + broken)


async def kill(marksman: Marksman, names: list[str], aim: Aim) -> str:
    """Let processes kill themselves; return how they recovered."""
    deaths = await asyncio.gather(*(marksman.kill(name, aim) for name in names))
    started = time.monotonic()
    await marksman.back(*names)
    again = sum(deaths) - len(names)
    back = f"back after {time.monotonic() - started:.0f} s"
    return back + (f", {again} ended more than once" if again else "")


async def stop(marksman: Marksman, names: list[str], aim: Aim) -> str:
    """Suspend processes for long, then let them continue; return how the zombies ended."""
    zombies = await asyncio.gather(*(marksman.stop(name, aim) for name in names))
    before = {name: marksman.restarts(name) for name in names}
    await asyncio.sleep(PAUSE)
    for zombie in zombies:
        zombie.resume()
    await marksman.back(*names)
    ended = sorted(name for name in names if marksman.restarts(name) > before[name])
    return f"ended themselves: {', '.join(ended)}" if ended else "continued"


if __name__ == "__main__":
    main()
