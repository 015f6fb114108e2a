import json
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from hpa.config.sections import Score
from hpa.data.batches.augmentation import Turn
from hpa.data.batches.packed_batches import N_VIEWS, turned
from hpa.data.packed.assignment import NO_FOLD
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.inference.models import Model, find_models, require_same_data
from hpa.inference.prediction import predict_logits, predict_views, sigmoid
from hpa.inference.scoring import score_splits
from hpa.metrics.predictions import Scores
from hpa.model.resnet import build_resnet34
from hpa.system.files import sha256
from hpa.vocabulary.hpa2018 import LABELS
from support.interpreters import python_with
from support.paths import ROOT

EACH_ONCE = Score("model/best.keras", 8, "none", "mean_logit")
MEAN = Score("model/best.keras", 8, "dihedral", "mean_logit")
MAXIMUM = Score("model/best.keras", 8, "dihedral", "max_probability")


def linear(kernel: np.ndarray) -> keras.Model:
    """Return a network whose logits all are the sum of the first channel times a kernel [S,S]."""
    weights = np.zeros((*kernel.shape, 4, 28), np.float32)
    weights[:, :, 0] = kernel[..., None]
    images = keras.Input((*kernel.shape, 4), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
    dense = keras.layers.Dense(28, use_bias=False)
    model = keras.Model(images, dense(flat))
    dense.kernel.assign(weights.reshape(-1, 28))
    return model


class Pictures:
    """Images in memory with the interface of packed ones."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._images[rows]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    model = build_resnet34(32, 4, label_rates=np.full(28, 0.1), dropout=0.5)
    kernel = model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(4).normal(0, 0.1, kernel.shape))
    return model


def test_neither_batch_size_nor_other_images_change_an_image_s_logits(
    model: keras.Model, packed_world: Path
) -> None:
    images = PackedImages(packed_world)
    rows = np.array([7, 3, 11, 3, 0])
    together = predict_logits(model, images, rows, batch_size=2)
    alone = [predict_logits(model, images, rows[i : i + 1], batch_size=64)[0] for i in range(5)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(together[1], together[3], atol=1e-4)  # the same image twice


def test_the_sigmoid_of_extreme_logits_is_finite() -> None:
    np.testing.assert_array_equal(sigmoid(np.array([-1e4, 0, 1e4], np.float32)), [0, 0.5, 1])


def test_inference_is_exact_and_repeats_to_the_bit(model: keras.Model, packed_world: Path) -> None:
    images, rows = PackedImages(packed_world), np.arange(8)
    found = predict_logits(model, images, rows, batch_size=8)  # dropout is 0.5 in training
    np.testing.assert_array_equal(found, predict_logits(model, images, rows, batch_size=8))
    expected = keras.ops.convert_to_numpy(model(images.read(rows), training=False))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_views_are_those_of_the_augmentation() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 6, 6, 4), dtype=np.uint8)
    for view in range(N_VIEWS):
        expected = keras.ops.convert_to_numpy(Turn()(image, np.array([view], np.int32)))
        np.testing.assert_array_equal(turned(image, view), expected)


def test_eight_views_are_merged_as_worked_by_hand() -> None:
    """A network that sees only the upper left corner sees each corner of 2×2 twice."""
    pixels = np.zeros((1, 2, 2, 4), np.uint8)
    pixels[0, :, :, 0] = [[1, 2], [4, 9]]
    images, rows = Pictures(pixels), np.array([0])
    network = linear(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert predict_views(network, images, rows, EACH_ONCE)[0, 0] == 1  # type: ignore[arg-type]
    mean = predict_views(network, images, rows, MEAN)  # type: ignore[arg-type]
    assert mean[0].tolist() == [(2 * 1 + 2 * 2 + 2 * 4 + 2 * 9) / 8] * 28
    assert predict_views(network, images, rows, MAXIMUM)[0, 5] == 9  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [MEAN, MAXIMUM])
def test_views_change_nothing_for_a_symmetric_network(score: Score, packed_world: Path) -> None:
    kernel = np.random.default_rng(3).normal(0, 1e-3, (32, 32))
    kernel = sum(np.rot90(kernel, quarter) for quarter in range(4))  # type: ignore[assignment]
    network = linear(kernel + kernel[:, ::-1])
    images, rows = PackedImages(packed_world), np.arange(11)
    once = predict_views(network, images, rows, EACH_ONCE)
    np.testing.assert_allclose(predict_views(network, images, rows, score), once, atol=1e-3)
    assert np.ptp(once[:, 0]) > 0.1


def test_a_turned_image_gets_the_same_prediction(model: keras.Model, packed_world: Path) -> None:
    pixels, rows = PackedImages(packed_world).read(np.arange(4)), np.arange(4)
    for score in (MEAN, MAXIMUM):
        upright, turned_ = (
            predict_views(model, Pictures(each), rows, score)  # type: ignore[arg-type]
            for each in (pixels, turned(pixels, 5))
        )
        np.testing.assert_allclose(upright, turned_, atol=1e-4)
    once = [
        predict_views(model, Pictures(each), rows, EACH_ONCE)  # type: ignore[arg-type]
        for each in (pixels, turned(pixels, 5))
    ]
    assert np.abs(once[0] - once[1]).max() > 1e-3


def saved(network: keras.Model, folder: Path, split_path: Path, fold: int = 0) -> Path:
    folder.mkdir(parents=True)
    network.save(folder / "best.keras")
    origin = {
        "run_id": f"run of {folder.name}",
        "params": {"train.fold": fold},
        "data": {str(split_path): sha256(split_path)},
        "archives": {"best.keras": sha256(folder / "best.keras")},
    }
    (folder / "provenance.json").write_text(json.dumps(origin))
    return folder / "best.keras"


@pytest.fixture
def split_dir(packed_world: Path, tmp_path: Path) -> Path:
    """Every third image is val of fold 0, the next val of fold 1, the third test."""
    index = read_index(packed_world)
    fold = np.arange(len(index)) % 3
    split = np.array(["val", "train", "test"])[fold].astype(object)
    split[~index["labelled"]] = "unlabelled"
    fold[(fold == 2) | ~index["labelled"].to_numpy(bool)] = NO_FOLD
    assignment = pd.DataFrame({"Id": index["Id"], "group": 0, "split": split, "fold": fold})
    write_split(tmp_path / "split", index, LABELS, assignment)
    return tmp_path / "split"


def score_each_once(model_path: Path, packed_dir: Path, split_dir: Path, scores_dir: Path) -> None:
    score_splits(
        find_models(model_path),
        packed_dir=packed_dir,
        split_dir=split_dir,
        scores_dir=scores_dir,
        score=EACH_ONCE,
        run_id="abc",
    )


def test_each_split_is_scored_in_the_order_of_its_rows(
    model: keras.Model, packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    path = saved(model, tmp_path / "model", split_dir / "assignment.csv")
    score_each_once(path, packed_world, split_dir, tmp_path / "scores")
    names = sorted(path.name for path in (tmp_path / "scores").iterdir())
    assert names == ["networks.json", "test.npz", "unlabelled.npz", "val.npz"]
    index = read_index(packed_world)
    rows = np.flatnonzero((np.arange(len(index)) % 3 == 0) & index["labelled"])
    val = Scores.read(tmp_path / "scores/val.npz")
    assert val.run_id == "abc"
    assert list(val.ids) == list(index["Id"][rows])
    np.testing.assert_array_equal(val.y_true, LABELS.indicators(index["Target"][rows]))
    expected = sigmoid(predict_logits(model, PackedImages(packed_world), rows, batch_size=8))
    np.testing.assert_allclose(val.y_prob, expected, atol=1e-6)


def test_holdout_images_are_scored_and_scores_of_an_earlier_split_do_not_stay(
    model: keras.Model, packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    index = read_index(packed_world)
    assignment = pd.read_csv(split_dir / "assignment.csv", dtype={"Id": str})
    chosen = np.flatnonzero(assignment["split"] == "test")[:2]
    for n_holdout in (2, 0):
        assignment.loc[chosen, "split"] = "holdout" if n_holdout else "test"
        write_split(split_dir, index, LABELS, assignment)
        path = saved(model, tmp_path / f"model{n_holdout}", split_dir / "assignment.csv")
        score_each_once(path, packed_world, split_dir, tmp_path / "scores")
        holdout = tmp_path / "scores/holdout.npz"
        assert holdout.is_file() == (n_holdout > 0)
        if n_holdout:
            assert Scores.read(holdout).ids.tolist() == index["Id"][chosen].tolist()
            test = Scores.read(tmp_path / "scores/test.npz")
            assert not set(test.ids) & set(index["Id"][chosen])


def test_val_images_are_scored_by_the_networks_that_did_not_train_on_them(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    """The logits are always -1, 2 and 3; the last two networks left out fold 1."""
    for number, (logit, fold) in enumerate(((-1.0, 0), (2.0, 1), (3.0, 1))):
        network = linear(np.zeros((32, 32)))
        constant = keras.Sequential([network, keras.layers.Rescaling(1.0, offset=logit)])
        saved(constant, tmp_path / f"models/{number}", split_dir / "assignment.csv", fold)
    models = find_models(tmp_path / "models")
    require_same_data(models, packed_world / "index.csv", split_dir / "assignment.csv")
    score_splits(
        models,
        packed_dir=packed_world,
        split_dir=split_dir,
        scores_dir=tmp_path / "scores",
        score=EACH_ONCE,
        run_id="",
    )
    index = read_index(packed_world)
    val = Scores.read(tmp_path / "scores/val.npz")
    left_out = np.arange(len(index)) % 3
    rows = np.flatnonzero((left_out < 2) & index["labelled"])
    assert list(val.ids) == list(index["Id"][rows])
    # fold 0: the first alone, -1; fold 1: (2 + 3) / 2
    expected = np.where(left_out[rows] == 0, sigmoid(np.array(-1.0)), sigmoid(np.array(2.5)))
    np.testing.assert_allclose(val.y_prob[:, 7], expected, rtol=1e-6)
    for name in ("test", "unlabelled"):  # all three: (-1 + 2 + 3) / 3
        y_prob = Scores.read(tmp_path / f"scores/{name}.npz").y_prob
        np.testing.assert_allclose(y_prob, sigmoid(np.array(4 / 3)), rtol=1e-6)


def test_an_archive_that_a_stopped_training_overwrote_is_refused(
    model: keras.Model, packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    path = saved(model, tmp_path / "model", split_dir / "assignment.csv")
    linear(np.ones((32, 32))).save(path)  # its provenance.json still describes the other
    with pytest.raises(UserError, match=r"best\.keras is refused[\s\S]*as in provenance\.json"):
        score_splits(
            find_models(path),
            packed_dir=packed_world,
            split_dir=split_dir,
            scores_dir=tmp_path / "scores",
            score=EACH_ONCE,
            run_id="",
        )
    assert not (tmp_path / "scores").exists()


def test_a_network_of_another_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "assignment.csv"
    path.write_text("today's")
    model = Model(Path("m/best.keras"), {"data": {str(path): "0" * 64}})
    with pytest.raises(UserError, match=r"m/best\.keras was trained with another split"):
        require_same_data([model], path.with_name("index.csv"), path)


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    for path, received in ((tmp_path, "a folder without"), (tmp_path / "x.keras", "no such file")):
        with pytest.raises(UserError, match=rf"holds no model[\s\S]*{received}"):
            find_models(path)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_same_scores(
    backend: str, model: keras.Model, packed_world: Path, tmp_path: Path
) -> None:
    python = python_with(backend)
    model.save(tmp_path / "model.keras")
    code = (
        "import sys, keras, numpy; from pathlib import Path; from hpa.config.sections import Score;"
        "from hpa.data.packed.packed_images import PackedImages;"
        "from hpa.inference.prediction import predict_views;"
        "network = keras.saving.load_model(sys.argv[1]); images = PackedImages(Path(sys.argv[2]));"
        "score = Score('', 8, 'dihedral', 'mean_logit');"
        "found = predict_views(network, images, numpy.arange(11), score);"
        "numpy.save(sys.argv[3], found)"
    )
    arguments = [str(tmp_path / "model.keras"), str(packed_world), str(tmp_path / "found.npy")]
    environment = {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [python, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = predict_views(model, PackedImages(packed_world), np.arange(11), MEAN)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-3)
