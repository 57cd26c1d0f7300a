"""Why a command fails: one sentence for a person, one exit code for a script.

CommandFailed               the sentence, and the exit code of the process
├── Unavailable             a server, a port, a file or a program that the command needs is missing
└── Misconfigured           a setting or an argument is wrong
"""

import errno
import os
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from streams.runtime.settings import Settings


class CommandFailed(Exception):
    """A failure that the user can act on; the message says what happened and what to do."""

    exit_code = 1


class Unavailable(CommandFailed):
    """Something outside this process is missing, in use or broken."""

    exit_code = os.EX_UNAVAILABLE


class Misconfigured(CommandFailed):
    """A setting or an argument is wrong; the command fails again until it is changed."""

    exit_code = os.EX_CONFIG


def file_error(error: OSError, path: object) -> CommandFailed:
    """Return the failure that an operating system error at `path` means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"The disk is full: {path} cannot be written. Free some space and try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Unavailable(f"{path} is not writable: fix its permissions, or set FULFILLMENT_DATA.")
    return Unavailable(f"{path}: {error.strerror or error}.")


CREDENTIALS = re.compile(r"//.*@")  # up to the last one: a password may contain what it should have escaped
SECRET_OPTIONS = re.compile(r"(?<=[?&])(\w*(?:password|properties)=)[^&]*", re.IGNORECASE)


def without_credentials(address: str) -> str:
    """Return an address with its user, password and secret options masked."""
    return SECRET_OPTIONS.sub(r"\1********", CREDENTIALS.sub("//********@", address))


def mongo_error(address: str, error: Exception, consequence: str = "") -> Unavailable:
    """Return the failure for an error of MongoDB at `address`; `consequence` is a sentence about what was not done."""
    from projections.mongo.failures import describe

    sentence = f"{describe(error, f'MongoDB at {without_credentials(address)}')}. {mongo_remedy(error)}"
    return Unavailable(f"{consequence} {sentence}".lstrip())


def mongo_remedy(error: Exception) -> str:
    """Return what to do about an error of MongoDB, as a sentence."""
    from projections.mongo.failures import is_refused, is_unreachable, is_untrusted

    if is_untrusted(error):
        return "Set tlsCAFile in FULFILLMENT_MONGO to the certificate of the authority that signed it."
    if is_unreachable(error):
        return "Start it with `fulfillment up`, or set FULFILLMENT_MONGO to a running server."
    if is_refused(error):
        return "Check the user and password in FULFILLMENT_MONGO."
    return "Run `fulfillment doctor` to check the installation."


def kafka_error(settings: "Settings", error: Any, name: str = "") -> Unavailable:
    """Return the failure for an error of a client of Kafka, which was about the topic or group `name`."""
    from aiokafka.errors import KafkaError
    from confluent_kafka import KafkaException

    from streams.kafka.diagnosis import diagnosis, missing_right

    known = isinstance(error, KafkaError | KafkaException)
    trouble = (missing_right(error, name) if known else None) or diagnosis(settings)
    if trouble is not None and trouble.reached:
        return Unavailable(f"{trouble.what}. {trouble.remedy[0].upper()}{trouble.remedy[1:]}.")
    text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
    if trouble is None and known:
        return Unavailable(f"Kafka failed: {text}. Run `fulfillment doctor` to check the installation.")
    return Unavailable(
        f"Kafka at {settings.kafka} does not answer ({text}). Start it with `fulfillment up`, or set FULFILLMENT_KAFKA "
        "to a running server."
    )


def external_failure(error: BaseException) -> CommandFailed | None:
    """Return the failure for an error of a server or a file; None for a bug in this program."""
    from aiokafka.errors import KafkaError
    from confluent_kafka import KafkaException
    from pymongo.errors import PyMongoError

    from ops.loading import load_settings
    from projections.mongo.client import UnusableUri
    from projections.mongo.failures import describe

    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, KafkaException | KafkaError):
        return kafka_error(load_settings(), error)
    if isinstance(error, UnusableUri):
        return Misconfigured(f"{error}.")
    if isinstance(error, PyMongoError):
        return Unavailable(f"{describe(error)}. {mongo_remedy(error)}")
    if isinstance(error, TimeoutError):
        what = str(error) or "a server is slow or unreachable"
        return Unavailable(f"The command timed out: {what}. Run `fulfillment doctor` to check the installation.")
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return file_error(error, error.filename or type(error).__name__)
    return None


def settings_errors(error: ValidationError) -> str:
    """Return one line for each refused setting, with its environment variable and without the secrets."""
    return "\n".join(_settings_error(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors())


def _settings_error(field: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"FULFILLMENT_{field.upper()}: {message}" if field else message
