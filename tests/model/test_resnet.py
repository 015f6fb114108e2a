import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from hpa.model import resnet
from hpa.model.losses import FocalLoss
from hpa.model.resnet import BACKBONE, build_resnet34
from hpa.model.weights import all_layers, portable, weights_sha256
from support.paths import ROOT

RATES = np.linspace(0.01, 0.4, 28)
IMAGES = np.random.default_rng(3).integers(0, 256, (2, 64, 64, 4), dtype=np.uint8)


def build(seed: int = 1) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build_resnet34(64, 4, label_rates=RATES, dropout=0.5)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build()


def test_the_backbone_is_resnet34_with_four_input_channels(model: keras.Model) -> None:
    # torchvision's ResNet-34 without its classifier has 21,284,672 weights and 17,024 statistics;
    # the fourth channel adds 7 * 7 * 64 = 3,136
    assert model.get_layer(BACKBONE).count_params() == 21_284_672 + 17_024 + 3_136
    assert model.get_layer(BACKBONE).output.shape == (None, 2, 2, 512)


def test_an_image_becomes_28_logits(model: keras.Model) -> None:
    assert keras.ops.shape(model(IMAGES)) == (2, 28)


@pytest.mark.parametrize(("n_channels", "n_labels"), [(1, 1), (8, 300)])
def test_any_number_of_channels_becomes_any_number_of_logits(
    n_channels: int, n_labels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resnet, "BLOCKS", (1, 1, 1, 1))
    network = build_resnet34(32, n_channels, label_rates=np.full(n_labels, 0.2), dropout=0.5)
    assert keras.ops.shape(network(np.ones((2, 32, 32, n_channels), np.uint8))) == (2, n_labels)


def test_the_bias_starts_at_the_log_odds_of_the_label_rates(model: keras.Model) -> None:
    bias = keras.ops.convert_to_numpy(model.get_layer("logits").bias)
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), RATES, rtol=1e-5)


def test_each_channel_of_each_image_is_normalised_separately(model: keras.Model) -> None:
    layers = keras.Model(model.input, model.get_layer("normalisation").output)
    normalised = keras.ops.convert_to_numpy(layers(IMAGES))
    scaled = IMAGES / 255
    mean, var = (f(scaled, axis=(1, 2), keepdims=True) for f in (np.mean, np.var))
    np.testing.assert_allclose(normalised, (scaled - mean) / np.sqrt(var + 255**-2), atol=1e-4)


def test_neither_exposure_nor_background_changes_the_prediction(model: keras.Model) -> None:
    dim = (IMAGES // 4 * 2).astype(np.uint8)
    bright = (dim.astype(int) + 100).astype(np.uint8)
    first, second = (keras.ops.convert_to_numpy(model(images)) for images in (dim, bright))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_a_blank_channel_gives_finite_logits(model: keras.Model) -> None:
    blank = IMAGES.copy()
    blank[..., 1] = 0
    assert np.isfinite(keras.ops.convert_to_numpy(model(blank))).all()


def test_dropout_is_off_in_inference(model: keras.Model) -> None:
    first, second = (keras.ops.convert_to_numpy(model(IMAGES)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model: keras.Model) -> None:
    assert weights_sha256(build()) == weights_sha256(model)
    assert weights_sha256(build(seed=2)) != weights_sha256(model)


@pytest.mark.slow
def test_a_saved_model_loads_with_keras_alone(model: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    model.save(path)
    code = (
        "import sys, keras; from hpa.model.weights import weights_sha256\n"
        f"model = keras.saving.load_model({str(path)!r}, compile=False, safe_mode=True)\n"
        "assert 'keras_hub' not in sys.modules\n"
        "print(weights_sha256(model))"
    )
    source_dir = ROOT / "src"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source_dir), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == weights_sha256(model)


def test_a_copy_to_save_computes_in_float32_with_the_same_weights(model: keras.Model) -> None:
    half = build_resnet34(32, 4, label_rates=RATES, dropout=0.5, precision="mixed_bfloat16")
    assert half.get_layer(BACKBONE).get_layer("stack0_block0_1_conv").compute_dtype == "bfloat16"
    half.compile(loss=FocalLoss())  # as a network in training is
    copy = portable(half)
    assert weights_sha256(copy) == weights_sha256(half)
    kinds = {layer.compute_dtype for layer in all_layers(copy)}
    assert kinds <= {"float32", "uint8"}
    assert portable(model).weights[0] is model.weights[0]  # nothing to change, nothing copied


def test_averages_alone_halve_the_pooled_features() -> None:
    average = build_resnet34(32, 4, label_rates=RATES, dropout=0.5, pooling="average")
    assert average.get_layer("logits").kernel.shape == (512, 28)
