"""A store that other projects use too: nothing of theirs is changed, and nothing is mixed."""

import shutil
import sqlite3
from contextlib import chdir, closing
from pathlib import Path

import mlflow
import pytest
import sqlalchemy
from mlflow.entities import Experiment
from mlflow.store.db.utils import InitialBase

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.tracking.address import sqlite_uri
from hpa.tracking.mlflow_store import open_store, past_run
from hpa.tracking.stage_run import log_artifacts, log_metrics, send_kept, stage_run
from hpa.tracking.views import ANSWER, ROUNDS, SEARCH, TAG
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def track(stage: str = "train", upstream: str | None = None) -> str:
    with stage_run(stage, PARAMS, sections=(stage,), upstream=upstream) as run_id:
        log_metrics({"val/loss": 1.0}, 1)
        log_artifacts([ROOT / "params.yaml"], "model")
    return run_id


@pytest.fixture(scope="module")
def their_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of another project: some runs, one of them open, an artifact."""
    folder = tmp_path_factory.mktemp("theirs")
    with chdir(folder):
        client = mlflow.MlflowClient(sqlite_uri(folder / "their.db"))
        client.create_experiment("hpa", tags={"about": "heat pump analysis"})
        for experiment in ("0", "1"):
            run = client.create_run(experiment, run_name="theirs", tags={"process": "host 1 x:1"})
            client.log_param(run.info.run_id, "gamma", "7")
            client.log_artifact(run.info.run_id, str(ROOT / "params.yaml"))
    return folder


@pytest.fixture
def project(tmp_path: Path, their_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose stages are told to use that database."""
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{their_folder}/their.db")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def rows(database: Path) -> dict[str, set[tuple[object, ...]]]:
    """Read every row of every table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: set(connection.execute(f'SELECT * FROM "{name}"')) for (name,) in names}


def test_no_row_of_another_project_changes(project: Path, their_folder: Path) -> None:
    before = rows(their_folder / "their.db")
    theirs = {path.relative_to(their_folder) for path in their_folder.rglob("*")}
    run_id = track()
    assert track("score", upstream=run_id) == run_id
    for name, content in rows(their_folder / "their.db").items():
        assert before[name] <= content, name
    client = open_store()
    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == "hpa-2"  # theirs has the name
    assert client.list_artifacts(run_id, "model")[0].path == "model/params.yaml"
    new = {path.relative_to(their_folder) for path in their_folder.rglob("*")} - theirs
    assert {path.parts[:2] for path in new} == {("mlruns", "hpa-2")}
    assert not (project / "mlruns").exists()


def test_an_empty_experiment_of_our_name_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    client = mlflow.MlflowClient(sqlite_uri(tmp_path / "mlflow.db"))
    client.create_experiment("hpa", tags={"about": "heat pump analysis"})
    before = rows(tmp_path / "mlflow.db")
    run = open_store().get_run(track())
    assert client.get_experiment(run.info.experiment_id).name == "hpa-2"
    for name, content in rows(tmp_path / "mlflow.db").items():
        assert before[name] <= content, name
    assert not [row for row in rows(tmp_path / "mlflow.db")["experiment_tags"] if "1" in row]


def test_a_second_stage_run_uses_the_same_experiment(project: Path) -> None:
    client = open_store()
    ids = {client.get_run(track()).info.experiment_id for _ in range(2)}
    assert len(ids) == 1


def test_somebody_s_mlflow_db_in_the_folder_keeps_its_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    old = client.create_run("0").info
    before = rows(tmp_path / "mlflow.db")
    run_id = track()
    for name, content in rows(tmp_path / "mlflow.db").items():
        assert before[name] <= content, name
    names = {each.name for each in client.search_experiments()}
    assert names == {"Default", "hpa"}
    assert client.get_run(old.run_id).info.artifact_uri == old.artifact_uri
    assert (tmp_path / "mlruns" / "hpa" / run_id / "artifacts" / "params.yaml").is_file()


def test_the_database_of_another_program_is_refused_before_a_table_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "study.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE studies (study_id INTEGER)")
    content = database.read_bytes()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"another program[\s\S]*studies[\s\S]*another database"):
        past_run("0123456789abcdef0123456789abcdef")
    assert track().startswith("pending-")  # a stage goes on, and its calls wait
    assert database.read_bytes() == content
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert send_kept(here=True)[0].n_sent == 1
    (run,) = open_store().search_runs(["1"])
    assert run.info.status == "FINISHED"


def test_the_database_of_an_earlier_mlflow_is_not_upgraded_without_asking(
    tmp_path: Path, their_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = shutil.copy(their_folder / "their.db", tmp_path / "old.db")
    with closing(sqlite3.connect(database)) as connection:  # as before the table came
        connection.execute("DROP TABLE webhook_events")
        connection.commit()
    content = database.read_bytes()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"mlflow db upgrade sqlite:///{database}"):
        open_store()
    assert database.read_bytes() == content


def test_a_database_whose_creation_was_interrupted_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/mlflow.db")
    InitialBase.metadata.create_all(engine)  # MLflow's first step
    engine.dispose()
    assert open_store().get_experiment("0").name == "Default"


def test_an_environment_that_mlflow_cannot_work_from_is_named_before_a_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow, "__file__", str(tmp_path / "100%" / "mlflow" / "__init__.py"))
    with pytest.raises(UserError, match="with % in its name"):
        open_store()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"])
def test_the_experiment_of_the_caller_is_used_and_gets_nothing_but_views(
    variable: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_store()
    found = client.get_experiment_by_name("lab")
    lab = found.experiment_id if found else client.create_experiment("lab")
    monkeypatch.setenv(variable, "lab" if variable.endswith("NAME") else lab)
    client.set_experiment_tag(lab, "about", "theirs")
    before = without_views(client.get_experiment(lab))
    assert client.get_run(track()).info.experiment_id == lab
    assert without_views(client.get_experiment(lab)) == before


def without_views(experiment: Experiment) -> dict[str, object]:
    tags = {k: v for k, v in experiment.tags.items() if not k.startswith("mlflow.sharedViewState.")}
    return {**dict(experiment), "tags": tags}


@pytest.mark.slow
def test_a_database_server_gets_an_experiment_with_artifacts_in_the_repository(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    monkeypatch.chdir(tmp_path / "temporary")  # as a DVC experiment, whose folder is removed
    run_id = track()
    artifacts = tmp_path / "project" / "mlruns" / "hpa" / run_id / "artifacts"
    assert (artifacts / "model" / "params.yaml").is_file()
    assert list((tmp_path / "temporary").iterdir()) == []
    tags = {each.name: each.tags.keys() for each in open_store().search_experiments()}
    assert sorted(tags) == ["Default", "hpa"]
    assert {TAG + key for key in (ANSWER, ROUNDS, SEARCH)} <= tags["hpa"]
