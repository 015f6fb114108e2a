"""The model registry of a project folder that is moved or copied."""

import shutil
from pathlib import Path

import mlflow
import pytest

from hpa.serving.registry import Registry, open_registry
from hpa.tracking.address import tracking_uri
from hpa.tracking.experiments import experiment_id
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.registered_models import CHAMPION, NAME, model_folder

SOURCE = f"models:/{NAME}@{CHAMPION}"


def work_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir(exist_ok=True)
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)


def make_champion(registry: Registry, text: str, folder: Path) -> str:
    """Register a run's model, a file of this text, and promote it; return its version."""
    store = open_store()
    run_id = store.create_run(experiment_id(store, {})).info.run_id
    model = folder / f"model-{text}" / "artifacts" / "model"
    model.mkdir(parents=True)
    (model / "weights.txt").write_text(text)
    version = registry.register(run_id, model.parents[1])
    registry.describe(version, f"card of {text}")
    registry.promote(version, instead_of=registry.champion())
    return version


def served() -> str:
    """Read the champion's weights as this project does."""
    with model_folder(SOURCE) as folder:
        return (folder / "weights.txt").read_text()


def served_by_mlflow(folder: Path) -> str:
    """Read them as `mlflow models serve` does."""
    mlflow.set_tracking_uri(tracking_uri())
    found = Path(mlflow.artifacts.download_artifacts(SOURCE, dst_path=str(folder / "by_mlflow")))
    return (found / "artifacts" / "model" / "weights.txt").read_text()


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_serves_its_own_champion_and_leaves_the_original_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, copy = tmp_path / "old", tmp_path / "a copy, 100%"
    work_in(old, monkeypatch)
    with open_registry() as registry:
        first = make_champion(registry, "first", tmp_path)
        second = make_champion(registry, "second", tmp_path)
    assert served() == served_by_mlflow(tmp_path) == "second"
    shutil.copytree(old, copy)
    for path in copy.rglob("weights.txt"):
        path.write_text(f"{path.read_text()} of the copy")
    before = files(old)
    work_in(copy, monkeypatch)
    assert served() == "second of the copy"
    with open_registry() as registry:
        champion = registry.champion()
        assert champion not in (None, first, second)
        assert served_by_mlflow(tmp_path) == "second of the copy"
        version = open_store().get_model_version(NAME, str(champion))
        assert version.tags["moved.from_version"] == second
        assert version.description == "card of second"
        assert registry.history() == [first]
        registry.roll_back(first)
        assert served() == served_by_mlflow(tmp_path) == "first of the copy"
    with open_registry() as registry:  # nothing more to do
        assert len(open_store().search_model_versions(f"name = '{NAME}'")) == 4
        make_champion(registry, "third", tmp_path)
    assert served() == served_by_mlflow(tmp_path) == "third"
    assert files(old) == before


def test_champions_of_all_names_follow_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, copy = tmp_path / "old", tmp_path / "copy"
    work_in(old, monkeypatch)
    for name in (NAME, "mitosis"):
        with open_registry(name) as registry:
            make_champion(registry, name, tmp_path)
    shutil.copytree(old, copy)
    work_in(copy, monkeypatch)
    with open_registry():
        pass
    for name in (NAME, "mitosis"):
        version = open_store().get_model_version_by_alias(name, CHAMPION)
        assert str(version.version) == "2"
        assert str(copy) in version.source


def test_a_version_without_a_run_or_of_another_place_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(tmp_path / "project", monkeypatch)
    store = open_store()
    store.create_registered_model(NAME)
    place = tmp_path / "elsewhere" / "artifacts" / "model"
    place.mkdir(parents=True)
    (place / "weights.txt").write_text("elsewhere")
    store.create_model_version(NAME, str(place.parents[1]))
    store.set_registered_model_alias(NAME, CHAMPION, "1")
    assert served() == "elsewhere"
    with open_registry() as registry:
        assert registry.champion() == "1"
