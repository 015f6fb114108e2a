"""A run is promoted only with the test predictions of its own network and thresholds."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpa.errors import UserError
from hpa.evaluation.test_predictions import FILE_NAME, EvaluatedSplit, check_same_data
from hpa.metrics.origins import Origin, network_of
from hpa.serving.run_artifacts import check_model
from hpa.system.files import read_json, write_json
from hpa.thresholds.thresholds_file import read_thresholds
from support.model_folders import write_model_folder
from support.promotion_runs import make_test_predictions

NETWORK = network_of("best.keras", {"weights_sha256": "a" * 64, "run_id": "r"})


def with_origin(folder: Path, origin: Origin) -> EvaluatedSplit:
    return replace(make_test_predictions(0.8, folder), origin=origin)


def test_predictions_of_another_network_or_other_thresholds_are_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    provenance = read_json(folder / "provenance.json") | {"weights_sha256": "a" * 64}
    write_json(folder / "provenance.json", provenance)
    _, beside = read_thresholds(folder / "thresholds.json")
    own = Origin((NETWORK,), thresholds_sha256=beside["origin"].thresholds_sha256)
    with_origin(folder, own).write(folder / FILE_NAME)
    check_model(folder)
    other = network_of("best.keras", {"weights_sha256": "b" * 64})
    for wrong, said in (
        (replace(own, thresholds_sha256="f" * 64), "SHA-256 of the thresholds"),
        (replace(own, networks=(other,)), "network: best.keras aaaaaaaaaaaa of run r"),
    ):
        with_origin(folder, wrong).write(folder / FILE_NAME)
        with pytest.raises(UserError, match=said):
            check_model(folder)


def test_runs_on_images_of_equal_names_but_other_pixels_are_not_compared(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    made = {"fetch.source": "synthetic", "fetch.seed": 1, "fetch.path": "a", "loss.gamma": 1.0}
    a = with_origin(folder, Origin(params=made))
    b = with_origin(folder, Origin(params=made | {"fetch.path": "b", "loss.gamma": 2.0}))
    check_same_data(a, b)
    other = with_origin(folder, Origin(params=made | {"fetch.seed": 2}))
    with pytest.raises(UserError, match=r"fetch\.seed 1 in A, 2 in B"):
        check_same_data(a, other)


def test_a_source_that_only_trains_makes_no_other_test_images(tmp_path: Path) -> None:
    """The competition alone, and together with the atlas, whose images judge nothing."""
    folder = write_model_folder(tmp_path / "model")
    kaggle = {"name": "kaggle", "source": "kaggle"}
    atlas = {"name": "atlas", "source": "hpa", "path": "own/a.csv", "depth": "bits"}
    alone = {"fetch.source": "kaggle", "fetch.competition": "hpa", "split.train_only": None}
    both = {
        "fetch.source": "several",
        "fetch.sources": [kaggle, atlas],
        "fetch.competition": "hpa",
        "fetch.depth": "camera",
        "split.train_only": "atlas",
    }
    deeper = both | {"fetch.sources": [kaggle, atlas | {"depth": 4095}]}
    for one, other in ((alone, both), (both, deeper)):
        check_same_data(*(with_origin(folder, Origin(params=each)) for each in (one, other)))
    judging = both | {"split.train_only": None}
    newer = both | {"fetch.sources": [kaggle | {"competition": "hpa-2021"}, atlas]}
    for other, said in (
        (judging, "1 sources that judge in A, 2 in B"),
        (newer, r"fetch\.competition 'hpa' in A, 'hpa-2021' in B"),
    ):
        with pytest.raises(UserError, match=said):
            check_same_data(*(with_origin(folder, Origin(params=each)) for each in (alone, other)))
