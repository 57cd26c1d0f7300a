"""A fetch in portions: records that are refused alone are set aside, all others are committed, in order, once."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from agents.deciding import Decided
from agents.portions import MOST_IN_A_ROW, SMALL_BYTES, Portions
from agents.refusing import Refusal, Resort
from streams.kafka.brokers import Refused
from streams.kafka.transactions import RefusedByKafka, Write
from streams.kafka.transport import Fetch, Member, Offsets, Part
from streams.kafka.wire import Code

LARGE = b"x" * 2_000


class Worker:
    """A worker that copies the values of records to the topic `out`, and whose Kafka refuses some.

    `singly`: values that Kafka accepts in batches of their own. `about`: the topic that its refusals name.
    """

    def __init__(
        self,
        code: Code = Code.MESSAGE_TOO_LARGE,
        refuses: Any = lambda value: value == LARGE,
        singly: bytes | None = None,
        about: str | None = "out",
    ) -> None:
        self.code, self.refuses, self.singly, self.about = code, refuses, singly, about
        self.skips = SimpleNamespace(reasons={})
        self.stopping: Any = self
        self.stopped: dict[TP, int] = {}
        self.committed: list[tuple[TP, int, str]] = []  # partition, offset, how
        self.transactions = 0
        self.aborts_at: int | None = None
        self.portions = Portions(self)

    def decide(self, fetch: Fetch, refusal: Refusal | None = None) -> Decided:
        assert (fetch.epoch, fetch.member) == (1, Member(1, "m")), "Kafka fences the owner of the whole fetch"
        assert all(part.began == part.records[0].offset for part in fetch.parts.values())
        decided = Decided(dict(fetch.parts))
        aside = refusal is not None and refusal.resort is not Resort.SINGLY
        for part in fetch.parts.values():
            decided.writes += [Write("letters" if aside else "out", 0, None, record.value) for record in part.records]
        return decided

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> Offsets | None:
        self.transactions += 1
        if self.transactions == self.aborts_at:
            return None  # a rebalance: the fetch stays undone
        values = [write.value for write in decided.writes if write.topic == "out"]
        if any(self.refuses(value) and not (singly and value == self.singly) for value in values):
            raise RefusedByKafka(Refused(self.code, "out/0", self.about))
        writes = iter(decided.writes)
        for tp, part in fetch.parts.items():
            self.committed += [(tp, record.offset, next(writes).topic) for record in part.records]
        return decided.offsets

    def is_stopped(self, tp: TP) -> bool:
        return tp in self.stopped

    def stop(self, tp: TP, record: Any, why: Exception) -> None:
        assert isinstance(why, RefusedByKafka)
        self.stopped[tp] = record.offset

    async def handle(self, *values: list[bytes]) -> Offsets | None:
        parts = {
            TP("in", number): Part(0, [SimpleNamespace(topic="in", partition=number, offset=at, value=value)
                                       for at, value in enumerate(some)])
            for number, some in enumerate(values)
        }  # fmt: skip
        return await self.portions.commit(Fetch(1, Member(1, "m"), parts))


def order_of(worker: Worker, partition: int) -> list[int]:
    return [offset for tp, offset, _ in worker.committed if tp.partition == partition]


@pytest.mark.parametrize("guilty", [(0,), (6,), (0, 1), (2, 5), tuple(range(7))])
async def test_refused_records_are_set_aside_and_all_others_are_committed_once_in_order(
    guilty: tuple[int, ...],
) -> None:
    worker = Worker()
    handled = await worker.handle([LARGE if at in guilty else b"small" for at in range(7)], [b"small"] * 3)
    assert (order_of(worker, 0), order_of(worker, 1)) == (list(range(7)), list(range(3)))
    assert [offset for _, offset, how in worker.committed if how == "letters"] == list(guilty)
    assert handled == {TP("in", 0): 7, TP("in", 1): 3}


async def test_one_refused_record_of_many_is_found_in_few_transactions() -> None:
    worker = Worker()
    await worker.handle([LARGE if at == 300 else b"small" for at in range(512)])
    assert worker.transactions < 4 * 9


@pytest.mark.parametrize("code", [Code.TOPIC_AUTHORIZATION_FAILED, Code.INVALID_TIMESTAMP])
async def test_a_missing_permission_stops_partitions_and_sets_nothing_aside(code: Code) -> None:
    worker = Worker(code, refuses=lambda value: value != b"causes nothing")
    handled = await worker.handle([b"causes nothing", b"a", b"b"], [b"c"], [b"causes nothing"])
    assert worker.stopped == {TP("in", 0): 1, TP("in", 1): 0}
    assert [(tp.partition, at, how) for tp, at, how in worker.committed] == [(0, 0, "out"), (2, 0, "out")]
    assert handled == {TP("in", 0): 1, TP("in", 1): 0, TP("in", 2): 1}


async def test_a_topic_that_refuses_a_small_record_refuses_everything() -> None:
    worker = Worker(refuses=lambda value: True)
    await worker.handle([b"small", b"small"])
    assert (worker.stopped, worker.committed) == ({TP("in", 0): 0}, [])


async def test_many_refused_records_in_a_row_mean_that_the_topic_is_the_cause() -> None:
    worker = Worker(refuses=lambda value: True)
    await worker.handle([LARGE] * (MOST_IN_A_ROW + 5), [LARGE])
    assert worker.stopped == {TP("in", 0): MOST_IN_A_ROW, TP("in", 1): 0}
    worker.stopped.clear()
    worker.refuses = lambda value: value == LARGE
    await worker.handle([b"small", LARGE, LARGE])
    assert worker.stopped == {}, "the topic has taken something since"


async def test_a_record_that_kafka_takes_in_a_batch_of_its_own_is_not_set_aside() -> None:
    worker = Worker(refuses=lambda value: value.startswith(LARGE), singly=LARGE)
    await worker.handle([LARGE] * (MOST_IN_A_ROW + 1) + [LARGE + b"r"])
    assert worker.stopped == {}, "records that were handled as usual do not count"
    assert [how for _, _, how in worker.committed] == ["out"] * (MOST_IN_A_ROW + 1) + ["letters"]


@pytest.mark.parametrize(("size", "stopped"), [(SMALL_BYTES - 1, True), (SMALL_BYTES, False)])
async def test_a_record_must_be_large_to_be_too_large(size: int, stopped: bool) -> None:
    worker = Worker(refuses=lambda value: True)
    await worker.handle([b"x" * size])
    assert bool(worker.stopped) is stopped


async def test_a_record_is_not_the_cause_if_it_writes_nothing_to_the_topic_that_refuses() -> None:
    worker = Worker(about="elsewhere")
    await worker.handle([LARGE])
    assert worker.stopped == {TP("in", 0): 0}
    unnamed = Worker(about=None)
    await unnamed.handle([LARGE])
    assert unnamed.stopped == {}


async def test_an_operator_may_let_a_partition_skip_a_refused_record() -> None:
    worker = Worker(Code.TOPIC_AUTHORIZATION_FAILED, refuses=lambda value: True)
    worker.skips.reasons["in", 0, 0] = "never mind"
    await worker.handle([b"a", b"b"])
    assert ([at for _, at, _ in worker.committed], worker.stopped) == ([0], {TP("in", 0): 1})


async def test_a_rebalance_in_between_leaves_the_rest_to_the_new_owner() -> None:
    worker = Worker()
    worker.aborts_at = 5
    handled = await worker.handle([b"small", LARGE, b"small", b"small"])
    assert handled is None
    assert worker.transactions == 5
    assert order_of(worker, 0) == list(range(len(worker.committed)))
