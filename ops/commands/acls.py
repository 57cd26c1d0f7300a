"""`fulfillment acls`."""

import shlex
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import orjson
import typer

from ops.commands.options import load_settings
from ops.errors import Misconfigured
from streams.rights import USERS, Kind, Operation, Rights, User, rights_of

acls = typer.Typer(no_args_is_help=True, help="Show the rights on Kafka that each role needs.")
TOOL = ("kafka-acls.sh", "--bootstrap-server")
ADMIN = ("--command-config", "admin.properties")


class Format(StrEnum):
    """The form in which rights are printed."""

    commands = "commands"
    json = "json"


@acls.callback()
def group() -> None:
    """Keep `print` a command of its own, as in other groups."""


@acls.command("print")
def print_acls(
    users: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[USER[=PRINCIPAL]]...",
            help=f"Users whose rights are printed: {', '.join(USERS)}. All of them if omitted.",
        ),
    ] = None,
    principal_prefix: Annotated[
        str, typer.Option(help="Beginning of the name of every principal that is not given.")
    ] = "",
    format: Annotated[Format, typer.Option(help="Print commands of Kafka's own tool, or JSON.")] = Format.commands,
) -> None:
    """Print the rights on Kafka that each role and the command line need, and nothing more.

    The principal of a user is `User:` and its name, unless it is given: `api=User:CN=api`. `setup` may only create
    topics and correct their settings; `operator` may use every command. The printed commands expect the properties of
    an administrator's client in `admin.properties`.
    """
    settings = load_settings()
    wanted = [_user(each, principal_prefix) for each in users or USERS]
    found = [(principal, rights_of(user, settings)) for user, principal in wanted]
    if format is Format.json:
        typer.echo(orjson.dumps([row for each in found for row in _json(*each)], option=orjson.OPT_INDENT_2))
    else:
        typer.echo("\n".join(line for each in found for line in _commands(*each, settings.kafka)))


def _user(given: str, prefix: str) -> tuple[User, str]:
    """Return a user and its principal."""
    name, _, principal = given.partition("=")
    for user in USERS:
        if user == name:
            return user, principal or f"User:{prefix}{user}"
    raise Misconfigured(f"There is no user {name!r} of Kafka: choose from {', '.join(USERS)}.")


def _commands(principal: str, rights: Rights, kafka: str) -> list[str]:
    """Return one command for all resources of a kind that have the same rights."""
    alike: dict[tuple[Kind, bool, tuple[Operation, ...]], list[str]] = {}
    for resource, operations in rights.items():
        alike.setdefault((resource.kind, resource.prefixed, operations), []).append(resource.name)
    return [
        shlex.join(
            (
                *(*TOOL, kafka, *ADMIN, "--add", "--allow-principal", principal),
                *_options("--operation", (each.title().replace("_", "") for each in operations)),
                *_options(f"--{kind}", names),
                *(("--resource-pattern-type", "prefixed") if prefixed else ()),
            )
        )
        for (kind, prefixed, operations), names in alike.items()
    ]


def _options(name: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (name, value)]


def _json(principal: str, rights: Rights) -> list[dict[str, object]]:
    return [
        {
            "principal": principal,
            "resourceType": resource.kind,
            "name": resource.name,
            "patternType": "prefixed" if resource.prefixed else "literal",
            "operations": operations,
        }
        for resource, operations in rights.items()
    ]
