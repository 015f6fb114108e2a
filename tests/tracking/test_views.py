"""Views of an experiment: what its page in MLflow opens on."""

import base64
import json
import math
import zlib
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from hpa.config.params import Params, changed_params, load_params
from hpa.errors import UserError
from hpa.tracking import views
from hpa.tracking.experiments import EXPERIMENT
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.stage_run import log_metrics, log_result, stage_run
from hpa.tracking.views import ANSWER, ROUNDS, SEARCH, TAG, add_views, page
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")
KEYS = (ANSWER, ROUNDS, SEARCH)
MACRO_F1, GAMMA = "metrics.`test/macro_f1`", "params.`loss.gamma`"


def track(
    params: Params = PARAMS, stage: str = "train", tags: dict[str, str] | None = None
) -> mlflow.entities.Run:
    sections = ("fetch", "loss", "train", "score")
    with stage_run(stage, params, sections=sections, tags=tags) as run_id:
        pass
    return open_store().get_run(run_id)


def stored(client: mlflow.MlflowClient, experiment: str) -> dict[str, str]:
    tags = client.get_experiment(experiment).tags
    return {key.removeprefix(TAG): tags[key] for key in tags if key.startswith(TAG)}


def test_the_first_run_gives_its_experiment_a_table_that_opens_on_the_answer(
    store: mlflow.MlflowClient,
) -> None:
    found = stored(store, track().info.experiment_id)
    assert found.keys() == set(KEYS)
    packed = json.loads(found[ANSWER])["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert (state["orderByKey"], state["orderByAsc"]) == (MACRO_F1, False)
    parameters = {f"params.`{key}`" for key in ("loss.alpha", "loss.name", "train.learning_rate")}
    interval = {f"metrics.`test/macro_f1_{end}`" for end in ("low", "high")}
    assert {MACRO_F1, GAMMA, *parameters, *interval} <= set(state["selectedColumns"])
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "made_by"}]


def test_every_parameter_and_section_that_a_view_names_exists() -> None:
    for _, state in views._views().values():
        named = [each for each in state["selectedColumns"] if each.startswith("params.")]
        assert {each.split("`")[1] for each in named} <= PARAMS.flat().keys()
        sections = {each["uuid"] for each in state.get("compareRunSections", [])}
        charts = state.get("compareRunCharts", [])
        assert {each["metricSectionId"] for each in charts} == sections
        assert len({each["uuid"] for each in charts}) == len(charts)


def test_the_view_of_a_search_shows_what_the_committed_space_varies() -> None:
    varied = {f"{section}.{key}" for section, keys in PARAMS.search.space.items() for key in keys}
    assert varied == set(views.SEARCHED)


def test_views_of_an_earlier_version_are_replaced_and_those_of_somebody_else_stay(
    store: mlflow.MlflowClient,
) -> None:
    experiment = store.create_experiment("lab")
    theirs = json.dumps({"name": "mine", "state": "{}"})
    kept = {ANSWER: theirs, ROUNDS: json.dumps({"hpa": views.VERSION + 1}), SEARCH: "damaged"}
    for key, value in kept.items():
        store.set_experiment_tag(experiment, TAG + key, value)
    add_views(store, experiment, 1)
    assert stored(store, experiment) == kept
    store.set_experiment_tag(experiment, TAG + ROUNDS, json.dumps({"hpa": views.VERSION - 0.5}))
    add_views(store, experiment, 2)
    assert json.loads(stored(store, experiment)[ROUNDS])["createdAt"] == 2
    assert stored(store, experiment)[ANSWER] == theirs


def test_views_that_are_there_are_not_written_again(store: mlflow.MlflowClient) -> None:
    experiment = track().info.experiment_id
    before = stored(store, experiment)
    assert track().info.experiment_id == experiment
    assert stored(store, experiment) == before


def test_a_store_that_refuses_the_views_takes_the_run(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("read only")

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "guarded")
    monkeypatch.setattr(mlflow.MlflowClient, "set_experiment_tag", refuse)
    run = track()
    assert run.info.status == "FINISHED"
    assert stored(store, run.info.experiment_id) == {}


def test_a_search_and_its_trials_are_one_group_and_all_other_runs_another(
    store: mlflow.MlflowClient,
) -> None:
    study = {"optuna.study": "wide"}
    made_by = {
        track(stage=stage, tags=tags).data.tags["made_by"]
        for stage, tags in (("search", study), ("trial", study))
    }
    assert made_by == {"search wide"}
    assert track().data.tags["made_by"] == "pipeline"


def test_a_run_names_only_parameters_that_decide_its_result(store: mlflow.MlflowClient) -> None:
    focal, cross_entropy, asymmetric = (
        track(changed_params(PARAMS, {"loss.name": name})).data.params.keys()
        for name in ("focal", "binary_cross_entropy", "asymmetric")
    )
    assert {key for key in focal if "gamma" in key or "alpha" in key} == {
        "loss.gamma",
        "loss.alpha",
    }
    assert not [key for key in cross_entropy if "gamma" in key or "alpha" in key]
    assert {"loss.gamma_negative", "loss.gamma_positive", "loss.margin"} <= asymmetric
    assert not {"loss.gamma", "loss.alpha", "train.n_cycles", "fetch.base_url"} & asymmetric
    assert not {"score.batch_size", "train.checkpoint_every"} & asymmetric
    assert {"train.seed", "train.learning_rate", "fetch.n_images"} <= asymmetric


def test_the_first_parameter_of_the_alphabet_tells_the_runs_apart(
    store: mlflow.MlflowClient,
) -> None:
    first = [
        min(track(changed_params(PARAMS, {"loss.gamma": gamma})).data.params.items())
        for gamma in (1.0, 4.0)
    ]
    assert {key for key, _ in first} == {"about"}
    assert "gamma=1" in first[0][1]
    assert "gamma=4" in first[1][1]


def test_a_run_is_found_by_its_data_and_described_with_its_result(
    store: mlflow.MlflowClient,
) -> None:
    params = replace(PARAMS, loss=replace(PARAMS.loss, name="soft_macro_f1"))
    with stage_run("evaluate", params, sections=("evaluate",)) as run_id:
        log_result("macro F1 0.1")
        log_result("macro F1 0.3")
    tags = store.get_run(run_id).data.tags
    assert tags["data.source"] == "synthetic"
    result, training, *others = tags["mlflow.note.content"].split("\n\n")
    assert result == "**Result:** macro F1 0.3"
    assert training.startswith("Soft macro f1 loss, 640 steps of 32 images at learning rate 0.002")
    assert "simulated images" in training
    assert "0.1" not in "".join(others)


def test_the_page_shows_the_experiment_of_the_newest_runs(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    track()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "newest")
    experiment = track().info.experiment_id
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    shown = views.shown_experiments(1)
    assert next(iter(shown.items())) == (experiment, "newest")
    assert EXPERIMENT in shown.values()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "lab")
    assert list(views.shown_experiments(1).values()) == ["lab"]
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "8888")
    with pytest.raises(UserError, match="MLFLOW_EXPERIMENT_ID=8888"):
        views.shown_experiments(1)


def test_an_empty_store_opens_on_an_empty_experiment_with_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (experiment, name), *others = views.shown_experiments(1).items()
    assert (name, others) == (EXPERIMENT, [])
    assert stored(open_store(), experiment).keys() == set(KEYS)
    assert page(experiment).startswith(f"/#/experiments/{experiment}/runs?")


def test_a_run_begins_with_the_metric_that_its_comparison_opens_on(
    store: mlflow.MlflowClient,
) -> None:
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        log_metrics({"train/epochs": 1.0}, 1)
    assert list(store.get_run(run_id).data.metrics) == ["test/macro_f1", "train/epochs"]
    assert math.isnan(store.get_run(run_id).data.metrics["test/macro_f1"])
    with stage_run("evaluate", PARAMS, sections=("evaluate",), upstream=run_id) as evaluated:
        log_metrics({"val/micro_f1": 0.4, "test/macro_f1": 0.3})
    assert evaluated == run_id
    metrics = store.get_run(run_id).data.metrics
    assert next(iter(metrics.items())) == ("test/macro_f1", 0.3)


def test_a_store_that_is_away_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be read[\s\S]*http://127\.0\.0\.1:9") as refused:
        views.shown_experiments(1)
    assert "secret" not in str(refused.value)
