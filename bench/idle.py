"""What the stack costs: when nobody asks anything of it, and per thing that is asked."""

import time

import psutil

from tests.system import System


def idle_cost(system: System, seconds: float = 15.0) -> list[tuple[str, float, float]]:
    """Return per process its name, share of one core in percent and resident memory in MiB over `seconds`."""
    system.quiet()
    processes = [(each["name"], psutil.Process(each["pid"])) for each in system.status()["processes"]]
    before = [_cpu(process) for _, process in processes]
    began = time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    return [
        (name, 100 * (_cpu(process) - used) / passed, process.memory_info().rss / 2**20)
        for (name, process), used in zip(processes, before, strict=True)
    ]


class Spent:
    """CPU seconds each process of the system has used since this was made."""

    def __init__(self, system: System) -> None:
        self._processes = [(each["name"], psutil.Process(each["pid"])) for each in system.status()["processes"]]
        self._own = psutil.Process()
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: _cpu(process) for name, process in [*self._processes, ("client", self._own)]}

    def each(self) -> dict[str, float]:
        """Return the seconds by process name, the load client among them."""
        return {name: used - self._before[name] for name, used in self._now().items()}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
