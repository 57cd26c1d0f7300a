"""Everything the environment may change, in one place."""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Role = Literal["orders", "inventory", "projector", "api"]
ROLES: tuple[Role, ...] = get_args(Role)
FORMER_ROLE = "fulfilment"  # older versions ran the process manager as a role; now it is part of orders and inventory
OTLP_EXPORTER = "opentelemetry-exporter-otlp-proto-http"  # the package of the extra `otel`
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """Everything the environment may change: `FULFILLMENT_<NAME>`. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="FULFILLMENT_", frozen=True, extra="ignore")

    # where things are
    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port[,…]; `up` starts one on loopback")
    mongo: str = Field("mongodb://127.0.0.1:27017", description="MongoDB URI; `up` starts one on loopback")
    data: Path = Field(Path(".fulfillment"), description="the local stack's data and logs")
    http_host: str = Field("127.0.0.1", description="address the workers' web servers bind")
    http_port: int = Field(8000, gt=0, lt=65000, description="port of the API; other workers take the ports after it")
    worker_port: int = Field(0, ge=0, lt=65536, description="port of this worker's web server; 0: by its role")
    api_token: str | None = Field(None, description="bearer token every API request must carry; needed off loopback")
    prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$", description="before every topic, group and database name")
    database: str = Field(
        "fulfillment", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="MongoDB database of the read models"
    )

    # topics
    partitions: int = Field(8, gt=0, le=512, description="of every topic; fixed once created")
    replication: int = Field(1, gt=0, description="replicas of every topic")

    # a worker
    instance: str = Field("0", pattern=r"^[A-Za-z0-9._-]+$", description="distinguishes workers of one role; stable")
    session_timeout: float = Field(6.0, gt=0, description="a silent worker's partitions are handed on after this")
    heartbeat_interval: float = Field(2.0, gt=0, description="between two heartbeats")
    transaction_timeout: float = Field(10.0, gt=0, description="an abandoned transaction is aborted after this")
    open_transaction: float = Field(
        5.0,
        gt=0,
        description="a transaction of any producer that holds back one of our topics for longer is reported",
    )
    fetch_bytes: int = Field(
        256 << 10,
        gt=0,
        description="of one partition in one fetch: the most a transaction holds; projectors fetch four times as much",
    )
    pace: float = Field(
        0.1, ge=0, description="between two fetches under load: the longer, the larger the transactions"
    )
    watchdog: float = Field(30.0, gt=0, description="lag without progress for this long ends the worker")
    restart_pause: float = Field(10.0, gt=0, description="longest wait before `up` starts an ended process again")
    recent_commands: int = Field(32, ge=0, description="command ids with outcomes an aggregate remembers")
    parked_limit: int = Field(10_000, gt=0, description="letters a partition parks before its processor stops")
    parked_bytes: int = Field(64 << 20, gt=0, description="bytes of such letters before its processor stops")

    # HTTP
    command_timeout: float = Field(5.0, gt=0, description="how long a command waits for its outcome before a 202")
    consistency_timeout: float = Field(
        5.0, gt=0, description="how long a read waits for its Consistency-Token, a repeated request for its first try"
    )
    body_bytes: int = Field(256 << 10, gt=0, description="largest request body")
    kafdrop: str | None = Field(None, description="address of a Kafdrop the dashboard links messages to")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="level of our own loggers; at DEBUG they write one line per batch"
    )
    log_format: Literal["text", "json"] = Field("text", description="`json`: one object per line, for log collectors")
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+\S*)?$",
        description="where traces go (OTLP over HTTP, `http://127.0.0.1:4318`); needs the extra `otel`; empty: nowhere",
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="share of all traces that is recorded")

    roles: Annotated[tuple[str, ...], NoDecode] = Field(
        ROLES, description="roles `fulfillment up` runs, comma-separated"
    )

    @model_validator(mode="before")
    @classmethod
    def _split_roles(cls, values: dict[str, object]) -> dict[str, object]:
        if isinstance(roles := values.get("roles"), str):
            values["roles"] = tuple(name.strip() for name in roles.split(",") if name.strip())
        return values

    @field_validator("roles")
    @classmethod
    def _no_former_role(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        if FORMER_ROLE in roles:
            raise ValueError(f"there is no role {FORMER_ROLE} any more: orders and inventory do its work, leave it out")
        return roles

    @field_validator("otlp_endpoint")
    @classmethod
    def _what_sends_is_installed(cls, endpoint: str) -> str:
        try:
            if endpoint:
                metadata.version(OTLP_EXPORTER)  # checked, not imported: most commands send nothing
        except metadata.PackageNotFoundError:
            raise ValueError(
                "traces need an extra that is not installed: pip install 'order-fulfillment[otel]', or leave it empty"
            ) from None
        return endpoint

    @model_validator(mode="after")
    def _loopback_unless_guarded(self) -> "Settings":
        if self.http_host not in LOOPBACK and not self.api_token:
            raise ValueError(
                f"refusing to listen on {self.http_host} without credentials: set FULFILLMENT_API_TOKEN, "
                "or leave FULFILLMENT_HTTP_HOST at 127.0.0.1"
            )
        return self

    def named(self, name: str) -> str:
        """Return `name` with this installation's prefix."""
        return f"{self.prefix}{name}"
