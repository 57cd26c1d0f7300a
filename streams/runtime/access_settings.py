"""The settings that say who may do what over HTTP."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Listed = Annotated[tuple[str, ...], NoDecode]  # comma-separated in the environment
LISTS = ("allowed_hosts", "oidc_algorithms")
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:]+")  # a name, an IPv4 or an IPv6 address
ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
ISSUER = r"^(https://[^/\s?#]+[^\s?#]*|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s?#]*)?)?$"


class AccessSettings(BaseSettings):
    """Credentials, limits and hosts of the web servers."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, extra="ignore")

    api_token: str | None = Field(
        None,
        repr=False,
        description="Bearer token that every API request must carry, and that commands of this command line send. "
        "It has all scopes.",
    )
    api_token_file: Path | None = Field(
        None, description="File that contains this token instead; it is read again when it changes."
    )
    api_tokens_file: Path | None = Field(
        None,
        description="File of named API tokens with their scopes, made by `fulfillment tokens new`. It contains hashes, "
        "and is read again when it changes.",
    )
    oidc_issuer: str = Field(
        "",
        pattern=ISSUER,
        description="OpenID Connect issuer whose JWTs are valid tokens, as in their claim `iss`; https, or loopback.",
    )
    oidc_audience: str = Field("", description="Audience (`aud`) that JWTs must have. Required with an issuer.")
    oidc_scope_claim: str = Field(
        "scope",
        min_length=1,
        description="Claim with the scopes: a list, or words in a text. Dots lead into objects: `realm_access.roles`.",
    )
    oidc_scope_prefix: str = Field("", description="Prefix of our scopes in that claim, such as `fulfillment.`.")
    oidc_algorithms: Listed = Field(
        ("RS256", "PS256", "ES256", "EdDSA"),
        description="Signature algorithms that JWTs may use, comma-separated.",
    )
    allowed_hosts: Listed = Field(
        (),
        description="Host names, besides loopback, under which clients reach web servers that require no token, "
        "comma-separated. Other values of the Host header are refused.",
    )
    commands_per_second: float = Field(
        0.0,
        ge=0,
        description="Number of commands that a principal may send to one api process in a second, and at once. Each "
        "process counts for itself, so with N processes it is N times as many. 0: any number.",
    )
    body_bytes: int = Field(256 << 10, gt=0, description="Largest request body.")
    import_bytes: int = Field(16 << 20, gt=0, description="Largest file of stock that a request may import.")
    body_timeout: float = Field(30.0, gt=0, description="Time for the whole body of a request to arrive.")
    header_bytes: int = Field(8_192, ge=1_024, description="Largest header of a request; its URL may be as long.")
    header_timeout: float = Field(15.0, gt=0, description="Time for all headers of a request to arrive.")

    @property
    def is_guarded(self) -> bool:
        """Whether requests need credentials."""
        return bool(self.api_token or self.api_token_file or self.api_tokens_file or self.oidc_issuer)

    @model_validator(mode="before")
    @classmethod
    def _split_access_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in LISTS:
            if isinstance(listed := values.get(name), str):
                values[name] = tuple(each.strip() for each in listed.split(",") if each.strip())
        return values

    @field_validator("allowed_hosts")
    @classmethod
    def _names_of_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not HOST.fullmatch(host):
                raise ValueError(
                    f"{host!r} is not a host name: leave out scheme, port and path, as in shop.example.com"
                )
        return tuple(host.lower() for host in hosts)

    @field_validator("oidc_algorithms")
    @classmethod
    def _only_public_keys(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or (wrong := set(names) - ASYMMETRIC):
            raise ValueError(f"{', '.join(sorted(wrong)) if names else 'nothing'} is not allowed; choose from "
                             f"{', '.join(sorted(ASYMMETRIC))}")  # fmt: skip
        return names

    @model_validator(mode="after")
    def _one_single_token(self) -> "AccessSettings":
        if self.api_token and self.api_token_file:
            raise ValueError("set either FULFILLMENT_API_TOKEN or FULFILLMENT_API_TOKEN_FILE, not both")
        return self

    @model_validator(mode="after")
    def _issuer_has_audience(self) -> "AccessSettings":
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("FULFILLMENT_OIDC_ISSUER needs FULFILLMENT_OIDC_AUDIENCE: the audience of tokens for us")
        return self
