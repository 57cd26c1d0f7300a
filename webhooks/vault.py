"""The secrets of subscriptions at rest: encrypted with the master keys of personal data, if those are set."""

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from privacy.masters import KeyEncryption  # loads a library of ciphers

MARK = "sealed:"


class Vault:
    """Encrypts secrets for the topic, and decrypts them for a signature."""

    def __init__(self, settings: Settings) -> None:
        self._masters: KeyEncryption | None = None
        if settings.encrypts_personal_data:
            from privacy.masters import key_encryption

            self._masters = key_encryption(settings)

    def protect(self, secret: str) -> str:
        """Return a secret as it is stored."""
        if self._masters is None:
            return secret
        return MARK + b64encode(self._masters.wrap(secret.encode())).decode()

    def reveal(self, text: str) -> str:
        """Return a stored secret; raise `CannotUnwrap` if its master key is not set."""
        if not text.startswith(MARK):
            return text
        if self._masters is None:
            raise NoMasterKey
        return self._masters.unwrap(b64decode(text.removeprefix(MARK))).decode()


class NoMasterKey(Exception):
    """A secret is encrypted, and no master key is set."""

    def __init__(self) -> None:
        super().__init__("the secret is encrypted, and FULFILLMENT_PERSONAL_DATA_KEY is not set")
