"""Every stage runs with nothing but the dependencies that dvc.yaml declares for it."""

import shutil
from pathlib import Path

import pytest

from support.scripts import run_script
from support.workspaces import PIPELINE, bring_declared, write_params

pytestmark = pytest.mark.slow


def outputs(stage: str) -> list[str]:
    listed = [out for key in ("outs", "metrics") for out in PIPELINE[stage].get(key, [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in listed]


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_runs_with_only_its_declared_inputs(
    stage: str, workspace: Path, tmp_path: Path
) -> None:
    folder = bring_declared(stage, workspace, tmp_path)
    done = run_script(folder, stage)
    assert done.returncode == 0, done.stderr
    assert [out for out in outputs(stage) if not (folder / out).exists()] == []


def test_a_folder_of_models_needs_no_other_input_either(
    raw_world: Path, workspace: Path, tmp_path: Path
) -> None:
    """Each stage takes from the stages before it only what it declares."""
    whole = tmp_path / "whole"
    shutil.copytree(workspace / "data", whole / "data")
    for name in ("one", "two"):
        shutil.copytree(workspace / "model", whole / "models" / name)
        (whole / "models" / name / "provenance.json").unlink()  # the archives hold it, too
    write_params(whole, **{"fetch.path": str(raw_world), "score.models": "models"})
    for stage in ("score", "threshold", "explain", "evaluate"):
        folder = bring_declared(stage, whole, tmp_path / stage)
        done = run_script(folder, stage)
        assert done.returncode == 0, done.stderr
        for out in outputs(stage):
            (whole / out).parent.mkdir(exist_ok=True)
            (folder / out).rename(whole / out)
    card = (whole / "reports/model_card.md").read_text()
    assert "ensemble of 2 networks, whose predictions are combined" in card
