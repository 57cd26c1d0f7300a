"""`python -m ops.schemas`: compare the message schemas with the committed ones; with `--write`, update these."""

import json
from typing import Annotated

import typer

from ops.schemas.compare import compare
from ops.schemas.differences import Change
from ops.schemas.made import FOLDER, TAKEN, Schema, made, text_of

RAISE = "Events are kept forever: raise the event's schema_version and register an upcaster (docs/architecture.md)."
WRITE = (
    "This breaks existing clients. If it cannot be avoided, announce it, then run "
    "`.venv/bin/python -m ops.schemas --write --breaking`."
)


def main(
    write: Annotated[bool, typer.Option(help="Write docs/schemas.")] = False,
    breaking: Annotated[bool, typer.Option(help="Write changes that break clients, too.")] = False,
) -> None:
    """Compare the committed message schemas with the code; exit with 1 if they differ or a change breaks clients."""
    today, committed = made(), read()
    changes = [change for topic in today for change in _changes(topic, committed.get(topic), today[topic])]
    changes += [Change(topic, "the topic was removed", True) for topic in committed.keys() - today.keys()]
    breaks = [change for change in changes if change.breaking]
    for change in changes:
        typer.echo(f"{'breaking' if change.breaking else 'compatible'}: {change}")
    if breaks and not (write and breaking):
        typer.echo(f"{RAISE}\n{WRITE}", err=True)
        raise typer.Exit(1)
    if write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for topic, schema in today.items():
            (FOLDER / f"{topic}.json").write_text(text_of(schema))
    elif changes:
        typer.echo("docs/schemas is out of date: run `make schemas`", err=True)
        raise typer.Exit(1)


def read() -> dict[str, Schema]:
    """Return the committed schema of each topic."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def _changes(topic: str, old: Schema | None, new: Schema) -> list[Change]:
    return [Change(topic, "the topic is new")] if old is None else compare(topic, old, new, topic in TAKEN)


if __name__ == "__main__":
    typer.run(main)
