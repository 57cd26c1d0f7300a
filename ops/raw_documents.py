"""Read documents of MongoDB as bytes: many of them are only compared or hashed, and decoding each would take longer."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import bson

from projections.document import Document

BATCH = 5_000  # documents
_ID = b"\x02_id\x00"  # the first bytes of a document whose `_id` is a string, as in all our collections


async def raw_batches(
    collection: Any, where: Document, fields: Document | None = None, sort: list[tuple[str, int]] | None = None
) -> AsyncIterator[list[bytes]]:
    """Yield the documents that a query finds, many at a time."""
    cursor: Any = collection.find_raw_batches(where, fields, sort=sort, batch_size=BATCH)
    async for batch in cursor:
        yield list(_documents_in(batch))


def _documents_in(batch: bytes) -> Iterator[bytes]:
    """Yield the documents that are encoded one after the other."""
    at = 0
    while at < len(batch):
        end = at + int.from_bytes(batch[at : at + 4], "little")
        yield batch[at:end]
        at = end


def id_of(raw: bytes) -> bytes:
    """Return a document's `_id` as bytes, which sort as MongoDB sorts strings."""
    if raw[4:9] != _ID:
        return str(bson.decode(raw)["_id"]).encode()
    return raw[13 : 12 + int.from_bytes(raw[9:13], "little")]
