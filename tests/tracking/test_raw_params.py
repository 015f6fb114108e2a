"""Parameters that `mlflow run -P` has logged as raw text before the first stage begins."""

from pathlib import Path

import mlflow
import pytest

from hpa.config.effects import has_effect
from hpa.config.params import changed_params, load_params
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.raw_params import agrees
from hpa.tracking.stage_run import stage_run
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")
ALPHAS = "27x0.9 15x0.75"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("loss.gamma", "1", 1.0),
        ("loss.gamma", "1.00", 1.0),
        ("loss.gamma", "1e0", 1.0),
        ("loss.alpha", f"'{ALPHAS}'", ALPHAS),  # as MLflow quotes it for the shell
        ("loss.alpha", ALPHAS, ALPHAS),
        ("loss.alpha", ".3", 0.3),
        ("loss.alpha", "~", None),
        ("train.learning_rate", "1e-3", 0.001),
        ("train.n_steps", "0x8", 8),
        ("augment.turn", "yes", True),
        ("model.weights", "imagenet", "imagenet"),
    ],
)
def test_every_spelling_of_a_value_is_that_value(key: str, text: str, value: object) -> None:
    assert agrees({key: text}, {key: value})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("loss.gamma", "1", 2.0),
        ("loss.gamma", "true", 1.0),
        ("loss.alpha", "'27x0.9", ALPHAS),
        ("loss.alpha", "[", 0.3),
        ("train.n_steps", "8.0", 8),
    ],
)
def test_another_value_is_not(key: str, text: str, value: object) -> None:
    assert not agrees({key: text}, {key: value})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository")


def announced(
    root: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, str]
) -> tuple[mlflow.MlflowClient, str]:
    """Create a run as `mlflow run` does: in the default experiment, with what -P names."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    client = open_store()
    run_id = client.create_run("0", tags={"mlflow.source.type": "PROJECT"}).info.run_id
    for key, text in params.items():
        client.log_param(run_id, key, text)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return client, run_id


@pytest.mark.parametrize(
    ("given", "changes", "logged"),
    [
        ({"loss.gamma": "1"}, {"loss.gamma": 1.0}, {"loss.gamma": "1"}),
        ({"gamma": "2.8"}, {"loss.gamma": 2.8}, {"loss.gamma": "2.8"}),
        ({"loss.alpha": f"'{ALPHAS}'"}, {"loss.alpha": ALPHAS}, {"loss.alpha": f"'{ALPHAS}'"}),
        (
            {"learning_rate": "1e-3"},
            {"train.learning_rate": 0.001},
            {"train.learning_rate": "0.001"},
        ),
    ],
)
def test_a_stage_joins_the_run_of_mlflow_run_and_leaves_one_name_of_each_parameter(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    changes: dict[str, object],
    logged: dict[str, str],
) -> None:
    client, run_id = announced(root, monkeypatch, {**given, "note": "mine"})
    params = changed_params(PARAMS, changes)
    sections = ("loss", "train")
    with stage_run("train", params, sections=sections) as joined:
        pass
    assert joined == run_id
    known = client.get_run(run_id).data.params
    assert known.items() >= logged.items()
    values = params.flat()
    expected = {key for key in values if key.split(".")[0] in sections and has_effect(key, values)}
    assert known.keys() == expected | {"about", "note"}


def test_a_run_with_another_value_is_not_joined(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, run_id = announced(root, monkeypatch, {"loss.gamma": "1"})
    with stage_run("train", changed_params(PARAMS, {"loss.gamma": 2.0}), sections=("loss",)) as own:
        assert own != run_id
    assert client.get_run(run_id).data.params == {"loss.gamma": "1"}
