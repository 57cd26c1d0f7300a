"""Batched lookups by id: lookups requested at the same time are sent to MongoDB as one query.

A query costs 0.3 ms of processor time here and in MongoDB, whatever its size; each further id costs 0.02 ms.
"""

import asyncio
from asyncio import Future

from projections.document import Document
from projections.mongo.client import Collection

MOST = 200  # ids per query


class Asking:
    """Looks up documents of one collection with one query at a time; requests made meanwhile form the next query.

    A caller always sees documents as they were after its call: it never joins a query that is already running.
    """

    def __init__(self, collection: Collection, fields: Document | None = None) -> None:
        self._collection, self._fields = collection, fields
        self._asked: dict[str, list[Future[Document | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, identifier: str) -> Document | None:
        """Return the document with the id `identifier`, or None."""
        future: Future[Document | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(identifier, []).append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._answer())
        return await future

    async def _answer(self) -> None:
        try:
            while self._asked:
                asked = {name: self._asked.pop(name) for name in list(self._asked)[:MOST]}
                await self._look_up(asked)
        finally:
            self._task = None

    async def _look_up(self, asked: dict[str, list[Future[Document | None]]]) -> None:
        documents: dict[str, Document] = {}
        failed: Exception | None = None
        try:
            query = {"_id": {"$in": list(asked)}}
            found = await self._collection.find(query, self._fields, batch_size=len(asked) + 1).to_list(None)
            documents = {document["_id"]: document for document in found}
        except Exception as error:
            failed = error
        for identifier, futures in asked.items():
            for future in futures:
                if future.done():  # the caller has gone
                    continue
                if failed:
                    future.set_exception(failed)
                else:
                    future.set_result(documents.get(identifier))
