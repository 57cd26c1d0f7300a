"""`fulfillment acls print` names resources and principals as the cluster does."""

import base64
import json
import os
import shlex

import pytest
from typer.testing import CliRunner, Result

from ops.cli import cli
from streams.rights import USERS, Resource, User, rights_of
from streams.runtime.settings import Settings
from streams.topics import CUSTOMER_KEYS
from streams.topology import TOPOLOGY


def printed(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(cli, ["acls", "print", *arguments], env=env)


def test_rights_are_commands_of_kafkas_own_tool() -> None:
    lines = printed("projector", FULFILLMENT_PREFIX="shop.", FULFILLMENT_KAFKA="kafka:9093").stdout.splitlines()
    words = [shlex.split(line) for line in lines]
    begins = "kafka-acls.sh --bootstrap-server kafka:9093 --command-config admin.properties --add --allow-principal"
    assert {" ".join(each[:8]) for each in words} == {f"{begins} User:projector"}
    assert [" ".join(each[8:]) for each in words] == [
        "--operation Read --group shop.projector",
        "--operation Read --topic shop.command-outcomes --topic shop.dead-letters --topic shop.inventory-events "
        "--topic shop.order-events",
        "--operation Describe --transactional-id shop.inventory- --transactional-id shop.orders- "
        "--resource-pattern-type prefixed",
    ]


def test_rights_of_all_users_are_json_with_the_principals_of_the_cluster() -> None:
    rows = json.loads(printed("--format", "json", "--principal-prefix", "shop-").stdout)
    assert {row["principal"] for row in rows} == {f"User:shop-{user}" for user in USERS}
    assert {
        "principal": "User:shop-orders", "resourceType": "transactional-id", "name": "orders-",
        "patternType": "prefixed", "operations": ["WRITE"],
    } in rows  # fmt: skip
    (row, *_) = json.loads(printed("api=User:CN=api.shop", "--format", "json").stdout)
    assert row["principal"] == "User:CN=api.shop"


def test_an_unknown_user_is_refused() -> None:
    refused = printed("stranger")
    assert refused.exit_code == os.EX_CONFIG
    assert "There is no user 'stranger' of Kafka: choose from orders, inventory," in refused.output


@pytest.mark.parametrize("user", USERS)
def test_no_user_needs_a_right_on_keys_of_customers_that_do_not_exist(user: User) -> None:
    assert not [each for each in rights_of(user, Settings()) if each.name == CUSTOMER_KEYS.name]


@pytest.mark.parametrize("role", TOPOLOGY)
def test_the_topology_is_the_only_source_of_a_roles_rights(role: str) -> None:
    (user,) = [each for each in USERS if each == role]
    encrypting = Settings(prefix="p.", personal_data_key=base64.b64encode(bytes(32)).decode())  # type: ignore[arg-type]
    granted = rights_of(user, encrypting)
    wiring = TOPOLOGY[user]  # type: ignore[index]
    topics = {each.name: operations for each, operations in granted.items() if each.kind == "topic"}
    assert {name for name, operations in topics.items() if "READ" in operations} == {
        f"p.{topic.name}" for topic in wiring.may_read
    }
    assert {name for name, operations in topics.items() if "WRITE" in operations} == {
        f"p.{topic.name}" for topic in wiring.may_write
    }
    assert not any({"CREATE", "DELETE", "ALTER_CONFIGS"} & {*operations} for operations in granted.values())
    assert (Resource("group", f"p.{role}") in granted) == bool(wiring.reads)
