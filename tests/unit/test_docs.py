"""Pages that could lag behind the code."""

import re
import runpy

import yaml

from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.serving.labels import object_labels
from pulumi_llm_inference.spec.model_server import OWN_LABELS
from tests.support import ROOT, without_project


def test_the_reference_of_environments_is_made_from_the_specs() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "environments.py"))
    assert script["PAGE"].read_text("utf-8") == script["page"]()


def test_the_environment_in_the_readme_is_right() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    [block] = re.findall(r"```yaml\n(config:.*?)```", text, re.DOTALL)
    _, warnings = read_environment(without_project(yaml.safe_load(block)["config"]))
    assert warnings == []


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_own_labels_are_those_that_objects_get() -> None:
    for engine in ENGINES.values():
        assert object_labels("chat", engine, {}).keys() == OWN_LABELS
