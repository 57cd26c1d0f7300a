"""Why an operator's command cannot go on: one sentence for a person, one exit code for a script.

CannotGoOn                  the sentence, and what the process exits with
├── Unavailable             a server, a port, a file or a program that is needed is not there
└── Misconfigured           a setting or an argument that cannot be right
"""

import errno
import os
import re

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


CREDENTIALS = re.compile(r"//[^@/]*@")


def without_credentials(address: str) -> str:
    """Return an address without the user and password that it may carry."""
    return CREDENTIALS.sub("//********@", address)


def mongo_cause(error: Exception) -> str:
    """Return what went wrong, without the client's view of the whole cluster."""
    return str(error).partition(" (configured timeouts")[0].partition(", Timeout: ")[0]


def mongo_trouble(address: str, error: Exception, remedy: str = "") -> Unavailable:
    """Return the sentence for a MongoDB that does not answer."""
    sentence = f"MongoDB at {without_credentials(address)} does not answer: {mongo_cause(error)}."
    return Unavailable(f"{sentence} {remedy}".rstrip())


def trouble_outside(error: BaseException) -> CannotGoOn | None:
    """Return the sentence for a server or a file that failed where no command expected it; None for a bug of ours."""
    from aiokafka.errors import KafkaError
    from confluent_kafka import KafkaException
    from pymongo.errors import PyMongoError

    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, KafkaException):
        return Unavailable(f"Kafka failed: {error.args[0].str()}. `fulfillment doctor` looks at everything.")
    if isinstance(error, KafkaError):
        return Unavailable(f"Kafka failed: {error!r}. `fulfillment doctor` looks at everything.")
    if isinstance(error, PyMongoError):
        return Unavailable(f"MongoDB failed: {mongo_cause(error)}. `fulfillment doctor` looks at everything.")
    if isinstance(error, TimeoutError):
        return Unavailable(
            f"No answer in time: {error or 'a server is slow or unreachable'}. See `fulfillment doctor`."
        )
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return sentence_for(error, error.filename or type(error).__name__)
    return None


def sentences(error: ValidationError) -> str:
    """Return one line a refused setting, naming the environment variable; secrets are not repeated."""
    return "\n".join(_sentence(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors())


def _sentence(field: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"FULFILLMENT_{field.upper()}: {message}" if field else message
