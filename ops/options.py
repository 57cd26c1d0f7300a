"""What commands share: the settings they run with, and options that mean the same everywhere."""

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ops.errors import Misconfigured, sentences
from streams.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="for scripts")]


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this environment; Misconfigured, one sentence a field, when one is refused."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise Misconfigured(sentences(error)) from None
