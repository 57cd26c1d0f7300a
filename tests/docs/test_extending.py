"""The guides that add a command and a read model work as they are written, on a system that keeps running."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from documents import DOCS, ROOT
from system import ADDRESS, PATIENT, Api, System, api_at, eventually

CODE = re.compile(r"`([\w/]+\.py)`|^```(python|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent
ELSEWHERE = {**ADDRESS, "street": "2 Low Street"}


class Change(NamedTuple):
    """Code that a guide shows: the whole of a new file, or lines to add and remove."""

    file: str
    code: str
    is_new: bool


def changes(guide: str) -> Iterator[Change]:
    """Yield the changes of a guide; each belongs to the file that is named last before it."""
    file = ""
    for named, language, code in CODE.findall((DOCS / "how-to" / guide).read_text()):
        file = named or file
        if language:
            yield Change(file, code, language == "python")


def apply(change: Change, checkout: Path) -> None:
    """Make a change as a reader would."""
    path = checkout / change.file
    if change.is_new:
        path.write_text(change.code)
        return
    text = path.read_text()
    for hunk in change.code.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"{change.file} has this {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    path.write_text(text)


class Checkout:
    """A copy of the code, and the system that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file() and not name.startswith(("docs/images", "tests/upgrade")):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        self.system = System(folder / "data", PYTHONPATH=str(self.folder), **PATIENT)

    def run(self, *command: str) -> str:
        """Run a command in the copy and return what it printed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.system.env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fulfillment(self, *arguments: str) -> str:
        """Run `fulfillment …` as the copy has it."""
        return self.run(sys.executable, "-m", "ops.cli", *arguments)

    def make(self, *arguments: str) -> str:
        """Run `make …` with the installed packages."""
        return self.run("make", "--old-file=setup", f"BIN={BIN}", *arguments)


@pytest.fixture
def checkout(processes: None, tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the code, running."""
    checkout = Checkout(tmp_path)
    checkout.fulfillment("up", "--detach")
    try:
        yield checkout
    finally:
        checkout.fulfillment("down")


async def test_a_command_and_a_read_model_are_added_to_a_running_system(checkout: Checkout) -> None:
    async with api_at(checkout.system.base) as api:
        await api.stock("boots", 10)
        order = await api.place(("boots", 1), orderId="extended")
        assert (await api("POST", "/orders/extended/hold", {"reason": "fraud check"}))[0] == 200
        assert (await api("GET", "/holds"))[0] == 404

        for guide in ("add-a-command.md", "add-a-read-model.md"):
            for change in changes(guide):
                apply(change, checkout.folder)
        checkout.make("schemas", "reference")
        checkout.make("check")
        tests = ["domain/test_domain_complete.py", "domain/test_domain_rebilling.py"]
        tests = [f"tests/{name}" for name in (*tests, "projections/test_projection_holds.py")]
        checkout.run(str(BIN / "pytest"), "-q", *tests)

        for roles in (["projector"], ["orders", "inventory"], ["api"]):
            checkout.fulfillment("restart", *roles)
        await the_command_works(checkout, api, order)
        await the_read_model_works(checkout, api)


async def the_command_works(checkout: Checkout, api: Api, order: dict[str, Any]) -> None:
    changed, answer, _ = await api("PUT", "/orders/extended/billing-address", {"billingAddress": ELSEWHERE})
    assert changed == 200, answer
    await api.order(order["id"], lambda shown: shown["billingAddress"]["street"] == "2 Low Street")
    data = json.dumps({"billingAddress": ADDRESS})
    said = checkout.fulfillment("produce", "ChangeBillingAddress", "--key", "extended", "--data", data, "--wait")
    assert "BillingAddressChanged" in said
    document = (await api("GET", "/orders/extended/events"))[1]
    assert [event["type"] for event in document["data"]].count("BillingAddressChanged") == 2


async def the_read_model_works(checkout: Checkout, api: Api) -> None:
    assert (await api("GET", "/holds"))[1]["error"] == "READ_MODEL_NOT_DEPLOYED"
    checkout.fulfillment("projections", "deploy", "holds")
    checkout.fulfillment("projections", "promote", "holds")
    _, answer, _ = await eventually(lambda: api("GET", "/holds"), lambda found: found[0] == 200)
    assert [hold["orderId"] for hold in answer["data"]] == ["extended"]
    assert (await api("DELETE", "/orders/extended/hold"))[0] == 200
    assert (await api("GET", "/holds/none"))[1]["error"] == "HOLD_NOT_FOUND"
