"""Every fault point once, under load; `make faults-points` hits each role at each of them and verifies after each."""

import asyncio
from pathlib import Path

import pytest
from load import Load
from points import Aim, Marksman, in_turn
from system import System, eventually
from verify import verdict

from streams.runtime.faults import POINTS

SEED = 11
DECIDING = ("orders", "inventory")


def shares() -> dict[str, list[Aim]]:
    """Return the targets: roles that share code share its points, and each gets some of either kind."""
    of_orders = [aim for aim in in_turn("orders", SEED) if aim.milliseconds in (0, 3)]
    both = {point.name for point in POINTS if set(DECIDING) <= point.roles}
    deciding = [aim for aim in of_orders if aim.point in both]
    shared = {aim.point for aim in deciding} - {"offsets-read"}  # the projector has other code
    projecting = [aim for aim in in_turn("projector", SEED) if aim.point not in shared]
    found = {role: deciding[number :: len(DECIDING)] for number, role in enumerate(DECIDING)}
    found["orders"] += [aim for aim in of_orders if aim.point not in both]
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
        async with load.running():
            await asyncio.gather(*(hit(marksman, role, aims) for role, aims in shares().items()))
            await eventually(lambda: asyncio.sleep(0, len(load.promises.done)), lambda done: done > 50)
        broken, _ = await verdict(system, load.promises)
    finally:
        system.down()
    assert not broken
