"""What commands share: the settings they run with, and options that mean the same everywhere."""

from typing import Annotated

import typer

from ops.loading import load_settings as load_settings

Json = Annotated[bool, typer.Option("--json", help="for scripts")]
