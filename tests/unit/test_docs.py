"""Pages that could lag behind the code."""

import re
import runpy

import yaml

from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.serving.labels import object_labels
from pulumi_llm_inference.spec.model_server import OWN_LABELS
from tests.support import ROOT, record, without_project


def test_the_reference_of_environments_is_made_from_the_specs() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "environments.py"))
    assert script["PAGE"].read_text("utf-8") == script["page"]()


def test_the_environment_in_the_readme_is_right() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    [block] = re.findall(r"```yaml\n(config:.*?)```", text, re.DOTALL)
    _, warnings = read_environment(without_project(yaml.safe_load(block)["config"]))
    assert warnings == []


def test_the_program_in_the_readme_runs() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    [block] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made = record(lambda: exec(block, {}))  # noqa: S102  it is ours
    assert made.one("Deployment", "chat")
    assert made.every("HorizontalPodAutoscaler")
    assert made.warnings == []


def test_models_on_pages_can_be_deployed() -> None:
    """Snippets of a model, put into an environment that has the pools that they name."""
    blocks = re.findall(
        r"```yaml\n(- \{name.*?)```", (ROOT / "docs/engines.md").read_text("utf-8"), re.DOTALL
    )
    assert blocks
    for block in blocks:
        models = yaml.safe_load(block)
        pools = [
            {
                "name": name,
                "accelerator": {"h100": "nvidia-h100-80gb"}[name],
                "gpusPerNode": 8,
                "maxNodes": 2,
            }
            for model in models
            for name in model["pools"]
        ]
        _, warnings = read_environment({"cloud": "local", "pools": pools, "models": models})
        assert warnings == []


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_own_labels_are_those_that_objects_get() -> None:
    for engine in ENGINES.values():
        assert object_labels("chat", engine, {}).keys() == OWN_LABELS
