"""A rebuilt table remembers recent commands from their outcomes and events."""

from typing import Any

from msgspec.structs import replace

from domain.inventory.events import Balance, StockReceived, StockReserved
from domain.orders.events import AllocationRecorded, OrderHeld
from ops.replay.memory import Answers
from streams.messages.envelope import EventMessage, Outcome, event_id

T = "2026-11-23T10:00:0{}.000Z"


def outcome(command_id: str, version: int = 1, second: int = 0, **rest: Any) -> Outcome:
    fields: dict[str, Any] = {"status": "accepted", "correlation_id": "c"} | rest
    return Outcome(command_id, "Hold", "order", "o", time=T.format(second), version=version, **fields)


def event(what: Any, sequence: int, command_id: str) -> EventMessage:
    return EventMessage(f"e-{sequence}", "o", what, sequence, T.format(sequence), "order", "c", command_id)


def held(sequence: int, command_id: str) -> EventMessage:
    return event(OrderHeld(reason="?"), sequence, command_id)


def refused(command_id: str, version: int, second: int, **rest: Any) -> Outcome:
    return outcome(command_id, version, second, status="rejected", code="NO", message="no", details={}, **rest)


def remembered(answers: Answers, aggregate: str = "order") -> list[str]:
    return [answer.command_id for answer in answers.recent(aggregate, "o")]


def test_outcomes_come_in_the_order_they_were_decided() -> None:
    answers = Answers(32)
    events = ({"id": "e", "type": "OrderHeld", "sequence": 2},)
    answers.add_outcome(refused("late", 2, 3))
    answers.add_outcome(outcome("quiet", 2, 2))
    answers.add_outcome(outcome("second", 2, 9, events=events))  # its time comes from the sender, and may be wrong
    answers.add_outcome(outcome("first", 1, 1, events=events))
    assert remembered(answers) == ["first", "second", "quiet", "late"]


def test_commands_that_were_not_decided_are_not_remembered() -> None:
    answers = Answers(32)
    answers.add_outcome(refused("no command at all", 0, 1))
    answers.add_outcome(refused("to be asked again", 3, 1, retryable=True))
    assert remembered(answers) == []


def test_events_of_one_command_are_one_answer_also_with_events_of_others_in_between() -> None:
    answers = Answers(32)
    for sequence, cause in enumerate(("first", "second", "second", "third"), 1):
        answers.add_event("order", "o", held(sequence, cause))
        answers.add_event("order", "other", held(sequence, f"other-{sequence}"))
    assert remembered(answers) == ["first", "second"]  # another event of the third may follow
    answers.end_events()
    found = {answer.command_id: answer.events for answer in answers.recent("order", "o")}
    assert found == {"first": ("OrderHeld",), "second": ("OrderHeld", "OrderHeld"), "third": ("OrderHeld",)}
    assert len(answers.recent("order", "other")) == 4


def test_a_limited_number_of_answers_is_kept_and_a_repeated_answer_does_not_count() -> None:
    answers = Answers(3)
    for number in range(100):
        answers.add_outcome(outcome(f"c-{number}", number + 1))
    answers.add_outcome(outcome("c-97", 98, 9))
    assert remembered(answers) == ["c-97", "c-98", "c-99"]


def test_an_id_that_was_forgotten_and_decided_a_second_time_has_its_second_answer() -> None:
    answers = Answers(3)
    for number in [0, *range(1, 9), 0]:
        answers.add_outcome(outcome(f"c-{number}", 12 if answers.recent("order", "o") and number == 0 else number + 1))
    assert remembered(answers) == ["c-7", "c-8", "c-0"]
    assert answers.recent("order", "o")[-1].version == 12


def test_events_of_an_id_that_was_used_twice_are_two_decisions() -> None:
    answers = Answers(32)
    answers.add_events("order", "o", [held(1, "a"), held(2, "b"), held(3, "a")])
    assert [(each.command_id, each.version, each.events) for each in answers.recent("order", "o")] == [
        ("b", 2, ("OrderHeld",)),
        ("a", 3, ("OrderHeld",)),
    ]


def test_an_answer_made_of_events_names_the_ids_they_have() -> None:
    answers = Answers(32)
    ours = replace(held(2, "ours"), id=event_id("order", "o", 2))
    answers.add_events("order", "o", [held(1, "older"), ours])
    assert [answer.by_sequence for answer in answers.recent("order", "o")] == [False, True]


def test_events_tell_of_commands_whose_outcomes_are_gone() -> None:
    answers = Answers(32)
    answers.add_outcome(outcome("known", 4, 4, events=({"id": "e", "type": "OrderHeld", "sequence": 4},)))
    recorded = AllocationRecorded(
        line_id="1", product_id="p", pending=0, backordered=0, allocated=1, cancelled=0, rejected=0, stock_version=1
    )
    answers.add_events(
        "order", "o", [held(1, "old"), event(recorded, 2, "the process manager's"), held(3, "two"), held(4, "known")]
    )
    found = answers.recent("order", "o")
    assert [(answer.command_id, answer.command_type, answer.version) for answer in found] == [
        ("old", "Hold", 1),
        ("two", "Hold", 3),
        ("known", "Hold", 4),
    ]
    assert found[0].events == ("OrderHeld",)


def test_stock_that_a_person_moved_is_told_from_what_an_order_asked_for() -> None:
    answers, line = Answers(32), {"order_id": "o-1", "line_id": "1", "quantity": 1, "reserved": 1}
    reserved = StockReserved(**line, backordered=0, rejected=0, balance=Balance(), place=4)  # type: ignore[arg-type]
    received = StockReceived(quantity=5, balance=Balance())
    answers.add_events(
        "inventory", "o", [event(received, 1, "mine"), event(reserved, 2, "mine"), event(reserved, 3, "pm")]
    )
    assert remembered(answers, "inventory") == ["mine"]
    assert answers.recent("inventory", "o")[0].events == ("StockReceived", "StockReserved")
