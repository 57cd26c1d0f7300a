"""Due timers in transactions of a limited size; some fail, or Kafka refuses them."""

import pytest
from faust.types import TP

from agents import firing
from agents.deciding import Decided, Fired
from agents.firing import MOST_TIMERS, POSTPONED_SECONDS, Firing
from streams.kafka.brokers import Refused
from streams.kafka.transactions import RefusedByKafka
from streams.kafka.transport import Fetch, Member, Offsets, Part
from streams.kafka.wire import Code
from streams.messages.envelope import instant_of
from tables.rows import MemoryRows
from tables.timers import Timers, timer_key

TIME = instant_of(1_800_000_000)
FETCH = Fetch(1, Member(1, "m"), {TP("in", 0): Part(7, ())}, timers=True)


class Worker:
    """A worker with due timers; deciding the `broken` ones fails, and Kafka refuses the `refused` ones.

    It refuses the `large` ones, too, unless each message is in a batch of its own.
    """

    def __init__(
        self,
        count: int,
        broken: frozenset[int] = frozenset(),
        refused: frozenset[int] = frozenset(),
        large: frozenset[int] = frozenset(),
    ) -> None:
        self.keys = [timer_key(TIME, b"o-%05d" % number) for number in range(count)]
        self.broken, self.refused, self.large = (
            {self.keys[each] for each in some} for some in (broken, refused, large)
        )
        self.clock = 0.0
        self.timers = Timers(MemoryRows(dict.fromkeys(self.keys, b"{}")), lambda: self.clock)
        self.committed: list[list[bytes]] = []
        self.singly: list[int] = []  # how many timers the transactions had whose messages were in batches of their own
        self.aborts = False
        self.deleted: set[bytes] = set()  # timers that the others delete
        self.firing = Firing(self)

    def fire(self, fetch: Fetch, limit: int) -> Decided:
        decided, due = Decided(), self.timers.due(TIME, limit)
        decided.failed = [Fired(self.timers, key) for key in due if key in self.broken]
        decided.fired = [Fired(self.timers, key) for key in due if key not in self.broken]
        return decided

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> Offsets | None:
        if self.aborts:
            return None
        keys = [each.key for each in decided.fired]
        if singly:
            self.singly.append(len(keys))
        if (self.refused if singly else self.refused | self.large).intersection(keys):
            raise RefusedByKafka(Refused(Code.MESSAGE_TOO_LARGE, "out/0", "out"))
        self.committed.append(keys)
        for key in (*keys, *(self.deleted if keys else ())):
            self.timers.changed(key, False)
        return {tp: part.ended for tp, part in fetch.parts.items()}

    async def run(self) -> int:
        """Fire until nothing is due; return the number of transactions that were tried."""
        tried = 0
        while self.timers.due(TIME, 1):
            assert await self.firing.commit(FETCH) == {TP("in", 0): 7}
            tried += 1
        return tried

    @property
    def fired(self) -> list[bytes]:
        return [key for some in self.committed for key in some]


async def test_a_transaction_has_a_limited_number_of_timers() -> None:
    worker = Worker(2 * MOST_TIMERS + 1)
    assert await worker.run() == 3
    assert [len(some) for some in worker.committed] == [MOST_TIMERS, MOST_TIMERS, 1]
    assert worker.singly == []
    assert worker.fired == worker.keys


async def test_timers_that_fail_are_tried_again_later_and_delay_no_others() -> None:
    worker = Worker(10, broken=frozenset({0, 4}))
    await worker.run()
    assert worker.fired == [key for key in worker.keys if key not in worker.broken]
    failed, worker.broken = worker.broken, set()
    worker.clock += POSTPONED_SECONDS
    await worker.run()
    assert set(worker.fired[8:]) == failed


async def test_a_timer_that_fails_and_is_deleted_by_another_is_not_tried_again() -> None:
    worker = Worker(2, broken=frozenset({0}))
    worker.deleted = worker.broken
    await worker.run()
    worker.clock += POSTPONED_SECONDS + 1
    assert worker.timers.due(TIME, 9) == []
    assert worker.timers.seconds(0) is None, "a worker would look for it without end"


@pytest.mark.parametrize("refused", [frozenset({0}), frozenset({3, 499}), frozenset(range(5))])
async def test_refused_timers_are_found_and_all_others_are_fired(refused: frozenset[int]) -> None:
    worker = Worker(500, refused=refused)
    assert await worker.run() < 60
    assert sorted(worker.fired) == [key for key in worker.keys if key not in worker.refused]
    assert worker.timers.due(TIME, 1) == []
    assert worker.timers.seconds(0) == POSTPONED_SECONDS
    assert len(worker.singly) >= len(refused)
    assert set(worker.singly) == {1}


@pytest.mark.parametrize("count", [1, 9])
async def test_a_timer_whose_messages_do_not_fit_into_one_batch_is_fired(count: int) -> None:
    worker = Worker(count, large=frozenset({count - 1}))
    await worker.run()
    assert worker.fired == worker.keys
    assert worker.singly[-1:] == [1]


async def test_only_timers_that_fail_cause_no_transaction() -> None:
    worker = Worker(2, broken=frozenset({0, 1}))
    assert await worker.run() == 1
    assert worker.committed == []


async def test_an_aborted_transaction_is_handed_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(3)
    worker.aborts = True
    assert await worker.firing.commit(FETCH) is None
    assert worker.timers.due(TIME, 9) == worker.keys
    monkeypatch.setattr(firing, "MOST_TIMERS", 1)
    worker.aborts = False
    await worker.run()
    assert worker.fired == worker.keys
