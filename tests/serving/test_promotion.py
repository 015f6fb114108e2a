"""A run becomes champion only if it is complete and non-inferior."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.serving.promotion import Promotion, as_text, promote, roll_back
from hpa.serving.registry import Registry, open_registry
from hpa.tracking.registered_models import NAME, model_folder
from support.paths import ROOT
from support.promotion_runs import client, make_run, make_test_predictions

PARAMS = load_params(ROOT / "params.yaml", {"promote.n_draws": 200})
CHAMPION = "models:/hpa@champion"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tracking store of its own."""
    folder = tmp_path_factory.mktemp("store")
    with patch.dict(os.environ, {"DVC_ROOT": str(folder)}):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield folder


@pytest.fixture
def registry(store: Path) -> Iterator[Registry]:
    with open_registry() as registry:
        yield registry
    with suppress(MlflowException):  # the test registered nothing
        client().delete_registered_model(NAME)


@pytest.fixture(scope="module")
def weak(store: Path) -> str:
    return make_run(store / "runs", 0.5)


@pytest.fixture(scope="module")
def good(store: Path) -> str:
    return make_run(store / "runs", 0.9)


def go(registry: Registry, run_id: str, force: str | None = None) -> Promotion:
    return promote(registry, run_id, PARAMS, force)


def test_the_first_model_is_champion_without_a_comparison(registry: Registry, weak: str) -> None:
    promotion = go(registry, weak)
    assert promotion.done
    assert registry.champion() == promotion.version == "1"
    assert "version 1 is champion now, instead of none" in as_text(promotion)
    version = client().get_model_version(NAME, "1")
    assert version.run_id == weak
    assert version.description.startswith("# Model card")
    assert version.tags["promotion.champion_before"] == "none"


def test_the_registered_model_is_complete(registry: Registry, weak: str) -> None:
    go(registry, weak)
    model = mlflow.models.get_model_info(CHAMPION)
    names = model.signature.inputs.input_names()
    assert names == ["red", "green", "blue", "yellow", "image_file"]
    with model_folder(CHAMPION) as folder:
        assert {
            "best.keras", "thresholds.json", "provenance.json", "training_range.json",
            "class_flags.json", "test_predictions.npz", "model_card.md", "model_card.html",
        } <= {path.name for path in folder.iterdir()}  # fmt: skip
        Classifier(folder)
    served = mlflow.pyfunc.load_model(CHAMPION)
    assert len(served.predict(served.input_example)) == 1
    pins = Path(mlflow.artifacts.download_artifacts(f"{CHAMPION}/requirements.txt")).read_text()
    assert {"keras", "mlflow", "numpy", "tensorflow"} <= {
        name for name, _ in (line.split("==") for line in pins.split())
    }


def test_a_better_model_becomes_champion_and_a_worse_one_does_not(
    registry: Registry, weak: str, good: str
) -> None:
    go(registry, weak)
    promotion = go(registry, good)
    assert promotion.done
    assert promotion.judgement is not None
    assert promotion.judgement.comparison.difference > 0.1
    assert "the test split has now taken part in a choice" in as_text(promotion)
    used = client().get_model_version(NAME, "2").tags["promotion.judged_on"]
    assert used == "test: 280 images, which has taken part in a choice"
    assert registry.champion() == "2"
    promotion = go(registry, weak)
    assert not promotion.done
    assert promotion.version == "1"  # registered already: one version per run
    assert registry.champion() == "2"
    said = as_text(promotion)
    assert "objection: macro F1 may fall by" in said
    assert "version 2 stays champion" in said
    assert len(client().search_model_versions(f"name = '{NAME}'")) == 2


def test_holdout_images_decide_where_a_run_has_them(registry: Registry, store: Path) -> None:
    """The second model is better on test, and worse on holdout."""
    model_dir = store / "runs/model"
    for skill, holdout_skill in ((0.5, 0.9), (0.9, 0.5)):
        holdout = make_test_predictions(holdout_skill, model_dir, first_id=1000)
        promotion = go(registry, make_run(store / "runs", skill, holdout=holdout))
    assert not promotion.done
    said = as_text(promotion)
    assert "on the same 280 holdout images" in said
    assert "taken part in a choice" not in said
    tags = client().get_model_version(NAME, "2").tags
    assert tags["promotion.judged_on"] == "holdout: 280 images"
    assert client().get_model_version(NAME, "1").tags["promotion.judged_on"].startswith("nothing")


def test_force_promotes_an_inferior_model_and_keeps_the_reason(
    registry: Registry, weak: str, good: str
) -> None:
    go(registry, good)
    assert go(registry, weak, force="labels of the champion were wrong").done
    assert registry.champion() == "2"
    tags = client().get_model_version(NAME, "2").tags
    assert tags["promotion.forced_because"] == "labels of the champion were wrong"
    assert "macro F1 may fall by" in tags["promotion.objections"]


def test_the_champion_is_not_promoted_again(registry: Registry, good: str) -> None:
    go(registry, good)
    promotion = go(registry, good, force="once more")
    assert not promotion.done
    assert "champion already" in as_text(promotion)
    assert registry.history() == []


@pytest.mark.slow
def test_rolling_back_twice_returns_to_the_first_of_three_champions(
    registry: Registry, weak: str, good: str, store: Path
) -> None:
    best = make_run(store / "runs", 0.97)
    for run_id in (weak, good, best):
        go(registry, run_id)
    assert roll_back(registry) == ("3", "2")
    assert roll_back(registry) == ("2", "1")
    assert registry.champion() == "1"
    with pytest.raises(UserError, match=r"no previous champion[\s\S]*version 1 alone"):
        roll_back(registry)
    assert go(registry, best).version == "3"
    assert roll_back(registry) == ("3", "1")


@pytest.mark.slow
def test_rolling_back_skips_deleted_versions(
    registry: Registry, weak: str, good: str, store: Path
) -> None:
    for run_id in (weak, good, make_run(store / "runs", 0.97)):
        go(registry, run_id)
    client().delete_model_version(NAME, "2")
    assert roll_back(registry) == ("3", "1")


def test_a_registry_without_champion_cannot_be_rolled_back(registry: Registry) -> None:
    with pytest.raises(UserError, match=r"no previous champion[\s\S]*no champion"):
        roll_back(registry)


def test_other_test_images_are_refused_unless_forced(
    registry: Registry, weak: str, store: Path
) -> None:
    go(registry, weak)
    predictions = make_test_predictions(0.9, store / "runs/model", first_id=5)
    other = make_run(store / "runs", predictions)
    with pytest.raises(UserError, match=r"cannot be judged on the images[\s\S]*dvc checkout"):
        go(registry, other)
    assert registry.champion() == "1"
    assert go(registry, other, force="a larger test split").done
    assert registry.champion() == "2"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": None}, r"is not finished[\s\S]*RUNNING"),
        ({"status": "FAILED"}, r"is not finished[\s\S]*FAILED"),
        ({"without": ("model/best.keras",)}, r"has no model/best\.keras"),
        ({"without": ("model/thresholds.json",)}, r"has no model/thresholds\.json"),
        ({"without": ("reports/test_predictions.npz",)}, r"has no reports/test_predictions\.npz"),
        ({"params": {"score.models": "models"}}, r"did not evaluate one network's best weights"),
        ({"params": {"score.models": "model/last.keras"}}, r"did not evaluate one network's best"),
    ],
)
def test_an_incomplete_run_is_refused_before_anything_is_registered(
    registry: Registry, store: Path, changes: dict[str, object], said: str
) -> None:
    run_id = make_run(store / "runs", 0.9, **changes)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said):
        go(registry, run_id)
    assert registry.champion() is None
    assert registry.version_of(run_id) is None


def test_an_unknown_run_is_refused(registry: Registry) -> None:
    for run_id in ("nonsense", "0" * 32):
        with pytest.raises(UserError, match="there is no such run"):
            go(registry, run_id)


def test_a_run_that_only_chose_thresholds_takes_its_network_from_upstream(
    registry: Registry, weak: str, store: Path
) -> None:
    own = ("best.keras", "provenance.json", "training_range.json")
    run_id = make_run(
        store / "runs",
        0.9,
        without=tuple(f"model/{name}" for name in own),
        tags={"upstream_run_id": weak},
    )
    assert go(registry, run_id).done


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def artifact(run_id: str, name: str) -> Path:
    return Path(client().get_run(run_id).info.artifact_uri) / name


def test_a_flipped_byte_in_the_run_s_archive_is_refused(registry: Registry, store: Path) -> None:
    run_id = make_run(store / "runs", 0.9)
    flip(artifact(run_id, "model/best.keras"))
    with pytest.raises(UserError, match="SHA-256"):
        go(registry, run_id, force="no reason repairs it")
    assert registry.champion() is None


def test_a_flipped_byte_in_the_registered_archive_is_refused_everywhere(
    registry: Registry, store: Path, good: str
) -> None:
    run_id = make_run(store / "runs", 0.5)
    go(registry, run_id)
    go(registry, good)
    flip(artifact(run_id, "registered_model/artifacts/model/best.keras"))
    with pytest.raises(UserError, match="SHA-256"):
        roll_back(registry)
    assert registry.champion() == "2"
    with pytest.raises(UserError, match="SHA-256"):
        go(registry, run_id, force="back to it")
    with pytest.raises(UserError, match="SHA-256"):
        mlflow.pyfunc.load_model("models:/hpa/1")
    with model_folder("models:/hpa/1") as folder, pytest.raises(UserError, match="SHA-256"):
        Classifier(folder)


def test_a_champion_that_changed_in_the_meantime_is_not_overwritten(
    registry: Registry, weak: str, good: str
) -> None:
    go(registry, weak)
    version = go(registry, good).version
    with pytest.raises(UserError, match="the champion has changed in the meantime"):
        registry.promote(version, instead_of="1")
    assert registry.history() == ["1"]


@pytest.mark.slow
def test_models_are_compared_by_the_thresholds_that_they_are_served_with(
    registry: Registry, store: Path
) -> None:
    """Decisions in the file that the thresholds do not give count for nothing."""
    model_dir = store / "runs/model"
    plain = make_test_predictions(0.5, model_dir)
    filled = replace(plain, y_pred=np.maximum(plain.y_pred, plain.y_true))
    go(registry, make_run(store / "runs", plain))
    promotion = go(registry, make_run(store / "runs", filled))
    assert promotion.judgement is not None
    assert promotion.judgement.comparison.difference == 0
    assert promotion.done


def script(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "src/promote.py"), *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "DVC_ROOT": str(store), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_script_exits_with_1_if_the_champion_stays(store: Path, weak: str, good: str) -> None:
    done = script(store, good)
    assert done.returncode == 0, done.stderr
    assert "version 1 is champion now" in done.stdout
    done = script(store, weak)
    assert done.returncode == 1, done.stderr
    assert "version 1 stays champion" in done.stdout
    assert script(store, weak, "--force", "to try").returncode == 0
    done = script(store, "--rollback")
    assert "version 1 is champion again, instead of version 2" in done.stdout
    client().delete_registered_model(NAME)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "not clear what to do"),
        (["0" * 32, "--rollback"], "not clear what to do"),
        (["0" * 32, "--force", " "], "--force gives no reason"),
        (["0" * 32, "--gamma", "2"], "does not apply to this script"),
        (["0" * 32, "--macro_margin", "2"], "from 0 to 1"),
    ],
)
def test_the_script_refuses_wrong_arguments(store: Path, arguments: list[str], said: str) -> None:
    done = script(store, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_concurrent_promotions_leave_one_champion_and_one_history(
    store: Path, weak: str, good: str
) -> None:
    third = make_run(store / "runs", 0.9)
    running = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "src/promote.py"), run_id, "--force", "a race"],
            cwd=ROOT,
            env={**os.environ, "DVC_ROOT": str(store), "OMP_NUM_THREADS": "1"},
        )
        for run_id in (weak, good, third, third)
    ]
    assert [each.wait() for each in running] == [0] * 4
    with open_registry() as registry:
        versions = client().search_model_versions(f"name = '{NAME}'")
        assert len(versions) == 3  # one version of the run that was promoted twice
        assert {each.run_id for each in versions} == {weak, good, third}
        champions = [*registry.history(), registry.champion()]
        assert set(champions) == {"1", "2", "3"}  # one may be there twice
        assert all(before != after for before, after in pairwise(champions))
    client().delete_registered_model(NAME)
