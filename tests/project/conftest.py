"""A workspace in which every stage ran, shared by the tests of stages."""

import shutil
from pathlib import Path

import pytest

from support.paths import ROOT
from support.scripts import run_script
from support.workspaces import PIPELINE, write_params


@pytest.fixture(scope="session")
def workspace(raw_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all stages ran, with the last words of evaluate in `summary.txt`."""
    folder = tmp_path_factory.mktemp("workspace")
    write_params(folder, **{"fetch.path": str(raw_world)})
    shutil.copytree(ROOT / "own" / "labels", folder / "own" / "labels")
    for stage in PIPELINE:
        done = run_script(folder, stage)
        assert done.returncode == 0, done.stderr
    (folder / "summary.txt").write_text(done.stdout)
    return folder
