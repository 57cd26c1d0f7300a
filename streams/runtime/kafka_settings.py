"""The settings that say where Kafka is and how this service proves who it is."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

TLS, SASL = frozenset({"SSL", "SASL_SSL"}), frozenset({"SASL_PLAINTEXT", "SASL_SSL"})  # security protocols
OAUTH = "OAUTHBEARER"
FILES = ("kafka_ca", "kafka_certificate", "kafka_key")
PASSWORD = ("kafka_user", "kafka_password")
CLIENT = ("kafka_oauth_client_id", "kafka_oauth_client_secret")


class KafkaSettings(BaseSettings):
    """The address of Kafka and the credentials; each secret can also come from the file that `…_file` names."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, extra="ignore", hide_input_in_errors=True)

    kafka: str = Field(
        "127.0.0.1:9092",
        description="Bootstrap servers of Kafka, host:port[,…]. On loopback, `fulfillment up` starts a server there.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="How to connect to Kafka: `PLAINTEXT`, `SSL` (TLS), `SASL_PLAINTEXT` or `SASL_SSL` (with a login).",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512",
        description="How to log in to Kafka: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.",
    )
    kafka_user: str | None = Field(None, description="User to log in to Kafka as; for Confluent Cloud, the API key.")
    kafka_user_file: Path | None = Field(None, description="File that contains the user instead.")
    kafka_password: SecretStr | None = Field(None, description="Password of the user.")
    kafka_password_file: Path | None = Field(
        None, description="File that contains the password instead. A change is used by the next connection."
    )
    kafka_ca: Path | None = Field(
        None, description="PEM file of the authorities that sign the brokers' certificates. Default: the system's."
    )
    kafka_certificate: Path | None = Field(
        None, description="PEM file of this service's certificate, if Kafka asks for one."
    )
    kafka_key: Path | None = Field(
        None, description="PEM file of the certificate's private key. Default: the file of the certificate."
    )
    kafka_key_password: SecretStr | None = Field(None, description="Password of the private key, if it is encrypted.")
    kafka_key_password_file: Path | None = Field(None, description="File that contains this password instead.")
    kafka_check_hostname: bool = Field(
        True, description="Whether the broker's certificate must name the host that the service connects to."
    )
    kafka_oauth_token_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/@]+(/\S*)?$",
        description="URL that issues tokens for client credentials (`OAUTHBEARER`).",
    )
    kafka_oauth_client_id: str | None = Field(None, description="Client id for the token endpoint.")
    kafka_oauth_client_id_file: Path | None = Field(None, description="File that contains the client id instead.")
    kafka_oauth_client_secret: SecretStr | None = Field(None, description="Client secret for the token endpoint.")
    kafka_oauth_client_secret_file: Path | None = Field(
        None, description="File that contains the client secret instead. A change is used for the next token."
    )
    kafka_oauth_scope: str | None = Field(None, description="Scope to request from the token endpoint.")

    @property
    def kafka_uses_tls(self) -> bool:
        """Whether connections to Kafka are encrypted."""
        return self.kafka_security_protocol in TLS

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether the service logs in to Kafka."""
        return self.kafka_security_protocol in SASL

    @property
    def kafka_uses_oauth(self) -> bool:
        """Whether the service logs in to Kafka with a token."""
        return self.kafka_uses_sasl and self.kafka_sasl_mechanism == OAUTH

    def secret(self, name: str) -> str | None:
        """Return a setting that may come from a file, as it is now; `OSError` if its file cannot be read."""
        file: Path | None = getattr(self, f"{name}_file")
        if file is not None:
            return file.read_text().strip("\r\n")
        value = getattr(self, name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> "KafkaSettings":
        for name in (field.removesuffix("_file") for field in KafkaSettings.model_fields if field.endswith("_file")):
            self._refuse_both(name)
        for name in FILES:
            self._refuse_unreadable(name)
        self._refuse_useless(FILES, "SSL or SASL_SSL", useful=self.kafka_uses_tls)
        self._refuse_useless((*PASSWORD, *CLIENT), "SASL_SSL", useful=self.kafka_uses_sasl)
        if self.kafka_key and not self.kafka_certificate:
            raise ValueError(f"{_variable('kafka_key')} needs {_variable('kafka_certificate')}")
        if self.kafka_uses_sasl:
            self._require(("kafka_oauth_token_endpoint", *CLIENT) if self.kafka_uses_oauth else PASSWORD)
        return self

    def _is_set(self, name: str) -> bool:
        return getattr(self, name) is not None or getattr(self, f"{name}_file", None) is not None

    def _refuse_both(self, name: str) -> None:
        if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
            raise ValueError(f"set either {_variable(name)} or {_variable(name)}_FILE, not both")
        self._refuse_unreadable(f"{name}_file")

    def _refuse_unreadable(self, name: str) -> None:
        if (file := getattr(self, name)) is not None:
            try:
                file.read_bytes()
            except OSError as error:
                raise ValueError(f"{_variable(name)}: {file} cannot be read ({error.strerror})") from None

    def _refuse_useless(self, names: tuple[str, ...], protocols: str, *, useful: bool) -> None:
        if not useful and (given := [name for name in names if self._is_set(name)]):
            raise ValueError(
                f"{_variable(given[0])} is not used, because {_variable('kafka_security_protocol')} is "
                f"{self.kafka_security_protocol}: set it to {protocols}"
            )

    def _require(self, names: tuple[str, ...]) -> None:
        if missing := [_variable(name) for name in names if not self._is_set(name)]:
            raise ValueError(
                f"{_variable('kafka_security_protocol')} {self.kafka_security_protocol} with "
                f"{self.kafka_sasl_mechanism} needs {' and '.join(missing)}"
            )


def _variable(name: str) -> str:
    return f"FULFILLMENT_{name.upper()}"
