"""The headers of a delivery, as Standard Webhooks defines them (https://www.standardwebhooks.com).

BadSecret                      a secret that is not one of Standard Webhooks
"""

import base64
import binascii
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from streams.messages.envelope import derived_id

PREFIX = "whsec_"
NEW_BYTES, LEAST_BYTES, MOST_BYTES = 32, 24, 64
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


class BadSecret(ValueError):
    """A secret is not `whsec_` and 24 to 64 bytes in base64."""

    def __init__(self) -> None:
        super().__init__(f"must be {PREFIX} and {LEAST_BYTES} to {MOST_BYTES} random bytes in base64")


def new_secret() -> str:
    """Return a random secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_BYTES)).decode()


def check_secret(secret: str) -> str:
    """Return a secret that a client chose; raise `BadSecret`."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret from None
    if not secret.startswith(PREFIX) or not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise BadSecret
    return secret


def message_id(event_id: str) -> str:
    """Return the `webhook-id` of an event: its id, unless older code gave it one that is not allowed there."""
    return event_id if _ID.fullmatch(event_id) else derived_id("webhook", event_id)


def signed(event_id: str, body: bytes, seconds: float, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of an attempt at a Unix time; each of the secrets signs it."""
    identifier, moment, text = message_id(event_id), datetime.fromtimestamp(seconds, UTC), body.decode()
    signatures = [Webhook(secret).sign(identifier, moment, text) for secret in secrets]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(seconds)),
        "webhook-signature": " ".join(signatures),
    }
