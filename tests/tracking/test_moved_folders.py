"""A project folder that is moved or copied, and folders with special characters in their names."""

import json
import shutil
from contextlib import chdir
from pathlib import Path

import mlflow
import pytest

from hpa.config.params import load_params
from hpa.tracking.address import database_path, sqlite_uri, tracking_uri
from hpa.tracking.artifacts import MARK
from hpa.tracking.lineage import lineage
from hpa.tracking.logged_models import download
from hpa.tracking.mlflow_store import open_store, past_run
from hpa.tracking.stage_run import log_artifacts, log_image, stage_run
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")
SPECIAL = "what? a folder #1, 100%25 & ünïcode's"


def work_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir(exist_ok=True)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)


def track(stage: str = "train", upstream: str | None = None) -> str:
    with stage_run(stage, PARAMS, sections=(stage,), upstream=upstream) as run_id:
        log_artifacts([ROOT / "dvc.yaml"], stage)
    return run_id


def files(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def artifact(run_id: str, name: str, folder: Path) -> Path | None:
    return download(run_id, name, folder / "downloaded")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project folder in which a run was made."""
    folder = tmp_path_factory.mktemp("made") / "old"
    with pytest.MonkeyPatch.context() as patch:
        work_in(folder, patch)
        return folder, track()


@pytest.fixture
def project(made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, where it was made: moved back if a test moved it."""
    work_in(made[0], monkeypatch)
    return made[0]


def test_a_copied_folder_reads_and_writes_in_the_copy_alone(
    project: Path, made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, (_, old_run) = tmp_path / "copy", made
    shutil.copytree(project, copy)
    (copied,) = copy.glob(f"mlruns/hpa/{old_run}/artifacts/train/dvc.yaml")
    copied.write_text("of the copy")
    before = files(project)
    work_in(copy, monkeypatch)
    found = artifact(old_run, "train/dvc.yaml", tmp_path)
    assert found is not None
    assert found.read_text() == "of the copy"
    assert track("score", upstream=old_run) == old_run
    assert (copied.parents[1] / "score" / "dvc.yaml").is_file()
    new_run = track()
    assert files(project) == before
    # MLflow's own commands find the new run, too
    client = mlflow.MlflowClient(tracking_uri())
    assert [each.path for each in client.list_artifacts(new_run, "train")] == ["train/dvc.yaml"]
    assert Path(client.get_run(new_run).info.artifact_uri).is_relative_to(copy)
    assert client.get_run(track()).info.experiment_id == client.get_run(new_run).info.experiment_id


def test_a_renamed_folder_does_not_create_the_old_one_again(
    project: Path, made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_run, new = made[1], project.with_name("new")
    experiment = open_store().get_run(old_run).info.experiment_id
    project.rename(new)
    try:
        work_in(new, monkeypatch)
        assert artifact(old_run, "train/dvc.yaml", tmp_path) is not None
        assert track("score", upstream=old_run) == old_run
        assert artifact(track(), "train/dvc.yaml", tmp_path) is not None
        assert not project.exists()
    finally:
        new.rename(project)
    work_in(project, monkeypatch)  # and back: the first experiment is used again
    assert open_store().get_run(track()).info.experiment_id == experiment


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "copied"])
def test_the_store_of_an_earlier_version_goes_on_after_a_move(
    moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    with chdir(old):  # it renamed MLflow's default experiment
        client = mlflow.MlflowClient(sqlite_uri(old / "mlflow.db"))
        client.rename_experiment("0", "hpa")
        tags = {"code.sha256": lineage()["code.sha256"]}
        old_run = client.create_run("0", tags=tags).info.run_id
        client.log_artifact(old_run, str(ROOT / "dvc.yaml"), "train")
    if moved:
        old.rename(new)
    else:
        shutil.copytree(old, new)
        before = files(old)
    work_in(new, monkeypatch)
    assert artifact(old_run, "train/dvc.yaml", tmp_path) is not None
    assert track("score", upstream=old_run) == old_run
    run_id = track()
    assert Path(open_store().get_run(run_id).info.artifact_uri).is_relative_to(new)
    assert not old.exists() if moved else files(old) == before


def test_the_store_of_an_earlier_version_keeps_its_experiment_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(tmp_path, monkeypatch)
    client = open_store()
    client.rename_experiment("0", "hpa")
    client.create_run("0", tags={"code.sha256": "0"})
    assert client.get_run(track()).info.experiment_id == "0"
    assert client.get_experiment("0").tags[MARK] == "mlruns/0"
    assert len(client.search_experiments()) == 1


def test_artifacts_follow_a_database_beside_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("project", "team", "elsewhere"):
        (tmp_path / name).mkdir()
    work_in(tmp_path / "project", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/team/runs.db")
    run_id = track()
    assert (tmp_path / "team" / "mlruns" / "hpa" / run_id).is_dir()
    (tmp_path / "team").rename(tmp_path / "elsewhere" / "team")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere/team/runs.db")
    assert artifact(run_id, "train/dvc.yaml", tmp_path) is not None
    track("score", upstream=run_id)
    assert {path.name for path in tmp_path.iterdir()} == {"project", "elsewhere", "downloaded"}
    assert files(tmp_path / "project") == {Path(".lock"): b""} or not files(tmp_path / "project")


def test_a_folder_with_special_characters_holds_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / SPECIAL
    work_in(root, monkeypatch)
    run_id = track()
    assert past_run(track("score", upstream=run_id)).run_id == run_id
    announced = open_store().create_run("0", tags={"mlflow.source.type": "PROJECT"}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", announced)
    assert track() == announced
    for each in (run_id, announced):
        found = artifact(each, "train/dvc.yaml", tmp_path)
        assert found is not None
        assert found.read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert (root / "mlflow.db").is_file()
    assert (root / "mlruns" / "hpa" / run_id / "artifacts" / "train" / "dvc.yaml").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {SPECIAL, "downloaded"}
    stock = mlflow.MlflowClient(tracking_uri())
    assert [each.path for each in stock.list_artifacts(run_id, "train")] == ["train/dvc.yaml"]


@pytest.mark.parametrize("name", ["a b", "a?b", "a#b", "a%20b", "100%", "a&b'c", "ü", "a@b:c"])
def test_an_address_names_the_same_file_however_often_it_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path = tmp_path.resolve() / name / "runs.db"
    uri = sqlite_uri(path)
    assert database_path(uri) == path
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri() == uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{uri}?timeout=30")
    assert tracking_uri() == f"{uri}?timeout=30"


def test_an_image_sent_twice_is_there_once(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from hpa.tracking.run_calls import RunCalls

    Image.new("RGB", (900, 300), "red").save(tmp_path / "curve.png")
    sent: list[dict[str, object]] = []
    perform = RunCalls.__call__
    monkeypatch.setattr(
        RunCalls, "__call__", lambda self, call: (sent.append(call), perform(self, call))[1]
    )
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        log_image(tmp_path / "curve.png", "report/curve")
    store = open_store()
    once = json.dumps(store.get_run(run_id).to_dictionary(), sort_keys=True)  # NaN equals itself
    again = RunCalls(store)
    for call in (call for call in sent if "paths" not in call or call["call"] == "image"):
        perform(again, call)
    assert json.dumps(store.get_run(run_id).to_dictionary(), sort_keys=True) == once
    full, small = sorted(each.path for each in store.list_artifacts(run_id, "images"))[::-1]
    assert full.startswith("images/report~curve+step+0+timestamp+")
    assert (full[-4:], small[-5:]) == (".png", ".webp")
    with Image.open(store.download_artifacts(run_id, small, str(tmp_path))) as image:
        assert image.size == (256, 85)
