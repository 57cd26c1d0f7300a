"""This machine: versions, ports, processes, disk, clocks."""

import asyncio
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import confluent_kafka
from pymongo.errors import PyMongoError

from ops.doctor.finding import Finding
from ops.errors import Misconfigured
from ops.http import WILDCARDS
from ops.stack import kafka, mongod, ports, state
from ops.stack.status import collect
from projections.mongo.client import Mongo
from projections.mongo.failures import cause
from streams.runtime.settings import Settings

OLDEST_PYTHON, OLDEST_MONGODB = (3, 11), (6, 0)
FAUST = "0.15.3"  # its transport and store are extended here
LIBRDKAFKA = 2  # the group metadata we make is of its version
LEAST_FREE, LEAST_SHARE = 2 << 30, 0.05  # bytes of the disk, and of all of it
SKEW_SECONDS = 2.0


def versions() -> list[Finding]:
    """Look at Python and at the libraries that are extended from within."""
    again = "run `make setup`: the versions in requirements.lock are the ones that are tested"
    python, faust, rdkafka = platform.python_version(), version("faust-streaming"), confluent_kafka.libversion()[0]
    return [
        Finding("Python", python, "" if sys.version_info >= OLDEST_PYTHON else "3.11 or newer is needed"),
        Finding("Faust", faust, "" if faust == FAUST else f"{FAUST} is needed: {again}"),
        Finding("librdkafka", rdkafka, "" if int(rdkafka.split(".")[0]) == LIBRDKAFKA else f"2.x is needed: {again}"),
    ]


async def listening(settings: Settings) -> list[Finding]:
    """Look at who listens where Kafka, MongoDB and the API should."""
    try:
        places = [
            ("Kafka", ports.single(settings.kafka), "FULFILLMENT_KAFKA", kafka.answers, settings.kafka),
            ("MongoDB", mongod.address(settings.mongo), "FULFILLMENT_MONGO", mongod.answers, settings.mongo),
        ]
    except Misconfigured as error:
        return [Finding("addresses", str(error), "set it to a right one")]
    found = []
    for name, place, variable, answers, address in places:
        speaks = await asyncio.to_thread(answers, address)
        where = f"{place[0]}:{place[1]}" if place else address
        if speaks:
            found.append(Finding(name, f"answers at {where}"))
        elif place and ports.is_listening(*place):
            holder = f"{ports.holder(place[1])} listens at {where}, and is no {name}"
            found.append(Finding(name, holder, f"stop it, or set {variable} to another address"))
        else:
            found.append(Finding(name, f"no answer at {where}", f"start it (`fulfillment up`), or set {variable}"))
    return [*found, await _api(settings)]


async def _api(settings: Settings) -> Finding:
    host, port = WILDCARDS.get(settings.http_host, settings.http_host), settings.http_port
    if await asyncio.to_thread(ports.is_listening, host, port):
        return Finding("API", f"listens at {host}:{port}")
    return Finding("API", f"nobody listens at {host}:{port}", "start it: `fulfillment up`, or `fulfillment worker api`")


async def processes(settings: Settings) -> list[Finding]:
    """Look at the processes of `fulfillment up` on this machine, if it runs here."""
    if pids := state.strays(settings.data):
        found = f"`fulfillment up` (pid {pids[0]}) runs without its files, which were deleted or moved"
        return [Finding("supervisor", found, "`fulfillment down`, then `fulfillment up`")]
    return [
        Finding(
            each.process.name,
            each.state if each.ready else f"{each.state}: {each.reason}",
            "" if each.ready else f"see {settings.data / 'logs'}; if it stays so, `fulfillment down` and `up`",
        )
        for each in (await collect(settings)).processes
    ]


def disk(settings: Settings) -> list[Finding]:
    """Look at what is free where Kafka and MongoDB keep their data, if they do so here."""
    folder = next(path for path in (settings.data.absolute(), *settings.data.absolute().parents) if path.exists())
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.0f} GiB are free at {folder}"
    short = usage.free < LEAST_FREE or usage.free < LEAST_SHARE * usage.total
    what = "make room, or set FULFILLMENT_DATA to another disk: Kafka and MongoDB stop when it is full"
    return [Finding("disk", free, what if short else ""), *_writable(folder)]


def _writable(folder: Path) -> list[Finding]:
    if os.access(folder, os.W_OK):
        return []
    return [Finding("data", f"{folder} is not writable", "fix its permissions or set FULFILLMENT_DATA")]


async def clocks(mongo: Mongo) -> list[Finding]:
    """Compare this machine's clock with MongoDB's: times of commands are made here, expiry is decided there."""
    try:
        before = datetime.now(UTC)
        told = (await mongo.database.command("hello"))["localTime"].replace(tzinfo=UTC)
        after = datetime.now(UTC)
    except PyMongoError as error:
        return [Finding("clocks", f"MongoDB does not say its time: {cause(error)}", "see MongoDB above")]
    skew = max((before - told).total_seconds(), (told - after).total_seconds(), 0.0)
    remedy = "" if skew <= SKEW_SECONDS else "let both machines follow a time server (chrony, systemd-timesyncd)"
    return [Finding("clocks", f"MongoDB's and this machine's are {skew:.1f} s apart", remedy)]
