"""Rooms and stages: imports go down only, and dvc.yaml names the code that decides each output."""

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import yaml

from support.paths import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRAPH = grimp.build_graph("hpa", cache_dir=None)
DECIDES_NOTHING = ("src/hpa/errors.py", "src/hpa/system", "src/hpa/tracking")
"""Words of errors, progress, safe writing and logged runs: an edit changes no output of a stage."""
EXCEPT = ("src/hpa/system/backends.py", "src/hpa/system/devices.py")
"""The library and the devices that compute: they decide the last bits of every weight."""


def imported_modules(script: Path) -> set[str]:
    """List the modules of the package that a script names in its import statements."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hpa"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & GRAPH.modules


def modules_below(script: Path) -> set[str]:
    """List the modules that a script imports, directly or through others."""
    direct = imported_modules(script)
    return direct.union(*(GRAPH.find_upstream_modules(module) for module in direct))


def is_within(file: str, places: tuple[str, ...] | set[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


def deciding_code(stage: str) -> set[str]:
    """List the files of the package that a stage imports and that can change its outputs.

    Imports of code that decides nothing are not followed.
    """
    files, waiting = set(), list(imported_modules(ROOT / "src" / f"{stage}.py"))
    while waiting:
        module = waiting.pop()
        file = str(Path("src", *module.split(".")).with_suffix(".py"))
        decides = not is_within(file, DECIDES_NOTHING) or file in EXCEPT
        if file not in files and decides and (ROOT / file).is_file():
            files.add(file)
            waiting += GRAPH.find_modules_directly_imported_by(module)
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_rooms_that_it_imports_and_on_no_other(stage: str) -> None:
    listed = {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    assert f"src/{stage}.py" in listed
    rooms, code = listed - {f"src/{stage}.py"}, deciding_code(stage)
    assert {file for file in code if not is_within(file, rooms)} == set()
    assert {room for room in rooms if not any(is_within(file, {room}) for file in code)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_code_that_decides_no_output(stage: str) -> None:
    listed = {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    assert not {dep for dep in listed if is_within(dep, DECIDES_NOTHING) and dep not in EXCEPT}
    reports = {dep for dep in listed if dep.startswith("src/hpa/reports")}
    assert not reports or stage in ("explain", "evaluate")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_exactly_the_sections_that_its_script_reads(stage: str) -> None:
    source = (ROOT / "src" / f"{stage}.py").read_text()
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "command_line.parser"
    ]
    assert [ast.literal_eval(argument) for argument in calls[0].args[1:]] == STAGES[stage]["params"]


def test_the_root_of_the_package_holds_errors_seeds_and_the_vocabulary_only() -> None:
    names = {path.name for path in (ROOT / "src/hpa").glob("*.py")}
    assert names == {"__init__.py", "errors.py", "seeds.py"}


def test_every_room_says_in_one_sentence_what_it_holds_and_what_it_may_import() -> None:
    for path in (ROOT / "src/hpa").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        sentence = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert "import" in sentence or path.parent.name == "hpa", path


def test_tests_mirror_the_rooms() -> None:
    rooms = {path.name for path in (ROOT / "src/hpa").iterdir() if (path / "__init__.py").is_file()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert rooms <= folders
    assert folders - rooms <= {"project", "support", "__pycache__"}


@pytest.mark.parametrize("script", ["threshold", "evaluate"])
def test_choosing_thresholds_and_evaluating_need_no_network(script: str) -> None:
    below = modules_below(ROOT / "src" / f"{script}.py")
    assert not {module for module in below if module.startswith(("hpa.model", "hpa.training"))}
    assert not {module for module in below if module.startswith("hpa.data.batches")}
    loaded = "import sys, hpa.thresholds.fitting, hpa.reports.test_report; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not {"keras", "tensorflow"} & set(done.stdout.split())
