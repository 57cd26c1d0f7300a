"""MongoDB's errors as one sentence, for logs, `/readyz` and the command line.

PyMongo appends its view of the whole cluster to each message, and the server's complete reply. Neither helps an
operator, and both hide the one fact that does: which server failed, and how.
"""

import os
import re

from pymongo.errors import ConnectionFailure, PyMongoError

NOISE = (
    re.compile(r", Timeout: [\d.]+s, Topology Description:.*", re.DOTALL),
    re.compile(r" \(configured timeouts: [^)]*\)"),
    re.compile(r", full error: \{.*", re.DOTALL),
)
SYSTEM_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] [^,(]*(\('[^)]*\))?")
SERVER = re.compile(r"ServerDescription \('(?P<host>[^']*)', (?P<port>\d+)\)")
STILL_LOOKING = re.compile(r"No (servers|replica set members|mongoses) found yet")
NEXT_SERVER = re.compile(r",(?=\S+:\d+: )")
UNAUTHORIZED, AUTHENTICATION_FAILED = 13, 18
REFUSED = {UNAUTHORIZED, AUTHENTICATION_FAILED}


def cause(error: BaseException) -> str:
    """Return what failed and at which server, for example `127.0.0.1:27017: Connection refused`."""
    text = str(error)
    if STILL_LOOKING.match(text):
        return ", ".join(f"{found['host']}:{found['port']}: no answer" for found in SERVER.finditer(text))
    for noise in NOISE:
        text = noise.sub("", text)
    text = SYSTEM_ERROR.sub(lambda found: os.strerror(int(found["number"])), text)
    return NEXT_SERVER.sub(", ", text).rstrip(". ") or type(error).__name__


def describe(error: BaseException, server: str = "MongoDB") -> str:
    """Return what happened as a sentence without a full stop; `server` is its subject."""
    if is_unreachable(error):
        return f"{server} is unreachable ({cause(error)})"
    if is_refused(error):
        return f"{server} refused the credentials ({cause(error)})"
    return f"{server} reported an error ({cause(error)})"


def is_unreachable(error: BaseException) -> bool:
    """Return whether the error is about reaching a server in time, not about what was asked of it."""
    return isinstance(error, ConnectionFailure) or (isinstance(error, PyMongoError) and error.timeout)


def is_refused(error: BaseException) -> bool:
    """Return whether the server did not accept the user, or does not allow it the operation."""
    return getattr(error, "code", None) in REFUSED
