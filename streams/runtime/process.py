"""Ends a worker that must not continue, with a sentence and an exit code; its supervisor restarts it."""

import logging
import os
import sys
from typing import NoReturn

log = logging.getLogger(__name__)

EX_SOFTWARE = 70
EX_CONFIG = 78
ENDS = ": this worker ends, and its restart continues from the committed offsets"


def reason_in(line: str) -> str:
    """Return why a process ended, from the last line of its log; the whole line if it has another form."""
    return (line.partition(f"{__name__}: ")[2] or line).removesuffix(ENDS)


def end_process(reason: str, code: int = EX_SOFTWARE) -> NoReturn:
    """End this process at once, without a shutdown that could commit something; its supervisor restarts it."""
    log.critical("%s%s", reason, ENDS)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
