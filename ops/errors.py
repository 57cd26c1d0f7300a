"""Why an operator's command cannot go on: one sentence for a person, one exit code for a script.

CannotGoOn                  the sentence, and what the process exits with
├── Unavailable             a server, a port, a file or a program that is needed is not there
└── Misconfigured           a setting or an argument that cannot be right
"""

import errno
import os

from pydantic import ValidationError


class CannotGoOn(Exception):
    """Carry one sentence that says what is wrong and what to do."""

    exit_code = 1


class Unavailable(CannotGoOn):
    """Something outside is missing, taken or broken."""

    exit_code = os.EX_UNAVAILABLE


class Misconfigured(CannotGoOn):
    """A setting is refused; retrying without changing it is pointless."""

    exit_code = os.EX_CONFIG


def sentence_for(error: OSError, path: object) -> CannotGoOn:
    """Say what an operating system error at `path` means for whoever runs us."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"The disk is full: {path} could not be written. Free some space and start again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Unavailable(f"{path} is not writable for this user: fix its permissions or set FULFILLMENT_DATA.")
    return Unavailable(f"{path}: {error.strerror or error}.")


def sentences(error: ValidationError) -> str:
    """Return one line a refused setting, naming the environment variable; secrets are not repeated."""
    return "\n".join(_sentence(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors())


def _sentence(field: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"FULFILLMENT_{field.upper()}: {message}" if field else message
