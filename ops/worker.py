"""Run one worker in this process.

The supervisor starts `python -m ops.worker ROLE` instead of `fulfillment worker ROLE`: without loading the command
line, a restart takes a quarter less time.
"""

import gc
import os
import sys

from ops.errors import CommandFailed, Misconfigured, external_failure
from ops.loading import load_settings
from streams.access.tokens import InvalidTokens
from streams.runtime import faults, garbage
from streams.runtime.settings import ROLES, Role, Settings
from streams.tracing import traces

COLLECT_AFTER = (
    50_000,
    20,
    100,
)  # objects; with Python's default of 700, a busy api spends a quarter of its time on garbage collection


def run(role: str, settings: Settings) -> None:
    """Run one worker of `role` until it is asked to stop."""
    if role not in ROLES:
        raise Misconfigured(f"There is no role {role!r}: choose from {', '.join(ROLES)}.")
    arm(f"{role}-{settings.instance}")
    if not settings.worker_port:
        settings = settings.model_copy(update={"worker_port": default_port(role, settings)})
    traces.start(role, settings)
    try:
        _serve(role, settings)
    except InvalidTokens as error:
        raise Misconfigured(f"The API tokens cannot be read: {error}.") from None
    except ValueError as error:
        if (failure := external_failure(error)) is None:
            raise
        raise failure from None
    finally:
        traces.stop()


def _serve(role: Role, settings: Settings) -> None:
    if role == "api":
        from web import main as api

        gc.freeze()  # imported modules are never collected
        gc.set_threshold(*COLLECT_AFTER)
        api.run(settings)
    else:
        from agents import main

        garbage.configure()
        main.run(role, settings)


def arm(process: str) -> None:
    """Arm the faults that `FULFILLMENT_FAULTS` requests for the process with the name `process`."""
    try:
        faults.arm(os.environ.get("FULFILLMENT_FAULTS", ""), process)
    except faults.UnknownFault as unknown:
        raise Misconfigured(f"FULFILLMENT_FAULTS: {unknown}.") from unknown


def default_port(role: str, settings: Settings) -> int:
    """Return the default port of a worker: the API's port for the api, and a port after it for each other role."""
    return settings.http_port + (0 if role == "api" else 1 + ROLES.index(role))


def main() -> None:
    """Run the role that is named on the command line, with the settings of this environment."""
    try:
        run(sys.argv[1], load_settings())
    except CommandFailed as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
