"""The backend is checked before anything is loaded."""

import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from hpa.errors import UserError
from hpa.system import backends
from support.paths import ROOT


def test_every_script_that_loads_keras_prepares_the_backend_first() -> None:
    graph = grimp.build_graph("hpa", cache_dir=None)
    scripts = [*(ROOT / "src").glob("*.py"), ROOT / "src/hpa/search/worker.py"]
    loading = set()
    for script in scripts:
        imported = set(re.findall(r"(?:from|import) (hpa[\w.]*)", script.read_text()))
        direct = imported & graph.modules
        below = direct.union(*map(graph.find_upstream_modules, direct))
        files = [(ROOT / "src").joinpath(*module.split(".")) for module in below]
        if any("\nimport keras\n" in f"\n{source_of(file)}" for file in files):
            loading.add(script.stem)
            assert "    prepare_backend(" in script.read_text(), script
    assert loading >= {"train", "score", "explain", "predict", "app", "promote", "worker"}


def source_of(module: Path) -> str:
    path = module.with_suffix(".py")
    return (path if path.is_file() else module / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("script", "backend", "said"),
    [
        ("train", "jax", "KERAS_BACKEND contradicts train.backend"),
        ("experiment", "torch", "dvc exp run -S train.backend=torch"),
        ("search", "bogus", "unset KERAS_BACKEND"),
        ("promote", "bogus", "Keras has no backend bogus that trains"),
    ],
)
def test_a_variable_does_not_decide_what_dvc_tracks(
    script: str, backend: str, said: str, tmp_path: Path
) -> None:
    arguments = ["0" * 32] if script == "promote" else []
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / f"src/{script}.py"), *arguments),
            *("--params", str(ROOT / "params.yaml")),
        ],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_required_backend_is_the_one_that_keras_loads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "")  # counts as unset
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    backends.prepare_backend("tensorflow")
    assert backends.chosen_backend() == ("tensorflow", "KERAS_BACKEND")


@pytest.mark.parametrize(
    ("name", "remedy"), [("jax", "pip install jax"), ("torch", "pytorch.org/get-started/locally")]
)
def test_a_missing_backend_is_refused_with_the_command_that_installs_it(
    name: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"{name} is not installed[\\s\\S]*{remedy}"):
        backends.prepare_backend()


def test_the_backend_of_keras_json_is_checked_and_the_variable_takes_precedence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert backends.chosen_backend() == ("tensorflow", "KERAS_BACKEND")  # Keras' own default
    (tmp_path / "keras.json").write_text('{"backend": "theano"}')
    with pytest.raises(UserError, match=r"keras\.json to be tensorflow, jax, torch[\s\S]*'theano'"):
        backends.prepare_backend()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    backends.prepare_backend()
