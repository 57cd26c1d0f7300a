"""The api process: a Faust app that serves HTTP, sends commands and reads outcomes without a consumer group."""

import asyncio
import logging
import resource

import mode.loop

mode.loop.use("uvloop")  # before Faust is imported: https://faust-streaming.github.io/faust (Event loops)

import faust  # noqa: E402
from aiohttp.web import Application  # noqa: E402
from faust.app.base import BootStrategy  # noqa: E402
from pymongo.errors import PyMongoError  # noqa: E402

from parking.book import LetterReader  # noqa: E402
from projections.mongo.actions import OperatorActions  # noqa: E402
from projections.mongo.client import Mongo  # noqa: E402
from projections.mongo.idempotency import IdempotencyKeys  # noqa: E402
from projections.mongo.live import LiveVersions  # noqa: E402
from projections.mongo.queries import Queries  # noqa: E402
from projections.mongo.readers import Presence  # noqa: E402
from projections.mongo.registry import Registry  # noqa: E402
from streams.kafka.clients import faust_config  # noqa: E402
from streams.kafka.gateway import Gateway  # noqa: E402
from streams.kafka.transaction_watch import TransactionWatch, all_partitions  # noqa: E402
from streams.runtime import disk  # noqa: E402
from streams.runtime.logs import configure  # noqa: E402
from streams.runtime.running import run_until_stopped  # noqa: E402
from streams.runtime.settings import Settings  # noqa: E402
from streams.runtime.tasks import cancel  # noqa: E402
from streams.runtime.webserver import Server  # noqa: E402
from web.app import install  # noqa: E402
from web.commands.outcome_reader import OutcomeReader, Waiting  # noqa: E402
from web.services import Services  # noqa: E402
from web.sse.hub import Hub  # noqa: E402

PING_SECONDS = 1.0
SHUTDOWN_SECONDS = 3.0  # for requests in progress
QUIET = ("aiokafka", "faust", "mode", "pymongo")


class HttpOnly(BootStrategy):  # type: ignore[misc]  # Faust is not typed
    """Start the web server, and neither Faust's consumer nor its producer."""

    enable_kafka = False
    enable_web = True
    enable_sensors = False


class OurRoutes(Server):
    """A web server without the routes that Faust adds."""

    default_blueprints = production_blueprints = debug_blueprints = optional_blueprints = ()


class ApiApp(faust.App):  # type: ignore[misc]
    """The Faust app of the api role."""

    BootStrategy = HttpOnly
    producer_only = True
    settings: Settings

    def _new_web(self) -> Server:
        return OurRoutes(self, self.settings, shutdown_seconds=SHUTDOWN_SECONDS)

    def _create_directories(self) -> None:
        """Create none, because this process stores nothing on disk."""


class Api:
    """The services of the handlers, started before the first request and stopped after the last."""

    def __init__(self, settings: Settings) -> None:
        waiting = Waiting()
        self.gateway, self.outcomes = Gateway(settings), OutcomeReader(settings, waiting)
        self.mongo = Mongo(settings)
        queries = Queries(self.mongo)
        self.versions = LiveVersions(Registry(self.mongo), queries, Presence(self.mongo, "api", settings))
        everything = all_partitions(settings)
        self.open_transactions = TransactionWatch(settings, lambda: everything)
        self._watching: asyncio.Task[None] | None = None
        self.services = Services(
            settings,
            self.gateway,
            waiting,
            queries,
            IdempotencyKeys(self.mongo),
            LetterReader(settings),
            Hub(settings, queries),
            self.versions,
            self.reasons,
            actions=OperatorActions(self.mongo),
            open_transactions=lambda: self.open_transactions.open,
        )

    async def start(self, _: Application) -> None:
        """Start connecting to Kafka and MongoDB; until then, requests that need them get a 503."""
        await self.gateway.start()
        await self.outcomes.start()
        self.versions.start()
        self._watching = asyncio.create_task(self.open_transactions.watch())

    async def end_streams(self, _: Application) -> None:
        """End the streams of events, which would never end by themselves."""
        await self.services.hub.stop()

    async def stop(self, _: Application) -> None:
        """Disconnect from Kafka and MongoDB."""
        if self._watching is not None:
            await cancel(self._watching)
        await self.versions.stop()
        await self.outcomes.stop()
        await self.gateway.stop()
        await self.mongo.close()

    async def reasons(self) -> dict[str, str]:
        """Return the reasons why the process is not ready, by component; empty if it is ready."""
        found = {}
        if away := await self.gateway.away():
            found["kafka"] = away
        if not self.outcomes.ready:
            found["outcomes"] = "the reader of command outcomes is still connecting to its topic"
        if not await self._mongo_answers():
            found["mongodb"] = "MongoDB does not answer"
        if found and (full := disk.full(self.services.settings.data)):
            found["disk"] = full
        return found

    async def _mongo_answers(self) -> bool:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.mongo.ping()
        except (PyMongoError, TimeoutError):
            return False
        return True


def create_app(settings: Settings) -> ApiApp:
    """Return the Faust app of the api role."""
    app = ApiApp(
        settings.named("api"),
        **faust_config(settings),
        store="memory://",
        web_host=settings.http_host,
        web_bind=settings.http_host,
        web_port=settings.worker_port or settings.http_port,
        web_tables_enabled=False,
        web_router_enabled=False,
        web_application_options={"client_max_size": settings.body_bytes},
        worker_redirect_stdouts=False,
    )
    app.settings = settings
    api = Api(settings)

    application = app.web.web_app
    install(application, api.services)
    application.on_startup.append(api.start)
    application.on_shutdown.append(api.end_streams)
    application.on_cleanup.append(api.stop)
    return app


def _many_connections() -> None:
    """Raise the limit of open files to the maximum, because every client of server-sent events has a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(settings: Settings) -> None:
    """Run one api worker until SIGTERM or SIGINT."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    configure("api", settings)
    _many_connections()
    run_until_stopped(create_app(settings))
