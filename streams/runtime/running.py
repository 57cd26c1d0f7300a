"""Runs a Faust app as a process until it gets a signal; then it ends within a bounded time."""

import asyncio
import logging
import threading
from typing import Any, NoReturn

import faust

from streams.runtime.process import end_process

STOP_SECONDS = 8.0  # less than the ten seconds that Docker waits before it kills a process

log = logging.getLogger(__name__)


class Worker(faust.Worker):
    """Faust's worker; it ends even if one of its services does not."""

    def on_worker_shutdown(self) -> None:
        """Start the timer when a signal arrives."""
        timer = threading.Timer(STOP_SECONDS, self._end)  # a thread, because the loop itself may hang
        timer.daemon = True
        timer.start()

    def _gather_all(self) -> None:
        """Cancel remaining tasks at once; Faust would wait a second for them."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    async def _sentinel_task(self) -> None:
        """Close the loop at once; Faust would wait a second."""

    def _end(self) -> None:
        log.error("still waiting: %s", "; ".join(sorted(map(_awaited, asyncio.all_tasks(self.loop)))))
        end_process(f"it was asked to stop, and had not after {STOP_SECONDS:.0f} s")


def _awaited(task: "asyncio.Task[Any]") -> str:
    """Return the coroutines of a task, down to the one that waits; the task's stack contains only the first."""
    chain: list[str] = []
    at: Any = task.get_coro()
    while at is not None and (name := getattr(at, "__qualname__", None)):
        chain.append(name)
        at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None) or getattr(at, "ag_await", None)
    return " > ".join(chain)


def run_until_stopped(app: Any) -> NoReturn:
    """Run `app` until SIGTERM or SIGINT; raises SystemExit."""
    worker = Worker(app, loglevel="WARN", quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None  # it would write between the lines of the log
    worker.execute_from_commandline()
    raise SystemExit  # for the type checker: the line above does
