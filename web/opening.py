"""Opens sealed personal data in answers, as the last step before they are sent; made only if data is encrypted.

An address whose key was erased is answered as `{"erased": true}`. One that cannot be opened for another reason stays
sealed: its master key is not set, or its key has not arrived in MongoDB yet. Opened data is never kept: each answer
looks the keys up again, so that nothing is shown after its key was erased.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError

from privacy.keys import CustomerKey
from privacy.masters import CannotUnwrap, KeyEncryption
from privacy.sealing import CannotOpen, Cipher, is_sealed, key_id_of
from projections.document import Document
from projections.mongo.customer_keys import StoredKeys
from projections.mongo.failures import describe
from projections.mongo.sources import Shown
from streams.kafka.ends import ends_of
from streams.kafka.open_transactions import connected
from streams.runtime.settings import Settings
from streams.topics import CUSTOMER_KEYS, topic_ids
from web.sealed import MARK, has_sealed

log = logging.getLogger(__name__)
FIELDS = ("shippingAddress", "billingAddress")
ERASED = {"erased": True}
PAUSES = (0.01, 0.02, 0.05, 0.1)  # seconds between looks for a key that a new order may have been sealed with
PATIENCE_SECONDS, PAUSE_SECONDS = 2.0, 0.05  # for the projector to have read all keys; between two looks
IMPATIENT_SECONDS = 5.0  # without waiting in event streams, after a key was awaited in vain
REMEMBERED = 50_000  # ids of keys that do not exist any more

Found = dict[str, CustomerKey | None]  # keys by id; None for one that was erased
Find = Callable[[set[str]], Awaitable[Found]]


class _Sealed(NamedTuple):
    """A sealed value, and where it is."""

    order_id: str
    holder: Document
    field: str
    text: str


class Opening:
    """Opens what is sealed in documents and events."""

    def __init__(self, settings: Settings, keys: StoredKeys, masters: KeyEncryption) -> None:
        self._settings, self._keys, self._masters = settings, keys, masters
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._turn = asyncio.Lock()
        self._impatient_until = 0.0

    async def documents(self, shown: Sequence[Shown]) -> list[Shown]:
        """Return documents of read models, or entries of histories, with what was sealed in them opened."""
        found = [_parsed(each) for each in shown]
        await self._open(found, self._known)
        return found

    async def messages(self, messages: Sequence[bytes]) -> list[bytes]:
        """Return server-sent events with what was sealed in them opened.

        Without MongoDB it stays sealed. So does an address whose key is missing after a moment, because other events
        must not wait for it; the next addresses are not waited for at all, until it is tried again.
        """
        found = {n: _Message.of(message) for n, message in enumerate(messages) if MARK in message}
        if not found:
            return list(messages)
        try:
            await self._open([each.event for each in found.values()], self._quickly)
        except PyMongoError as error:
            log.warning("%s; sending events with sealed addresses", describe(error))
            return list(messages)
        return [found[n].encoded() if n in found else message for n, message in enumerate(messages)]

    async def _open(self, documents: Iterable[Any], find: Find) -> None:
        values = [value for document in documents if isinstance(document, dict) for value in _sealed_in(document)]
        if not values:
            return
        ciphers = self._ciphers(await find({key_id_of(value.text) for value in values}))
        for value in values:
            if (cipher := ciphers.get(key_id_of(value.text), value)) is None:
                value.holder[value.field] = ERASED
            elif isinstance(cipher, Cipher):
                value.holder[value.field] = _opened(cipher, value)

    # --- keys

    def _ciphers(self, found: Found) -> dict[str, Cipher | None]:
        """Return the ciphers of keys, None for those erased; keys that cannot be used now are left out."""
        ciphers: dict[str, Cipher | None] = {}
        for key_id, key in found.items():
            if key is None:
                ciphers[key_id] = None
                continue
            try:
                ciphers[key_id] = Cipher(key_id, self._masters.unwrap(key.raw))
            except CannotUnwrap as error:
                log.error("%s", error)
        return ciphers

    async def _known(self, ids: set[str]) -> Found:
        """Return keys by id, None for those erased; keys that may still arrive are left out."""
        found = await self._soon(ids, PAUSES)
        if (missing := ids - found.keys()) and await self._has_all_keys():
            found |= dict.fromkeys(missing) | await self._keys.find(missing)
            self._remember_gone(each for each in missing if found[each] is None)
        return found

    async def _quickly(self, ids: set[str]) -> Found:
        """Return the keys that arrive in a moment; only stored ones for a while after others were awaited in vain."""
        is_patient = time.monotonic() >= self._impatient_until
        found = await self._soon(ids, PAUSES if is_patient else ())
        if is_patient and found.keys() != ids:
            self._impatient_until = time.monotonic() + IMPATIENT_SECONDS
        return found

    async def _soon(self, ids: set[str], pauses: Iterable[float]) -> Found:
        gone: Found = {each: None for each in ids if each in self._gone}
        found = gone | await self._keys.find(ids - gone.keys())
        for pause in pauses:
            if found.keys() == ids:
                break
            await asyncio.sleep(pause)
            found |= await self._keys.find(ids - found.keys())
        return found

    def _remember_gone(self, ids: Iterable[str]) -> None:
        self._gone |= dict.fromkeys(ids)
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    async def _has_all_keys(self) -> bool:
        """Return whether MongoDB has all keys that are on the topic now; wait for a while until it does."""
        async with self._turn:  # after a wait, the next one is short
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._until_copied(await self._ends())
            except (KafkaError, KafkaException, OSError, TimeoutError, KeyError) as error:
                log.warning("keys of customers are missing, and whether they were erased is unknown: %r", error)
                return False
        return True

    async def _until_copied(self, ends: Mapping[int, int]) -> None:
        topic_id = (await topic_ids(self._settings, (CUSTOMER_KEYS,)))[self._topic]
        while True:
            positions = await self._keys.positions(topic_id)
            if all(positions.get(number, 0) >= end for number, end in ends.items()):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    @property
    def _topic(self) -> str:
        return self._settings.named(CUSTOMER_KEYS.name)

    async def _ends(self) -> dict[int, int]:
        partitions = [(self._topic, number) for number in range(self._settings.partitions)]
        async with connected(self._settings, {self._topic}) as client:
            return {number: ends.high for (_, number), ends in (await ends_of(client, partitions)).items()}


class _Message(NamedTuple):
    """A server-sent event: the lines before its data, the data, and the rest."""

    before: bytes
    event: Document
    after: bytes

    @classmethod
    def of(cls, message: bytes) -> "_Message":
        before, data = message.split(b"data: ", 1)
        text, after = data.split(b"\n", 1)
        return cls(before, orjson.loads(text), after)

    def encoded(self) -> bytes:
        return b"%bdata: %b\n%b" % (self.before, orjson.dumps(self.event), self.after)


def _parsed(shown: Shown) -> Any:
    """Return a document; one that is JSON is parsed only if something in it is sealed."""
    if not isinstance(shown, orjson.Fragment):
        return dict(shown)
    return orjson.loads(orjson.dumps(shown)) if has_sealed(shown) else shown


def _sealed_in(document: Document) -> Iterable[_Sealed]:
    """Yield the sealed values of an order, of an entry of its history, or of an event as it is on the topic."""
    holder, order_id = document, document.get("id")
    if isinstance(document.get("data"), dict):
        holder = document["data"] = dict(document["data"])
        order_id = document.get("orderId") or document.get("subject")
    for field in FIELDS:
        if is_sealed(text := holder.get(field)):
            yield _Sealed(str(order_id), holder, field, str(text))


def _opened(cipher: Cipher, value: _Sealed) -> Any:
    try:
        return orjson.loads(cipher.open(value.order_id, value.field, value.text))
    except CannotOpen as error:
        log.error("%s", error)
        return value.text
