"""The status of the stack: what runs, what is ready, how far each role lags."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
from confluent_kafka import KafkaException

from ops.http import address
from ops.kafka.topics import problems
from ops.stack import kafka, mongod, state
from ops.stack.cluster import broker_only
from streams.kafka.diagnosis import diagnose
from streams.kafka.groups import places_of
from streams.runtime.settings import Settings
from streams.topology import READING, group_of

NO_LAG = "its lag is not shown: set FULFILLMENT_API_TOKEN to a token with the scope read"
ANSWER_SECONDS = 5.0  # a busy machine takes longer than the processes themselves need to find out what is wrong
TIMEOUT = aiohttp.ClientTimeout(total=ANSWER_SECONDS)

Lag = dict[str, dict[str, int]]  # group → topic → messages
Unassigned = Mapping[str, Mapping[str, Sequence[int]]]  # group → topic → partitions
Facts = dict[str, Any]


class Condition(NamedTuple):
    """A process and its state: ready, unready, restarting, stopped or external (ready, but not started here)."""

    process: state.Process
    state: str
    reasons: Sequence[str] = ()
    open_transactions: Sequence[Facts] = ()  # transactions that hold back its partitions, as its /readyz lists them

    @property
    def ready(self) -> bool:
        """Whether the process does its work."""
        return self.state in ("ready", "external")

    @property
    def reason(self) -> str:
        """Why it is not ready, or what it warns of, in one line."""
        return "; ".join(self.reasons)

    @property
    def complaint(self) -> str:
        """Its name and the reason why it is not ready."""
        return f"{self.process.name} ({self.reason or self.state})"


class Status(NamedTuple):
    """The status of the whole stack; without a supervisor there are no processes, or stopped ones."""

    processes: list[Condition]
    lag: Lag  # the lag of the partitions that workers of this stack have
    complete: bool = False
    unassigned: Unassigned = MappingProxyType({})  # partitions that no worker of this stack has
    topics: Sequence[str] = ()  # their problems

    @property
    def ready(self) -> bool:
        """Whether every process is ready."""
        return self.complete and all(each.ready for each in self.processes)

    def as_json(self) -> str:
        """Return the output of `fulfillment status --json`."""
        rows = [
            {"name": each.process.name, "role": each.process.role, "pid": each.process.pid, "state": each.state}
            | {"port": each.process.port}
            | ({"reason": each.reason} if each.reason else {})
            for each in self.processes
        ]
        found: Facts = {"ready": self.ready, "processes": rows, "lag": self.lag}
        if self.unassigned:
            found["unassigned"] = {**self.unassigned}
        if open_transactions := self.open_transactions:
            found["openTransactions"] = open_transactions
        if self.topics:
            found["topics"] = self.topics
        return json.dumps(found)

    @property
    def open_transactions(self) -> list[Facts]:
        """The transactions that hold back a partition, each once even if several processes report it."""
        found = {
            (one.get("topic"), one.get("partition"), one.get("producerId"), one.get("offset")): one
            for each in self.processes
            for one in each.open_transactions
        }
        return list(found.values())


async def collect(settings: Settings) -> Status:
    """Return the status of the stack in `settings.data`, asking each of its processes."""
    stack = state.read(settings.data)
    if stack is None:
        return Status([], {})
    token = settings.secret("api_token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as session:
        conditions = await asyncio.gather(*(_condition(p, stack.host, settings, session) for p in stack.processes))
        answers = await asyncio.gather(*(_lag(each, stack.host, session) for each in conditions))
    told = [
        condition if lag is not None else condition._replace(reasons=(*condition.reasons, NO_LAG))
        for condition, lag in zip(conditions, answers, strict=True)
    ]
    roles = {each.process.role for each in conditions}
    asked = roles - {each.process.role for each, lag in zip(conditions, answers, strict=True) if lag is None}
    known = [answer for answer in answers if answer]
    return Status(told, added(known), stack.phase != "starting", unassigned(settings, asked, known))


async def collect_all(settings: Settings) -> Status:
    """Return the status of the stack, and the problems of its topics, which processes do not check all the time."""
    status = await collect(settings)
    if not any(each.ready and each.process.role == "kafka" for each in status.processes):
        return status
    try:
        wrong = [f"{each.found}; {each.remedy}" for each in await problems(settings)]
    except KafkaException as error:
        wrong = [f"topics cannot be checked: {error.args[0].str()}"]
    return status._replace(topics=wrong)


def added(lags: list[Facts]) -> Lag:
    """Return the lag per group and topic, summed over the workers of each group."""
    sums: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for answer in lags:
        for topic, messages in answer.get("lag", {}).items():
            sums[answer["group"]][topic] += int(messages)
    return {group: dict(topics) for group, topics in sums.items()}


def unassigned(settings: Settings, asked: Iterable[str], answers: Iterable[Facts]) -> Unassigned:
    """Return the partitions of the groups of the `asked` roles that are in none of the workers' answers.

    A worker of another stack may have them, or they are being reassigned; their lag is not in these answers.
    """
    groups = {group_of(role, settings): role for role in READING if role in asked}
    missing = {(place.group, place.topic, place.partition) for place in places_of(settings, groups.values())}
    for answer in answers:
        for topic, numbers in answer.get("partitions", {}).items():
            missing -= {(answer["group"], topic, number) for number in numbers}
    found: dict[str, dict[str, list[int]]] = {}
    for group, topic, number in sorted(missing):
        found.setdefault(group, {}).setdefault(topic, []).append(number)
    return found


async def _condition(
    process: state.Process, host: str, settings: Settings, session: aiohttp.ClientSession
) -> Condition:
    external = process.state == "external"
    if not external and state.running(process) is None:
        condition = process.state if process.state == "restarting" else "stopped"
        return Condition(process.model_copy(update={"pid": None}), condition, (process.said,) if process.said else ())
    if process.role == "kafka":
        broker = _broker(process, settings)
        if not await asyncio.to_thread(kafka.answers, broker, ANSWER_SECONDS):
            return Condition(process, "unready", (str(await diagnose(broker) or "no answer"),))
        ready = True
    elif process.role == "mongod":
        ready = await asyncio.to_thread(mongod.answers, _mongod(process, settings), ANSWER_SECONDS)
    else:
        return await _ask(process, host, session)
    if not ready:
        return Condition(process, "unready", ("no answer",))
    return Condition(process, "external" if external else "ready")


def _broker(process: state.Process, settings: Settings) -> Settings:
    """Return the settings of a client that asks this broker: one of several answers for itself."""
    host, _, port = settings.kafka.split(",")[0].rpartition(":")
    return settings if process.name == "kafka" else broker_only(settings, f"{host}:{process.port or port}")


def _mongod(process: state.Process, settings: Settings) -> str:
    """Return the address of a MongoDB node: one of several answers for itself."""
    nodes = mongod.addresses(settings.mongo)
    if process.name == "mongod" or not process.port or not nodes:
        return settings.mongo
    return mongod.node_uri((nodes[0][0], process.port))


async def _ask(process: state.Process, host: str, session: aiohttp.ClientSession) -> Condition:
    try:
        async with session.get(_url(process, host, "readyz")) as answer:
            condition = "ready" if answer.status == 200 else "unready"
            return Condition(process, condition, *_answer(answer.status, await answer.text()))
    except aiohttp.ClientConnectorError:
        before = f"; it last stopped with: {process.said}" if process.said else ""
        return Condition(process, "unready", (f"starting{before}",))
    except (aiohttp.ClientError, TimeoutError):
        return Condition(process, "unready", ("its web server does not answer",))


def _answer(status: int, text: str) -> tuple[Sequence[str], Sequence[Facts]]:
    """Return why a process is not ready, or what it warns of, and the open transactions it reports."""
    try:
        answer = json.loads(text)
        reasons = answer["reasons"]
        why = [*(reasons.values() if isinstance(reasons, dict) else reasons), *answer.get("warnings", ())]
        return [_sentence(each) for each in why], answer.get("openTransactions", ())
    except (ValueError, TypeError, KeyError, AttributeError):  # another program answers on the port of the process
        if status == 200:
            return (), ()
        return (f"another program may be using its port: /readyz answered {status} with {text[:60]!r}",), ()


def _sentence(reason: object) -> str:
    """Return a reason as text; structured reasons are written as `name: value`, not as JSON."""
    if isinstance(reason, dict):
        return ", ".join(f"{name}: {_sentence(value)}" for name, value in reason.items())
    return ", ".join(map(_sentence, reason)) if isinstance(reason, list) else str(reason)


async def _lag(condition: Condition, host: str, session: aiohttp.ClientSession) -> Facts | None:
    """Return the answer of a worker about its lag; None if it does not show it to the token of this command line."""
    if condition.process.role not in READING or condition.state not in ("ready", "unready"):
        return {}
    try:
        async with session.get(_url(condition.process, host, "lag")) as answer:
            if answer.status in (401, 403):
                return None
            found = await answer.json() if answer.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}
    return found if isinstance(found, dict) and "group" in found else {}


def _url(process: state.Process, host: str, path: str) -> str:
    return f"{address(host, process.port or 0)}/{path}"
