"""Wraps the keys of customers, so that a copy of a topic or a disk is not enough to use them.

`KeyEncryption` is all that a key management service has to offer; `MasterKeys` does it with keys from the settings.

CannotUnwrap                   a key was wrapped with a master key that is not set any more, or was changed
"""

import logging
import os
import time
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streams.runtime.privacy_settings import PrivacySettings

log = logging.getLogger(__name__)
ID_BYTES, NONCE_BYTES = 8, 12
LOOK_SECONDS = 1.0  # between two looks whether the file has changed


class CannotUnwrap(Exception):
    """A key was wrapped with a master key that is not set any more, or was changed."""


class KeyEncryption(Protocol):
    """Encrypts keys with a key of its own that never leaves it."""

    def wrap(self, key: bytes) -> bytes:
        """Return a key, encrypted."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return a key that was wrapped; raise `CannotUnwrap` if that is impossible."""


class MasterKeys:
    """The master keys in the settings: the first one wraps, all unwrap. Their file is read again when it changes.

    A wrapped key consists of the id of its master key, a nonce and the ciphertext.
    """

    def __init__(self, settings: PrivacySettings) -> None:
        self._settings, self._file = settings, settings.personal_data_key_file
        self._version, self._looked = self._stat(), time.monotonic()
        self._keys = _by_id(settings.master_keys())

    def wrap(self, key: bytes) -> bytes:
        """Return a key, encrypted with the first master key."""
        self._look()
        master_id, master = next(iter(self._keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        return master_id + nonce + master.encrypt(nonce, key, master_id)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return a key that was wrapped with any of the master keys."""
        self._look()
        master_id, rest = wrapped[:ID_BYTES], wrapped[ID_BYTES:]
        if (master := self._keys.get(master_id)) is None:
            raise CannotUnwrap(
                f"a customer's key is wrapped with the master key {master_id.hex()}, which is not in "
                "FULFILLMENT_PERSONAL_DATA_KEY: add it after the others"
            )
        try:
            return master.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], master_id)
        except (InvalidTag, ValueError) as error:
            raise CannotUnwrap("a customer's wrapped key was changed") from error

    def _look(self) -> None:
        if self._file is None or (now := time.monotonic()) - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if (version := self._stat()) == self._version:
            return
        try:
            keys = _by_id(self._settings.master_keys())
        except (OSError, ValueError) as error:
            log.error("the master keys of personal data stay as they were: %s", error)
        else:
            self._keys, self._version = keys, version
            log.info("read %d master keys of personal data", len(keys))

    def _stat(self) -> object:
        try:
            found = self._file.stat() if self._file else None
        except OSError:
            return None
        return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def key_encryption(settings: PrivacySettings) -> KeyEncryption:
    """Return what wraps the keys of this installation: the only place that chooses."""
    return MasterKeys(settings)


def _by_id(keys: tuple[bytes, ...]) -> dict[bytes, AESGCM]:
    return {sha256(b"master key " + key).digest()[:ID_BYTES]: AESGCM(key) for key in keys}
