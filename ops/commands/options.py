"""Settings and options that several commands share."""

from typing import Annotated

import typer

from ops.loading import load_settings as load_settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
