"""The model that a run logged, registered by MLflow's button or by promotion: the same answers."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.serving.promotion import PORT, promote
from hpa.serving.registry import Registry, open_registry
from hpa.tracking.logged_models import model_of
from hpa.tracking.model_files import CONFIG
from hpa.tracking.model_files import request as body_of
from hpa.tracking.registered_models import CHAMPION, NAME, model_folder
from hpa.tracking.run_ids import full_run_id
from hpa.tracking.runs_server import N_PORTS
from hpa.tracking.runs_server import PORT as PORT_OF_PAGE
from hpa.vocabulary.hpa2018 import CHANNELS
from support.paths import ROOT
from support.promotion_runs import client, make_logged_run
from support.servers import mlflow_server
from support.worlds import draw_pixels

PARAMS = load_params(ROOT / "params.yaml", {"promote.n_draws": 200})
OTHER = "cells of ours"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tracking store of its own."""
    folder = tmp_path_factory.mktemp("store") / "project"
    folder.mkdir()
    with patch.dict(os.environ, {"DVC_ROOT": str(folder)}):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield folder


@pytest.fixture
def registry(store: Path) -> Iterator[Registry]:
    with open_registry() as registry:
        yield registry
    for name in (NAME, OTHER):
        with suppress(MlflowException):
            client().delete_registered_model(name)


@pytest.fixture(scope="module")
def run_id(store: Path) -> str:
    return make_logged_run(store / "runs", 0.9, PARAMS.serve)


def press_button(run_id: str, name: str) -> str:
    """Register a run's model as MLflow's page does; return the version."""
    model = model_of(client(), client().get_run(run_id))
    assert model is not None
    return str(mlflow.register_model(f"models:/{model.model_id}", name).version)


def answers(source: str) -> list[dict[str, Any]]:
    images = [
        dict(zip(CHANNELS.names, np.moveaxis(draw_pixels(n, 32), 2, 0), strict=True))
        for n in (1, 2)
    ]
    table = pd.DataFrame(body_of(images)["dataframe_records"])
    return mlflow.pyfunc.load_model(source).predict(table)


def test_the_button_and_promotion_lead_to_the_same_answers_without_a_copy(
    registry: Registry, run_id: str, store: Path
) -> None:
    before = {path: path.stat().st_size for path in store.rglob("*.keras")}
    press_button(run_id, OTHER)
    promote(registry, run_id, PARAMS, None)
    assert answers(f"models:/{NAME}@{CHAMPION}") == answers(f"models:/{OTHER}/1")
    assert {path: path.stat().st_size for path in store.rglob("*.keras")} == before
    with model_folder(f"models:/{OTHER}/1") as folder:
        assert (folder / "test_predictions.npz").is_file()


def test_promotion_takes_the_version_that_the_button_made(registry: Registry, run_id: str) -> None:
    assert press_button(run_id, NAME) == "1"
    assert promote(registry, run_id, PARAMS, None).version == registry.champion() == "1"
    assert len(client().search_model_versions(f"name = '{NAME}'")) == 1
    assert client().get_model_version(NAME, "1").description == "# Model card"


def test_the_page_of_a_version_says_who_made_it_from_what_and_how_good_it_is(
    registry: Registry, run_id: str
) -> None:
    version = client().get_model_version(NAME, promote(registry, run_id, PARAMS, None).version)
    assert version.run_id == run_id
    assert version.description == "# Model card"
    assert version.tags["user"] == "ada"
    assert version.tags["git.commit"] == "0f" * 20
    assert version.tags["data.source"] == "synthetic"
    assert version.tags["dvc.data/packed"] == "ab" * 16
    assert version.tags["test/macro_f1"] == "0.900, 95 % interval 0.850 to 0.950"
    assert "process" not in version.tags
    model = client().get_logged_model(version.source.removeprefix("models:/"))
    assert {each.key: each.value for each in model.metrics or []}["test/macro_f1"] == 0.9
    assert NAME in model.tags["mlflow.modelVersions"]  # which the run table shows


def test_a_description_of_somebody_s_own_stays(registry: Registry, run_id: str) -> None:
    press_button(run_id, NAME)
    client().update_model_version(NAME, "1", "the one for the paper")
    promote(registry, run_id, PARAMS, None)
    assert client().get_model_version(NAME, "1").description == "the one for the paper"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["server", "postgresql"])
def test_another_store_takes_weights_once_and_serves_the_same(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with ExitStack() as stack:
        if kind == "server":
            server = stack.enter_context(mlflow_server(tmp_path))
            server.start()
            uri = server.url
        else:
            uri = request.getfixturevalue("postgresql")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        run_id = make_logged_run(tmp_path / "runs", 0.9, PARAMS.serve)
        assert full_run_id(run_id[:8]) == run_id
        with pytest.raises(UserError, match="there is no such run"):
            full_run_id("0" * 32)
        press_button(run_id, OTHER)
        with open_registry() as registry:
            promote(registry, run_id, PARAMS, None)
            assert registry.champion() == "1"
        assert answers(f"models:/{NAME}@{CHAMPION}") == answers(f"models:/{OTHER}/1")
        kept = [each for each in tmp_path.rglob("best.keras") if "runs" not in each.parts]
        assert len(kept) == 1
        model = model_of(client(), client().get_run(run_id))
        assert model is not None
        assert {each.key: each.value for each in model.metrics or []}["test/macro_f1"] == 0.9


def test_the_documented_port_is_none_that_the_page_of_runs_takes() -> None:
    assert not PORT_OF_PAGE <= PORT < PORT_OF_PAGE + N_PORTS
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for line in path.read_text().splitlines():
            if "mlflow models serve -m" in line:
                assert line.endswith(f"--port {PORT}"), f"{path}: {line}"


def limits(source: str) -> dict[str, Any]:
    folder = Path(mlflow.artifacts.download_artifacts(source))
    described = mlflow.models.Model.load(str(folder))
    config: dict[str, Any] = described.flavors["python_function"]["config"][CONFIG]
    return config


def test_a_promoted_model_is_served_with_the_limits_of_its_promotion(
    registry: Registry, run_id: str
) -> None:
    press_button(run_id, OTHER)
    assert limits(f"models:/{OTHER}/1") == asdict(PARAMS.serve)
    narrow = replace(PARAMS, serve=replace(PARAMS.serve, max_images=3))
    promote(registry, run_id, narrow, None)
    assert limits(f"models:/{NAME}@{CHAMPION}")["max_images"] == 3


def test_a_flipped_byte_in_the_logged_weights_is_refused_everywhere(
    registry: Registry, store: Path
) -> None:
    run_id = make_logged_run(store / "damaged", 0.9, PARAMS.serve)
    model = model_of(client(), client().get_run(run_id))
    assert model is not None
    path = Path(model.artifact_location) / "artifacts" / "model" / "best.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    press_button(run_id, OTHER)
    with pytest.raises(UserError, match="SHA-256"):
        mlflow.pyfunc.load_model(f"models:/{OTHER}/1")
    with pytest.raises(UserError, match="SHA-256"):
        promote(registry, run_id, PARAMS, "no reason repairs it")
    assert registry.champion() is None


def test_a_folder_that_is_copied_twice_serves_its_own_champion(
    run_id: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_registry() as registry:
        promote(registry, run_id, PARAMS, None)
    copy = store
    for number in (1, 2):
        copy = shutil.copytree(copy, tmp_path / f"copy {number}, 100%")
        for card in copy.rglob("artifacts/model/model_card.md"):
            card.write_text(f"of copy {number}")
        monkeypatch.setenv("DVC_ROOT", str(copy))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with open_registry() as registry:
            version = client().get_model_version(NAME, str(registry.champion()))
        assert version.description == "# Model card"
        with model_folder(f"models:/{NAME}@{CHAMPION}") as folder:
            assert (folder / "model_card.md").read_text() == f"of copy {number}"
        served = mlflow.artifacts.download_artifacts(f"models:/{NAME}@{CHAMPION}")
        card = Path(served) / "artifacts" / "model" / "model_card.md"
        assert card.read_text() == f"of copy {number}"
