"""The setting that turns the encryption of personal data on: the master keys, which wrap the keys of customers."""

from base64 import b64decode
from binascii import Error
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

NAME = "FULFILLMENT_PERSONAL_DATA_KEY"
KEY_BYTES = 32


class PrivacySettings(BaseSettings):
    """The master keys of personal data; they can also come from a file."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, extra="ignore", hide_input_in_errors=True)

    personal_data_key: SecretStr | None = Field(
        None,
        description="Master keys of personal data, 32 bytes in base64 each, comma-separated: the first one encrypts, "
        "all decrypt. If set, postal addresses are encrypted with a key per customer, which `fulfillment forget` "
        "erases.",
    )
    personal_data_key_file: Path | None = Field(
        None, description="File that contains these master keys instead; it is read again when it changes."
    )

    @property
    def encrypts_personal_data(self) -> bool:
        """Whether personal data is encrypted."""
        return self.personal_data_key is not None or self.personal_data_key_file is not None

    def master_keys(self) -> tuple[bytes, ...]:
        """Return the master keys as they are now; `OSError` if their file cannot be read, `ValueError` if invalid."""
        if self.personal_data_key_file is not None:
            return parse_keys(self.personal_data_key_file.read_text())
        return () if self.personal_data_key is None else parse_keys(self.personal_data_key.get_secret_value())

    @model_validator(mode="after")
    def _master_keys_are_valid(self) -> "PrivacySettings":
        if self.personal_data_key is not None and self.personal_data_key_file is not None:
            raise ValueError(f"set either {NAME} or {NAME}_FILE, not both")
        try:
            self.master_keys()
        except OSError as error:
            raise ValueError(f"{NAME}_FILE: {self.personal_data_key_file} cannot be read ({error.strerror})") from None
        return self


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys in a comma-separated text; raise `ValueError`, which quotes none of it, if one is invalid."""
    keys = tuple(_key(each.strip()) for each in text.split(","))
    if len(set(keys)) < len(keys):
        raise ValueError(f"{NAME} contains a key twice")
    return keys


def _key(text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"{NAME} must contain keys of {KEY_BYTES} bytes in base64, separated by commas: make one with "
            "`openssl rand -base64 32`"
        )
    return key
