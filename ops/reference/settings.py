"""The settings, as a table."""

from typing import Any

from pydantic_core import PydanticUndefined

from ops.reference.markdown import code, table
from streams.runtime.settings import Settings


def settings() -> str:
    """Return a row for each setting: its variable, default and meaning."""
    rows = [
        (f"`FULFILLMENT_{name.upper()}`", _default(field.get_default()), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return table(("Variable", "Default", "Meaning"), rows)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    return code(",".join(value) if isinstance(value, tuple) else value)
