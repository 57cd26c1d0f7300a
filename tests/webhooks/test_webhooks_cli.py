"""`fulfillment webhooks` as text."""

from typing import Any

import pytest

from ops.commands.webhooks import as_text


@pytest.mark.parametrize(("events", "attempts", "shown"), [(1, 1, "1 event since T, 1 attempt, next"),
                                                          (2, 3, "2 events since T, 3 attempts, next")])  # fmt: skip
def test_numbers_agree_with_their_nouns(events: int, attempts: int, shown: str) -> None:
    waits = {
        "aggregateId": "o-1",
        "events": events,
        "since": "T",
        "attempts": attempts,
        "nextAttempt": "U",
        "error": "x",
    }
    progress = {"lastSuccess": None, "waiting": events, "waitingFor": [waits], "positions": {}}
    hook: dict[str, Any] = {"id": "w-1", "status": "active", "reason": None, "url": "https://shop.example", "types": [],
                            "customerIds": [], "locations": [], "progress": progress}  # fmt: skip
    text = as_text(hook)
    assert shown in text
    assert f"waiting      {events} event{'s' if events > 1 else ''}\n" in text
