"""Check this machine: versions, ports, processes, disk, clocks."""

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
from ops.errors import Misconfigured, mongo_remedy, without_credentials
from ops.http import WILDCARDS
from ops.stack import kafka, mongod, ports, state
from ops.stack.status import collect
from projections.mongo.client import Mongo
from projections.mongo.failures import cause, describe, is_unreachable, is_untrusted
from streams.kafka.diagnosis import diagnose
from streams.runtime.settings import Settings

OLDEST_PYTHON, OLDEST_MONGODB = (3, 11), (6, 0)
FAUST = "0.15.3"  # this service extends its transport and store
LIBRDKAFKA = 2  # this service builds group metadata in the format of this version
LEAST_FREE, LEAST_SHARE = 2 << 30, 0.05  # free disk space, in bytes and as a share of the disk
SKEW_SECONDS = 2.0
SEE_MONGODB = "see MongoDB above"


def versions() -> list[Finding]:
    """Check the versions of Python and of the libraries that this service extends."""
    again = "run `make setup`, which installs the tested versions in requirements.lock"
    python, faust, rdkafka = platform.python_version(), version("faust-streaming"), confluent_kafka.libversion()[0]
    return [
        Finding("Python", python, "" if sys.version_info >= OLDEST_PYTHON else "install Python 3.11 or newer"),
        Finding("Faust", faust, "" if faust == FAUST else f"version {FAUST} is needed: {again}"),
        Finding(
            "librdkafka", rdkafka, "" if int(rdkafka.split(".")[0]) == LIBRDKAFKA else f"version 2.x is needed: {again}"
        ),
    ]


async def listening(settings: Settings) -> list[Finding]:
    """Check which programs listen at the addresses of Kafka, MongoDB and the API."""
    try:
        places = [
            ("Kafka", "kafka", ports.single(settings.kafka)),
            ("MongoDB", "mongo", mongod.address(settings.mongo)),
        ]
    except Misconfigured as error:
        return [Finding("addresses", str(error), "correct the address")]
    is_kafka, refused = await asyncio.gather(
        asyncio.to_thread(kafka.answers, settings), asyncio.to_thread(mongod.failure, settings.mongo)
    )
    found = []
    for (name, field, place), speaks in zip(places, (is_kafka, refused is None), strict=True):
        variable = f"FULFILLMENT_{field.upper()}"
        where = f"{place[0]}:{place[1]}" if place else without_credentials(getattr(settings, field))
        if speaks:
            found.append(Finding(name, f"answers at {where}"))
        elif place and ports.is_listening(*place):
            holder = f"{ports.holder(place[1])} listens at {where}, and does not answer as {name}"
            found.append(Finding(name, holder, f"stop it, or set {variable} to another address", may_pass=True))
        else:
            remedy = f"start it with `fulfillment up`, or set {variable}"
            found.append(Finding(name, f"no answer at {where}", remedy, may_pass=place is None))
        if name == "Kafka" and not speaks and (trouble := await diagnose(settings)) and trouble.reached:
            found[-1] = Finding(name, trouble.what, trouble.remedy)
        if name == "MongoDB" and refused is not None and (refusal := _refusal(refused)):
            found[-1] = refusal
    return [*found, await _api(settings)]


def _refusal(error: PyMongoError) -> Finding | None:
    """Return why a MongoDB that is there cannot be used, if that is known."""
    if is_unreachable(error) and not is_untrusted(error):
        return None
    return Finding("MongoDB", describe(error), mongo_remedy(error).rstrip("."))


async def _api(settings: Settings) -> Finding:
    host, port = WILDCARDS.get(settings.http_host, settings.http_host), settings.http_port
    if await asyncio.to_thread(ports.is_listening, host, port):
        return Finding("API", f"listens at {host}:{port}")
    remedy = "start it with `fulfillment up` or `fulfillment worker api`"
    return Finding("API", f"no process listens at {host}:{port}", remedy, may_pass=True)


async def processes(settings: Settings) -> list[Finding]:
    """Check the processes of `fulfillment up` on this machine, if it runs here."""
    if pids := state.strays(settings.data):
        found = f"`fulfillment up` (pid {pids[0]}) is running, but its files were deleted or moved"
        return [Finding("supervisor", found, "run `fulfillment down`, then `fulfillment up`")]
    return [
        Finding(
            each.process.name,
            each.state if each.ready else f"{each.state}: {each.reason}",
            ""
            if each.ready
            else f"see {settings.data / 'logs'}; if it does not recover, run `fulfillment down`, then `fulfillment up`",
            may_pass=each.state != "stopped",
        )
        for each in (await collect(settings)).processes
    ]


def disk(settings: Settings) -> list[Finding]:
    """Check the free space for the data of Kafka and MongoDB, if they run on this machine."""
    folder = next(path for path in (settings.data.absolute(), *settings.data.absolute().parents) if path.exists())
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.0f} GiB are free at {folder}"
    short = usage.free < LEAST_FREE or usage.free < LEAST_SHARE * usage.total
    what = "free some space, or set FULFILLMENT_DATA to another disk: Kafka and MongoDB stop on a full disk"
    return [Finding("disk", free, what if short else ""), *_writable(folder)]


def _writable(folder: Path) -> list[Finding]:
    if os.access(folder, os.W_OK):
        return []
    return [Finding("data", f"{folder} is not writable", "fix its permissions, or set FULFILLMENT_DATA")]


async def clocks(mongo: Mongo) -> list[Finding]:
    """Compare this machine's clock, which stamps commands, with MongoDB's, which expires documents."""
    try:
        before = datetime.now(UTC)
        server = (await mongo.database.command("hello"))["localTime"].replace(tzinfo=UTC)
        after = datetime.now(UTC)
    except PyMongoError as error:
        return [Finding("clocks", f"MongoDB does not report its time: {cause(error)}", SEE_MONGODB, may_pass=True)]
    skew = max((before - server).total_seconds(), (server - after).total_seconds(), 0.0)
    remedy = "" if skew <= SKEW_SECONDS else "synchronise both machines with a time server (chrony, systemd-timesyncd)"
    return [Finding("clocks", f"MongoDB's clock and this machine's are {skew:.1f} s apart", remedy)]
