"""`make sbom` lists what the image contains."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_lists_every_package_of_the_image_with_its_version_and_hashes(processes: None) -> None:
    subprocess.run(["make", "-C", str(ROOT), "sbom"], check=True, capture_output=True, text=True, timeout=600)
    found = json.loads((ROOT / "build" / "sbom.cdx.json").read_text())
    locked = re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==(\S+)", (ROOT / "deploy/requirements.lock").read_text(), re.M)
    assert sorted((each["name"], each["version"]) for each in found["components"]) == sorted(locked)
    assert all(each["externalReferences"][0]["hashes"] for each in found["components"])
    assert found["metadata"]["component"]["licenses"][0]["license"]["id"] == "Apache-2.0"
