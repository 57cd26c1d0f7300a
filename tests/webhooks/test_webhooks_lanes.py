"""Order, back-off, and what is remembered, with receivers that fail at random."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from webhooks.backoff import FIRST_SECONDS, LONGEST_SECONDS, pause_after
from webhooks.lanes import Lane, Waiting, verdict

DAYS_3 = 259_200.0


def test_pauses_double_up_to_an_hour_with_jitter() -> None:
    for attempts in range(1, 30):
        longest = min(FIRST_SECONDS * 2 ** (attempts - 1), LONGEST_SECONDS)
        pauses = [pause_after(attempts, Random(seed)) for seed in range(50)]
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(set(pauses)) > 40


def test_three_days_are_about_a_hundred_attempts() -> None:
    random, passed, attempts = Random(1), 0.0, 0
    while passed < DAYS_3:
        attempts += 1
        passed += pause_after(attempts, random)
    assert 70 < attempts < 160


def test_a_receiver_may_ask_for_a_longer_pause_up_to_an_hour() -> None:
    assert pause_after(1, Random(1), 120.0) == 120.0
    assert pause_after(1, Random(1), 1e9) == LONGEST_SECONDS
    assert pause_after(20, Random(1), 1.0) > 1.0


def test_after_three_days_an_event_is_parked_or_its_receiver() -> None:
    waiting = Waiting("a", [1], attempts=80, since=1_000.0, due=0.0, reason="500")
    assert verdict(waiting, 1_000.0 + DAYS_3 - 1, DAYS_3, last_success=0.0) == "retry"
    assert verdict(waiting, 1_000.0 + DAYS_3, DAYS_3, last_success=999.0) == "park subscription"
    assert verdict(waiting, 1_000.0 + DAYS_3, DAYS_3, last_success=1_001.0) == "park event"


def test_a_failure_lets_its_order_wait_and_no_other() -> None:
    lane = Lane(10)
    assert lane.take("a", 10)
    assert lane.take("b", 11)
    lane.failed("a", [10], now=0, due=5, reason="500")
    assert not lane.take("a", 12)
    assert lane.take("b", 13)
    lane.delivered(11)
    assert lane.position == 13
    assert lane.waiting["a"].offsets == [10, 12]
    assert lane.backlog == 2


def test_an_order_that_waited_is_forgotten_once_it_has_caught_up() -> None:
    lane = Lane(0)
    lane.take("a", 0)
    lane.failed("a", [0], now=0, due=5, reason="500")
    lane.take("a", 1)
    waiting = lane.waiting["a"]
    lane.again(waiting, due=20, reason="503")
    assert (waiting.attempts, waiting.due, waiting.reason) == (2, 20, "503")
    lane.settled(waiting, now=21)
    assert (waiting.offsets, waiting.attempts, waiting.since) == ([1], 0, 21)
    lane.settled(waiting, now=22)
    assert lane.waiting == {}
    assert lane.take("a", 2)


def test_records_read_again_after_a_crash_are_not_added_twice() -> None:
    lane = Lane(0)
    lane.take("b", 0)  # pending, so the position stays
    lane.take("a", 1)
    lane.failed("a", [1], now=0, due=5, reason="500")
    lane.take("a", 2)
    again = Lane.of(lane.as_document())
    assert again.next == 0
    assert again.take("b", 0)
    assert not again.take("a", 1)
    assert not again.take("a", 2)
    assert again.waiting["a"].offsets == [1, 2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.randoms(use_true_random=False))
def test_every_event_is_delivered_and_each_order_in_order_through_failures_and_crashes(
    records: list[tuple[str, bool]], random: Random
) -> None:
    """Deliver a log with a receiver that fails as often as it likes, and a process that dies and loses what it had."""
    lane, stored, seen = Lane(0), Lane(0).as_document(), dict[str, list[int]]()
    failures = {offset: fails for offset, (_, fails) in enumerate(records)}

    def attempt(key: str, offset: int) -> bool:
        if failures[offset] and random.random() < 0.5:
            return False
        seen.setdefault(key, []).append(offset)
        return True

    steps = 0
    while lane.next < len(records) or lane.waiting or lane.pending:
        steps += 1
        dies = steps < 200 and random.random() < 0.1
        if dies:
            lane = Lane.of(stored)
        elif lane.waiting and random.random() < 0.5:
            waiting = random.choice(list(lane.waiting.values()))
            if attempt(waiting.key, waiting.offsets[0]):
                lane.settled(waiting, now=0)
            else:
                lane.again(waiting, due=0, reason="")
        elif lane.next < len(records):
            offset = lane.next
            key = records[offset][0]
            if lane.take(key, offset):
                if attempt(key, offset):
                    lane.delivered(offset)
                else:
                    lane.failed(key, [offset], now=0, due=0, reason="")
        if random.random() < 0.5:
            stored = lane.as_document()
    for key in "abc":
        wanted = [offset for offset, (name, _) in enumerate(records) if name == key]
        assert list(dict.fromkeys(seen.get(key, []))) == wanted  # without repeats, as receivers see them
