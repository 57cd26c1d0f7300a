"""A command gets a folder of its own, and leaves none behind, not even after kill -9."""

import tempfile
from pathlib import Path

import pytest

from ops.workspace import LOCK, clear, workspace
from streams.runtime.settings import Settings


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_workspace_is_kept_for_the_next_command(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    for _ in range(2):
        with workspace(settings, "audit") as folder:
            assert folder == tmp_path / "audit"
            (folder / "results").mkdir(exist_ok=True)
    with workspace(settings, "audit") as folder:
        assert (folder / "results").exists()
        clear(folder)
        assert [each.name for each in folder.iterdir()] == [LOCK]


@pytest.mark.parametrize("why", ["another command uses it", "it cannot be created"])
def test_a_command_that_cannot_have_it_uses_a_temporary_one(tmp_path: Path, temporary: Path, why: str) -> None:
    data = tmp_path / "data"
    if why == "it cannot be created":
        data.write_text("this is a file")
        with workspace(Settings(data=data), "audit") as folder:
            assert folder.parent == temporary
    else:
        with workspace(Settings(data=data), "audit") as first, workspace(Settings(data=data), "audit") as second:
            (second / "results").mkdir()
            assert (first, second.parent) == (data / "audit", temporary)
    assert [*temporary.iterdir()] == []


def test_temporary_folders_of_killed_commands_are_deleted(tmp_path: Path, temporary: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    abandoned, of_others = temporary / "fulfillment-audit-killed", temporary / "fulfillment-verify-killed"
    unlocked = temporary / "fulfillment-audit-new"
    for each in (abandoned, of_others, unlocked):
        (each / "spill").mkdir(parents=True)
        if each is not unlocked:
            (each / LOCK).touch()
    with workspace(settings, "audit"), workspace(settings, "audit") as second, workspace(settings, "audit") as third:
        assert {*temporary.iterdir()} == {second, third, of_others, unlocked}
    assert {*temporary.iterdir()} == {of_others, unlocked}
