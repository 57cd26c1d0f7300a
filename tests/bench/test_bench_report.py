"""The evaluation of benchmark figures; test_bench_suite.py runs the measurements."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.backlog import rate_of
from bench.figure import Figure, Found, Profile, number, percentile
from bench.goals import GOALS, Goal, verdict
from bench.parts import Entry, run_part
from bench.reader import length
from bench.recovery import last_restore
from bench.report import as_markdown
from bench.results import PartResult, Results
from bench.stacks import Stacks
from bench.suite import Bench, Sizes


@pytest.mark.parametrize(
    ("values", "share", "found"), [([3, 1, 2], 0.5, 2), ([7], 0.99, 7), (range(100), 0.99, 99), (range(1, 101), 1, 100)]
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, found: float) -> None:
    assert percentile(values, share) == found


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    figure = Figure("", "orders", [900, 2000, 1000.4], "/s", "fast")
    assert str(figure) == "orders, fast: 1,000 /s (900–2,000 of 3)"
    assert Figure("", "orders", [0.5], "s").spread == ""


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (12.34, "12.3"), (0.7, "0.70"), (0, "0.00")])
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("goal", "good", "bad"),
    [(Goal("≥", 5), 5, 4.9), (Goal(">", 5), 5.1, 5), (Goal("≤", 5), 5, 5.1), (Goal("<", 5), 4.9, 5)],
)
def test_a_goal_is_reached_or_missed(goal: Goal, good: float, bad: float) -> None:
    assert goal.reached(good)
    assert not goal.reached(bad)


def test_a_figure_is_compared_with_its_goal() -> None:
    assert verdict(Figure("flow.rate", "", [1500, 2500, 2600], "/s")) == ("≥ 2,000 /s", "reached")
    assert verdict(Figure("http.32.p99", "", [100.5], "ms")) == ("≤ 100 ms", "not reached")
    assert verdict(Figure("", "without a goal", [1], "")) == ("", "")
    assert str(GOALS["decide.ratio"]) == "≥ 0.70"


def part(*found: Found, failed: str = "") -> PartResult:
    return PartResult("Flow", "2026-11-23 10:00 UTC", "load average 0.1", found=list(found), failed=failed)


def test_the_page_names_reached_and_missed_goals() -> None:
    results = Results()
    slow, fast = Figure("flow.rate", "orders", [900], "/s"), Figure("http.32.p99", "… p99", [50], "ms")
    results.keep("flow", part(slow, fast, Profile("HTTP", "order", {"kafka": 0.5, "client": 0.25})))
    results.keep("decide", part(failed="KafkaException: gone"))
    page = as_markdown(results, "a machine", "versions")
    assert "**1 of 2 goals reached.**" in page
    assert "- orders: 900 /s, the goal is ≥ 2,000 /s" in page
    assert "| … p99 |  | 50.0 ms |  | ≤ 100 ms | reached |" in page
    assert "| process | HTTP |" in page
    assert "| all | 0.75 |" in page
    assert "**This part failed, figures are missing:** KafkaException: gone" in page


def test_results_are_kept_and_one_part_replaces_only_its_own(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first = Results(path)
    first.keep("flow", part(Figure("flow.rate", "orders", [1.0], "/s"), Profile("HTTP", "order", {"kafka": 0.5})))
    first.keep("idle", part(Figure("idle.roles", "idle", [4.0], "%")))
    again = Results(path, go_on=True)
    again.keep("idle", part(Figure("idle.roles", "idle", [3.0], "%")))
    found = Results(path, go_on=True)
    assert found.parts["flow"] == first.parts["flow"]
    assert [figure.median for figure in found.figures()] == [1.0, 3.0]
    assert found.figure("idle.roles") == Figure("idle.roles", "idle", [3.0], "%")
    assert not Results(path).parts  # a whole run starts over


def test_a_part_that_fails_keeps_its_earlier_results() -> None:
    def failing(bench: Bench) -> Iterator[Found]:
        yield Figure("", "orders", [1.0], "/s")
        raise AssertionError("the broker is gone")

    told: list[Found] = []
    with Stacks() as stacks:
        result = run_part(Entry(failing, "Flow", 1), Bench(Sizes.tiny(), stacks, Results()), told.append)
    assert result.failed == "AssertionError: the broker is gone"
    assert result.found == told == [Figure("", "orders", [1.0], "/s")]


def test_a_slow_machine_runs_fewer_rounds() -> None:
    with Stacks() as stacks:
        bench = Bench(Sizes(rounds=3), stacks, Results())
        assert list(bench.rounds("quick", 60)) == [0, 1, 2]
        assert list(bench.rounds("slow", 0)) == [0]


def test_the_start_of_a_worker_is_not_timed() -> None:
    samples = [(0.0, 0, 0.0), (10.0, 50, 5.0), (11.0, 100, 6.0), (15.0, 1000, 8.0)]
    rate = rate_of(samples, 1000)
    assert rate.second == 900 / 4
    assert rate.cpu_second == 900 / 2


def test_commands_handled_in_one_step_are_timed_from_before_it() -> None:
    assert rate_of([(0.0, 0, 0.0), (1.0, 0, 0.5), (2.0, 10, 1.0)], 10).second == 10


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: x\r\n\r\n", 3),
        (b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 12\r\n\r\n", 12),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", 0),
    ],
)
def test_the_length_of_an_answer_follows_from_its_head(head: bytes, body: int) -> None:
    assert length(head + b"a") == len(head) + body
    assert length(head[:-1]) is None


def test_the_last_restore_is_read_from_a_workers_log() -> None:
    log = """\
2026-11-23 10:00:00,000 INFO restore: restored 0 entries of main-orders-states-changelog, 8 partitions, in 0.02 s
2026-11-23 10:00:01,000 WARNING streams.app: something else
2026-11-23 10:05:00,000 INFO restore: restored 1200 entries of main-orders-states-changelog, 4 partitions, in 1.25 s
"""
    assert last_restore(log) == (1200, 4, 1.25)
    with pytest.raises(AssertionError, match="not mention a restore"):
        last_restore("")
