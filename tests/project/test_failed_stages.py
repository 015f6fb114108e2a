"""A stage that fails or is killed below DVC leaves the outputs of the run before in their place."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from support.clones import ROOT, make_clone, shell, start
from support.worlds import digests, write_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="no .venv: run make setup"),
]


def run(folder: Path, command: str) -> str:
    done = shell(folder, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def set_params(folder: Path, section: str, **values: object) -> None:
    document = yaml.safe_load((folder / "params.yaml").read_text())
    document[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def model_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has trained once on a user's images."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "hpa")
    write_world(folder / "own/mydata")
    set_params(folder, "fetch", source="local", path="own/mydata")
    set_params(folder, "split", test_fraction=0.3, val_fraction=0.3)
    run(folder, "dvc repro train && git add params.yaml dvc.lock && git commit -qm trained")
    return folder


def test_a_failed_fetch_leaves_the_images(clone: Path) -> None:
    before = digests(clone / "data/raw")
    removed = clone / "own/mydata/train/cell-001_red.png"
    content = removed.read_bytes()
    removed.unlink()
    done = shell(clone, "dvc repro fetch")
    assert done.returncode != 0
    assert "channel files are missing" in done.stderr
    assert digests(clone / "data/raw") == before
    run(clone, "dvc checkout data/raw")
    assert digests(clone / "data/raw") == before
    assert "modified:           own/mydata" in run(clone, "dvc status fetch")
    set_params(clone, "fetch", depth=-1)
    assert shell(clone, "dvc repro fetch").returncode != 0
    assert digests(clone / "data/raw") == before
    run(clone, "git checkout -q params.yaml")
    removed.write_bytes(content)
    assert "Running stage" not in run(clone, "dvc repro fetch")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_leaves_the_model(clone: Path, number: signal.Signals) -> None:
    before = model_files(clone)
    for leftover in clone.glob("model/.partial-*"):  # of the other signal
        shutil.rmtree(leftover)
    set_params(clone, "train", n_steps=100_000)
    process = start(clone, "exec dvc repro train")
    deadline = time.monotonic() + 120
    while not list(clone.glob("model/.partial-*/best.keras")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert model_files(clone) == before
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert model_files(clone) == before
    run(clone, "git checkout -q params.yaml")
    assert "Running stage" not in run(clone, "dvc repro train")
    assert model_files(clone) == before
