"""The library that Keras computes with is known to be here before anything is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpa.errors import UserError
from hpa.system import backends
from support.paths import ROOT


@pytest.mark.parametrize("script", ["train", "score", "explain", "experiment"])
def test_a_script_refuses_a_backend_that_does_not_exist(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / f"src/{script}.py"), "--params", str(ROOT / "params.yaml")],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "bogus"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "Keras has no backend bogus that trains" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"), [("jax", "pip install jax"), ("torch", "pytorch.org/get-started/locally")]
)
def test_a_backend_that_is_absent_is_refused_with_what_installs_it(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"{name} is not installed[\\s\\S]*{said}"):
        backends.prepare_backend()


def test_the_backend_of_keras_own_file_is_checked_too_but_the_variable_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    backends.prepare_backend()  # no file: Keras' own default
    (tmp_path / "keras.json").write_text('{"backend": "theano"}')
    with pytest.raises(UserError, match=r"keras\.json to be tensorflow, jax, torch[\s\S]*'theano'"):
        backends.prepare_backend()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    backends.prepare_backend()
