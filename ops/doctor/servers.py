"""Check what Kafka and MongoDB hold: topics, consumer groups, parked letters, versions, indexes."""

import asyncio

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError

from ops.doctor.finding import Finding
from ops.doctor.machine import OLDEST_MONGODB
from ops.kafka.adopt import projected_others
from ops.kafka.topics import problems
from parking.book import LetterReader
from projections.mongo.client import Mongo
from projections.mongo.failures import cause
from projections.mongo.indexes import indexes_of
from projections.mongo.live import projections_of
from projections.mongo.readers import running_readers
from projections.mongo.registry import Registry
from projections.readers import absent, idle, unread
from projections.table import PROJECTIONS
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.groups import Groups, places_of
from streams.kafka.transaction_watch import all_partitions, find_open_transactions
from streams.runtime.settings import Settings
from streams.topics import TOPICS, find_topics, topic_ids
from streams.topology import TRANSACTIONAL, group_of

ASK_SECONDS = 20.0


async def topics(settings: Settings) -> list[Finding]:
    """Check that all topics exist, and that none would lose records or has lost them."""
    try:
        there, wrong = await find_topics(settings, TOPICS), await problems(settings)
    except KafkaException as error:
        return [Finding("topics", f"Kafka does not describe them: {error.args[0].str()}", "see Kafka above")]
    missing = [settings.named(topic.name) for topic in TOPICS if settings.named(topic.name) not in there]
    found = [Finding("topics", f"missing: {', '.join(missing)}", "run `fulfillment topics create`")] if missing else []
    found += [Finding("topics", each.found, each.remedy) for each in wrong if each.refused]
    found = found or [Finding("topics", f"{len(there)} topics, correctly configured")]
    return found + [Finding("durability", each.found, each.remedy) for each in wrong if not each.refused]


async def replaced(settings: Settings, mongo: Mongo) -> list[Finding]:
    """Check that the topics are the ones that projectors have read."""
    try:
        names = await projected_others(mongo, await topic_ids(settings))
    except (KafkaException, PyMongoError):
        return []  # both are reported by other checks
    what = f"deleted and created again: {', '.join(sorted(names))}"
    remedy = "restore the old topic from a backup, or accept the new one with `fulfillment topics adopt`"
    return [Finding("topics", what, remedy)] if names else []


async def groups(settings: Settings) -> list[Finding]:
    """Check that workers read the command topics, and how far they lag."""
    places = places_of(settings, TRANSACTIONAL)
    asking = Groups(settings)
    try:
        left, members = await asking.left(list(places)), await asking.members({place.group for place in places})
    except GatewayUnavailable as error:
        return [Finding("groups", str(error), "see Kafka above")]
    found = []
    for role in TRANSACTIONAL:
        count, group = sum(left[place].messages for place in left if places[place] == role), group_of(role, settings)
        if members[group]:
            found.append(Finding(f"group {group}", f"{members[group]} workers, a lag of {count:,} messages"))
        else:
            what = f"no worker, a lag of {count:,} messages"
            found.append(
                Finding(f"group {group}", what, f"start one with `fulfillment up` or `fulfillment worker {role}`")
            )
    return found


async def transactions(settings: Settings) -> list[Finding]:
    """Check for open transactions that block our topics."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            found = await find_open_transactions(settings, all_partitions(settings))
    except (KafkaError, OSError, TimeoutError) as error:
        return [Finding("transactions", f"Kafka does not list them: {error!r}", "see Kafka above")]
    blocked = [
        Finding("transactions", one.sentence.partition("; ")[0], f"abort it with `{one.command}`") for one in found
    ]
    return blocked or [Finding("transactions", "no transaction blocks a partition")]


async def letters(settings: Settings) -> list[Finding]:
    """Check for parked commands."""
    try:
        keys = (await LetterReader(settings).book()).keys
    except GatewayUnavailable as error:
        return [Finding("dead letters", str(error), "see Kafka above, and the topics")]
    if not keys:
        return [Finding("dead letters", "no command is parked")]
    what = f"commands of {len(keys)} orders and products are parked, for example of {' '.join(keys[0])}"
    return [
        Finding(
            "dead letters",
            what,
            "see `fulfillment letters list`; fix the bug, then run `fulfillment letters retry --all`",
        )
    ]


async def readers(mongo: Mongo) -> list[Finding]:
    """Check that projectors keep the live versions up to date, and that APIs answer from them."""
    try:
        known, running = await Registry(mongo).read(), await running_readers(mongo)
    except PyMongoError as error:
        return [Finding("read models", f"MongoDB does not list them: {cause(error)}", "see MongoDB above")]
    live = [f"{name}/v{versions.live}" for name, versions in known.items() if versions.live is not None]
    if (missing := absent(running, "the read models")) is not None:
        troubles = [missing]
    else:
        troubles = [trouble for version in live if (trouble := idle(running, version)) is not None]
    troubles += [unanswered] if (unanswered := unread(running, live)) is not None else []
    found = [_sentence("read models", trouble) for trouble in troubles]
    return found or [Finding("read models", f"{len(live)} live versions, kept up to date by every projector")]


def _sentence(what: str, trouble: str) -> Finding:
    found, _, remedy = trouble.partition(": ")
    return Finding(what, found, remedy.rstrip("."))


async def database(mongo: Mongo) -> list[Finding]:
    """Check MongoDB's version and the indexes of the read models."""
    try:
        version = (await mongo.database.command("buildInfo"))["version"]
        old = tuple(map(int, version.split(".")[:2])) < OLDEST_MONGODB
        live = projections_of(await Registry(mongo).read()) or PROJECTIONS
        wanted = {one.collection(name): indexes_of(one, name) for one in live for name in one.collections}
        there = await asyncio.gather(*(mongo.collection(name).index_information() for name in wanted))
    except PyMongoError as error:
        return [Finding("indexes", f"MongoDB does not list them: {cause(error)}", "see MongoDB above")]
    missing = [
        f"{collection}.{index.document['name']}"
        for (collection, expected), indexes in zip(wanted.items(), there, strict=True)
        for index in expected
        if index.document["name"] not in indexes
    ]
    remedy = "start a projector, which creates them, with `fulfillment up` or `fulfillment worker projector`"
    return [
        Finding("MongoDB version", version, "install MongoDB 6.0 or newer" if old else ""),
        Finding("indexes", f"missing: {', '.join(missing)}", remedy)
        if missing
        else Finding("indexes", f"complete, in {len(wanted)} collections"),
    ]
