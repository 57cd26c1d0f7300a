"""A Faust app as a process: it runs until it is asked to stop, and is gone soon after."""

import asyncio
import logging
import threading
from typing import Any, NoReturn

import faust

from streams.runtime.process import end_process

STOP_SECONDS = 8.0  # a supervisor that waits ten seconds, as Docker does, sees it go by itself

log = logging.getLogger(__name__)


class Worker(faust.Worker):
    """Faust's worker; it ends even where one of its services does not."""

    def on_worker_shutdown(self) -> None:
        """Begin to count when the signal has come."""
        timer = threading.Timer(STOP_SECONDS, self._end)  # a thread: the loop itself may be what hangs
        timer.daemon = True
        timer.start()

    def _gather_all(self) -> None:
        """End at once what is left: Faust would wait a second for it to end by itself."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    async def _sentinel_task(self) -> None:
        """Close the loop now, not in a second."""

    def _end(self) -> None:
        log.error("still waiting: %s", "; ".join(sorted(map(_awaited, asyncio.all_tasks(self.loop)))))
        end_process(f"it was asked to stop, and had not after {STOP_SECONDS:.0f} s")


def _awaited(task: "asyncio.Task[Any]") -> str:
    """Return what a task is made of, from its own coroutine to the one that waits: its stack has only the first."""
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
