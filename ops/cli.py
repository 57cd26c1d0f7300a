"""The command line: the list of commands. Each is in its own file in `ops/commands`."""

import logging
from typing import Any

import typer
from typer.core import TyperGroup

from ops.commands.audit import audit
from ops.commands.doctor import doctor
from ops.commands.down import down
from ops.commands.explain import explain
from ops.commands.letters import letters
from ops.commands.outcomes import outcomes
from ops.commands.produce import produce
from ops.commands.projections import projections
from ops.commands.replay import replay
from ops.commands.restart import restart
from ops.commands.seed import seed
from ops.commands.settings import settings
from ops.commands.skip import skip
from ops.commands.status import status
from ops.commands.tail import tail
from ops.commands.topics import topics
from ops.commands.trace import trace
from ops.commands.transactions import transactions
from ops.commands.up import up
from ops.commands.worker import worker
from ops.errors import CommandFailed, external_failure


class OneSentence(TyperGroup):
    """A group of commands that report expected failures as a sentence on stderr and an exit code, not a stack trace."""

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


cli = typer.Typer(
    cls=OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run and operate an event-sourced order fulfilment service on Kafka and MongoDB.",
)

COMMANDS = (
    up, down, restart, status, settings, worker,
    seed, produce, outcomes, tail, explain, trace, doctor, audit, skip, replay,
)  # fmt: skip
GROUPS = {"topics": topics, "letters": letters, "projections": projections, "transactions": transactions}

for command in COMMANDS:
    cli.command()(command)
for name, group in GROUPS.items():
    cli.add_typer(group, name=name)

if __name__ == "__main__":
    cli()
