"""The house stands as drawn: imports go down only, and dvc.yaml names the code that runs."""

import ast
from pathlib import Path

import grimp
import pytest
import yaml

from support.paths import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRAPH = grimp.build_graph("hpa", cache_dir=None)


def imported_modules(script: Path) -> set[str]:
    """List the modules of the package that a script names in its import statements."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hpa"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & GRAPH.modules


def code_of(script: Path) -> set[str]:
    """List the files that decide what a script does: itself, and the package modules below it."""
    direct = imported_modules(script)
    modules = direct.union(*(GRAPH.find_upstream_modules(module) for module in direct))
    paths = [ROOT / "src" / Path(*module.split(".")).with_suffix(".py") for module in modules]
    return {str(path.relative_to(ROOT)) for path in [script, *paths] if path.is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_exactly_the_code_that_it_imports(stage: str) -> None:
    listed = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert listed == code_of(ROOT / "src" / f"{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_exactly_the_sections_that_its_script_reads(stage: str) -> None:
    source = (ROOT / "src" / f"{stage}.py").read_text()
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "command_line.parser"
    ]
    assert [ast.literal_eval(argument) for argument in calls[0].args[1:]] == STAGES[stage]["params"]


def test_every_package_file_is_only_a_docstring() -> None:
    for path in (ROOT / "src").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("script", ["threshold", "evaluate"])
def test_choosing_thresholds_and_evaluating_need_no_network(script: str) -> None:
    direct = imported_modules(ROOT / "src" / f"{script}.py")
    below = direct.union(*(GRAPH.find_upstream_modules(module) for module in direct))
    assert not {module for module in below if module.startswith("hpa.model")}
    assert not below & {"hpa.training.loop", "hpa.inference.prediction", "hpa.data.batches"}
