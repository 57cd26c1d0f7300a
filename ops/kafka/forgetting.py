"""Erase a customer's keys: a command for each partition of the orders table, and what their outcomes say.

NotEncrypted                   this installation does not encrypt personal data
NotForgotten                   the workers refuse the command
"""

import time
from collections.abc import Sequence

import orjson

from ops.errors import CommandFailed, Misconfigured
from ops.kafka import outcomes, records, sending
from ops.operators import principal
from privacy.forgetting import FORGETTING, ForgetCustomer
from streams.messages.codec import BadMessage, RecordAt, decode_command
from streams.messages.envelope import Outcome, new_id, now
from streams.runtime.settings import Settings
from streams.topics import ORDER_COMMANDS, has_customer_keys


class NotEncrypted(Misconfigured):
    """This installation does not encrypt personal data."""


class NotForgotten(CommandFailed):
    """The workers refuse the command."""


def check(customer_id: str) -> None:
    """Raise `BadCommands` if no customer can have this id."""
    try:
        parcel = _parcel(customer_id, 0)
        decode_command(parcel.value, RecordAt(parcel.topic, 0, 0, time.time(), parcel.key), FORGETTING, "orderId")
    except UnicodeEncodeError:
        raise sending.BadCommands("The customer id is not UTF-8. Nothing was sent.") from None
    except BadMessage as bad:
        raise sending.BadCommands(f"{bad.code}: {bad.message}\nNothing was sent. Correct the customer id.") from None


def forget(settings: Settings, customer_id: str, timeout: float) -> list[int]:
    """Return the partitions in which the customer had a key, once it is erased in all of them."""
    with records.kafka(settings):
        if not has_customer_keys(settings):
            raise NotEncrypted(
                "Personal data is not encrypted here, so there is nothing to erase: set FULFILLMENT_PERSONAL_DATA_KEY "
                "to encrypt that of new orders."
            )
        ends = records.ends(settings, outcomes.TOPIC)
    parcels = [_parcel(customer_id, number) for number in range(settings.partitions)]
    ids = sending.send(settings, parcels)
    return erased_in(sending.wait_for(settings, parcels, ids, ends, timeout), timeout)


def erased_in(answers: Sequence[Outcome | None], timeout: float) -> list[int]:
    """Return the partitions in which a key was erased, by the answers of all partitions."""
    if missing := [str(number) for number, answer in enumerate(answers) if answer is None]:
        raise outcomes.NoOutcome(
            f"Partitions {', '.join(missing)} of {ORDER_COMMANDS.name} have not answered after {timeout:g} s: check "
            "with `fulfillment status` that a worker of the orders role reads them, then run the command again."
        )
    given = [answer for answer in answers if answer is not None]
    if refused := next((answer for answer in given if answer.status == "rejected"), None):
        raise _refusal(refused)
    return [number for number, answer in enumerate(given) if (answer.result or {})["erased"]]


def _refusal(refused: Outcome) -> CommandFailed:
    said = f"The workers of the orders role refuse it ({refused.code}: {refused.message})"
    if refused.code != "UNKNOWN_TYPE":
        return NotForgotten(f"{said}. Run the command again when this is solved: it repeats nothing.")
    return NotEncrypted(f"{said}: set FULFILLMENT_PERSONAL_DATA_KEY for them, and run the command again.")


def _parcel(customer_id: str, partition: int) -> sending.Parcel:
    command_id = new_id()
    envelope = {
        "specversion": "1.0",
        "id": command_id,
        "type": ForgetCustomer.__name__,
        "source": sending.SOURCE,
        "subject": customer_id,
        "time": now(),
        "principal": principal(),
        "data": {"customerId": customer_id},
    }
    return sending.Parcel(
        ORDER_COMMANDS.name, customer_id.encode(), orjson.dumps(envelope), command_id, partition=partition
    )
