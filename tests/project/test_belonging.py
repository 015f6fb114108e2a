"""What a run says is what was run: stages refuse inputs of another network, setting or data."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml

from hpa.metrics.predictions import Scores
from support.scripts import run_script
from support.workspaces import copy_workspace, write_params

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(workspace: Path, tmp_path: Path) -> Path:
    return copy_workspace(workspace, tmp_path / "copy")


def ok(folder: Path, stage: str, *arguments: str) -> str:
    done = run_script(folder, stage, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder: Path, stage: str, *arguments: str) -> str:
    done = run_script(folder, stage, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def document(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


def test_scores_made_otherwise_need_new_thresholds_and_get_a_run_that_says_so(copy: Path) -> None:
    before = document(copy / "model/thresholds.json")["run_id"]
    reports = (copy / "reports/metrics.json").read_bytes()
    ok(copy, "score", "--augmentation", "dihedral")
    for stage in ("explain", "evaluate"):
        said = refused(copy, stage)
        assert "score.augmentation: none in model/thresholds.json, dihedral in scores/" in said
        assert "dvc repro" in said
    assert (copy / "reports/metrics.json").read_bytes() == reports
    ok(copy, "threshold")
    assert "reports/gallery" in refused(copy, "evaluate")  # its pictures have other thresholds
    ok(copy, "explain")
    ok(copy, "evaluate")
    run_id = str(document(copy / "reports/metrics.json")["run_id"])
    run = mlflow.MlflowClient(f"sqlite:///{copy}/mlflow.db").get_run(run_id)
    assert "- `score.augmentation`: dihedral" in run.data.tags["mlflow.note.content"]
    assert run.data.params["score.augmentation"] == "dihedral"
    assert run.data.params["train.n_steps"] == "3"  # inherited
    assert run.data.tags["upstream_run_id"] == before
    assert {"stage.score", "stage.threshold", "stage.evaluate"} <= run.data.tags.keys()


def test_a_model_trained_again_refuses_what_the_earlier_one_left(copy: Path) -> None:
    ok(copy, "train", "--train.seed", "8")
    for stage in ("threshold", "evaluate"):
        said = refused(copy, stage)
        assert "scores/val.npz and model/provenance.json do not belong together" in said
    assert "model/best.keras and scores/test.npz" in refused(copy, "explain")
    images = str(copy / "data/raw/train")
    said = refused(copy, "predict", images)
    assert "model/best.keras and model/thresholds.json do not belong together" in said
    ok(copy, "score")
    ok(copy, "threshold")
    said = refused(copy, "predict", images)
    assert "model/thresholds.json and model/class_flags.json do not belong together" in said


def test_scores_of_two_models_are_refused(copy: Path, tmp_path: Path) -> None:
    test = (copy / "scores/test.npz").read_bytes()
    ok(copy, "train", "--train.seed", "8")
    ok(copy, "score")
    ok(copy, "threshold")
    (copy / "scores/test.npz").write_bytes(test)
    assert "scores/val.npz and scores/test.npz do not belong together" in refused(copy, "evaluate")


def test_scores_of_another_program_still_get_thresholds(copy: Path, tmp_path: Path) -> None:
    val = Scores.read(copy / "scores/val.npz")
    np.savez(tmp_path / "own.npz", ids=val.ids, y_true=val.labelled(), y_prob=val.y_prob)
    ok(copy, "threshold", "--scores", str(tmp_path / "own.npz"), "--output", str(tmp_path / "t"))
    origin = document(tmp_path / "t")["origin"]
    assert isinstance(origin, dict)
    assert origin["networks"] == []
    assert origin["scores_sha256"]


def test_parameters_of_other_data_are_refused_before_anything_is_written(copy: Path) -> None:
    """Also if one edits params.yaml and does not run dvc repro."""
    params = yaml.safe_load((copy / "params.yaml").read_text())
    params["fetch"]["source"], params["pack"]["image_size"] = "kaggle", 256
    (copy / "other.yaml").write_text(yaml.safe_dump(params))
    provenance = (copy / "model/provenance.json").read_bytes()
    for stage in ("train", "score", "evaluate"):
        said = refused(copy, stage, "--params", "other.yaml")
        assert "fetch.source: 'kaggle' in the parameters, 'local' in the data" in said
        assert "pack.image_size: 256 in the parameters, 32 in the data" in said
    write_params(copy, **{"fetch.path": params["fetch"]["path"], "pack.odd_size": "crop"})
    assert "pack.odd_size: 'crop' in the parameters, 'refuse'" in refused(copy, "train")
    assert "pack.odd_size: 'crop' in the parameters, 'refuse'" in refused(copy, "search")
    assert (copy / "model/provenance.json").read_bytes() == provenance
