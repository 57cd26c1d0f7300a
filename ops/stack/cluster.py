"""How many Kafka brokers and MongoDB nodes a stack starts, and the settings that name them all.

The addresses in FULFILLMENT_KAFKA and FULFILLMENT_MONGO are used if there are as many; a single address is the first
server's, and the others get the next free ports.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ops.errors import Misconfigured
from ops.stack import kafka, mongod, ports
from streams.runtime.settings import Settings

MOST = 7
Place = tuple[str, int]


class Size(NamedTuple):
    """The number of servers to start; one each unless asked for more."""

    brokers: int = 1
    mongo_replicas: int = 1

    def arguments(self) -> list[str]:
        """Return the options of `fulfillment up` that ask for it."""
        return ["--brokers", str(self.brokers), "--mongo-replicas", str(self.mongo_replicas)]

    def settings(self, settings: Settings) -> Settings:
        """Return the settings of a stack of this size: all addresses, and replicas on several brokers.

        Misconfigured if the addresses in `settings` do not fit.
        """
        changed: dict[str, object] = {}
        taken = ports_of(settings)
        if self.brokers > 1:
            places = _places(kafka_places(settings), self.brokers, "FULFILLMENT_KAFKA", taken)
            taken |= {port for _, port in places}
            changed["kafka"] = ",".join(f"{_bracketed(host)}:{port}" for host, port in places)
            if "replication" not in settings.model_fields_set:
                changed["replication"] = min(self.brokers, kafka.MOST_REPLICAS)
        if self.mongo_replicas > 1:
            places = _places(mongod.addresses(settings.mongo), self.mongo_replicas, "FULFILLMENT_MONGO", taken)
            changed["mongo"] = _mongo_uri(settings.mongo, places)
        return settings.model_copy(update=changed) if changed else settings


def kafka_places(settings: Settings) -> list[Place]:
    """Return host and port of each Kafka server in `settings`."""
    return [ports.host_port(address.strip()) for address in settings.kafka.split(",")]


def broker_only(settings: Settings, address: str) -> Settings:
    """Return settings for clients that ask only the broker at `address`."""
    return settings.model_copy(update={"kafka": address})


def ports_of(settings: Settings) -> set[int]:
    """Return the ports that the settings name, although no process may listen on them yet."""
    places = [*kafka_places(settings), *mongod.addresses(settings.mongo)]
    return {settings.http_port, *(port for _, port in places)}


def _places(named: Sequence[Place], count: int, variable: str, taken: set[int]) -> list[Place]:
    if count > MOST:
        raise Misconfigured(f"At most {MOST} servers of a kind run on one machine; {count} are too many.")
    if not named or any(host not in ports.LOOPBACK for host, _ in named):
        raise Misconfigured(f"{variable} names servers on other machines: leave out the option, or use 127.0.0.1.")
    if len(named) not in (1, count):
        raise Misconfigured(f"{variable} names {len(named)} servers, not {count}: name all of them, or only the first.")
    found = list(named)
    while len(found) < count:
        host, last = found[-1]
        found.append((host, ports.next_free(last, taken | {port for _, port in found})))
    return found


def _mongo_uri(uri: str, places: Sequence[Place]) -> str:
    parts = urlsplit(uri)
    nodes = ",".join(f"{_bracketed(host)}:{port}" for host, port in places)
    options = [option for option in parts.query.split("&") if option and not option.startswith("replicaSet=")]
    query = "&".join([f"replicaSet={mongod.REPLICA_SET}", *options])
    return urlunsplit(("mongodb", nodes, parts.path or "/", query, ""))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
