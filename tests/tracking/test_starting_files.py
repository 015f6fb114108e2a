"""Older models in the store: found by run or alias, and again for a repetition, by their digest."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import yaml

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.system.files import read_json, sha256, write_json
from hpa.tracking import reproduction
from hpa.tracking.mlflow_store import PastRun, open_store
from hpa.tracking.stage_run import log_artifacts, log_weights, stage_run
from hpa.tracking.starting_files import fetch_network, fetch_start
from hpa.training import start
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository of its own, with the model of one run in its store."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        write_model(root / "model", "first")
        yield root


def write_model(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best.keras").write_text(content)
    archives = {"best.keras": sha256(folder / "best.keras")}
    provenance = {"run_id": "old", "weights_sha256": content, "archives": archives}
    write_json(folder / "provenance.json", provenance)
    return folder


@pytest.fixture(scope="module")
def run_id(project: Path) -> str:
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        log_artifacts([project / "model/provenance.json"], "model")
        log_weights(project / "model/best.keras")
    return run_id


@pytest.fixture(scope="module")
def champion(project: Path, run_id: str) -> mlflow.MlflowClient:
    """A registry with a model beside the one of `run_id`."""
    client = open_store()
    write_model(project / "registered/artifacts/model", "second")
    client.create_registered_model("hpa")
    client.create_model_version("hpa", str(project / "registered"), run_id)
    client.set_registered_model_alias("hpa", "champion", "1")
    return client


def content(archive: Path) -> str:
    assert read_json(archive.with_name("provenance.json"))["weights_sha256"] == archive.read_text()
    return archive.read_text()


def test_a_run_is_found_by_its_id_and_by_its_first_characters(run_id: str, tmp_path: Path) -> None:
    assert content(fetch_network(f"runs:/{run_id}", tmp_path / "whole")) == "first"
    assert content(fetch_network(f"runs:/{run_id[:8]}", tmp_path / "short")) == "first"


def test_a_run_on_other_thresholds_has_the_network_of_its_upstream_run(
    run_id: str, tmp_path: Path
) -> None:
    with stage_run("threshold", PARAMS, sections=("threshold",), upstream=run_id):
        pass
    with stage_run("threshold", PARAMS, sections=("threshold",), upstream=run_id) as later:
        pass
    assert later != run_id
    assert content(fetch_network(f"runs:/{later}", tmp_path)) == "first"


@pytest.mark.parametrize("source", ["models:/hpa@champion", "models:/hpa/1"])
def test_a_registered_model_is_found_by_alias_and_by_version(
    champion: mlflow.MlflowClient, source: str, tmp_path: Path
) -> None:
    assert content(fetch_network(source, tmp_path)) == "second"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("runs:/", "is not the id of a run"),
        ("runs:/0123abcd", "there is no such run"),
        ("models:/hpa@nobody", "cannot be read from the registry"),
        ("models:/hpa/7", "cannot be read from the registry"),
        ("models:/", "cannot be read from the registry"),
    ],
)
def test_what_is_not_there_is_refused_by_its_name(
    champion: mlflow.MlflowClient, source: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        fetch_network(source, tmp_path)


def test_a_run_without_a_finished_training_is_refused(project: Path, tmp_path: Path) -> None:
    with stage_run("trial", PARAMS, sections=("train",)) as run_id:
        pass
    with pytest.raises(UserError, match="has no network"):
        fetch_network(f"runs:/{run_id}", tmp_path)


def test_an_ensemble_is_refused_with_the_runs_of_its_networks(
    champion: mlflow.MlflowClient, project: Path, tmp_path: Path
) -> None:
    networks = [{"path": f"fold-{k}/best.keras", "run_id": f"{k}" * 32} for k in range(2)]
    folder = project / "ensemble/artifacts/model"
    folder.mkdir(parents=True)
    write_json(folder / "provenance.json", {"networks": networks})
    with stage_run("folds", PARAMS, sections=("train",)) as run_id:
        log_artifacts([folder / "provenance.json"], "model")
    version = champion.create_model_version("hpa", str(project / "ensemble"), run_id).version
    for source in (f"runs:/{run_id}", f"models:/hpa/{version}"):
        with pytest.raises(UserError, match="is an ensemble of 2 networks") as caught:
            fetch_network(source, tmp_path)
        assert f"fold-1/best.keras of run {'1' * 32}" in str(caught.value)
        assert f"name one of them: runs:/{'0' * 32}" in str(caught.value)


def test_a_store_that_is_away_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for source in ("runs:/0123abcd", "models:/hpa@champion"):
        with pytest.raises(UserError, match=r"127\.0\.0\.1"):
            fetch_network(source, tmp_path)


def test_a_process_stays_with_the_model_that_its_alias_named_first(
    champion: mlflow.MlflowClient, project: Path, run_id: str
) -> None:
    source = "models:/hpa@champion"
    first = start.start_of(source)
    assert first
    write_model(project / "third/artifacts/model", "third")
    third = champion.create_model_version("hpa", str(project / "third"), run_id)
    champion.set_registered_model_alias("hpa", "champion", third.version)
    again = start.start_of(source)
    assert again
    assert again.sha256 == first.sha256 == sha256(first.model.path)
    start._start_of.cache_clear()
    later = start.start_of(source)
    assert later
    assert later.sha256 != first.sha256
    champion.set_registered_model_alias("hpa", "champion", "1")


def tags_of(source: str, folder: Path, run_id: str) -> dict[str, str]:
    digest = sha256(folder / "best.keras")
    return {
        "started_from": source,
        "started_from.run_id": run_id,
        "started_from.sha256": digest,
    }


@pytest.mark.parametrize("source", ["model", "model/best.keras", "models:/hpa@champion"])
def test_a_repetition_finds_the_start_by_its_digest(
    champion: mlflow.MlflowClient, project: Path, run_id: str, source: str, tmp_path: Path
) -> None:
    """The alias names another model by now; the run that trained the first one has it."""
    tags = tags_of(source, project / "model", run_id)
    assert content(fetch_start(tags, tmp_path)) == "first"


def test_a_repetition_refuses_another_network(
    champion: mlflow.MlflowClient, project: Path, run_id: str, tmp_path: Path
) -> None:
    tags = tags_of("gone", project / "model", run_id) | {"started_from.sha256": "0" * 64}
    with pytest.raises(UserError, match="the model that the run started from is missing") as caught:
        fetch_start(tags, tmp_path)
    assert "gone has no network" in str(caught.value)
    assert f"runs:/{run_id}: SHA-256" in str(caught.value)


def test_a_clone_starts_from_a_copy_in_it(project: Path, run_id: str, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(ROOT / "params.yaml", clone)
    run = PastRun("1", "FINISHED", {}, tags_of("model", project / "model", run_id), {})
    reproduction._bring_start(run, clone)
    document = yaml.safe_load((clone / "params.yaml").read_text())
    assert document["model"]["weights"] == "pretrained/started_from/best.keras"
    assert (clone / "pretrained/started_from/best.keras").read_text() == "first"
    assert load_params(clone / "params.yaml").loss == PARAMS.loss
