"""A store for the tests of a module."""

from pathlib import Path

import mlflow
import pytest

from hpa.tracking.mlflow_store import open_store


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store the tests of a module share: a fresh one takes seconds to create."""
    return tmp_path_factory.mktemp("repository")


@pytest.fixture
def store(shared_root: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A client of the store in that folder, which is the repository and the current folder."""
    monkeypatch.setenv("DVC_ROOT", str(shared_root))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(shared_root)
    return open_store()
