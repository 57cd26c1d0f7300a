"""A work tree of the project with its own .venv, and its programs as other processes run them."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SETUP_SECONDS = 1800


@dataclass(frozen=True)
class Checkout:
    """The location of a commit's code, and the interpreter that runs it."""

    folder: Path
    python: Path
    commit: str = ""

    def fulfillment(self, *arguments: str) -> list[str]:
        """Return the command line of `fulfillment …`."""
        return [str(self.python.with_name("fulfillment")), *arguments]

    def module(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of `python -m name …`."""
        return [str(self.python), "-m", name, *arguments]

    def run(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, *, seconds: float = 900, check: bool = True,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run one of the command lines in the checkout's folder; raise `AssertionError` with its output if it fails."""
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=seconds, check=False, **options
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}")
        return done


def commit_of(folder: Path, ref: str = "HEAD") -> str:
    """Return the full hash of a commit; raise `ValueError` if it does not exist."""
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ValueError(f"{ref} is not a commit of {folder}")
    return done.stdout.strip()


def cloned(ref: str, folder: Path, source: Path = ROOT) -> Path:
    """Clone the commit `ref` of `source` into `folder`; objects are shared, so this is fast."""
    commit = commit_of(source, ref)
    for arguments in (
        ["clone", "--quiet", "--shared", "--no-checkout", str(source), str(folder)],
        ["-C", str(folder), "checkout", "--quiet", "--detach", commit],
    ):
        subprocess.run(["git", *arguments], check=True)
    return folder


def opened(folder: Path) -> Checkout:
    """Return the checkout in `folder`, which has a .venv."""
    return Checkout(folder, folder / ".venv" / "bin" / "python", commit_of(folder))


def made(ref: str, folder: Path, python: str = sys.executable) -> Checkout:
    """Clone the commit `ref` into `folder` and install it from its own lock with `make setup`."""
    checkout = opened(cloned(ref, folder))
    checkout.run(["make", "setup", f"PYTHON={python}"], seconds=SETUP_SECONDS)
    return checkout


HERE = Checkout(ROOT, Path(sys.executable))
