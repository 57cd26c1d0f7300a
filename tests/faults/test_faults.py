"""A short seeded schedule of faults in every run; `make faults` runs many and longer ones."""

from pathlib import Path

import pytest
from run import one
from schedule import SETTINGS
from system import System


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("seed", [7])
async def test_faults_break_no_promise(tmp_path: Path, seed: int) -> None:
    system = System(tmp_path, **SETTINGS)
    system.up()
    try:
        load, chaos, (broken, _) = await one(system, seed, seconds=25)
    finally:
        system.down()
    assert chaos.injected, "the schedule injected nothing"
    assert load.promises.done, "the load sent no requests"
    assert not broken, f"after {chaos.injected}: {broken}"
