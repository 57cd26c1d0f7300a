"""`python -m ops.reference`: check that the generated reference pages are current; `--write` rewrites them."""

from typing import Annotated

import typer

from ops.reference.pages import DOCS, stale


def main(write: Annotated[bool, typer.Option(help="rewrite the pages that are out of date")] = False) -> None:
    """Exit 1 if a reference page is out of date."""
    outdated = list(stale())
    for page, text in outdated:
        if write:
            page.write_text(text)
        else:
            typer.echo(f"{page.relative_to(DOCS.parent)} is out of date: run `make reference`", err=True)
    if outdated and not write:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
