"""The cipher: AES-256-GCM with a nonce that follows from the contents.

The same address of the same order is sealed to the same text each time, so that repeated commands are recognized. Order
and field are authenticated: a sealed address cannot be moved to another order.

CannotOpen                     a text was not sealed with this key for this place, or was changed
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# A `domain.address.Sealed` is `sealed:<id of the key>:<nonce and ciphertext in base64>`.
PREFIX = "sealed:"
NONCE_BYTES = 12


class CannotOpen(Exception):
    """A text was not sealed with this key for this place, or was changed."""


class Cipher:
    """Seals and opens texts with one customer's key."""

    __slots__ = ("_cipher", "_nonces", "_prefix", "key_id")

    def __init__(self, key_id: str, key: bytes) -> None:
        self.key_id, self._prefix = key_id, f"{PREFIX}{key_id}:"
        self._cipher = AESGCM(_derived(key, b"cipher"))
        self._nonces = hmac.new(_derived(key, b"nonce"), digestmod=sha256)

    def seal(self, order_id: str, field: str, text: bytes) -> str:
        """Return `text`, the value of a field of an order, as it is stored."""
        place = _place(order_id, field)
        digest = self._nonces.copy()
        digest.update(b"%d " % len(place) + place + text)
        nonce = digest.digest()[:NONCE_BYTES]
        return self._prefix + urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text, place)).decode()

    def open(self, order_id: str, field: str, sealed: str) -> bytes:
        """Return the text that was sealed; raise `CannotOpen` if it is not that of this field of this order."""
        try:
            raw = urlsafe_b64decode(sealed.removeprefix(self._prefix))
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _place(order_id, field))
        except (InvalidTag, Error, ValueError) as error:
            raise CannotOpen(f"{field} of order {order_id} was not sealed with key {self.key_id}") from error


def key_id_of(sealed: str) -> str:
    """Return the id of the key that a text was sealed with."""
    return sealed.split(":", 2)[1]


def is_sealed(value: object) -> bool:
    """Return whether a value of an event, a state or a document is sealed."""
    return isinstance(value, str) and value.startswith(PREFIX)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")


def _place(order_id: str, field: str) -> bytes:
    return f"{order_id}\n{field}".encode()  # ids contain no line breaks
