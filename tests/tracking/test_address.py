"""Addresses of stores as written to files and messages, and those that are none."""

from pathlib import Path

import pytest

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.tracking.address import public
from hpa.tracking.mlflow_store import all_experiments, open_store
from hpa.tracking.stage_run import stage_run
from support.paths import ROOT


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:pa?ss@host/name", "postgresql://host/name"),
        ("postgresql://me:p@ss@host:5432/name", "postgresql://host:5432/name"),
        ("postgresql://me:12/ab@host/name?sslmode=require", "postgresql://host/name"),
        (
            "postgresql+psycopg2://host/name?user=a@b&password=x@y",
            "postgresql+psycopg2://host/name",
        ),
        ("https://token@host:5000/path", "https://host:5000/path"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_an_address_is_shown_without_user_password_and_query(uri: str, shown: str) -> None:
    assert public(uri) == shown


def test_a_misspelled_sqlite_address_is_refused_before_a_stage_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:mine.db")
    params = load_params(ROOT / "params.yaml")
    with (
        pytest.raises(UserError, match=r"sqlite:///FILE\.db"),
        stage_run("train", params, sections=("train",)),
    ):
        pytest.fail("the stage began")


def test_the_failure_of_a_run_is_told_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(OSError, match="is away"), stage_run("train", params, sections=()):
        raise OSError("https://me:abc123@host/images is away")
    client = open_store()
    (run,) = client.search_runs(all_experiments(client))
    assert run.data.tags["failure"] == "OSError: https://me:***@host/images is away"
