"""Readers of dead letters keep little in memory, and list letters in order of time. Pure."""

import tracemalloc
from typing import Any

from msgspec.structs import replace

from parking.book import KEPT, PREVIEW_BYTES, Letterbook, listed
from parking.letter import DeadLetter
from streams.messages.envelope import instant_of

NOW = 1_763_000_000_000  # milliseconds
LETTER = DeadLetter("invalid", "order-commands", 0, 0, b"o", b"{}", (), "INVALID_MESSAGE", "no", instant_of(NOW / 1000))
MEBIBYTE = 1 << 20


def at(ms: int, **more: Any) -> DeadLetter:
    return replace(LETTER, time=instant_of(ms / 1000), **more)


def kept_bytes(letters: Any) -> int:
    """Return the size of a book of `letters`; each is created in turn, and released after it was added."""
    book = Letterbook()
    tracemalloc.start()
    try:
        for number, letter in enumerate(letters):
            book.add(letter, number % 8, number, NOW + number)
        del letter
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def large(number: int, **more: Any) -> DeadLetter:
    value = b"%d" % number * (3_900_000 // len(b"%d" % number))
    return at(NOW + number, value=value, headers=((f"h{number}", value),), traceback=value.decode(), **more)


def test_sixty_large_letters_are_kept_by_what_lists_say_of_them() -> None:
    assert kept_bytes(large(number) for number in range(60)) < MEBIBYTE
    parked: Any = {"kind": "parked", "aggregate": "order", "message": "m" * MEBIBYTE, "code": "PROCESSING_FAILED"}
    letters = (large(n, aggregate_id=f"o{n}", command_id=f"c{n}", key=b"k" * n, **parked) for n in range(60))
    assert kept_bytes(letters) < MEBIBYTE


def test_a_parked_letter_takes_less_than_a_kilobyte() -> None:
    parked: Any = {"kind": "parked", "aggregate": "order", "aggregate_id": "o", "code": "PARKED_BEHIND"}
    count = 5_000
    letters = (at(NOW + n, command_id=f"{n:036}", value=b"x" * 10_000, offset=n, **parked) for n in range(count))
    assert kept_bytes(letters) < 1_000 * count


def test_only_the_newest_letters_that_are_not_parked_are_kept() -> None:
    book = Letterbook()
    for number in reversed(range(KEPT + 5)):  # the newest partition is read first
        book.add(at(NOW + number), number % 8, number, NOW + number)
    assert [entry.offset for entry in book.others] == list(reversed(range(5, KEPT + 5)))


def test_the_newest_comes_first_whatever_partition_it_is_on() -> None:
    book = Letterbook()
    for partition, offset, ms in [(0, 0, 5), (0, 1, 30), (1, 0, 10), (1, 1, 20), (2, 0, 20)]:
        book.add(at(NOW + ms), partition, offset, NOW + 100)
    assert [entry.id for entry in book.others] == ["0-1", "2-0", "1-1", "1-0", "0-0"]


def test_a_producers_clock_moves_a_letter_a_minute_at_most() -> None:
    book = Letterbook()
    book.add(at(NOW), 0, 0, NOW)
    for number, time in enumerate(("9999-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z", "nonsense")):
        book.add(replace(LETTER, time=time), 1, number, NOW + 120_000 * (number + 1))
    book.add(at(NOW + 900_000), 0, 1, NOW + 900_000)
    assert [entry.id for entry in book.others] == ["0-1", "1-2", "1-1", "1-0", "0-0"]


def test_a_list_has_small_values_whole_and_the_beginning_of_large_ones() -> None:
    book = Letterbook()
    values = (b"x" * PREVIEW_BYTES, b"x" * (PREVIEW_BYTES + 1), "é".encode() * PREVIEW_BYTES, b"\xff", None)
    for number, value in enumerate(values):
        book.add(at(NOW + number, value=value), 0, number, NOW + number)
    whole, large, accented, raw, none = map(listed, reversed(book.others))
    assert (whole["value"], whole["valueBytes"]) == ("x" * PREVIEW_BYTES, PREVIEW_BYTES)
    assert (large["valuePreview"], large["valueBytes"]) == ("x" * PREVIEW_BYTES, PREVIEW_BYTES + 1)
    assert "value" not in large
    assert accented["valuePreview"] == "é" * (PREVIEW_BYTES // 2)
    assert (raw["valueBase64"], raw["valueBytes"]) == ("/w==", 1)
    assert (none["value"], none["valueBytes"]) == (None, None)
