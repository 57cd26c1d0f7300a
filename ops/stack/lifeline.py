"""Tie a child's life to its parent's, so that kill -9 of the parent leaves nothing behind."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def tied_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child must run before exec so that it gets `number` when this process dies; None off Linux."""
    if LIBC is None:
        return None
    parent, prctl = os.getpid(), LIBC.prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return tie
