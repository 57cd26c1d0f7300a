"""aiokafka's records, made with what is asked of them here and no more.

An order's messages are read some eighteen times on its way, each with sizes, deserializers and two Python calls that
nobody needs: a third of what a record costs (`python -m bench.pieces`).
"""

from collections.abc import Iterator
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

UNASKED = 0  # sizes of key and value


class Records(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records that a fetch brought of one partition, without those of aborted transactions."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[ConsumerRecord]:
        iterator: Iterator[ConsumerRecord] = self._records_iterator
        return iterator

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        topic, partition = self._tp
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"a batch of {topic}/{partition} is damaged: its checksum is another")
            if not self._left_out(batch):
                first = self.next_fetch_offset  # a batch may begin before it
                for record in [
                    ConsumerRecord(
                        topic, partition, each.offset, each.timestamp, each.timestamp_type, each.key, each.value, None,
                        UNASKED, UNASKED, each.headers,
                    )
                    for each in batch
                    if each.offset >= first
                ]:  # fmt: skip
                    self.next_fetch_offset = record.offset + 1
                    yield record
            self.next_fetch_offset = batch.next_offset  # behind what compaction has taken away, too

    def _left_out(self, batch: Any) -> bool:
        """Return whether a batch is of an aborted transaction, or says how one ended."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)


def make_records_ours() -> None:
    """Make all consumers of this process read `Records`."""
    fetcher.PartitionRecords = Records
