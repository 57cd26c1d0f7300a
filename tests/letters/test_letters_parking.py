"""A bug parks a command and the later ones of its aggregate; a retry handles them in order."""

import asyncio
import json
from typing import Any

from kafka import await_message, messages, produce
from letters_desk import ORDER
from system import Api, System, eventually


def send(system: System, key: str, name: str, command_id: str, **data: Any) -> None:
    produce(system.settings, "order-commands", key, {"id": command_id, "type": name, "data": data})


async def test_a_fixed_bug_and_a_retry_handle_parked_commands_in_order(system: System, api: Api, worker: Any) -> None:
    with worker("orders", FULFILLMENT_FAULTS="raise:Hold") as broken:
        send(system, "bug", "PlaceOrder", "bug-1", **ORDER)
        send(system, "bug", "Hold", "bug-2", reason="first")
        send(system, "bug", "Release", "bug-3")
        send(system, "bug", "Hold", "bug-4", reason="last")
        send(system, "bug", "Hold", "bug-2", reason="first")  # the same command again: parked once
        for number in range(8):
            send(system, f"well-{number}", "PlaceOrder", f"well-{number}", **ORDER)
        for number in range(8):
            await asyncio.to_thread(
                await_message,
                system.settings,
                "command-outcomes",
                lambda m, number=number: m["data"]["commandId"] == f"well-{number}",
            )
        await eventually(lambda: asyncio.to_thread(broken.parked), lambda found: found == {"order-commands": 3})
        assert broken.is_ready()
        counted = 'fulfillment_letters_parked{topic="order-commands"} 3.0'
        await eventually(lambda: asyncio.to_thread(broken.text, "metrics"), lambda text: counted in text)
        listed = json.loads(system.run("letters", "list", "--json").stdout)
        assert (listed["aggregateId"], listed["letters"], listed["commandId"]) == ("bug", 3, "bug-2")
        assert (listed["code"], listed["attempts"]) == ("PROCESSING_FAILED", 1)
        shown = system.run("letters", "show", "bug").stdout
        assert "streams.runtime.faults.Injected: an injected fault: Hold" in shown
        assert shown.count('"attempts": 0') == 2
        assert [m["data"]["events"] for m in outcomes(system, "bug")] == [
            [{"id": outcomes(system, "bug")[0]["data"]["events"][0]["id"], "type": "OrderPlaced", "sequence": 1}]
        ]  # parked commands have no outcome, because they are not rejected
        again = system.run("letters", "retry", "bug", check=False)
        assert again.returncode == 1
        assert "0 handled, 3 left: bug-2 failed again" in again.stdout
        assert json.loads(system.run("letters", "list", "--json").stdout)["attempts"] == 2
        broken.stop()
    with worker("orders") as fixed:
        assert fixed.parked() == {"order-commands": 3}  # restored with the table
        done = system.run("letters", "retry", "--all")
        assert done.stdout == "order bug: 3 handled, 0 left\n"
        assert system.run("letters", "list").stdout == "no commands are parked\n"
        events = messages(system.settings, "order-events", lambda m: m["subject"] == "bug")
        assert [(e["sequence"], e["type"], e["causationid"]) for e in events] == [
            (1, "OrderPlaced", "bug-1"),
            (2, "OrderHeld", "bug-2"),
            (3, "OrderReleased", "bug-3"),
            (4, "OrderHeld", "bug-4"),
        ]
        await eventually(lambda: asyncio.to_thread(fixed.parked), lambda found: found == {})
        assert system.run("letters", "retry", "--all").stdout == ""
        send(system, "bug", "Hold", "bug-2", reason="first")  # answered as before, and not handled again
        await asyncio.to_thread(
            await_message, system.settings, "command-outcomes", lambda m: len(outcomes(system, "bug", "bug-2")) == 2
        )
        assert len(messages(system.settings, "order-events", lambda m: m["subject"] == "bug")) == 4


def outcomes(system: System, key: str, command_id: str | None = None) -> list[Any]:
    return messages(
        system.settings,
        "command-outcomes",
        lambda m: (
            m["data"]["aggregateId"] == key
            and m["data"]["commandId"] == (command_id or m["data"]["commandId"])
            and m["data"]["commandType"] not in ("RetryLetters", "DiscardLetter")
        ),
    )
