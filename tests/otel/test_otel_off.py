"""Without traces nothing is loaded, and traces that cannot be sent are reported."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("processes")

ROLES = {
    "api": "web.main",
    "orders": "agents.orders",
    "inventory": "agents.inventory",
    "projector": "agents.projector",
}


def run(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, "orders"], env={**os.environ, **variables}, capture_output=True, text=True
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_worker_without_traces_loads_nothing_of_opentelemetry(role: str) -> None:
    code = f"""
import sys
from ops import worker
from streams.tracing import traces
from streams.runtime.settings import Settings

worker._serve = lambda role, settings: print(traces.ON)
import {ROLES[role]}, agents.main
worker.run({role!r}, Settings())
print([name for name in sys.modules if name.startswith(("opentelemetry", "google"))])
"""
    assert run(code, FULFILLMENT_OTLP_ENDPOINT="").stdout.split("\n")[:2] == ["None", "[]"]


def test_a_missing_extra_is_reported_at_the_start() -> None:
    code = """
from importlib import metadata

def missing(name):
    raise metadata.PackageNotFoundError(name)

metadata.version = missing
from ops.worker import main
main()
"""
    said = run(code, FULFILLMENT_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert said.returncode == os.EX_CONFIG
    assert said.stderr.startswith("FULFILLMENT_OTLP_ENDPOINT: traces need an extra")
    assert "pip install 'order-fulfillment[otel]'" in said.stderr


def test_an_invalid_endpoint_is_refused() -> None:
    said = run("from ops.worker import main; main()", FULFILLMENT_OTLP_ENDPOINT="collector:4318")
    assert said.returncode == os.EX_CONFIG
    assert said.stderr.startswith("FULFILLMENT_OTLP_ENDPOINT: ")
