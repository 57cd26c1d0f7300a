"""An audit that ends with kill -9 as soon as some partitions are done: `python audit_killed.py FILE`.

It writes the ids of its processes to the file first.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.audit.plan import RESULT
from ops.audit.run import run
from ops.progress import Advance
from streams.runtime.settings import Settings

DONE = 3  # partitions


def main() -> None:
    """Audit until it is killed."""
    settings = Settings()

    @contextmanager
    def progress(what: str, total: int) -> Iterator[Advance]:
        def advance(steps: int = 1) -> None:
            if len([*(settings.data / "audit").glob(f"*-events-*/{RESULT}")]) >= DONE:
                Path(sys.argv[1]).write_text(json.dumps([each.pid for each in multiprocessing.active_children()]))
                os.kill(os.getpid(), signal.SIGKILL)

        yield advance

    asyncio.run(run(settings, repair=False, progress=progress, processes=2))


if __name__ == "__main__":
    main()
