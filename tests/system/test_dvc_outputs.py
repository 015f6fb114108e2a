"""What DVC removes before it runs a stage is put back, so that a failure loses nothing."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hpa.system.dvc_outputs import restore_outputs
from support.worlds import digests

STAGES = {"make": {"cmd": "true", "outs": ["data/raw", "model.keras"]}}


def dvc(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project whose stage has a folder and a file as outputs, both in the cache."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data/raw/train").mkdir(parents=True)
    (folder / "data/raw/train.csv").write_text("Id\n")
    (folder / "data/raw/train/a b#é.png").write_bytes(b"pixels")
    (folder / "model.keras").write_bytes(b"weights")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "commit", "--force", "--quiet")
    return folder


@pytest.fixture
def project(committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project in another place, as if DVC ran its stage: without the outputs."""
    subprocess.run(["cp", "-a", str(committed), str(tmp_path / "here")], check=True)
    folder = tmp_path / "here"
    subprocess.run(["rm", "-rf", "data", "model.keras"], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_STAGE", "make")
    return folder


def test_a_folder_and_a_file_come_back_as_dvc_lock_names_them(
    project: Path, committed: Path
) -> None:
    restore_outputs("make")
    assert digests(project / "data") == digests(committed / "data")
    assert (project / "model.keras").read_bytes() == b"weights"
    assert dvc(project, "status", "--json").strip() == "{}"


def test_an_output_that_is_there_is_left_alone(project: Path) -> None:
    (project / "model.keras").write_bytes(b"newer")
    restore_outputs("make")
    assert (project / "model.keras").read_bytes() == b"newer"


@pytest.mark.parametrize("stage", ["", "other"])
def test_only_the_stage_that_dvc_runs_is_restored(
    project: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setenv("DVC_STAGE", stage)
    restore_outputs("make")
    assert not (project / "data").exists()


def test_a_folder_of_which_the_cache_lacks_a_file_stays_absent(project: Path) -> None:
    """Half a folder would look whole."""
    md5 = hashlib.md5(b"pixels").hexdigest()
    cached = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.unlink()
    restore_outputs("make")
    assert not (project / "data/raw").exists()
    assert (project / "model.keras").exists()


@pytest.mark.parametrize("content", ["", "schema: '2.0'\n", json.dumps({"stages": {}})])
def test_a_first_run_restores_nothing(project: Path, content: str) -> None:
    (project / "dvc.lock").write_text(content)
    restore_outputs("make")
    assert not (project / "data").exists()
