"""How a worker ends when it must not go on: with a sentence, and a code its supervisor restarts it for."""

import logging
import os
import sys
from typing import NoReturn

log = logging.getLogger(__name__)

EX_SOFTWARE = 70
EX_CONFIG = 78
ENDS = ": this worker ends, its restart goes on from what is committed"


def reason_in(line: str) -> str:
    """Return the reason for which a process ended, from the last line of its log; the line where it is not ours."""
    return (line.partition(f"{__name__}: ")[2] or line).removesuffix(ENDS)


def end_process(reason: str, code: int = EX_SOFTWARE) -> NoReturn:
    """End this process at once, without any goodbye that could commit something; its supervisor starts it again."""
    log.critical("%s%s", reason, ENDS)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
