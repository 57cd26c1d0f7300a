"""`python -m ops.schemas`: compare today's message schemas with the committed ones; `--write` commits to them anew."""

import json
from typing import Annotated

import typer

from ops.schemas.compare import compare
from ops.schemas.differences import Change
from ops.schemas.made import FOLDER, TAKEN, Schema, made, text_of

RAISE = "Events are kept for ever: raise the event's schema_version and register an upcaster (docs/architecture.md)."
WRITE = (
    "Old clients break of this. If it must be: .venv/bin/python -m ops.schemas --write --breaking, and say so first."
)


def main(
    write: Annotated[bool, typer.Option(help="write docs/schemas anew")] = False,
    breaking: Annotated[bool, typer.Option(help="also when somebody's code breaks of it")] = False,
) -> None:
    """Exit 1 when the committed schemas are not today's, or are not to be written."""
    today, committed = made(), read()
    changes = [change for topic in today for change in _changes(topic, committed.get(topic), today[topic])]
    changes += [Change(topic, "the topic is gone", True) for topic in committed.keys() - today.keys()]
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
        typer.echo("docs/schemas is older than the code: run `make schemas`", err=True)
        raise typer.Exit(1)


def read() -> dict[str, Schema]:
    """Return topic → its committed schema."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def _changes(topic: str, old: Schema | None, new: Schema) -> list[Change]:
    return [Change(topic, "a new topic")] if old is None else compare(topic, old, new, topic in TAKEN)


if __name__ == "__main__":
    typer.run(main)
