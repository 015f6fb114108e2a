from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from hpa.data.packed import PackedImages, read_index
from hpa.data.splitting import write_split
from hpa.labels import indicator_matrix
from hpa.model.resnet import build_resnet34
from hpa.prediction import predict_logits, score_splits, sigmoid
from hpa.scoring.scores import Scores


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    model = build_resnet34(32, label_rates=np.full(28, 0.1), dropout=0.5)
    kernel = model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(4).normal(0, 0.1, kernel.shape))
    return model


def test_neither_batch_size_nor_company_changes_an_image_s_logits(
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


def test_each_split_is_scored_in_the_order_of_its_rows(
    model: keras.Model, packed_world: Path, tmp_path: Path
) -> None:
    index = read_index(packed_world)
    split = np.array(["train", "val", "test"])[np.arange(len(index)) % 3].astype(object)
    assignment = pd.DataFrame({"Id": index["Id"], "group": 0, "split": split})
    write_split(tmp_path / "split", index, assignment)
    model.save(tmp_path / "model.keras")
    score_splits(
        tmp_path / "model.keras",
        packed_dir=packed_world,
        split_dir=tmp_path / "split",
        scores_dir=tmp_path / "scores",
        batch_size=8,
        run_id="abc",
    )
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == ["test.npz", "val.npz"]
    val, rows = Scores.read(tmp_path / "scores/val.npz"), np.flatnonzero(split == "val")
    assert val.run_id == "abc"
    assert list(val.ids) == list(index["Id"][rows])
    np.testing.assert_array_equal(val.y_true, indicator_matrix(index["Target"][rows]))
    expected = sigmoid(predict_logits(model, PackedImages(packed_world), rows, batch_size=8))
    np.testing.assert_allclose(val.y_prob, expected, atol=1e-6)
