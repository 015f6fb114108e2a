"""Activation maps equal Grad-CAM computed by gradients."""

import keras
import numpy as np
import pytest

from hpa.errors import UserError
from hpa.model.grad_cam import activation_maps
from hpa.model.resnet import build_resnet34

IMAGES = np.random.default_rng(3).integers(0, 256, (2, 64, 64, 4), dtype=np.uint8)


def randomised(model: keras.Model) -> keras.Model:
    """Assign head and statistics values that differ by class and feature."""
    random = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(random.normal(0, 1, layer.kernel.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(random.uniform(0.5, 2, layer.gamma.shape))
            layer.moving_mean.assign(random.normal(0, 1, layer.gamma.shape))
            layer.moving_variance.assign(random.uniform(0.5, 2, layer.gamma.shape))
    return model


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return randomised(build_resnet34(64, 4, label_rates=np.full(28, 0.1), dropout=0.5))


def small(*head: keras.layers.Layer) -> keras.Model:
    images = keras.Input((8, 8, 4), dtype="uint8")
    features = keras.layers.Conv2D(6, 3, strides=2)(keras.layers.Rescaling(1 / 255)(images))
    for layer in head:
        features = layer(features)
    return randomised(keras.Model(images, features))


def grad_cam(model: keras.Model, images: np.ndarray, label: int) -> np.ndarray:
    """Compute Grad-CAM as in its paper, by automatic differentiation."""
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradients are taken with TensorFlow")
    pooling = next(each for each in model.layers if "pooling" in each.name)
    with_features = keras.Model(model.input, [pooling.input, model.output])
    with tensorflow.GradientTape() as tape:
        features, logits = with_features(images, training=False)
        logit = logits[:, label]
    alpha = tape.gradient(logit, features).numpy().mean(axis=(1, 2))
    return np.maximum((features.numpy() * alpha[:, None, None]).sum(axis=-1), 0)


def test_the_maps_are_grad_cam_of_the_networks_logits(network: keras.Model) -> None:
    maps = activation_maps(network, IMAGES)
    assert maps.shape == (2, 2, 2, 28)
    assert maps.dtype == np.float32
    for label in np.argsort(maps.max(axis=(0, 1, 2)))[-3:]:
        expected = grad_cam(network, IMAGES, int(label))
        assert expected.max() > 0
        np.testing.assert_allclose(
            maps[..., label], expected, atol=1e-4 * expected.max(), rtol=1e-3
        )


@pytest.mark.parametrize(
    "pooling", [keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D]
)
def test_maps_of_one_pooling_without_normalisation_are_grad_cam_too(pooling: type) -> None:
    model = small(pooling(name="pooling"), keras.layers.Dense(28))
    images = IMAGES[:, :8, :8]
    expected = grad_cam(model, images, 4)
    maps = activation_maps(model, images)[..., 4]
    np.testing.assert_allclose(maps, expected, atol=1e-5 * expected.max(), rtol=1e-4)


def test_signed_maps_of_average_pooling_add_up_to_the_logit_without_bias() -> None:
    model = small(keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(28))
    maps = activation_maps(model, IMAGES[:, :8, :8])
    head = model.layers[-1]
    head.kernel.assign(-head.kernel)  # ReLU(m) - ReLU(-m) = m
    negative = activation_maps(model, IMAGES[:, :8, :8])
    # Z pixels, each with weight w / Z: their sum is the logit.
    logits = -keras.ops.convert_to_numpy(model(IMAGES[:, :8, :8]))
    np.testing.assert_allclose((maps - negative).sum(axis=(1, 2)), logits, atol=1e-4)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (
            [
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(8, activation="relu", name="hidden"),
                keras.layers.Dense(28),
            ],
            "'hidden' of kind Dense",
        ),
        ([keras.layers.Flatten(), keras.layers.Dense(28)], "no global pooling"),
        (
            [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(28, activation="sigmoid")],
            "with an activation",
        ),
    ],
)
def test_a_head_that_is_not_linear_is_refused(head: list[keras.layers.Layer], said: str) -> None:
    with pytest.raises(UserError, match=said):
        activation_maps(small(*head), IMAGES[:, :8, :8])
