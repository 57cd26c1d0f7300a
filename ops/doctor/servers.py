"""Check what Kafka and MongoDB hold: topics, consumer groups, parked letters, versions, indexes."""

import asyncio

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError

from ops.doctor.finding import Finding
from ops.doctor.machine import OLDEST_MONGODB, SEE_MONGODB
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
from streams.topics import find_topics, topic_ids, topics_of
from streams.topology import TRANSACTIONAL, group_of, instances_of
from streams.wording import counted
from webhooks.store import Subscriptions

ASK_SECONDS = 20.0
SEE_KAFKA = "see Kafka above"


async def topics(settings: Settings) -> list[Finding]:
    """Check that all topics exist, and that none would lose records or has lost them."""
    try:
        there, wrong = await find_topics(settings, needed := topics_of(settings)), await problems(settings)
    except KafkaException as error:
        return [Finding("topics", f"Kafka does not describe them: {error.args[0].str()}", SEE_KAFKA, may_pass=True)]
    missing = [settings.named(topic.name) for topic in needed if settings.named(topic.name) not in there]
    found = [Finding("topics", f"missing: {', '.join(missing)}", "run `fulfillment topics create`")] if missing else []
    found += [Finding("topics", each.found, each.remedy) for each in wrong if each.refused]
    found = found or [Finding("topics", f"{counted(len(there), 'topic')}, correctly configured")]
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
        return [Finding("groups", str(error), SEE_KAFKA, may_pass=True)]
    found = []
    for role in TRANSACTIONAL:
        count, group = sum(left[place].messages for place in left if places[place] == role), group_of(role, settings)
        if members[group]:
            found.append(
                Finding(f"group {group}", f"{counted(members[group], 'worker')}, a lag of {counted(count, 'message')}")
            )
        else:
            what = f"no worker, a lag of {counted(count, 'message')}"
            remedy = f"start one with `fulfillment up` or `fulfillment worker {role}`"
            found.append(Finding(f"group {group}", what, remedy, may_pass=True))
    return found


async def transactions(settings: Settings) -> list[Finding]:
    """Check for open transactions that block our topics."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            found = await find_open_transactions(settings, all_partitions(settings))
    except (KafkaError, OSError, TimeoutError) as error:
        return [Finding("transactions", f"Kafka does not list them: {error!r}", SEE_KAFKA, may_pass=True)]
    ours = tuple(instances_of(role, settings) for role in TRANSACTIONAL)  # they end their own, or Kafka does
    blocked = [
        Finding(
            "transactions", one.sentence.partition("; ")[0], f"abort it with `{one.command}`",
            may_pass=not one.hanging and str(one.transactional_id).startswith(ours),
        )
        for one in found
    ]  # fmt: skip
    return blocked or [Finding("transactions", "no transaction blocks a partition")]


async def letters(settings: Settings) -> list[Finding]:
    """Check for parked commands."""
    try:
        keys = (await LetterReader(settings).book()).keys
    except GatewayUnavailable as error:
        return [Finding("dead letters", str(error), "see Kafka above, and the topics", may_pass=True)]
    if not keys:
        return [Finding("dead letters", "no command is parked")]
    whose = counted(len(keys), "order or product", "orders and products")
    what = f"commands of {whose} are parked, for example of {' '.join(keys[0])}"
    return [
        Finding(
            "dead letters",
            what,
            "see `fulfillment letters list`; fix the bug, then run `fulfillment letters retry --all`",
        )
    ]


async def webhooks(settings: Settings) -> list[Finding]:
    """Check for webhooks that are parked; the topics exist."""
    store = Subscriptions(settings)
    store.start()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await store.until_ready()
        found = store.all
    except TimeoutError:
        return [Finding("webhooks", "the topic of webhooks cannot be read", SEE_KAFKA, may_pass=True)]
    finally:
        await store.stop()
    remedy = "fix the receiver, then run `fulfillment webhooks resume ID`"
    parked = [
        Finding("webhooks", f"{one.id} is parked: {one.reason}", remedy) for one in found if one.status == "parked"
    ]
    return parked or [Finding("webhooks", f"{counted(len(found), 'webhook')}, none is parked")]


async def readers(mongo: Mongo) -> list[Finding]:
    """Check that projectors keep the live versions up to date, and that APIs answer from them."""
    try:
        known, running = await Registry(mongo).read(), await running_readers(mongo)
    except PyMongoError as error:
        return [Finding("read models", f"MongoDB does not list them: {cause(error)}", SEE_MONGODB, may_pass=True)]
    live = [f"{name}/v{versions.live}" for name, versions in known.items() if versions.live is not None]
    if (missing := absent(running, "the read models")) is not None:
        troubles = [missing]
    else:
        troubles = [trouble for version in live if (trouble := idle(running, version)) is not None]
    troubles += [unanswered] if (unanswered := unread(running, live)) is not None else []
    found = [_sentence("read models", trouble, may_pass=trouble is missing) for trouble in troubles]
    return found or [Finding("read models", f"{len(live)} live versions, kept up to date by every projector")]


def _sentence(what: str, trouble: str, *, may_pass: bool) -> Finding:
    found, _, remedy = trouble.partition(": ")
    return Finding(what, found, remedy.rstrip("."), may_pass)


async def database(mongo: Mongo) -> list[Finding]:
    """Check MongoDB's version and the indexes of the read models."""
    try:
        version = (await mongo.database.command("buildInfo"))["version"]
        old = tuple(map(int, version.split(".")[:2])) < OLDEST_MONGODB
        live = projections_of(await Registry(mongo).read()) or PROJECTIONS
        wanted = {one.collection(name): indexes_of(one, name) for one in live for name in one.collections}
        there = await asyncio.gather(*(mongo.collection(name).index_information() for name in wanted))
    except PyMongoError as error:
        return [Finding("indexes", f"MongoDB does not list them: {cause(error)}", SEE_MONGODB, may_pass=True)]
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
