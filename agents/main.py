"""Runs one role in this process."""

from importlib import import_module

from streams.runtime.app import RoleApp, create_app
from streams.runtime.logs import configure
from streams.runtime.running import run_until_stopped
from streams.runtime.settings import Role, Settings

from .operations import pages


def build(role: Role, settings: Settings) -> RoleApp:
    """Return the app of a role, with its table, its agent and its pages."""
    app = create_app(role, settings)
    pages(app)
    import_module(f"agents.{role}").start(app, settings)  # a worker imports only the modules of its role
    return app


def run(role: Role, settings: Settings) -> None:
    """Run a worker of `role` until it gets a signal; raises SystemExit."""
    import mode.loop

    mode.loop.use("uvloop")
    configure(role, settings)
    run_until_stopped(build(role, settings))
