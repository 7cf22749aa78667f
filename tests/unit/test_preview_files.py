"""What a preview writes: no secret, no invention, the same every time."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml

from pulumi_llm_inference.preview.recorder import Resource
from pulumi_llm_inference.preview.write import manifests, write
from tests.conftest import WrittenPreview
from tests.support import cli, record

PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
k8s.core.v1.Secret(
    "token",
    metadata={"name": "token"},
    string_data={"fromProgram": pulumi.Output.secret("SECRET-A"), "fromFile": "plain"},
)
k8s.core.v1.Secret(
    "password",
    metadata={"name": "password"},
    string_data={"password": config.require_secret("password").apply(lambda p: f"{p}!")},
)
service = k8s.core.v1.Service(
    "front", metadata={"name": "front"}, spec={"ports": [{"port": 80.0}], "type": "LoadBalancer"}
)
k8s.core.v1.ConfigMap(
    "address",
    metadata={"name": "address"},
    data={"ip": service.status.load_balancer.ingress[0].ip, "plain": "text"},
)
k8s.core.v1.ConfigMap("half", metadata={"name": "half"}, data={"x": "1"}, immutable=True)
k8s.helm.v3.Release("chart", chart="prometheus", version="1.2.3")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with secrets and unknown values, previewed into `out`."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    (folder / "__main__.py").write_text(textwrap.dedent(PROGRAM))
    config = {"small:password": {"secure": "v1:SECRET-B"}}
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    done = cli("preview", "dev", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "out/terminal").write_text(done.stdout + done.stderr)
    return folder / "out"


@pytest.fixture(scope="module")
def resources(written: Path) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads((written / "resources.json").read_text())}


def test_no_secret_reaches_a_file_or_the_terminal(written: Path) -> None:
    for file in written.rglob("*"):
        if file.is_file():
            assert "SECRET" not in file.read_text()


def test_secrets_are_marked(resources: dict[str, dict[str, Any]]) -> None:
    # The SDK makes all of a Secret's data secret, the plain value too.
    assert resources["token"]["inputs"]["stringData"] == {"secret": True}
    assert resources["password"]["inputs"]["stringData"] == {"secret": True}


def test_unknown_values_say_where_they_belong(resources: dict[str, dict[str, Any]]) -> None:
    address = resources["address"]
    expected = {"ip": {"unknown": f"{address['urn']}.data.ip"}, "plain": "text"}
    assert address["inputs"]["data"] == expected
    assert resources["front"]["urn"] in address["dependencies"]


def test_whole_numbers_and_truth_values(written: Path) -> None:
    text = (written / "resources.json").read_text()
    assert '"port": 80\n' in text
    assert '"immutable": true' in text


def test_what_is_no_manifest_is_listed(written: Path) -> None:
    names = sorted(file.name for file in (written / "manifests").iterdir())
    assert [name.split("-", 1)[1] for name in names] == [
        "configmap-half.yaml",
        "service-front.yaml",
    ]
    terminal = (written / "terminal").read_text()
    for name, reason in {
        "Secret::token": "stringData is known at deployment only",
        "Secret::password": "stringData is known at deployment only",
        "ConfigMap::address": "data.ip is known at deployment only",
        "Release::chart": "a Helm release",
    }.items():
        [line] = [line for line in terminal.splitlines() if name in line]
        assert reason in line


def test_manifests_are_the_inputs_and_come_in_an_order_that_applies(
    local_preview: WrittenPreview,
) -> None:
    files = sorted((local_preview.folder / "manifests").iterdir())
    objects = [yaml.safe_load(file.read_text()) for file in files]
    kinds = [item["kind"] for item in objects]
    assert kinds[:6] == [*["Node"] * 5, "ServiceAccount"]
    [deployment] = [item for item in objects if item["kind"] == "Deployment"]
    assert deployment == local_preview.recording.one("Deployment")
    text = (local_preview.folder / "manifests").joinpath(files[-1].name).read_text()
    assert ".0\n" not in text


def test_records_have_the_promised_keys(local_preview: WrittenPreview) -> None:
    records = json.loads((local_preview.folder / "resources.json").read_text())
    for item in records:
        assert list(item) == [
            "type",
            "name",
            "urn",
            "parent",
            "inputs",
            "dependencies",
            "ignoreChanges",
            "customTimeouts",
        ]
        assert item["urn"].startswith("urn:pulumi:local::llm-inference::")
        assert item["urn"].endswith(f"{item['type']}::{item['name']}")


def test_earlier_manifests_do_not_stay(tmp_path: Path) -> None:
    def program(name: str) -> None:
        k8s.core.v1.ConfigMap(name, metadata={"name": name}, data={})

    write(record(lambda: program("old")).resources, tmp_path)
    write(record(lambda: program("new")).resources, tmp_path)
    assert [file.name for file in (tmp_path / "manifests").iterdir()] == ["000-configmap-new.yaml"]


def test_the_engines_way_to_name_resources() -> None:
    """The types of all parents are in a URN, but not the stack's."""

    def program() -> None:
        outer = pulumi.ComponentResource("a:b:Outer", "outer")
        inner = pulumi.ComponentResource("a:b:Inner", "in", None, pulumi.ResourceOptions(outer))
        options = pulumi.ResourceOptions(parent=inner)
        k8s.core.v1.ConfigMap("x", metadata={"name": "x"}, opts=options)

    [*_, child] = record(program).resources
    types = "a:b:Outer$a:b:Inner$kubernetes:core/v1:ConfigMap"
    assert child.urn == f"urn:pulumi:test::llm-inference::{types}::x"


def test_a_value_that_only_a_provider_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").touch()
    program = "import pulumi\npulumi.runtime.invoke('aws:index:getRegion', {})\n"
    (tmp_path / "__main__.py").write_text(program)
    done = cli("preview", "dev", cwd=tmp_path)
    assert done.returncode == 1
    assert "asks a provider for 'aws:index:getRegion'" in done.stderr
    assert "pulumi preview" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_may_look_like_a_sign_of_ours() -> None:
    def program() -> None:
        k8s.core.v1.ConfigMap("x", metadata={"name": "x"}, data={"unknown": "yes"})

    [found], left_out = manifests(record(program).resources)
    assert found.content["data"] == {"unknown": "yes"}
    assert left_out == []


def test_groups_of_manifests_are_left_out() -> None:
    group = Resource("kubernetes:yaml/v2:ConfigGroup", "g", "urn:g", "", {"yaml": "kind: Pod"})
    found, [omission] = manifests([group])
    assert found == []
    assert omission.urn == "urn:g"
