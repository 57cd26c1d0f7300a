"""The api process: a Faust app that serves HTTP, sends commands and reads outcomes without a consumer group."""

import asyncio
import logging
import resource
from typing import TYPE_CHECKING

import mode.loop

mode.loop.use("uvloop")  # before Faust is imported: https://faust-streaming.github.io/faust (Event loops)

import faust  # noqa: E402
from aiohttp.web import Application  # noqa: E402
from faust.app.base import BootStrategy  # noqa: E402
from pymongo.errors import PyMongoError  # noqa: E402

from parking.book import LetterReader  # noqa: E402
from projections.mongo.actions import OperatorActions  # noqa: E402
from projections.mongo.client import Mongo  # noqa: E402
from projections.mongo.failures import describe  # noqa: E402
from projections.mongo.idempotency import IdempotencyKeys  # noqa: E402
from projections.mongo.live import LiveVersions  # noqa: E402
from projections.mongo.queries import Queries  # noqa: E402
from projections.mongo.readers import Presence  # noqa: E402
from projections.mongo.registry import Registry  # noqa: E402
from projections.mongo.stock_imports import StockImports  # noqa: E402
from streams.kafka.clients import faust_config  # noqa: E402
from streams.kafka.gateway import Gateway  # noqa: E402
from streams.kafka.import_watch import UNKNOWN, ImportWatch  # noqa: E402
from streams.kafka.transaction_watch import TransactionWatch, all_partitions  # noqa: E402
from streams.runtime import disk  # noqa: E402
from streams.runtime.logs import configure  # noqa: E402
from streams.runtime.running import run_until_stopped  # noqa: E402
from streams.runtime.settings import Settings  # noqa: E402
from streams.runtime.tasks import cancel  # noqa: E402
from streams.runtime.webserver import Server  # noqa: E402
from web.app import install  # noqa: E402
from web.commands.outcome_reader import OutcomeReader, Waiting  # noqa: E402
from web.services import Services, Webhooks  # noqa: E402
from web.sse.hub import Hub  # noqa: E402
from webhooks.deliverer import Deliverer  # noqa: E402
from webhooks.names import Resolver  # noqa: E402
from webhooks.store import Subscriptions  # noqa: E402
from webhooks.vault import Vault  # noqa: E402

if TYPE_CHECKING:
    from web.opening import Opening  # loads a library of ciphers

PING_SECONDS = 1.0
CHECKED_NAMES = 4  # names of new receivers that are resolved at the same time
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
        self.imports = ImportWatch(settings)
        self.subscriptions = Subscriptions(settings)
        self.deliverer = Deliverer(settings, self.mongo, queries, self.subscriptions)
        self._watching: list[asyncio.Task[None]] = []
        self.services = Services(
            settings,
            self.gateway,
            waiting,
            queries,
            IdempotencyKeys(self.mongo),
            LetterReader(settings),
            Hub(settings, queries, opening := opening_of(settings, self.mongo)),
            self.versions,
            self.reasons,
            actions=OperatorActions(self.mongo),
            opening=opening,
            imports=self.imports,
            stock_imports=StockImports(self.mongo),
            webhooks=Webhooks(self.subscriptions, self.deliverer.progress, Vault(settings), Resolver(CHECKED_NAMES)),
            open_transactions=lambda: self.open_transactions.open,
        )

    async def start(self, _: Application) -> None:
        """Start connecting to Kafka and MongoDB; until then, requests that need them get a 503."""
        await self.gateway.start()
        await self.outcomes.start()
        self.versions.start()
        self.subscriptions.start()
        if self.services.settings.webhook_deliver:
            self.deliverer.start()
        self._watching = [asyncio.create_task(each.watch()) for each in (self.open_transactions, self.imports)]

    async def end_streams(self, _: Application) -> None:
        """End the streams of events, which would never end by themselves."""
        await self.services.hub.stop()

    async def stop(self, _: Application) -> None:
        """Disconnect from Kafka and MongoDB."""
        for task in self._watching:
            await cancel(task)
        await self.deliverer.stop()
        await self.subscriptions.stop()
        await self.versions.stop()
        await self.outcomes.stop()
        await self.gateway.stop()
        await self.mongo.close()

    async def reasons(self) -> dict[str, str]:
        """Return the reasons why the process is not ready, by component; empty if it is ready."""
        found = {}
        if away := await self.gateway.away() or (None if self.imports.is_known else UNKNOWN):
            found["kafka"] = away
        if not self.outcomes.ready:
            found["outcomes"] = "the reader of command outcomes is still connecting to its topic"
        if unfinished := self.imports.reason:
            found["import"] = unfinished
        if away := await self._mongo_away():
            found["mongodb"] = away
        if found and (full := disk.full(self.services.settings.data)):
            found["disk"] = full
        return found

    async def _mongo_away(self) -> str | None:
        """Return why MongoDB does not answer; None if it does."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.mongo.ping()
        except PyMongoError as error:
            return describe(error)
        except TimeoutError:
            return "; ".join(map(describe, self.mongo.errors)) or "MongoDB does not answer"
        return None


def opening_of(settings: Settings, mongo: Mongo) -> "Opening | None":
    """Return what opens personal data in answers; None if it is not encrypted."""
    if not settings.encrypts_personal_data:
        return None
    from privacy.masters import key_encryption
    from projections.mongo.customer_keys import StoredKeys
    from web.opening import Opening

    return Opening(settings, StoredKeys(mongo), key_encryption(settings))


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
