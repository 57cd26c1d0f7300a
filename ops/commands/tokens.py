"""`fulfillment tokens`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.commands.options import load_settings
from ops.commands.tables import table
from ops.errors import Misconfigured
from streams.access.principals import MEANINGS, SCOPES

tokens = typer.Typer(no_args_is_help=True, help="Make and list named API tokens.")

File = Annotated[
    Path | None, typer.Option(help="The file of tokens, instead of FULFILLMENT_API_TOKENS_FILE.", show_default=False)
]
ABOUT = "; ".join(f"{scope}: {meaning}" for scope, meaning in MEANINGS.items())


@tokens.command()
def new(
    name: Annotated[str, typer.Argument(help="The owner of the token, as histories and the audit log show it.")],
    scopes: Annotated[str, typer.Option(help=f"Comma-separated scopes. {ABOUT}.")],
    file: File = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read an existing token instead of making one.")] = False,
) -> None:
    """Make a token: print it once, and add its hash to the file of tokens; without a file, print the line for it."""
    from ops.tokens import add
    from streams.access.tokens import InvalidTokens, named, new_token

    token = sys.stdin.readline().strip() if stdin else new_token()
    try:
        made = named(name, scopes.split(","), token)
    except InvalidTokens as error:
        raise Misconfigured(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    path = file or load_settings().api_tokens_file
    if path is not None:
        add(path, made)
    typer.echo(f"Token of {name}, which is not shown again:" if path else f"Token of {name}, and its line:", err=True)
    if not stdin:
        typer.echo(token)
    if path is None:
        typer.echo(made.line)


@tokens.command("list")
def list_tokens(file: File = None) -> None:
    """List the tokens in the file: their names, their scopes and the beginning of their hashes."""
    from ops.tokens import read

    path = file or load_settings().api_tokens_file
    if path is None:
        raise Misconfigured("There is no file of tokens: set FULFILLMENT_API_TOKENS_FILE, or add --file.")
    shown = table("name", "scopes", "hash")
    for token in read(path):
        scopes = ", ".join(each for each in SCOPES if each in token.principal.scopes)
        shown.add_row(token.principal.name, scopes, token.digest.hex()[:12])
    Console().print(shown)
