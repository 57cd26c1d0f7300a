"""Consumers of any partition from any position: of committed records, without a group."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from streams.runtime.settings import Settings

from .clients import aiokafka_config
from .library_patches import AIOKafkaConsumer

WAIT_MS, STOP_SECONDS = 500, 2.0


@asynccontextmanager
async def consuming(settings: Settings, name: str, **options: Any) -> AsyncIterator[Any]:
    """Return a started consumer without partitions; its client id is `name`. Stop it at the end.

    `options` are further ones of `AIOKafkaConsumer`.
    """
    consumer = AIOKafkaConsumer(
        **aiokafka_config(settings),
        client_id=settings.named(name),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        retry_backoff_ms=100,
        **{"fetch_max_wait_ms": WAIT_MS, **options},
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        with suppress(Exception):
            await asyncio.wait_for(consumer.stop(), STOP_SECONDS)
