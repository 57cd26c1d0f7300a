"""The command line: every command with its arguments and options."""

from collections.abc import Iterator
from typing import Any

import typer.main

from ops.cli import cli
from ops.reference.markdown import code, table


def commands() -> str:
    """Return a section for each command of the command line."""
    return "\n\n".join(_section(path, command) for path, command in all_commands())


def all_commands() -> Iterator[tuple[str, Any]]:
    """Yield each command with its full name, such as `fulfillment topics list`."""
    yield from _below("fulfillment", typer.main.get_command(cli))


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _section(path: str, command: Any) -> str:
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    options = [each for each in shown if each.param_type_name == "option"]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *map(_metavar, arguments)])
    rows = [(_name(each), _text(each.help), _default(each)) for each in (*arguments, *options)]
    described = [table(("", "Meaning", "Default"), rows)] if rows else []
    return "\n\n".join([f"### {path}", code(usage), _paragraphs(command.help or ""), *described])


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    if argument.metavar is None and argument.nargs < 0:
        name += "..."
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(_metavar(parameter).replace("[", "").replace("]", ""))
    return ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if value in (None, False, "", ()) or callable(value) else code(value)


def _text(text: str | None) -> str:
    return (text or "").replace("<", "&lt;")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(_text(each).split()) for each in text.replace("\b", "").split("\n\n"))
