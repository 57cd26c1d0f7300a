"""MongoDB's errors as one sentence, for logs, `/readyz` and the command line.

PyMongo appends its view of the whole cluster to each message, and the server's complete reply. Neither helps an
operator, and both hide the one fact that does: which server failed, and how.
"""

import os
import re

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

NOISE = (
    re.compile(r", Timeout: [\d.]+s, Topology Description:.*", re.DOTALL),
    re.compile(r" \(configured timeouts: [^)]*\)"),
    re.compile(r", full error: \{.*", re.DOTALL),
)
SYSTEM_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] [^,(]*(\('[^)]*\))?")
SERVER = re.compile(r"ServerDescription \('(?P<host>[^']*)', (?P<port>\d+)\)")
STILL_LOOKING = re.compile(r"No (servers|replica set members|mongoses) found yet")
NEXT_SERVER = re.compile(r",(?=\S+:\d+: )")
UNTRUSTED = re.compile(
    r"\[SSL: CERTIFICATE_VERIFY_FAILED\] (?P<why>certificate verify failed: [^\[(]*\S) \(_ssl\.c:\d+\)"
)
UNAUTHORIZED, AUTHENTICATION_FAILED = 13, 18
REFUSED = {UNAUTHORIZED, AUTHENTICATION_FAILED}
# Codes of a replica set that elects a primary or loses a member; the specification of retryable writes lists them.
# PyMongo makes some of them a `ConnectionFailure`, but not as write concern errors.
ELECTING = {6, 7, 89, 91, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436}


def cause(error: BaseException) -> str:
    """Return what failed and at which server, for example `127.0.0.1:27017: Connection refused`."""
    text = str(error)
    if STILL_LOOKING.match(text):
        return ", ".join(f"{found['host']}:{found['port']}: no answer" for found in SERVER.finditer(text))
    for noise in NOISE:
        text = noise.sub("", text)
    text = UNTRUSTED.sub(lambda found: found["why"], text)
    text = SYSTEM_ERROR.sub(lambda found: os.strerror(int(found["number"])), text)
    return NEXT_SERVER.sub(", ", text).rstrip(". ") or type(error).__name__


def describe(error: BaseException, server: str = "MongoDB") -> str:
    """Return what happened as a sentence without a full stop; `server` is its subject."""
    if is_untrusted(error):
        return f"{server} has a certificate that is not trusted ({cause(error)})"
    if is_unreachable(error):
        return f"{server} is unreachable ({cause(error)})"
    if is_refused(error):
        return f"{server} refused the credentials ({cause(error)})"
    return f"{server} reported an error ({cause(error)})"


def is_untrusted(error: BaseException) -> bool:
    """Return whether no connection was made because of the server's certificate."""
    return UNTRUSTED.search(str(error)) is not None


def is_unreachable(error: BaseException) -> bool:
    """Return whether the error is about reaching a server in time, not about what was asked of it."""
    if isinstance(error, OperationFailure) and error.code in ELECTING:
        return True
    return isinstance(error, ConnectionFailure) or (isinstance(error, PyMongoError) and error.timeout)


def is_refused(error: BaseException) -> bool:
    """Return whether the server did not accept the user, or does not allow it the operation."""
    return getattr(error, "code", None) in REFUSED
