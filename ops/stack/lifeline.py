"""End child processes with their parent, even if the parent is killed with kill -9."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def tied_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return a function for a child to call before exec: it then gets `number` when this process dies. Linux only."""
    if LIBC is None:
        return None
    parent, prctl = os.getpid(), LIBC.prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)

    return tie
