"""The command line: the list of commands. Each is in its own file in `ops/commands`, imported when it is needed."""

import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from keyword import iskeyword
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from ops.errors import CommandFailed, external_failure

COMMANDS = (
    "up", "down", "restart", "status", "settings", "worker",
    "seed", "stock", "orders",
    "produce", "outcomes", "tail", "explain", "trace", "doctor", "audit", "skip", "replay", "forget",
    "export", "import", "topics", "acls", "letters", "webhooks", "projections", "transactions", "tokens",
)  # fmt: skip


class Commands(Mapping[str, Any]):
    """The commands by name. Looking one up imports it, so that a command loads only what it needs."""

    def __getitem__(self, name: str) -> Any:
        """Import the command or group of this name from its file."""
        if name not in COMMANDS:
            raise KeyError(name)
        python_name = f"{name}_" if iskeyword(name) else name
        found, app = getattr(import_module(f"ops.commands.{python_name}"), python_name), typer.Typer()
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
        return get_group(app).commands[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names in the order of `--help`."""
        return iter(COMMANDS)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(COMMANDS)


class OneSentence(TyperGroup):
    """A group of commands that report expected failures as a sentence on stderr and an exit code, not a stack trace."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Commands()  # type: ignore[assignment]  # Typer only reads it

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and report its failure."""
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # the sentence has the same information
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            failure = error
        except Exception as error:
            if (external := external_failure(error)) is None:
                raise
            failure = external
        typer.echo(str(failure), err=True)
        raise typer.Exit(failure.exit_code) from None


cli = typer.Typer(cls=OneSentence, no_args_is_help=True, pretty_exceptions_enable=False)


@cli.callback()
def main() -> None:
    """Run and operate an event-sourced order fulfilment service on Kafka and MongoDB."""


if __name__ == "__main__":
    cli()
