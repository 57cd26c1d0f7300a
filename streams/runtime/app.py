"""One Faust app per role: its consumer group, its settings, its transport."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import faust
from faust.app.base import BootStrategy
from faust.types import TP
from mode import Service
from yarl import URL

from streams.kafka.clients import faust_config
from streams.kafka.pace import Turns, turns_of
from streams.kafka.pulse import until_kafka_answers
from streams.kafka.recovery import PreparedTables
from streams.kafka.transaction_watch import TransactionWatch
from streams.kafka.transport import Fetch, FetchTransport, Offsets, Prepared, Untouched, handle_fetches
from streams.runtime.process import end_process
from streams.runtime.settings import Role, Settings
from streams.runtime.watchdog import Watchdog
from streams.runtime.webserver import Server
from streams.topics import Topic
from streams.topology import TOPOLOGY, group_of, instance_of

log = logging.getLogger(__name__)

# A projector's fetches are not transactions. The more records it folds together, the less often it writes the same
# document and waits for MongoDB; but a fetch should not take more than a second or two.
FOLDED_TOGETHER, MOST_FOLDED = 4, 10_000  # times `fetch_bytes`; records
QUIET = ("aiokafka", "faust", "mode", "pymongo")  # a message at DEBUG costs them 15 % of the time, read or not


class Work(Protocol):
    """The work of a role. The app calls `start` once, `prepare` after each assignment, and `handle` for each fetch."""

    async def start(self) -> None:
        """Do what must be done before the consumer joins its group."""

    async def prepare(self, inputs: set[TP]) -> Prepared:
        """Prepare the assigned input partitions, before anything of them is read."""

    async def handle(self, fetch: Fetch) -> Offsets | None:
        """Handle a fetch, and return the offsets handled; None when it must be read again."""

    def due(self) -> Mapping[int, float]:
        """Return in how many seconds the next timer of each partition is due, if it has any; negative when overdue."""

    def tell(self, lag: Mapping[TP, int]) -> None:
        """Set the metrics that only this role has."""


class Beginning(Service):
    """Runs before the worker talks to Kafka, while its web server already answers: Kafka may be unreachable."""

    def __init__(self, app: "RoleApp", **options: Any) -> None:
        super().__init__(**options)
        self.app = app

    async def on_start(self) -> None:
        """Return when the consumer may join its group."""
        await self.app.begin()


class WebFirst(BootStrategy):
    """Starts the web server first, because it reports what the worker waits for."""

    def server(self) -> Any:
        """Return Faust's services in our order."""
        return self._chain(
            self.sensors(),
            self.web_server(),
            [Beginning(self.app)],
            self.kafka_producer(),
            self.kafka_consumer(),
            self.agents(),
            self.kafka_conductor(),
            self.tables(),
        )


class RoleApp(faust.App):
    """A Faust app whose `work` prepares partitions before anything of them is delivered."""

    BootStrategy = WebFirst
    settings: Settings
    work: Work
    reads: tuple[Topic, ...] = ()
    turns: Turns  # that its fetches take
    waiting_for: str | None = None  # the reason on /readyz
    open_transactions: TransactionWatch  # that hold back the topics it reads

    def _new_transport(self) -> Any:
        return FetchTransport(self.conf.broker_consumer, self)

    def _new_web(self) -> Server:
        return Server(self, self.settings)

    def _create_directories(self) -> None:
        """Create none: tables are restored from their changelogs."""

    @property
    def input_names(self) -> list[str]:
        """The full names of the topics that the role reads."""
        return [self.settings.named(topic.name) for topic in self.reads]

    def say_waiting(self, what: str | None) -> None:
        """Report on /readyz what the worker waits for; None: nothing any more."""
        self.waiting_for = what

    async def begin(self) -> None:
        """Wait for Kafka and start the work, before the consumer joins its group."""
        await until_kafka_answers(self.settings, self.input_names, self.say_waiting)
        self.add_future(self.open_transactions.watch())
        await self.work.start()
        self.say_waiting(None)
        self.add_future(Watchdog(self, self.settings.watchdog).watch())  # not a Faust task: those wait for recovery

    def maybe_held_back(self) -> set[TP]:
        """Return the partitions that an open transaction may hold back.

        While partitions are restored these are all inputs and changelogs, then the inputs that fetches found held back.
        """
        if self.consumer.prepared:
            return self.consumer.held_back()  # type: ignore[no-any-return]
        names = set(self.input_names)
        names |= {table.changelog_topic.get_topic_name() for table in self.tables.values()}
        return {TP(name, number) for name in names for number in range(self.settings.partitions)}

    def attach(self, work: Work) -> None:
        """Let `work` do the role's work; an exception while a fetch is handled ends the process."""
        self.work = work

        async def agent(stream: Any) -> None:
            try:
                await handle_fetches(stream, work.handle)
            except Exception as exc:  # Faust would restart the agent, which would skip what failed
                log.critical("the %s agent failed", self.conf.id, exc_info=exc)
                end_process(f"{type(exc).__name__}: {exc}")

        self.agent(self.topic(*self.input_names, schema=Untouched()), name=self.conf.id)(agent)


def create_app(role: Role, settings: Settings) -> RoleApp:
    """Return the Faust app of `role`; the caller attaches its work."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    app = RoleApp(
        group_of(role, settings),
        **faust_config(settings),
        store="memory://",
        TableManager=PreparedTables,
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=8,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.fetch_bytes * (FOLDED_TOGETHER if role == "projector" else 1),
        broker_max_poll_records=MOST_FOLDED if role == "projector" else None,
        consumer_group_instance_id=instance_of(role, settings),
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.heartbeat_interval,
        broker_rebalance_timeout=settings.session_timeout + settings.transaction_timeout,
        broker_request_timeout=settings.session_timeout + settings.transaction_timeout + 14,
        broker_commit_interval=3600.0,
        table_standby_replicas=0,
        # The group remembers it for a static member, and Faust's assignor insists on it: it must outlive a port.
        canonical_url=URL(f"http://{instance_of(role, settings)}"),
        web_host=settings.http_host,
        web_bind=settings.http_host,
        web_port=settings.worker_port or settings.http_port,
        web_tables_enabled=False,
        web_router_enabled=False,
        worker_redirect_stdouts=False,
    )
    app.settings, app.reads = settings, TOPOLOGY[role].reads
    app.turns = turns_of(role, settings)
    app.open_transactions = TransactionWatch(settings, app.maybe_held_back)
    return app
