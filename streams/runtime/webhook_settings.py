"""The settings of webhooks."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network


class WebhookSettings(BaseSettings):
    """The processes that deliver webhooks, the networks of their receivers, and time limits."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, extra="ignore")

    webhook_deliver: bool = Field(
        True, description="Whether an api process delivers webhooks. Turn it off if other api processes deliver them."
    )
    webhook_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Private networks that receivers of webhooks may be in, comma-separated, such as `10.1.0.0/16`. "
        "Only receivers there may use http instead of https.",
    )
    webhook_timeout: float = Field(15.0, gt=0, le=60, description="Time that a receiver of a webhook has to answer.")
    webhook_retry: float = Field(
        259_200.0, gt=0, description="Time for which a failed delivery is retried before it is parked; 3 days."
    )

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("webhook_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ip_network(each)
        return value

    @property
    def allowed_networks(self) -> tuple[Network, ...]:
        """The private networks that receivers may be in."""
        return tuple(map(ip_network, self.webhook_networks))
