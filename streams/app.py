"""One Faust app per role: its consumer group, its settings, its transport."""

import logging
from typing import Any

import faust
from faust.types import TP
from yarl import URL

from .recovery import PreparedTables
from .settings import Role, Settings
from .transport import FetchTransport, Prepare, Untouched

QUIET = ("aiokafka", "faust", "mode")  # a record a message at DEBUG costs 15 % of the time even when nobody reads it


class RoleApp(faust.App):  # type: ignore[misc]  # Faust is not typed
    """A Faust app whose partitions are prepared by `prepare` before anything of them is delivered."""

    prepare: Prepare
    settings: Settings

    def _new_transport(self) -> Any:
        return FetchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Keep nothing on disk: tables are restored from their changelogs."""

    def inputs(self, *topics: str) -> Any:
        """Return the channel of `topics` (without prefix), fetch by fetch and undecoded."""
        return self.topic(*map(self.settings.named, topics), schema=Untouched(), internal=False)


async def _nothing_to_prepare(inputs: set[TP]) -> dict[TP, int]:
    raise NotImplementedError(f"the role has not said how {len(inputs)} partitions are prepared")


def group_of(role: Role, settings: Settings) -> str:
    """Return the consumer group of a role."""
    return settings.named(role)


def instance_of(role: Role, settings: Settings) -> str:
    """Return the static member id of this worker (`group.instance.id`)."""
    return f"{group_of(role, settings)}-{settings.instance}"


def create_app(role: Role, settings: Settings) -> RoleApp:
    """Return the Faust app of `role`; the caller gives it agents and says how partitions are prepared."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    app = RoleApp(
        group_of(role, settings),
        broker=[URL(f"kafka://{server}") for server in settings.kafka.split(",")],
        store="memory://",
        TableManager=PreparedTables,
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=8,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.fetch_bytes,
        consumer_group_instance_id=instance_of(role, settings),
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.heartbeat_interval,
        broker_rebalance_timeout=settings.session_timeout + settings.transaction_timeout,
        broker_request_timeout=settings.session_timeout + settings.transaction_timeout + 14,
        broker_commit_interval=3600.0,
        table_standby_replicas=0,
        web_host=settings.http_host,
        web_bind=settings.http_host,
        web_port=settings.worker_port or settings.http_port,
        web_tables_enabled=False,
        web_router_enabled=False,
        worker_redirect_stdouts=False,
    )
    app.settings = settings
    app.prepare = _nothing_to_prepare
    return app
