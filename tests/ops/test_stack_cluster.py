"""How many servers a stack starts, where, and on which data."""

from pathlib import Path

import pytest
from pymongo.uri_parser import parse_uri

from ops.errors import Misconfigured
from ops.stack import mongod
from ops.stack.cluster import Size, kafka_places
from ops.stack.folders import numbered
from ops.stack.workers import environment
from streams.runtime.settings import Settings

LISTED = "127.0.0.1:19092,127.0.0.1:19094,127.0.0.1:19096"


def test_one_server_each_changes_nothing() -> None:
    settings = Settings()
    assert Size().settings(settings) == settings


def test_a_single_address_is_the_first_of_several() -> None:
    settings = Settings(kafka="127.0.0.1:19092", mongo="mongodb://127.0.0.1:19093", http_port=19094)
    found = Size(3, 3).settings(settings)
    brokers, nodes = kafka_places(found), parse_uri(found.mongo)["nodelist"]
    assert (brokers[0], nodes[0], len(brokers), len(nodes)) == (("127.0.0.1", 19092), ("127.0.0.1", 19093), 3, 3)
    ports = [port for _, port in [*brokers, *nodes]]
    assert len({*ports, 19094}) == 7
    assert found.replication == 3
    assert environment(found)["FULFILLMENT_KAFKA"] == found.kafka  # the workers know all brokers


def test_addresses_that_are_listed_are_used_as_they_are() -> None:
    found = Size(brokers=3).settings(Settings(kafka=LISTED, replication=2))
    assert (found.kafka, found.replication) == (LISTED, 2)


def test_options_of_the_mongodb_address_are_kept() -> None:
    found = Size(mongo_replicas=2).settings(Settings(mongo="mongodb://127.0.0.1:19093/?appname=x&replicaSet=old"))
    options = parse_uri(found.mongo)["options"]
    assert (options["appname"], options["replicaSet"]) == ("x", mongod.REPLICA_SET)


@pytest.mark.parametrize(
    ("size", "settings", "why"),
    [
        (Size(brokers=2), {"kafka": LISTED}, "names 3 servers, not 2"),
        (Size(brokers=3), {"kafka": "kafka.example:9092"}, "on other machines"),
        (Size(mongo_replicas=3), {"mongo": "mongodb+srv://db.example"}, "on other machines"),
        (Size(brokers=8), {}, "too many"),
    ],
)
def test_addresses_that_do_not_fit_are_refused(size: Size, settings: dict[str, str], why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        size.settings(Settings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(("made", "asked", "option"), [(["kafka"], 3, 1), (["kafka-1", "kafka-2", "kafka-3"], 1, 3)])
def test_data_of_another_number_of_brokers_is_refused(tmp_path: Path, made: list[str], asked: int, option: int) -> None:
    for name in made:
        (tmp_path / name).mkdir()
    with pytest.raises(Misconfigured, match=f"--brokers {option}"):
        numbered(tmp_path / "kafka", asked, "--brokers")


def test_several_servers_have_numbered_folders(tmp_path: Path) -> None:
    assert numbered(tmp_path / "kafka", 1, "--brokers") == [tmp_path / "kafka"]
    assert numbered(tmp_path / "kafka", 2, "--brokers") == [tmp_path / "kafka-1", tmp_path / "kafka-2"]
