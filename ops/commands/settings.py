"""`fulfillment settings`."""

from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from ops.commands.options import load_settings
from ops.commands.tables import table
from ops.errors import without_credentials
from streams.runtime.settings import Settings

SECRETS = frozenset({"api_token"})  # besides those of the type SecretStr


def settings() -> None:
    """Show every setting: its environment variable, value, default and meaning."""
    Console().print(settings_table(load_settings()))


def settings_table(settings: Settings) -> Table:
    """Return the settings with secrets masked."""
    found = table("variable", "value", "default", "meaning")
    for name, field in Settings.model_fields.items():
        style = "bold" if name in settings.model_fields_set else ""
        value = masked(name, getattr(settings, name))
        found.add_row(f"FULFILLMENT_{name.upper()}", value, _default(field), field.description, style=style)
    return found


def masked(name: str, value: Any) -> str:
    """Return `value` as it is written in the environment, with secrets replaced by asterisks."""
    if value is None or value == "":
        return ""
    if name in SECRETS or isinstance(value, SecretStr):
        return "********"
    return without_credentials(",".join(value) if isinstance(value, tuple) else str(value))


def _default(field: FieldInfo) -> str:
    return masked("", field.get_default())
