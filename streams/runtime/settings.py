"""Everything the environment may change, in one place."""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from streams.runtime.access_settings import AccessSettings
from streams.runtime.allocation_settings import AllocationSettings
from streams.runtime.kafka_settings import KafkaSettings
from streams.runtime.privacy_settings import PrivacySettings
from streams.runtime.webhook_settings import WebhookSettings

Role = Literal["orders", "inventory", "projector", "api"]
ROLES: tuple[Role, ...] = get_args(Role)
FORMER_ROLE = "fulfilment"  # older versions ran the process manager as a role; now it is part of orders and inventory
OTLP_EXPORTER = "opentelemetry-exporter-otlp-proto-http"  # the package of the extra `otel`
MOTOR = "motor"  # the package of the extra `motor`
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _is_installed(package: str) -> bool:
    """Return whether a package is installed, without importing it: most commands do not use it."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


class Settings(AccessSettings, AllocationSettings, KafkaSettings, PrivacySettings, WebhookSettings):
    """Everything the environment may change: `FULFILLMENT_<NAME>`. Durations are in seconds, sizes in bytes."""

    # where things are
    mongo: str = Field(
        "mongodb://127.0.0.1:27017",
        repr=False,  # it may contain a password
        description="URI of MongoDB. On loopback, `fulfillment up` starts a server there.",
    )
    mongo_file: Path | None = Field(None, description="File that contains the URI instead, read when a process starts.")
    mongo_driver: Literal["pymongo", "motor"] = Field(
        "pymongo",
        description="Driver for MongoDB: PyMongo's asyncio client, or its predecessor Motor (the extra `motor`).",
    )
    data: Path = Field(Path(".fulfillment"), description="Directory of the local stack's data and logs.")
    http_host: str = Field("127.0.0.1", description="Address that the web servers of the workers listen on.")
    http_port: int = Field(8000, gt=0, lt=65000, description="Port of the API. Other workers take the ports after it.")
    worker_port: int = Field(
        0, ge=0, lt=65536, description="Port of this worker's web server. 0: the default port of its role."
    )
    prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="Prefix of the name of every topic, consumer group and database."
    )
    database: str = Field(
        "fulfillment", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="MongoDB database of the read models."
    )

    # topics
    partitions: int = Field(
        8, gt=0, le=512, description="Number of partitions of every topic. It cannot be changed once the topics exist."
    )
    replication: int = Field(1, gt=0, description="Number of replicas of every topic.")

    # a worker
    instance: str = Field(
        "0",
        pattern=r"^\.*[A-Za-z0-9_-][A-Za-z0-9._-]*$",  # it is the name of a directory, too
        description="Name of this worker, unique within its role and the same after every restart.",
    )
    state: Literal["disk", "memory"] = Field(
        "disk",
        description="Where orders and inventory keep their tables: in RocksDB, in `state` in FULFILLMENT_DATA, or in "
        "memory.",
    )
    state_cache: int = Field(64, gt=0, description="Memory in MiB that RocksDB may use in each worker.")
    standby: bool = Field(
        False,
        description="Whether a worker also keeps copies of the tables of other partitions on its disk, which it then "
        "takes over faster.",
    )
    session_timeout: float = Field(
        6.0, gt=0, description="A worker that sends no heartbeat for this long loses its partitions to other workers."
    )
    heartbeat_interval: float = Field(2.0, gt=0, description="Time between two heartbeats of a worker.")
    transaction_timeout: float = Field(
        10.0, gt=0, description="Kafka aborts a transaction that its worker abandoned after this time."
    )
    open_transaction: float = Field(
        5.0,
        gt=0,
        description="A transaction of any producer that blocks one of our topics for longer than this is reported.",
    )
    fetch_bytes: int = Field(
        256 << 10,
        gt=0,
        description="Largest size of one partition's records in a fetch. Projectors fetch four times as much.",
    )
    pace: float = Field(
        0.1, ge=0, description="Time between two fetches under load. A longer time makes larger transactions."
    )
    watchdog: float = Field(30.0, gt=0, description="A worker that lags and makes no progress for this long is ended.")
    restart_pause: float = Field(
        10.0, gt=0, description="Longest pause before `fulfillment up` restarts a process that has ended."
    )
    recent_commands: int = Field(32, ge=0, description="Number of commands whose outcome each aggregate remembers.")
    closed_after: float = Field(
        90.0,
        ge=0,
        le=36_500,
        description="Days without a change after which an order that was delivered or cancelled is archived. 0: never.",
    )
    archived_documents: Literal["move", "keep"] = Field(
        "move",
        description="Whether the document of an archived order moves to a collection of its own, or is kept with those "
        "of live orders.",
    )
    parked_limit: int = Field(10_000, gt=0, description="Number of parked letters at which a partition stops.")
    parked_bytes: int = Field(64 << 20, gt=0, description="Total size of parked letters at which a partition stops.")

    # HTTP
    command_timeout: float = Field(
        5.0, gt=0, description="Time that a request waits for the outcome of its command before the answer is 202."
    )
    consistency_timeout: float = Field(
        5.0,
        gt=0,
        description="Time that a read waits for its Consistency-Token, and a repeated request for its outcome.",
    )
    kafdrop: str | None = Field(None, description="Address of a Kafdrop that the dashboard links messages to.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Level of the service's own loggers. At DEBUG they write one line per batch."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Format of logs: `text`, or `json` with one object per line."
    )
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+\S*)?$",
        description="Receiver of traces (OTLP over HTTP); needs the extra `otel`. If empty, traces are off.",
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="Share of all traces that is recorded.")

    roles: Annotated[tuple[str, ...], NoDecode] = Field(
        ROLES, description="Roles that `fulfillment up` starts, comma-separated."
    )

    @model_validator(mode="before")
    @classmethod
    def _split_roles(cls, values: dict[str, object]) -> dict[str, object]:
        if isinstance(roles := values.get("roles"), str):
            values["roles"] = tuple(name.strip() for name in roles.split(",") if name.strip())
        return values

    @model_validator(mode="before")
    @classmethod
    def _empty_names_no_file(cls, values: dict[str, Any]) -> dict[str, Any]:
        optional = {name for name, field in cls.model_fields.items() if field.annotation == Path | None}
        return {name: None if value == "" and name in optional else value for name, value in values.items()}

    @model_validator(mode="before")
    @classmethod
    def _read_uri(cls, values: dict[str, Any]) -> dict[str, Any]:
        if file := values.pop("mongo_file", None):
            try:
                values["mongo"] = Path(file).read_text().strip()
            except OSError as error:
                raise ValueError(f"FULFILLMENT_MONGO_FILE: {file} cannot be read ({error.strerror})") from None
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
        if endpoint and not _is_installed(OTLP_EXPORTER):
            raise ValueError(
                "traces need an extra that is not installed: pip install 'order-fulfillment[otel]', or leave it empty"
            )
        return endpoint

    @field_validator("mongo_driver")
    @classmethod
    def _the_driver_is_installed(cls, driver: str) -> str:
        if driver == "motor" and not _is_installed(MOTOR):
            raise ValueError(
                "Motor is an extra that is not installed: pip install 'order-fulfillment[motor]', or use pymongo"
            )
        return driver

    @model_validator(mode="after")
    def _loopback_unless_guarded(self) -> "Settings":
        if self.http_host not in LOOPBACK and not self.is_guarded:
            raise ValueError(
                f"refusing to listen on {self.http_host} without credentials: set FULFILLMENT_API_TOKEN, "
                "FULFILLMENT_API_TOKENS_FILE or FULFILLMENT_OIDC_ISSUER, or leave FULFILLMENT_HTTP_HOST at 127.0.0.1"
            )
        return self

    def named(self, name: str) -> str:
        """Return `name` with this installation's prefix."""
        return f"{self.prefix}{name}"
