"""One process, one role."""

import logging
from importlib import import_module

from streams.app import RoleApp, create_app
from streams.settings import Role, Settings

from .operations import pages

ROLES = {
    "orders": "agents.orders:order_worker",
    "inventory": "agents.inventory:inventory_worker",
    "fulfilment": "agents.fulfilment:fulfilment_worker",
    "projector": "agents.projector:projector",
}


def build(role: Role, settings: Settings) -> RoleApp:
    """Return the app of a role, with its table, its agent and its pages."""
    app = create_app(role, settings)
    pages(app)
    module, function = ROLES[role].split(":")  # a worker loads what its role needs, no more
    getattr(import_module(module), function)(app, role, settings)
    return app


def run(role: Role, settings: Settings) -> None:
    """Run a worker of `role` until it is told to stop; raises SystemExit."""
    import mode.loop

    mode.loop.use("uvloop")
    import faust

    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = build(role, settings)
    faust.Worker(
        app, loglevel="WARN", quiet=True, redirect_stdouts=False, override_logging=False
    ).execute_from_commandline()
