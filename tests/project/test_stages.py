"""The stages as a user runs them: scripts, in their order, on a tiny world."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from hpa.data.packed.assignment import SPLITS
from hpa.metrics.predictions import Scores
from support.paths import PYTHONPATH, ROOT
from support.scripts import environment_of, run_script
from support.workspaces import write_params


@pytest.mark.slow
def test_the_summary_says_the_score_and_where_to_look(workspace: Path) -> None:
    summary = (workspace / "summary.txt").read_text()
    assert "macro F1 over 28 classes" in summary
    assert "best constant prediction" in summary
    assert "reports/metrics.json" in summary


@pytest.mark.slow
def test_every_labelled_image_is_in_one_split_and_scored_once(workspace: Path) -> None:
    assignment = pd.read_csv(workspace / "data/split/assignment.csv")
    assert set(assignment["split"]) == {*SPLITS, "unlabelled"}
    for split in ("val", "test", "unlabelled"):
        scored = Scores.read(workspace / f"scores/{split}.npz").ids
        assert list(scored) == list(assignment["Id"][assignment["split"] == split])


@pytest.mark.slow
def test_the_submission_holds_each_unlabelled_image(workspace: Path) -> None:
    submission = pd.read_csv(workspace / "reports/submission.csv", keep_default_na=False)
    expected = pd.read_csv(workspace / "data/raw/sample_submission.csv")
    assert list(submission.columns) == ["Id", "Predicted"]
    assert list(submission["Id"]) == list(expected["Id"])


@pytest.mark.slow
def test_model_and_thresholds_name_one_run(workspace: Path) -> None:
    origin = json.loads((workspace / "model/provenance.json").read_text())
    thresholds = json.loads((workspace / "model/thresholds.json").read_text())
    assert thresholds["run_id"] == origin["run_id"]
    assert origin["params"]["train.n_steps"] == 3
    assert len(origin["weights_sha256"]) == 64
    assert set(origin["data"]) == {
        "data/packed/manifest.json",
        "data/packed/index.csv",
        "data/packed/vocabulary.json",
        "data/split/assignment.csv",
    }


@pytest.mark.slow
def test_output_writes_the_model_elsewhere_and_nothing_here(
    workspace: Path, tmp_path: Path
) -> None:
    before = (workspace / "model/provenance.json").read_bytes()
    done = run_script(workspace, "train", "--n_steps", "1", "--output", str(tmp_path / "other"))
    assert done.returncode == 0, done.stderr
    assert (workspace / "model/provenance.json").read_bytes() == before
    other = json.loads((tmp_path / "other/provenance.json").read_text())
    assert other["params"]["train.n_steps"] == 1


@pytest.mark.slow
def test_thresholds_of_any_scores_are_fitted_without_a_run(workspace: Path, tmp_path: Path) -> None:
    val = Scores.read(workspace / "scores/val.npz")
    Scores(val.ids, val.y_true, val.y_prob, val.labels).write(tmp_path / "scores.npz")
    output = tmp_path / "thresholds.json"
    done = run_script(
        workspace, "threshold", "--scores", str(tmp_path / "scores.npz"), "--output", str(output)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text())["run_id"] == ""


@pytest.mark.slow
def test_a_report_that_the_disk_does_not_take_leaves_the_older_one(
    workspace: Path, small_disk: Path, tmp_path: Path
) -> None:
    for name in ("params.yaml", "data", "model", "scores"):
        (tmp_path / name).symlink_to(workspace / name)
    (tmp_path / "reports").symlink_to(small_disk)
    (small_disk / "gallery").symlink_to(workspace / "reports/gallery")
    (small_disk / "report.html").write_text("older")
    done = run_script(tmp_path, "evaluate")
    assert done.returncode == 2, done.stderr
    assert "error: the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = run_script(tmp_path, "evaluate")
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert (small_disk / "report.html").read_text() == "older"
    assert not list(small_disk.glob(".partial-*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gama", "2"], "did you mean loss.gamma?"),
        (["--gamma", "two"], "loss.gamma: expected a number from 0 to 10, received 'two'"),
        (["--threshold.rule", "sweep"], "--threshold.rule does not apply to this script"),
    ],
)
def test_a_wrong_override_is_refused_before_anything_is_loaded(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    write_params(tmp_path, **{"fetch.source": "synthetic"})
    done = run_script(tmp_path, "train", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_without_its_input_says_what_to_do(tmp_path: Path) -> None:
    write_params(tmp_path, **{"fetch.source": "synthetic"})
    for stage in ("pack", "split", "train", "score", "threshold", "explain", "evaluate"):
        done = run_script(tmp_path, stage)
        assert done.returncode == 2, done.stderr
        assert "what to do" in done.stderr
        assert re.search("data/(raw|packed)|scores/|model/", done.stderr), done.stderr
        assert "Traceback" not in done.stderr


def test_a_cluster_that_does_not_answer_is_refused(raw_world: Path, tmp_path: Path) -> None:
    write_params(tmp_path, **{"fetch.source": "synthetic"})
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to(raw_world)
    done = run_script(tmp_path, "pack", "--scheduler", "nonsense://here")
    assert done.returncode == 2
    assert "the Dask cluster at nonsense://here cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_the_parameters_in_force() -> None:
    done = run_script(ROOT, "train", "--help")
    assert done.returncode == 0
    assert "gamma: 2.0" in done.stdout
    assert "tempering" not in done.stdout  # of another stage


@pytest.mark.slow
def test_the_networks_of_all_folds_judge_each_learner_out_of_fold(
    raw_world: Path, workspace: Path, tmp_path: Path
) -> None:
    """Two folds: val holds every labelled image but those of test; another split is refused."""
    own = {"fetch.path": str(raw_world), "split.n_folds": 2, "score.models": "models"}
    write_params(tmp_path, **own)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/packed").symlink_to(workspace / "data/packed")
    for stage, *arguments in (
        ("split",),
        ("train", "--fold", "0", "--output", "models/fold0"),
        ("train", "--fold", "1", "--output", "models/fold1"),
        ("score",),
        ("threshold",),
        ("explain",),
        ("evaluate",),
    ):
        done = run_script(tmp_path, stage, *arguments)
        assert done.returncode == 0, done.stderr
    card = (tmp_path / "reports/model_card.md").read_text()
    assert "ensemble of 2 networks, whose predictions are combined" in card
    assignment = pd.read_csv(tmp_path / "data/split/assignment.csv")
    val = assignment["Id"][assignment["fold"] >= 0]
    assert list(Scores.read(tmp_path / "scores/val.npz").ids) == list(val)
    assert set(assignment["split"][assignment["fold"] == -1]) == {"test", "unlabelled"}

    assert run_script(tmp_path, "split", "--split.seed", "12").returncode == 0
    done = run_script(tmp_path, "score")
    assert done.returncode == 2
    assert "was trained with another split" in done.stderr


@pytest.mark.slow
def test_real_images_run_through_the_pipeline_unchanged(real_data: Path, tmp_path: Path) -> None:
    write_params(tmp_path, **{"fetch.path": str(real_data / "sample48")})
    for stage in ("fetch", "pack", "split", "train", "score", "threshold", "explain", "evaluate"):
        done = run_script(tmp_path, stage)
        assert done.returncode == 0, done.stderr
    assignment = pd.read_csv(tmp_path / "data/split/assignment.csv")
    assert len(assignment) == 48
    for split in ("val", "test"):
        scored = Scores.read(tmp_path / f"scores/{split}.npz").ids
        assert list(scored) == list(assignment["Id"][assignment["split"] == split])
    assert (tmp_path / "reports/submission.csv").read_text() == "Id,Predicted\n"


ONE_PROCESS = """\
from pathlib import Path
import experiment
experiment.command_line.run(lambda: experiment.run_stages(Path.cwd()))
"""


@pytest.mark.slow
def test_stages_in_one_process_write_what_each_writes_in_its_own(
    workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(workspace / "data")
    shutil.copy(workspace / "params.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS],
        cwd=tmp_path,
        env=environment_of(tmp_path) | {"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert decided(tmp_path) == decided(workspace)
    store = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [run] = store.search_runs([each.experiment_id for each in store.search_experiments()])
    finished = {tag for tag, value in run.data.tags.items() if value == "finished"}
    assert finished == {f"stage.{name}" for name in ("train", "score", "threshold", "evaluate")}


def decided(folder: Path) -> dict[str, Any]:
    """Weights, scores, thresholds and metrics: all that must not depend on how a stage runs."""
    numbers = {
        name: {k: v for k, v in json.loads((folder / name).read_text()).items() if k in keys}
        for name, keys in {
            "model/provenance.json": {"weights_sha256"},
            "model/thresholds.json": {"classes", "shown_scale", "plain"},
        }.items()
    }
    metrics = json.loads((folder / "reports/metrics.json").read_text())
    scores = {path.name: Scores.read(path).y_prob.tobytes() for path in folder.glob("scores/*.npz")}
    history = (folder / "model/history.csv").read_text()
    return {**numbers, **scores, "history": history, "metrics": {**metrics, "run_id": ""}}
