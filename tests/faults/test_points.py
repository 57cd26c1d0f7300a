"""Every fault point once, under load; `make faults-points` hits each role at each of them and verifies after each."""

import asyncio
from pathlib import Path

import pytest
from load import Load
from points import Aim, Marksman, in_turn
from system import System
from verify import verdict

from streams.runtime.faults import POINTS

SEED = 11
DECIDING = ("orders", "inventory")


def shares() -> dict[str, list[Aim]]:
    """Return the targets: roles that share code share its points, and each gets some of either kind."""
    deciding = [aim for aim in in_turn("orders", SEED) if aim.milliseconds in (0, 3)]
    shared = {aim.point for aim in deciding} - {"offsets-read"}  # the projector has other code
    projecting = [aim for aim in in_turn("projector", SEED) if aim.point not in shared]
    found = {role: deciding[number :: len(DECIDING)] for number, role in enumerate(DECIDING)}
    return found | {"projector": projecting, "api": in_turn("api", SEED)}


def test_every_point_belongs_to_a_role() -> None:
    assert {aim.point for aims in shares().values() for aim in aims} == {point.name for point in POINTS}


async def hit(marksman: Marksman, role: str, aims: list[Aim]) -> None:
    for aim in aims:
        await marksman.kill(f"{role}-0", aim)
    await marksman.back(f"{role}-0")


@pytest.mark.usefixtures("processes")
async def test_killed_at_each_point_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    (folder := tmp_path / "asked").mkdir()
    system = System(tmp_path / "data", **Marksman.environment(folder))
    system.up()
    try:
        load, marksman = Load(system, SEED, clients=3), Marksman(system, folder)
        loading = asyncio.create_task(load.run())
        await asyncio.gather(*(hit(marksman, role, aims) for role, aims in shares().items()))
        load.stopping.set()
        await loading
        broken, _ = await verdict(system, load.promises)
    finally:
        system.down()
    assert len(load.promises.done) > 50, "the load had no effect"
    assert not broken
