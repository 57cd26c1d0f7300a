"""Checks regularly whether an import of an archive is unfinished: a command that is sent meanwhile would disturb it."""

import asyncio
import logging
from typing import Any

from aiokafka.errors import IllegalSaslStateError, for_code

from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.metadata import metadata_of
from streams.kafka.open_transactions import connected
from streams.kafka.wire import Code
from streams.runtime.settings import Settings
from streams.topics import UNFINISHED_IMPORT, UnfinishedImport

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
ABSENT = (Code.UNKNOWN_TOPIC_OR_PARTITION, Code.TOPIC_AUTHORIZATION_FAILED)
UNKNOWN = "Kafka has not been reached yet"


def exists(metadata: Any) -> bool:
    """Return whether the only topic exists, as far as this service may know; raise `KafkaError` if that is unclear."""
    if not metadata.brokers:
        raise IllegalSaslStateError("the broker has refused the login")
    ((code, topic, *_),) = metadata.topics
    if code not in (Code.NONE, *ABSENT):
        raise for_code(code)(topic)
    return bool(code == Code.NONE)


class ImportWatch:
    """Knows whether an import is unfinished; without the right to see its topic, none is."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topic = settings, settings.named(UNFINISHED_IMPORT)
        self._unfinished: bool | None = None  # Kafka has not been asked yet

    @property
    def is_known(self) -> bool:
        """Whether Kafka has been asked."""
        return self._unfinished is not None

    @property
    def reason(self) -> str | None:
        """Why commands are refused; None if they are not."""
        return str(UnfinishedImport()) if self._unfinished else None

    def refuse_commands(self) -> None:
        """Raise `UnfinishedImport` if an import is unfinished, and `GatewayUnavailable` if that is not known yet."""
        if not self.is_known:
            raise GatewayUnavailable(f"{UNKNOWN}: nothing was sent")
        if self._unfinished:
            raise UnfinishedImport

    async def watch(self) -> None:
        """Check for ever; while Kafka does not answer, what was found last remains."""
        while True:
            try:
                async with connected(self._settings) as client:
                    while True:
                        self._note(exists(await metadata_of(client, [self._topic])))
                        await asyncio.sleep(LOOK_SECONDS)
            except Exception as error:  # readiness says that Kafka does not answer; the next look may succeed
                log.debug("cannot check for an import: %r", error)
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, unfinished: bool) -> None:
        if unfinished and not self._unfinished:
            log.warning("%s; commands are refused", UnfinishedImport())
        elif self._unfinished and not unfinished:
            log.warning("the import is finished; commands are accepted")
        self._unfinished = unfinished
