"""The environment is one: what the lock pins, conda.yaml pins, and no registry is named."""

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml
from mlflow.utils.conda import _get_conda_env_name

from hpa.data.images.vendor_files import PACKAGES
from support.paths import ROOT

STAND_IN = ROOT / "environment" / "no-conda"


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def conda_pins() -> dict[str, str]:
    dependencies = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    return dict(pin.split("==") for pin in dependencies[-1]["pip"])


def declared_packages() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text()
    declared = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert declared
    return set(re.findall(r'"([\w-]+)', declared.group(1)))


def optional_packages(extra: str) -> set[str]:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(rf"^{extra} = \[(.*?)\]", text, re.MULTILINE)
    assert listed
    return {name.lower() for name in re.findall(r'"([\w-]+)', listed.group(1))}


def test_conda_pins_equal_those_of_the_lock() -> None:
    lock = locked("requirements.lock")
    assert {name: lock.get(name) for name in conda_pins()} == conda_pins()


def test_conda_holds_every_package_that_the_project_declares() -> None:
    assert declared_packages() <= set(conda_pins())


def test_every_import_of_the_code_is_declared() -> None:
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    own = {"hpa", *(path.stem for path in (ROOT / "src").glob("*.py"))}
    known = packages_distributions()
    needed = {
        package: {re.sub("[_.]", "-", name.lower()) for name in known[package]}
        for package in imported - own - set(sys.stdlib_module_names) - {"jax", "torch"}
    }
    declared = declared_packages() | optional_packages("microscopes")
    assert {name for name, owners in needed.items() if not owners & declared} == set()


def test_the_optional_packages_are_imported_by_the_readers_of_their_files_alone() -> None:
    """Without them, all else works: `vendor_files` names them if such a file comes."""
    importing = {
        path.stem
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"^\s*(import|from) (nd2|liffile|pylibCZIrw)\b", path.read_text(), re.M)
    }
    assert importing == {"nd2_files", "lif_files", "czi_files"}
    assert {package.lower() for _, package in PACKAGES.values()} == optional_packages("microscopes")


def test_every_locked_package_carries_a_hash_and_no_registry_is_named() -> None:
    for name in ("requirements.lock", "bootstrap.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "index-url" not in text
        for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
            assert "--hash=sha256:" in block
    assert "://" not in (ROOT / "conda.yaml").read_text()


def test_the_bootstrap_pins_the_same_uv_as_the_lock() -> None:
    assert locked("bootstrap.lock") == {"uv": locked("requirements.lock")["uv"]}


def test_mlflow_finds_the_conda_environment_of_the_project() -> None:
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert project["conda_env"] == "conda.yaml"
    assert (ROOT / project["conda_env"]).is_file()


def test_the_stand_in_answers_what_mlflow_asks_of_conda() -> None:
    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(STAND_IN / "bin" / "conda"), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    assert ask("--help").returncode == 0
    name = _get_conda_env_name(str(ROOT / "conda.yaml"))
    assert json.loads(ask("env", "list", "--json").stdout) == {"envs": [name]}
    refused = ask("install", "numpy")
    assert refused.returncode == 2
    assert "conda is not installed" in refused.stderr


def test_activation_never_shadows_a_conda(tmp_path: Path) -> None:
    def conda_home(**environment: str) -> str:
        activate = ROOT / "environment" / "activate.sh"
        script = f'. "{activate}"; printf %s "${{MLFLOW_CONDA_HOME:-}}"'
        variables = {"VIRTUAL_ENV": str(ROOT / ".venv"), "PATH": "/usr/bin:/bin", **environment}
        return subprocess.run(
            ["bash", "-c", script], env=variables, capture_output=True, text=True, check=True
        ).stdout

    (tmp_path / "conda").write_text("#!/bin/sh\n")
    (tmp_path / "conda").chmod(0o755)
    with_conda = f"{tmp_path}:/usr/bin:/bin"
    assert conda_home() == str(STAND_IN)
    assert conda_home(PATH=with_conda) == ""
    assert conda_home(PATH=with_conda, MLFLOW_CONDA_HOME=str(STAND_IN)) == ""
    assert conda_home(CONDA_EXE="/opt/conda/bin/conda") == ""
    assert conda_home(MLFLOW_CONDA_HOME="/opt/conda") == "/opt/conda"
