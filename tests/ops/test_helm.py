"""The Helm chart: what it renders is valid, and agrees with the code about settings, roles and topics."""

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import helm as charts
import pytest

from ops.stack.workers import allocator
from streams.runtime.settings import ROLES, Settings
from streams.topology import READING, TOPOLOGY, TRANSACTIONAL
from web.operations.health import OPEN_TO_ALL

Objects = list[dict[str, Any]]
SECRETS = [
    {"setting": "MONGO", "secret": "fulfillment", "key": "mongo", "as": "variable"},
    {"setting": "API_TOKEN", "secret": "fulfillment", "key": "api-token", "as": "variable"},
    {"setting": "KAFKA_PASSWORD", "secret": "kafka-user", "key": "password", "as": "file"},
]
EVERYTHING = {
    "state": {"persistent": True, "storageClass": "fast"},
    "settings": {"KAFKA": "kafka:9093", "PREFIX": "shop.", "PARKED_BYTES": 67_108_864, "WATCHDOG": 0.5},
    "secrets": SECRETS,
    "mounts": [{"path": "/etc/kafka", "secret": "kafka-ca"}],
    "roles": {
        "orders": {
            "settings": {"KAFKA_USER": "orders", "PACE": "0.2"},
            "secrets": [{"setting": "KAFKA_KEY_PASSWORD", "secret": "orders", "key": "key", "as": "file"}],
        },
        "api": {"tag": "0.0.9"},
    },
    "image": {"pullSecrets": [{"name": "registry"}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "scaling": {
        "enabled": True,
        "lag": 2_000_000,
        "authentication": "kafka",
        "kafka": {"sasl": "scram_sha512", "tls": "enable"},
    },
    "networkPolicy": {"otherPorts": [4318]},
    "nodeSelector": {"pool": "apps"},
    "tolerations": [{"key": "apps", "operator": "Exists"}],
    "podAnnotations": {"team": "fulfilment"},
}
LEAST = {"topics": {"create": False}, "networkPolicy": {"enabled": False}, "secrets": []}


@pytest.fixture(scope="module")
def helm(processes: None) -> Path:
    return charts.install()


@pytest.fixture(scope="module")
def rendered(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Objects]:
    """The objects with the default values, with everything enabled, and with everything disabled."""
    folder = tmp_path_factory.mktemp("values")
    values = {"default": {}, "everything": EVERYTHING, "least": LEAST}
    return {name: charts.render(helm, given, folder) for name, given in values.items()}


def of(objects: Objects, kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def workloads(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return the workloads by role."""
    found = of(objects, "StatefulSet") | of(objects, "Deployment")
    return {name.removeprefix("shop-"): each for name, each in found.items()}


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_everything_it_renders_is_valid_for_the_oldest_and_the_newest_kubernetes(
    rendered: dict[str, Objects], version: str
) -> None:
    schemas = charts.Schemas(version)
    for objects in rendered.values():
        assert [problem for each in objects if schemas.knows(each) for problem in schemas.problems(each)] == []
    others = {each["kind"] for each in rendered["everything"] if not schemas.knows(each)}
    assert others == {"ServiceMonitor", "ScaledObject"}  # the tests below check these kinds of operators
    (service, *_) = of(rendered["default"], "Service").values()
    assert list(schemas.problems({**service, "spec": {**service["spec"], "prots": []}}))


def test_lint_finds_nothing(helm: Path) -> None:
    done = subprocess.run(
        [str(helm), "lint", "--strict", str(charts.CHART)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "0 chart(s) failed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": {"kafka": "kafka:9092"}},
        {"secrets": [{"setting": "MONGO", "secret": "s", "key": "k", "as": "env"}]},
        {"scaling": {"roles": ["api"]}},
        {"roles": {"fulfilment": {"replicas": 1, "resources": {}}}},
    ],
)
def test_values_that_would_have_no_effect_are_refused(helm: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="values don't meet the specifications of the schema"):
        charts.render(helm, wrong, tmp_path)


def test_every_role_has_pods_that_keep_their_names_in_the_consumer_group(rendered: dict[str, Objects]) -> None:
    for objects in rendered.values():
        found = workloads(objects)
        assert found.keys() == set(ROLES)
        for role, workload in found.items():
            assert workload["kind"] == ("StatefulSet" if role in READING else "Deployment")
            assert container(workload)["args"] == ["worker", role]
            environment = {each["name"]: each for each in container(workload)["env"]}
            field = environment["FULFILLMENT_INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"]
            assert field == "metadata.name"
            assert {k: v["value"] for k, v in environment.items() if k.startswith("MALLOC_")} == allocator(role)


def values_of(workload: dict[str, Any]) -> dict[str, Any]:
    """Return the environment of a workload: values, and the Secrets that variables refer to."""
    return {
        each["name"].removeprefix("FULFILLMENT_"): each.get("value") or each["valueFrom"].get("secretKeyRef")
        for each in container(workload)["env"]
    }


def test_the_environment_is_made_of_settings(rendered: dict[str, Objects]) -> None:
    known = {f"FULFILLMENT_{name.upper()}" for name in Settings.model_fields}
    for objects in rendered.values():
        for workload in (*workloads(objects).values(), *of(objects, "Job").values()):
            names = [each["name"] for each in container(workload)["env"] if not each["name"].startswith("MALLOC_")]
            assert set(names) <= known
            assert len(set(names)) == len(names)
    orders = values_of(workloads(rendered["everything"])["orders"])
    assert (orders["PACE"], orders["KAFKA_USER"]) == ("0.2", "orders")
    assert (orders["PARKED_BYTES"], orders["WATCHDOG"]) == ("67108864", "0.5")  # not 6.7108864e+07


def test_a_setting_or_secret_of_a_role_replaces_the_one_of_all_roles(helm: Path, tmp_path: Path) -> None:
    def secret(setting: str, name: str, kind: str) -> dict[str, str]:
        return {"setting": setting, "secret": name, "key": "key", "as": kind}

    own = [secret("KAFKA_PASSWORD", "own", "file")]
    objects = charts.render(helm, {
        "settings": {"KAFKA_USER": "all", "KAFKA_PASSWORD": "open"},
        "secrets": [secret("KAFKA_PASSWORD", "all", "file"), secret("API_TOKEN", "all", "variable")],
        "topics": {"secrets": own},
        "roles": {
            "orders": {"secrets": [*own, secret("KAFKA_USER", "own", "file")]},
            "inventory": {"secrets": [secret("KAFKA_PASSWORD", "own", "variable")]},
            "api": {"settings": {"KAFKA_PASSWORD": "own"}},
        },
    }, tmp_path)  # fmt: skip
    (job,) = of(objects, "Job").values()
    roles = workloads(objects)
    for each in (job, *roles.values()):
        pod = each["spec"]["template"]["spec"]
        named = [variable["name"] for variable in container(each)["env"]]
        volumes = [volume["name"] for volume in pod["volumes"]]
        mounts = [mount["mountPath"] for mount in container(each)["volumeMounts"]]
        for names in (named, volumes, mounts):
            assert sorted(names) == sorted(set(names))
        files = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        expected = {"projector": ["all"], "inventory": [], "api": [], "orders": ["own", "own"]}
        assert files == expected.get(pod["containers"][0]["name"], ["own"])
    values = {role: values_of(workload) for role, workload in roles.items()}
    assert values["inventory"]["KAFKA_PASSWORD"] == {"name": "own", "key": "key"}
    assert values["api"]["KAFKA_PASSWORD"] == "own"
    assert "KAFKA_PASSWORD" not in values["orders"].keys() | values["projector"].keys()
    assert (values["projector"]["KAFKA_USER"], "KAFKA_USER" in values["orders"]) == ("all", False)


def test_a_role_can_stay_at_an_older_image(rendered: dict[str, Objects]) -> None:
    images = {role: container(each)["image"] for role, each in workloads(rendered["everything"]).items()}
    assert images.pop("api") == "order-fulfillment:0.0.9"
    assert set(images.values()) == {f"order-fulfillment:{metadata.version('order-fulfillment')}"}


def test_secrets_are_only_referred_to(rendered: dict[str, Objects]) -> None:
    assert all(not of(objects, "Secret") for objects in rendered.values())
    for workload in workloads(rendered["everything"]).values():
        environment = {each["name"]: each for each in container(workload)["env"]}
        assert environment["FULFILLMENT_API_TOKEN"]["valueFrom"]["secretKeyRef"]["key"] == "api-token"
        path = Path(environment["FULFILLMENT_KAFKA_PASSWORD_FILE"]["value"])
        mounts = {each["mountPath"]: each["name"] for each in container(workload)["volumeMounts"]}
        volumes = {each["name"]: each for each in workload["spec"]["template"]["spec"]["volumes"]}
        secret = volumes[mounts[str(path.parent)]]["secret"]
        assert (secret["secretName"], secret["items"]) == ("kafka-user", [{"key": "password", "path": path.name}])
        assert volumes[mounts["/etc/kafka"]]["secret"]["secretName"] == "kafka-ca"
    own = "FULFILLMENT_KAFKA_KEY_PASSWORD_FILE"
    found = workloads(rendered["everything"]).items()
    assert [role for role, each in found if own in {one["name"] for one in container(each)["env"]}] == ["orders"]


def test_tables_are_on_the_disk_of_the_node_or_on_a_volume_of_the_pod(rendered: dict[str, Objects]) -> None:
    for name, persistent in (("default", False), ("everything", True)):
        for role, workload in workloads(rendered[name]).items():
            keeps = role in TRANSACTIONAL
            mounts = {each["name"]: each["mountPath"] for each in container(workload)["volumeMounts"]}
            assert mounts.get("state") == (values_of(workload)["DATA"] if keeps else None)
            volumes = {each["name"]: each for each in workload["spec"]["template"]["spec"]["volumes"]}
            assert ("state" in volumes) is (keeps and not persistent)
            claims = workload["spec"].get("volumeClaimTemplates", [])
            assert [each["spec"]["storageClassName"] for each in claims] == ["fast"] * (keeps and persistent)


def test_pods_have_probes_limits_and_no_rights(rendered: dict[str, Objects]) -> None:
    for workload in workloads(rendered["default"]).values():
        one, pod = container(workload), workload["spec"]["template"]["spec"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert one[probe]["httpGet"]["path"] in OPEN_TO_ALL  # the kubelet has no token
        assert one["resources"]["limits"]["memory"]
        assert one["securityContext"]["readOnlyRootFilesystem"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (True, False)


def test_an_api_pod_that_ends_first_waits_until_it_gets_no_new_requests(rendered: dict[str, Objects]) -> None:
    waits = {role: container(each).get("lifecycle") for role, each in workloads(rendered["default"]).items()}
    assert waits.pop("api") == {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    assert set(waits.values()) == {None}


def test_disruptions_take_one_pod_of_a_role_at_a_time(rendered: dict[str, Objects]) -> None:
    for name, budget in of(rendered["default"], "PodDisruptionBudget").items():
        pods = workloads(rendered["default"])[name.removeprefix("shop-")]["spec"]["template"]["metadata"]["labels"]
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"].items() <= pods.items()


def test_only_named_pods_reach_a_worker_and_it_reaches_only_the_servers(rendered: dict[str, Objects]) -> None:
    policies = of(rendered["everything"], "NetworkPolicy")
    assert policies.keys() == {f"shop-{name}" for name in (*ROLES, "topics")}
    for name, policy in policies.items():
        assert len(policy["spec"]["ingress"]) == {"shop-api": 2, "shop-topics": 0}.get(name, 1)
        ports = [each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]]
        assert ports == [53, 53, 9092, 27017, 4318]


def test_topics_are_created_before_an_upgrade(rendered: dict[str, Objects]) -> None:
    (job,) = of(rendered["default"], "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert container(job)["args"] == ["topics", "create"]
    policy = of(rendered["default"], "NetworkPolicy")["shop-topics"]["metadata"]["annotations"]
    assert policy["helm.sh/hook-weight"] == "-1"  # the job needs its network before it starts
    (chosen,) = of(rendered["everything"], "Job").values()
    pod = chosen["spec"]["template"]["spec"]
    assert (pod["nodeSelector"], pod["tolerations"]) == (EVERYTHING["nodeSelector"], EVERYTHING["tolerations"])
    assert of(rendered["least"], "Job") == {}


def test_keda_scales_each_role_on_the_lag_of_its_own_group(rendered: dict[str, Objects]) -> None:
    objects = rendered["everything"]
    for role in READING:
        scaled = of(objects, "ScaledObject")[f"shop-{role}"]["spec"]
        assert scaled["scaleTargetRef"]["name"] == f"shop-{role}"
        assert scaled["scaleTargetRef"]["kind"] == "StatefulSet"
        assert "replicas" not in workloads(objects)[role]["spec"]  # an upgrade must not undo the scaling
        for trigger in scaled["triggers"]:
            assert trigger["metadata"]["consumerGroup"] == f"shop.{role}"
            assert trigger["metadata"]["sasl"] == "scram_sha512"
            assert trigger["authenticationRef"] == {"name": "kafka"}
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
            assert trigger["metadata"]["lagThreshold"] == "2000000"
        read = [trigger["metadata"]["topic"] for trigger in scaled["triggers"]]
        assert read == [f"shop.{topic.name}" for topic in TOPOLOGY[role].reads]
    assert workloads(objects)["api"]["spec"]["replicas"] == 2


def test_prometheus_finds_the_services_of_every_role_and_has_the_token(rendered: dict[str, Objects]) -> None:
    (monitor,) = of(rendered["everything"], "ServiceMonitor").values()
    wanted = monitor["spec"]["selector"]["matchLabels"]
    services = of(rendered["everything"], "Service")
    assert {name for name, each in services.items() if wanted.items() <= each["metadata"]["labels"].items()} == {
        f"shop-{role}" for role in ROLES
    }
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    assert endpoint["authorization"]["credentials"] == {"name": "fulfillment", "key": "api-token"}
