"""A folder of networks predicts by their mean logit; it is refused if one is missing or differs."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from hpa.data.packed.assignment import NO_FOLD
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.training_range import measure_training_images
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.inference.ensemble import require_whole, write_ensemble
from hpa.inference.models import find_models, read_model_vocabulary
from hpa.inference.prediction import sigmoid
from hpa.system.files import sha256
from support.model_folders import IMAGE_SIZE, make_vocabulary, write_model_folder
from support.worlds import draw_pixels

N_FOLDS = 3
FOLDS = range(N_FOLDS)


def edit(path: Path, section: str, **changes: Any) -> None:
    document = json.loads(path.read_text())
    document[section] = document.get(section, {}) | changes
    path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def split_dir(packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth image is test, the others are in three folds."""
    index = read_index(packed_world)
    fold = np.arange(len(index)) % 4
    split = np.array(["val", "train", "train", "test"])[fold].astype(object)
    split[~index["labelled"]] = "unlabelled"
    fold[(fold == N_FOLDS) | ~index["labelled"].to_numpy(bool)] = NO_FOLD
    assignment = pd.DataFrame({"Id": index["Id"], "group": 0, "split": split, "fold": fold})
    folder = tmp_path_factory.mktemp("split") / "split"
    write_split(folder, index, read_vocabulary(packed_world).labels, assignment)
    return folder


@pytest.fixture(scope="module")
def written(packed_world: Path, split_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three untrained networks as the trainings of three folds leave them, and their ensemble."""
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("ensemble") / "models"
    for fold in FOLDS:
        model = write_model_folder(folder / f"fold-{fold}")
        params = {"split.n_folds": N_FOLDS, "train.fold": fold, "train.n_steps": 9}
        edit(model / "provenance.json", "params", **params)
        document = json.loads((model / "provenance.json").read_text())
        document |= {"run_id": f"run{fold}", "weights_sha256": str(fold) * 64}
        (model / "provenance.json").write_text(json.dumps(document))
        (model / "thresholds.json").replace(folder / "thresholds.json")
    models = [find_models(folder / f"fold-{fold}/best.keras")[0] for fold in FOLDS]
    write_ensemble(folder, models, "parent", packed_dir=packed_world, split_dir=split_dir)
    networks = [{"file": "best.keras", **model.network} for model in models]
    edit(folder / "thresholds.json", "origin", networks=networks)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return shutil.copytree(written, tmp_path / "models")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([draw_pixels(seed, IMAGE_SIZE) for seed in range(5)])


def test_an_ensemble_predicts_the_sigmoid_of_the_mean_logit(
    written: Path, pixels: np.ndarray
) -> None:
    classifier = Classifier(written)
    logits = [each.predict(pixels, verbose=0).astype(float) for each in classifier.networks]
    assert len(logits) == N_FOLDS
    assert np.abs(logits[0] - logits[1]).max() > 0.01
    found = classifier.probabilities(pixels, batch_size=len(pixels))
    np.testing.assert_allclose(found, sigmoid(np.mean(logits, axis=0)), rtol=1e-6)


@pytest.mark.parametrize("merge", ["mean_logit", "max_probability"])
def test_the_views_of_each_network_are_merged_before_the_mean(
    folder: Path, pixels: np.ndarray, merge: str
) -> None:
    """As the score stage does it; with the greatest probability, the order matters."""
    edit(folder / "thresholds.json", "score", augmentation="dihedral", merge=merge)
    alone = []
    for fold in FOLDS:
        single = folder / f"fold-{fold}"
        shutil.copy(folder / "thresholds.json", single)
        edit(single / "thresholds.json", "origin", networks=[])
        alone.append(Classifier(single).probabilities(pixels, batch_size=5).astype(float))
    mean_logit = np.mean([np.log(each / (1 - each)) for each in alone], axis=0)
    found = Classifier(folder).probabilities(pixels, batch_size=5)
    np.testing.assert_allclose(found, sigmoid(mean_logit), rtol=1e-4)


def test_the_provenance_names_all_networks_and_what_they_share(written: Path) -> None:
    said = json.loads((written / "provenance.json").read_text())
    names = [f"fold-{fold}/best.keras" for fold in FOLDS]
    assert said["archives"] == {name: sha256(written / name) for name in names}
    assert said["weights_sha256"].split() == [str(fold) * 64 for fold in FOLDS]
    assert [(each["path"], each["run_id"]) for each in said["networks"]] == [
        (name, f"run{fold}") for fold, name in enumerate(names)
    ]
    assert said["run_id"] == "parent"
    assert said["params"]["train.n_steps"] == 9
    assert "train.fold" not in said["params"]


def test_the_range_is_that_of_all_images_outside_test(
    written: Path, packed_world: Path, split_dir: Path
) -> None:
    ranges = [measure_training_images(packed_world, split_dir, fold) for fold in FOLDS]
    seen = json.loads((written / "training_range.json").read_text())
    assert seen["n_images"] == sum(each.n_images for each in ranges) // (N_FOLDS - 1)


def test_a_missing_network_is_named_with_the_command_that_trains_it(folder: Path) -> None:
    shutil.rmtree(folder / "fold-1")
    for read in (Classifier, read_model_vocabulary):
        with pytest.raises(UserError) as refused:
            read(folder)
        assert "received:   no fold-1/best.keras" in str(refused.value)
        assert f"python src/folds.py --output {folder}" in str(refused.value)
    with pytest.raises(UserError, match="is not complete: no fold-1") as refused:
        require_whole(find_models(folder), folder)
    assert f"python src/folds.py --output {folder}" in str(refused.value)
    shutil.rmtree(folder / "fold-2")
    with pytest.raises(UserError, match="is not complete: no fold-1, fold-2"):
        require_whole(find_models(folder), folder)
    file = folder / "fold-0/best.keras"
    require_whole(find_models(file), file)  # one network alone, by its own name


def test_folds_that_were_never_evaluated_are_named_as_such(folder: Path) -> None:
    for name in ("provenance.json", "thresholds.json", "training_range.json"):
        (folder / name).unlink()
    with pytest.raises(UserError, match=r"no .*thresholds\.json[\s\S]*python src/folds\.py"):
        Classifier(folder)


def test_a_network_of_another_training_in_its_place_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    other = write_model_folder(tmp_path / "other")
    shutil.copy(other / "best.keras", folder / "fold-1/best.keras")
    with pytest.raises(UserError, match=r"fold-1/best\.keras[\s\S]*SHA-256"):
        Classifier(folder)


def test_thresholds_of_fewer_networks_are_refused(folder: Path) -> None:
    networks = json.loads((folder / "thresholds.json").read_text())["origin"]["networks"]
    edit(folder / "thresholds.json", "origin", networks=networks[:2])
    with pytest.raises(UserError, match="do not belong together"):
        Classifier(folder)


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        ("params", {"train.n_steps": 8}, "train.n_steps: 8 there, 9 expected"),
        ("vocabulary", make_vocabulary(3, 4).to_json(), "labels "),
    ],
)
def test_folds_that_were_trained_otherwise_are_refused_with_the_difference(
    folder: Path, section: str, changes: dict[str, Any], said: str
) -> None:
    edit(folder / "fold-2/provenance.json", section, **changes)
    with pytest.raises(UserError, match=r"fold-2/best\.keras was not trained like") as refused:
        require_whole(find_models(folder), folder)
    assert said in str(refused.value)


def test_data_that_differs_between_folds_is_refused(folder: Path) -> None:
    for fold in FOLDS:
        digest = "ab"[fold > 1] * 64
        edit(
            folder / f"fold-{fold}/provenance.json", "data", **{"data/split/assignment.csv": digest}
        )
    with pytest.raises(UserError, match=r"assignment\.csv: SHA-256 bbbbbbbbbbbb there"):
        require_whole(find_models(folder), folder)


def test_folds_that_started_from_two_models_are_refused(folder: Path) -> None:
    """As after an alias that moved in between."""
    for fold in FOLDS:
        provenance = folder / f"fold-{fold}/provenance.json"
        edit(provenance, "started_from", sha256="ab"[fold > 1] * 64)
    with pytest.raises(UserError, match=r"model\.weights: SHA-256 bbbbbbbbbbbb there"):
        require_whole(find_models(folder), folder)


def test_seeds_of_one_fold_are_an_ensemble_as_they_are(folder: Path) -> None:
    for fold in FOLDS:
        edit(folder / f"fold-{fold}/provenance.json", "params", **{"train.fold": 0})
    require_whole(find_models(folder), folder)
