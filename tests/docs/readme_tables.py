"""The tables of README.md and docs/operations.md that follow from the code. Run as a script, this writes them."""

import re
from collections.abc import Callable, Iterator, Mapping
from inspect import getdoc
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

import agents.metrics as agents
import projections.metrics as projections
import streams.runtime.metrics as streams
import web.metrics as web
from domain.address import Address
from ops.cli import cli
from streams.messages.models import model_of
from streams.messages.strict import IGNORED, fields_at
from streams.runtime.settings import Settings
from web.commands.answering import PREFIX
from web.commands.routes import COMMAND_ROUTES
from web.queries.routes import QUERY_ROUTES

README = Path(__file__).parents[2] / "README.md"
OPERATIONS = README.parent / "docs" / "operations.md"
EXPORTED = {"all": streams, "workers": agents, "projector, api": projections, "api": web}  # by whom → the module


def settings_table() -> str:
    """Return a row a setting: its variable, default and meaning."""
    rows = [
        f"| `FULFILLMENT_{name.upper()}` | {_default(field.get_default())} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined or value == "":
        return ""
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def commands_table() -> str:
    """Return a row a path that stands for a command."""
    rows = []
    for route in COMMAND_ROUTES:
        body = "" if route.example is None else _cell(_body(route.example))
        path = f"`{route.method} {route.path}`"
        rows.append(f"| {path} | {route.summary} | {route.command.__name__} | {body} | {route.status} |")
    head = ["| below `/api/v1` | what it does | command | body, for example | done |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _body(example: Any) -> str:
    text = orjson.dumps(example).decode()
    return f"`{text}`" if len(text) < 80 else "[above](#an-order-from-the-shop-to-the-door)"


def queries_table() -> str:
    """Return a row a path that reads."""
    rows = []
    for query in QUERY_ROUTES:
        own = ", ".join(f"`{each['name']}`" for each in query.parameters())
        rows.append(f"| `GET {query.path}` | {query.summary} | {own} |")
    return "\n".join([f"| below `{PREFIX}` | what it answers | filters and order |", "|---|---|---|", *rows])


def addresses_table() -> str:
    """Return a row a field of an address, and its other spellings."""
    rows = []
    for name, field in zip(fields_at(model_of(Address)), model_of(Address).model_fields.values(), strict=True):
        others = ", ".join(f"`{other}`" for other, meant in Address.spellings.items() if meant == name)
        rows.append(
            f"| `{name}` | {'yes' if field.is_required() else 'see above' if name == 'zipCode' else ''} | {others} |"
        )
    return "\n".join(["| field | needed | other spellings that are understood |", "|---|---|---|", *rows])


def ignored_table() -> str:
    """Return a row a command with fields that are accepted and ignored."""
    rows = [f"| {name} | {', '.join(f'`{field}`' for field in sorted(fields))} |" for name, fields in said()]
    return "\n".join(["| command | ignored fields |", "|---|---|", *rows])


def said() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the commands, as people know them, with the fields of theirs that are ignored."""
    bodies = {route.body.__name__: f"`{route.method} {route.path}`" for route in COMMAND_ROUTES if route.body}
    yield from ((bodies.get(name, f"`{name}`"), fields) for name, fields in IGNORED.items())


def cli_table() -> str:
    """Return a row a command of the command line."""
    rows = []
    for group, prefix in [(cli, ""), *((group.typer_instance, f"{group.name} ") for group in cli.registered_groups)]:
        for command in group.registered_commands if group else ():
            assert command.callback
            name = command.name or command.callback.__name__
            first = (getdoc(command.callback) or "").splitlines()[0]
            rows.append(f"| `fulfillment {prefix}{name}` | {_cell(first)} |")
    return "\n".join(["| | |", "|---|---|", *rows])


def metrics_of(module: ModuleType) -> Iterator[MetricWrapperBase]:
    """Yield the metrics that a module declares."""
    return (each for each in vars(module).values() if isinstance(each, MetricWrapperBase))


def metrics_table() -> str:
    """Return a row a metric that is ours."""
    rows = []
    for whose, module in EXPORTED.items():
        for metric in metrics_of(module):
            if whose != "all" and metric in metrics_of(streams):
                continue
            (described,) = metric.describe()
            name = described.name + ("_total" if described.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(f"| `{name}` | {described.type} | {labels} | {whose} | {_cell(described.documentation)} |")
    return "\n".join(["| metric | type | labels | of | meaning |", "|---|---|---|---|---|", *rows])


CONTRACT = {"settings": settings_table, "commands": commands_table, "queries": queries_table, "ignored": ignored_table,
            "addresses": addresses_table}  # fmt: skip
TABLES = {**CONTRACT, "cli": cli_table}
FILES = {README: TABLES, OPERATIONS: {"metrics": metrics_table}}


def rewritten(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """Return a document's `text` with the tables as the code has them."""
    for name, table in tables.items():
        between = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        new = table().replace("\\", r"\\")
        text, found = between.subn(rf"\g<1>{new}\n\g<2>", text)
        if found != 1:
            raise ValueError(f"there must be one table {name!r}")
    return text


if __name__ == "__main__":
    for path, tables in FILES.items():
        path.write_text(rewritten(path.read_text(), tables))
