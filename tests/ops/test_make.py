"""`make PYTHON=…` builds `.venv` with the interpreter that is asked for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
VENV = ".venv/.stamps/venv"


@pytest.fixture(scope="module")
def folder(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Makefile and a `.venv` that it built."""
    folder = tmp_path_factory.mktemp("make")
    shutil.copy(MAKEFILE, folder)
    done = make(folder, f"PYTHON={sys.executable}", VENV)
    assert (done.returncode, "rebuilding" in done.stdout) == (0, False), done.stderr
    return folder


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=120)


def another_python(folder: Path) -> Path:
    """Return an interpreter that reports another version, and builds environments like this one."""
    wrapper = folder / "other-python"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$2" in *base_prefix*) echo "/opt/other 3.14.0";; *) exec {sys.executable} "$@";; esac\n'
    )
    wrapper.chmod(0o755)
    return wrapper


def test_another_python_rebuilds_it_and_says_so(folder: Path) -> None:
    mark = folder / ".venv" / "mark"
    mark.touch()
    for arguments in ((VENV,), (f"PYTHON={sys.executable}", VENV), (f"PYTHON={folder}/.venv/bin/python", VENV)):
        assert make(folder, *arguments).returncode == 0
        assert mark.exists(), f"rebuilt although it is the same Python: {arguments}"
    done = make(folder, f"PYTHON={another_python(folder)}", VENV)
    assert (done.returncode, mark.exists()) == (0, False), done.stderr
    assert (
        f"rebuilding .venv with {folder}/other-python: it was made with Python {sys.version.split()[0]}" in done.stdout
    )
    assert (folder / ".venv" / "bin" / "pip").exists()


def test_a_python_that_does_not_exist_is_one_sentence(folder: Path) -> None:
    missing = make(folder, "PYTHON=/opt/none/python3.11", VENV)
    assert missing.returncode == 2
    assert "\nPython 3.11 or newer with its venv module is needed, and /opt/none/python3.11 is not" in missing.stdout
    assert (folder / ".venv" / "bin" / "pip").exists(), (
        "the existing environment is kept until another one can be built"
    )
    (folder / ".venv" / "bin" / "python").unlink()  # as after the interpreter was uninstalled
    done = make(folder, f"PYTHON={sys.executable}", VENV)
    assert (done.returncode, "does not run" in done.stdout) == (0, True), done.stderr
    assert subprocess.run([folder / ".venv" / "bin" / "python", "-c", ""], check=False).returncode == 0
