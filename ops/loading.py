"""Load the settings from the environment, for the command line and for workers."""

from typing import Any

from pydantic import ValidationError

from ops.errors import Misconfigured, settings_errors
from streams.runtime.settings import Settings


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this environment; Misconfigured, with one line per field, if any is refused."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise Misconfigured(settings_errors(error)) from None
