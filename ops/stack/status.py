"""How the stack is: what runs, what is ready, what each role has not handled yet."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp

from ops.stack import kafka, mongod, state
from streams.runtime.settings import Settings
from streams.topology import READING

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
TIMEOUT = aiohttp.ClientTimeout(total=2)

Lag = dict[str, dict[str, int]]


class Condition(NamedTuple):
    """A process and how it is: ready, unready, restarting, stopped or external (ready, but not ours)."""

    process: state.Process
    state: str
    reason: str = ""
    open_transactions: Sequence[dict[str, Any]] = ()  # that hold back what it reads, as its /readyz says them

    @property
    def ready(self) -> bool:
        """Say whether it does its work."""
        return self.state in ("ready", "external")

    @property
    def complaint(self) -> str:
        """Say in a few words what is wrong with it."""
        return f"{self.process.name} ({self.reason or self.state})"


class Status(NamedTuple):
    """The whole stack; without a supervisor there are no processes, or stopped ones."""

    processes: list[Condition]
    lag: Lag
    complete: bool = False

    @property
    def ready(self) -> bool:
        """Say whether every process is ready."""
        return self.complete and all(each.ready for each in self.processes)

    def as_json(self) -> str:
        """Return what `fulfillment status --json` promises."""
        rows = [
            {"name": p.name, "role": p.role, "pid": p.pid, "state": condition, "port": p.port}
            | ({"reason": reason} if reason else {})
            for p, condition, reason, *_ in self.processes
        ]
        found: dict[str, Any] = {"ready": self.ready, "processes": rows, "lag": self.lag}
        if held := self.open_transactions:
            found["openTransactions"] = held
        return json.dumps(found)

    @property
    def open_transactions(self) -> list[dict[str, Any]]:
        """The transactions that hold back a partition; several processes may have seen each."""
        found = {
            (one.get("topic"), one.get("partition"), one.get("producerId"), one.get("offset")): one
            for each in self.processes
            for one in each.open_transactions
        }
        return list(found.values())


async def collect(settings: Settings) -> Status:
    """Ask every process of the stack in `settings.data` how it is."""
    stack = state.read(settings.data)
    if stack is None:
        return Status([], {})
    headers = {"Authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as session:
        conditions = await asyncio.gather(*(_condition(p, stack.host, settings, session) for p in stack.processes))
        lags = await asyncio.gather(*(_lag(each, stack.host, session) for each in conditions))
    return Status(list(conditions), added(lags), stack.phase != "starting")


def added(lags: list[dict[str, Any]]) -> Lag:
    """Return the lag per group and topic, over the workers of each group."""
    sums: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for answer in lags:
        for topic, messages in answer.get("lag", {}).items():
            sums[answer["group"]][topic] += int(messages)
    return {group: dict(topics) for group, topics in sums.items()}


async def _condition(
    process: state.Process, host: str, settings: Settings, session: aiohttp.ClientSession
) -> Condition:
    external = process.state == "external"
    if not external and state.running(process) is None:
        condition = process.state if process.state == "restarting" else "stopped"
        return Condition(process.model_copy(update={"pid": None}), condition, process.said)
    if process.role == "kafka":
        ready = await asyncio.to_thread(kafka.answers, settings.kafka)
    elif process.role == "mongod":
        ready = await asyncio.to_thread(mongod.answers, settings.mongo)
    else:
        return await _ask(process, host, session)
    return Condition(
        process,
        ("external" if external else "ready") if ready else "unready",
        "" if ready else "no answer",
    )


async def _ask(process: state.Process, host: str, session: aiohttp.ClientSession) -> Condition:
    try:
        async with session.get(_url(process, host, "readyz")) as answer:
            condition = "ready" if answer.status == 200 else "unready"
            return Condition(process, condition, *_said(await answer.text(), condition))
    except (aiohttp.ClientError, TimeoutError) as error:
        starting = isinstance(error, aiohttp.ClientConnectorError)
        before = f" again; it stopped before with: {process.said}" if process.said else ""
        return Condition(process, "unready", f"starting{before}" if starting else "its web server does not answer")


def _said(text: str, condition: str) -> tuple[str, Sequence[dict[str, Any]]]:
    """Return why a process is not ready, or what it warns of, and the open transactions it has seen."""
    try:
        answer = json.loads(text)
        reasons = answer["reasons"]
        why = [*(reasons.values() if isinstance(reasons, dict) else reasons), *answer.get("warnings", ())]
        return "; ".join(map(str, why)), answer.get("openTransactions", ())
    except (ValueError, TypeError, KeyError, AttributeError):  # it is not one of our processes that answers
        return ("" if condition == "ready" else text[:200]), ()


async def _lag(condition: Condition, host: str, session: aiohttp.ClientSession) -> dict[str, Any]:
    if condition.process.role not in READING or condition.state not in ("ready", "unready"):
        return {}
    try:
        async with session.get(_url(condition.process, host, "lag")) as answer:
            found = await answer.json() if answer.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}
    return found if isinstance(found, dict) and "group" in found else {}


def _url(process: state.Process, host: str, path: str) -> str:
    host = WILDCARDS.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{process.port}/{path}"
