"""Verification at rest: the audit is clean and every promise was kept, exactly once."""

import asyncio
import json
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import aiohttp
from deliveries import Deliveries
from kafka import messages
from load import Promises
from system import System, eventually

TOPICS = ("order-events", "inventory-events")
MAKERS = ("POST orders ", "PlaceOrder ")  # exactly one event each


class Verdict(NamedTuple):
    """The findings, empty if there are none, and the number of events."""

    broken: list[str]
    events: int


async def verdict(system: System, promises: Promises, deliveries: Deliveries | None = None) -> Verdict:
    """Wait until the system is at rest, then verify; also a webhook, if there is one."""
    await asyncio.to_thread(system.quiet)
    found = await asyncio.to_thread(_drift, system)
    events = [event for topic in TOPICS for event in await asyncio.to_thread(messages, system.settings, topic)]
    outcomes = await asyncio.to_thread(messages, system.settings, "command-outcomes")
    found += _sequences(events) + _effects(events, outcomes, promises)
    found += await _outcomes(system, promises)
    if deliveries is not None:
        found += await deliveries.broken(events)
    return Verdict(found, len(events))


def _drift(system: System) -> list[str]:
    audit = system.run("audit", "--json", check=False)
    if audit.returncode == 0:
        return []
    return [f"audit: {json.dumps(drift)[:300]}" for drift in _drifts(audit.stdout)] or [f"audit: {audit.stderr[-500:]}"]


def _drifts(report: str) -> list[Any]:
    try:
        return list(json.loads(report).get("drift", [report[:2000]]))
    except json.JSONDecodeError:
        return []


def _sequences(events: list[dict[str, Any]]) -> list[str]:
    by_aggregate: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        by_aggregate[event["source"], event["subject"]].append(event["sequence"])
    return [
        f"{source} {subject} has the sequences {found}"
        for (source, subject), found in by_aggregate.items()
        if found != list(range(1, len(found) + 1))
    ]


def _effects(events: list[dict[str, Any]], outcomes: list[dict[str, Any]], promises: Promises) -> list[str]:
    """Compare the accepted outcomes with the existing events, for every promise."""
    ids = Counter(event["id"] for event in events)
    found = [f"event {event_id} occurs {count} times" for event_id, count in ids.items() if count > 1]
    caused: dict[str, set[str]] = defaultdict(set)
    for event in events:
        caused[event["causationid"]].add(event["id"])
    told: dict[str, set[str]] = {}
    for outcome in (each["data"] for each in outcomes if each["data"]["status"] == "accepted"):
        told.setdefault(outcome["commandId"], set()).update(event["id"] for event in outcome["events"])
    for command_id, what in promises.done.items():
        if command_id not in told:
            found.append(f"{what} ({command_id}) was done, and has no accepted outcome")
        elif told[command_id] != caused[command_id]:
            found.append(f"{what} ({command_id}) says {told[command_id]}, and caused {caused[command_id]}")
        elif what.startswith(MAKERS) and len(caused[command_id]) != 1:
            found.append(f"{what} ({command_id}) has its effect {len(caused[command_id])} times")
    return found


async def _outcomes(system: System, promises: Promises) -> list[str]:
    async with aiohttp.ClientSession(base_url=system.base + "/") as session:

        async def status(command_id: str) -> str:
            async with session.get(f"commands/{command_id}") as response:
                answer = await response.json()
                return str(answer["data"]["status"]) if response.status == 200 else f"HTTP {response.status}"

        found = []
        for command_id in sorted(promises.accepted):
            try:
                await eventually(lambda c=command_id: status(c), lambda known: known in ("accepted", "rejected"))
            except AssertionError as missing:
                found.append(f"command {command_id} was answered 202: {missing}")
        return found
