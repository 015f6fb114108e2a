"""The model of a run in MLflow: stored once, ready when it is evaluated, found after a move."""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import LoggedModel, LoggedModelStatus

from hpa.config.params import load_params
from hpa.system.files import write_json
from hpa.tracking import logged_models
from hpa.tracking.experiments import experiment_id
from hpa.tracking.logged_models import WEIGHTS, download, download_model_folder, model_of
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.model_files import CONFIG, OF_EVALUATION, log_model
from hpa.tracking.stage_run import log_metrics, log_weights, outbox_dir, send_kept, stage_run
from support.paths import ROOT
from support.servers import Response, serve

PARAMS = load_params(ROOT / "params.yaml")
NETWORK = {"file": "best.keras", "path": WEIGHTS, "weights_sha256": "a" * 64}
CARD = "# Model card\n\nIt names structures."


def work_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """Take a folder for the repository, with what the stages wrote."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    for name in (*map(str, OF_EVALUATION), WEIGHTS, "model/training_range.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    write_json(Path("model/provenance.json"), {"weights_sha256": "a" * 64})
    Path("reports/model_card.md").write_text(CARD)
    return open_store()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without experiments of this project: a fresh one takes seconds to create."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("empty")
        work_in(folder, patch)
        return folder / "mlflow.db"


@pytest.fixture
def store(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> mlflow.MlflowClient:
    (tmp_path / "project").mkdir()
    shutil.copy(empty_store, tmp_path / "project")
    return work_in(tmp_path / "project", monkeypatch)


def train() -> str:
    with stage_run("train", PARAMS, sections=("train", "loss")) as run_id:
        log_metrics({"val/loss": 0.5}, step=3)
        log_weights(Path(WEIGHTS))
    return run_id


def evaluate(upstream: str, networks: tuple[dict[str, str], ...] = (NETWORK,)) -> str:
    with stage_run("evaluate", PARAMS, sections=("evaluate",), upstream=upstream) as run_id:
        log_metrics({"test/macro_f1": 0.75, "test/micro_f1": 0.5})
        log_model(networks, PARAMS.serve)
    return run_id


def model_of_run(store: mlflow.MlflowClient, run_id: str) -> LoggedModel:
    model = model_of(store, store.get_run(run_id))
    assert model is not None
    return model


def copies(folder: Path) -> list[Path]:
    return sorted(folder.rglob("best.keras"))


def test_a_training_begins_a_model_and_the_evaluation_makes_it_ready(
    store: mlflow.MlflowClient,
) -> None:
    run_id = train()
    assert model_of_run(store, run_id).status == LoggedModelStatus.PENDING
    assert evaluate(run_id) == run_id
    model, run = model_of_run(store, run_id), store.get_run(run_id)
    assert model.status == LoggedModelStatus.READY
    assert model.params["loss.gamma"] == str(PARAMS.loss.gamma)
    assert model.tags["mlflow.note.content"] == CARD
    assert model.tags["git.commit"] == run.data.tags["git.commit"]
    assert not {key for key in model.tags if key.startswith(("stage.", "started.", "process"))}
    assert {each.key: (each.value, each.step) for each in model.metrics or []} == {
        "test/macro_f1": (0.75, 0), "test/micro_f1": (0.5, 0), "val/loss": (0.5, 3)
    }  # fmt: skip
    assert [each.model_id for each in run.outputs.model_outputs] == [model.model_id]
    for key in ("test/micro_f1", "val/loss"):  # no second point in the run's charts
        assert len(store.get_metric_history(run_id, key)) == 1


def test_the_weights_are_stored_once_and_found_there(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    run_id = train()
    (kept,) = copies(Path("mlruns"))
    evaluate(run_id)
    assert copies(Path("mlruns")) == [kept]
    found = download(run_id, WEIGHTS, tmp_path / "weights")
    assert found is not None
    assert found.read_text() == WEIGHTS
    folder = download_model_folder(run_id, tmp_path / "folder")
    assert folder is not None
    assert {each.name for each in folder.iterdir()} >= {Path(each).name for each in OF_EVALUATION}


def test_the_model_names_signature_example_pinned_requirements_code_and_limits(
    store: mlflow.MlflowClient,
) -> None:
    model = model_of_run(store, evaluate(train()))
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"))
    described = mlflow.models.Model.load(str(folder))
    names = described.signature.inputs.input_names()
    assert names == ["red", "green", "blue", "yellow", "image_file"]
    assert (folder / "input_example.json").is_file()
    assert all("==" in line for line in (folder / "requirements.txt").read_text().split())
    assert (folder / "code" / "hpa" / "serving" / "mlflow_model.py").is_file()
    config = described.flavors["python_function"]["config"]
    assert config == {CONFIG: asdict(PARAMS.serve)}


def test_a_run_that_was_never_evaluated_keeps_its_weights(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    run_id = train()
    found = download(run_id, WEIGHTS, tmp_path / "found")
    assert found is not None
    assert found.read_text() == WEIGHTS
    assert download_model_folder(run_id, tmp_path / "none") is None


def test_a_server_of_mlflow_2_keeps_the_weights_as_an_artifact_of_the_run(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serve(lambda _: Response(status=404, body=b"<html>Not Found</html>")) as server:
        old = mlflow.MlflowClient(server.url)
        for name in ("search_logged_models", "create_logged_model"):
            monkeypatch.setattr(mlflow.MlflowClient, name, partial(getattr(old, name)))
        run_id = train()
        assert evaluate(run_id) == run_id
        found = download(run_id, WEIGHTS, tmp_path / "found")
        assert download_model_folder(run_id, tmp_path / "none") is None
    assert found is not None
    assert found.read_text() == WEIGHTS
    assert store.get_run(run_id).info.status == "FINISHED"
    assert not outbox_dir().exists() or not list(outbox_dir().iterdir())


def test_weights_that_a_run_of_an_earlier_version_keeps_itself_are_found(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    run_id = store.create_run(experiment_id(store, {})).info.run_id
    store.log_artifact(run_id, WEIGHTS, "model")
    found = download(run_id, WEIGHTS, tmp_path / "found")
    assert found is not None
    assert found.read_text() == WEIGHTS


@pytest.mark.parametrize("networks", [(), (NETWORK, NETWORK), ({**NETWORK, "path": "gone.keras"},)])
def test_no_model_is_made_of_several_networks_or_of_absent_weights(
    store: mlflow.MlflowClient, networks: tuple[dict[str, str], ...]
) -> None:
    with stage_run("evaluate", PARAMS, sections=("evaluate",)) as run_id:
        log_model(networks, PARAMS.serve)
    run = store.get_run(run_id)
    assert model_of(store, run) is None
    assert run.info.status == "FINISHED"


def test_another_evaluation_links_the_weights_that_an_earlier_run_has(
    store: mlflow.MlflowClient,
) -> None:
    first = train()
    evaluate(first)
    second = evaluate(first)  # a run of its own, of other thresholds, say
    third = evaluate("")  # of outputs whose run is in another store
    assert len({first, second, third}) == 3
    one, *others = copies(Path("mlruns"))
    assert [one.samefile(other) for other in others] == [True, True]
    assert model_of_run(store, third).status == LoggedModelStatus.READY


def test_damaged_weights_of_another_run_are_not_linked(store: mlflow.MlflowClient) -> None:
    first = train()
    evaluate(first)
    (kept,) = copies(Path("mlruns"))
    kept.write_text("damaged")
    evaluate(first)
    assert sorted(each.read_text() for each in copies(Path("mlruns"))) == ["damaged", WEIGHTS]


def test_another_evaluation_copies_the_weights_where_links_are_unknown(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(logged_models.os, "link", refuse)
    first = train()
    evaluate(first)
    evaluate(first)
    one, other = copies(Path("mlruns"))
    assert not one.samefile(other)
    assert other.read_text() == WEIGHTS


def test_calls_that_waited_for_the_store_make_one_model_also_if_they_are_sent_twice(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    pending = train()
    evaluate(pending)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    kept = outbox_dir()
    shutil.copytree(kept, "twice")
    send_kept(here=True)
    (experiment,) = store.search_experiments(filter_string="name = 'hpa'")
    (run,) = store.search_runs([experiment.experiment_id])
    model = model_of_run(store, run.info.run_id)
    shutil.copytree("twice", kept, dirs_exist_ok=True)
    send_kept(here=True)
    (again,) = store.search_logged_models([experiment.experiment_id])
    assert again.model_id == model.model_id
    assert again.status == LoggedModelStatus.READY
    assert len(again.metrics or []) == 3
    assert len(store.get_run(run.info.run_id).outputs.model_outputs) == 1
    assert len(copies(Path("mlruns"))) == 1


def test_a_model_removed_while_it_was_made_is_made_again(store: mlflow.MlflowClient) -> None:
    run_id = train()
    store.delete_logged_model(model_of_run(store, run_id).model_id)
    evaluate(run_id)
    assert model_of_run(store, run_id).status == LoggedModelStatus.READY


def test_a_copied_folder_finds_and_finishes_its_own_models(
    store: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, original = train(), Path.cwd()
    copy = shutil.copytree(original, tmp_path / "a copy, 100%")
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    (copied,) = copies(copy / "mlruns")
    copied.write_text("of copy")
    work_in(copy, monkeypatch)
    found = download(run_id, WEIGHTS, tmp_path / "found")
    assert found is not None
    assert found.read_text() == "of copy"
    evaluate(run_id)
    assert (copied.parents[2] / "MLmodel").is_file()
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before
