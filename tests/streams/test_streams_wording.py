import pytest

from streams.wording import counted


@pytest.mark.parametrize(
    ("count", "noun", "many", "text"),
    [
        (0, "order", None, "0 orders"),
        (1, "order", None, "1 order"),
        (2, "order", None, "2 orders"),
        (12_345, "event", None, "12,345 events"),
        (1, "entry", "entries", "1 entry"),
        (3, "entry", "entries", "3 entries"),
    ],
)
def test_a_number_agrees_with_its_noun(count: int, noun: str, many: str | None, text: str) -> None:
    assert counted(count, noun, many) == text
