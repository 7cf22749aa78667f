"""Conventions that hold for all of the package."""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
from pydantic import BaseModel

import pulumi_llm_inference
from pulumi_llm_inference.args import Args
from pulumi_llm_inference.spec.base import Spec
from tests.environments import CLOUDS
from tests.support import ROOT, Recording

PACKAGE = Path(next(iter(pulumi_llm_inference.__path__)))
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "stacks").glob("*.py")])
MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages([str(PACKAGE)], "pulumi_llm_inference.")
]
COMPONENTS = sorted(
    {
        item
        for module in MODULES
        for item in vars(module).values()
        if inspect.isclass(item)
        and issubclass(item, pulumi.ComponentResource)
        and item.__module__.startswith("pulumi_llm_inference.")
    },
    key=lambda item: item.__name__,
)


def _undocumented(body: list[ast.stmt], path: str) -> Iterator[str]:
    """Public classes, functions and annotated attributes without a docstring."""
    for index, node in enumerate(body):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) if not name.startswith("_"):
                if not ast.get_docstring(node):
                    yield f"{path}{name}"
                if isinstance(node, ast.ClassDef):
                    yield from _undocumented(node.body, f"{path}{name}.")
            case ast.AnnAssign(target=ast.Name(id=name)) if path and not name.startswith("_"):
                after = body[index + 1] if index + 1 < len(body) else None
                if not (
                    isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                    and isinstance(after.value.value, str)
                ):
                    yield f"{path}{name}"


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            file,
            id=str(file.relative_to(ROOT)),
        )
        for file in FILES
    ],
)
def test_everything_public_is_documented(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree)
    assert list(_undocumented(tree.body, "")) == []


KNOWN = {
    "spec": set(),
    "catalog": set(),
    "engines": {"spec", "catalog"},
    "planning": {"spec", "catalog"},
    "checks": {"spec", "catalog", "engines", "planning"},
    "nodes": {"args", "spec", "catalog", "checks"},
    "clusters": {"args", "spec", "checks"},
    "serving": {"args", "spec", "catalog", "planning", "checks", "engines"},
    "monitoring": {"args", "spec", "checks", "serving"},
    "scaling": {"args", "spec", "checks", "engines", "serving"},
    "addons": {"args", "spec", "engines", "checks", "scaling"},
    "preview": {"spec"},
}
"""Which folders of the package each folder may import from, besides itself (docs/design.md)."""


@pytest.mark.parametrize("folder", KNOWN)
def test_folders_know_whom_the_design_says(folder: str) -> None:
    imported = {
        name
        for file in (PACKAGE / folder).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in _imported(node)
    }
    package = {name.split(".")[1] for name in imported if name.startswith("pulumi_llm_inference.")}
    assert package <= {*KNOWN[folder], folder}
    if folder in ("spec", "catalog", "engines", "checks", "planning"):
        assert not {name.split(".")[0] for name in imported} & {"pulumi", "pulumi_kubernetes"}


def _imported(node: ast.AST) -> list[str]:
    """Full names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def test_all_components_are_exported() -> None:
    assert COMPONENTS
    exported = {getattr(pulumi_llm_inference, name) for name in pulumi_llm_inference.__all__}
    assert exported >= set(COMPONENTS)
    with pytest.raises(AttributeError):
        _ = pulumi_llm_inference.Nothing


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda item: item.__name__)
def test_components_follow_the_conventions(component: type[pulumi.ComponentResource]) -> None:
    name = component.__name__
    assert list(inspect.signature(component).parameters) == ["name", "args", "opts"]
    arguments = getattr(inspect.getmodule(component), f"{name}Args")
    assert issubclass(arguments, Args)
    assert arguments.model_config.get("frozen")
    assert arguments.model_config.get("extra") == "forbid"
    for field, info in arguments.model_fields.items():
        assert info.description, f"{name}Args.{field}"


def _specs(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in root.__subclasses__():
        yield child
        yield from _specs(child)


def test_every_field_of_every_spec_is_described() -> None:
    found = set(_specs(Spec))  # type: ignore[attr-defined]
    missing = [
        f"{spec.__name__}.{field}"
        for spec in found
        for field, info in spec.model_fields.items()
        if not info.description
    ]
    assert missing == []


@pytest.fixture(params=["local", "rich", "engines", *CLOUDS, "managed"])
def environment(request: pytest.FixtureRequest) -> Recording:
    if request.param in ("local", "rich", "engines"):
        return request.getfixturevalue(request.param)
    return request.getfixturevalue("clouds")[request.param]


def test_tokens_and_parents(environment: Recording) -> None:
    tokens = {f"llm-inference:index:{component.__name__}" for component in COMPONENTS}
    made = [item for item in environment.resources if item.type.startswith("llm-inference:")]
    assert {item.type for item in made} <= tokens
    components = {item.urn: item for item in made}
    of_the_stack = ("kubernetes:core/v1:Namespace", "pulumi:providers:kubernetes")
    for item in environment.resources:
        if item.urn not in components and item.parent in components:
            assert item.name.startswith(f"{components[item.parent].name}-")
        elif item.urn not in components:
            assert item.type in of_the_stack
    names = [(item.type, item.name) for item in environment.resources]
    assert len(set(names)) == len(names)


def test_the_environments_use_every_component(
    local: Recording, rich: Recording, engines: Recording, clouds: dict[str, Recording]
) -> None:
    used = {item.type for run in (local, rich, engines, *clouds.values()) for item in run.resources}
    assert used >= {f"llm-inference:index:{component.__name__}" for component in COMPONENTS}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda item: item.__name__)
def test_components_register_their_outputs_last(component: type[pulumi.ComponentResource]) -> None:
    source = textwrap.dedent(inspect.getsource(component.__init__))
    [constructor] = ast.parse(source).body
    assert isinstance(constructor, ast.FunctionDef)
    assert ast.unparse(constructor.body[-1]).startswith("self.register_outputs(")
