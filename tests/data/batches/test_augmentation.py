"""Augmentation is a function of seed and step; kinds that are off change no bit."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hpa.config.params import load_params
from hpa.config.sections import Augment
from hpa.data.batches.augmentation import Blur, Gamma, Turn, Warp, draw_changes, with_augmentation
from hpa.model.resnet import build_resnet34
from support.paths import ROOT

OFF = Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0)
ALL = Augment(turn=True, rotation=30.0, zoom=0.2, blur=1.5, contrast=0.5)
IMAGES = np.random.default_rng(1).integers(0, 256, (8, 6, 6, 4), dtype=np.uint8)


def applied(layer: keras.Layer, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    result = keras.ops.convert_to_numpy(layer(images, numbers))
    assert result.dtype == np.uint8
    return result


def turned(image: list[list[int]], choice: int) -> list[list[int]]:
    pixels = np.array(image, np.uint8)[None, ..., None]
    return applied(Turn(), pixels, np.array([choice], np.int32))[0, ..., 0].tolist()


def warped(images: np.ndarray, degrees: float, factor: float) -> np.ndarray:
    numbers = np.tile(np.array([np.radians(degrees), factor], np.float32), (len(images), 1))
    return applied(Warp(), images, numbers)


def test_the_eight_turns_are_the_symmetries_of_the_square() -> None:
    image = [[0, 1], [2, 3]]
    assert turned(image, 0) == image
    assert turned(image, 1) == [
        [1, 3],
        [0, 2],
    ]  # counterclockwise: the right column becomes the top row
    assert turned(image, 2) == [[3, 2], [1, 0]]
    assert turned(image, 4) == [[1, 0], [3, 2]]  # mirrored left to right
    assert len({str(turned(image, choice)) for choice in range(8)}) == 8


def test_turns_of_a_batch_are_those_of_numpy() -> None:
    result = applied(Turn(), IMAGES, np.arange(8, dtype=np.int32))
    for choice, (before, after) in enumerate(zip(IMAGES, result, strict=True)):
        expected = np.rot90(before, choice % 4)
        assert np.array_equal(after, expected[:, ::-1] if choice >= 4 else expected)


def test_neutral_parameters_change_no_bit() -> None:
    images = np.random.default_rng(2).integers(0, 256, (2, 33, 33, 4), dtype=np.uint8)
    assert np.array_equal(applied(Turn(), images, np.zeros(2, np.int32)), images)
    assert np.array_equal(warped(images, 0, 1), images)
    assert np.array_equal(applied(Blur(), images, np.zeros(2, np.float32)), images)
    assert np.array_equal(applied(Gamma(), images, np.ones((2, 4), np.float32)), images)


def test_a_rotation_by_a_right_angle_is_a_turn() -> None:
    expected = applied(Turn(), IMAGES, np.ones(8, np.int32))
    inner = warped(IMAGES, 90, 1)[:, 1:-1, 1:-1].astype(int)
    assert np.abs(inner - expected[:, 1:-1, 1:-1]).max() <= 1


def test_a_warp_by_half_a_pixel_is_worked_by_hand() -> None:
    """Zoomed by 2 about the centre of 2×2: each output pixel is 0.25 pixels off the centre."""
    image = np.array([[0, 40], [80, 200]], np.uint8)[None, ..., None]
    # At (0.25, 0.25): 0.75·0.75·0 + 0.75·0.25·(40 + 80) + 0.25·0.25·200 = 22.5 + 12.5 = 35
    # At (0.25, 0.75): 0.75·0.75·40 + 0.25·0.25·80 + 0.75·0.25·200 = 22.5 + 5 + 37.5 = 65
    # At (0.75, 0.25): 0.75·0.75·80 + 0.25·0.25·40 + 0.75·0.25·200 = 45 + 2.5 + 37.5 = 85
    # At (0.75, 0.75): 0.75·0.75·200 + 0.75·0.25·(40 + 80) = 112.5 + 22.5 = 135
    assert warped(image, 0, 2)[0, ..., 0].tolist() == [[35, 65], [85, 135]]


def test_pixels_from_outside_are_black() -> None:
    white = np.full((1, 9, 9, 4), 255, np.uint8)
    shrunk = warped(white, 0, 0.5)[0, ..., 0]
    assert (shrunk[0] == 0).all()
    assert (shrunk[3:6, 3:6] == 255).all()
    assert warped(white, 45, 1)[0, 0, 0].tolist() == [0] * 4


def test_a_blur_is_the_gaussian_of_scipy() -> None:
    images = np.random.default_rng(3).integers(0, 256, (3, 17, 17, 4), dtype=np.uint8)
    sigmas = np.array([0.4, 1.0, 1.5], np.float32)
    for image, sigma, found in zip(images, sigmas, applied(Blur(), images, sigmas), strict=True):
        scale = (sigma, sigma, 0)
        expected = gaussian_filter(image.astype(float), scale, mode="nearest", radius=(4, 4, 0))
        assert np.abs(found - expected).max() < 0.51  # rounded to grey levels


def test_gamma_bends_each_channel_between_black_and_its_maximum() -> None:
    image = np.array([0, 25, 100], np.uint8)[None, None, :, None].repeat(4, axis=3)
    found = applied(Gamma(), image, np.array([[0.5, 1.0, 2.0, 1.5]], np.float32))
    # 100·(25/100)^γ = 50, 25, 6.25 and 12.5
    assert found[0, 0].T.tolist() == [[0, 50, 100], [0, 25, 100], [0, 6, 100], [0, 12, 100]]
    assert not applied(Gamma(), np.zeros_like(image), np.full((1, 4), 0.5, np.float32)).any()


def test_gamma_and_blur_reach_the_network_through_its_normalisation() -> None:
    """A factor on a channel would not: normalisation divides by the standard deviation."""
    images = np.random.default_rng(4).integers(0, 100, (4, 32, 32, 4), dtype=np.uint8)
    network = build_resnet34(32, 4, label_rates=np.full(28, 0.5), dropout=0.0)
    normalise = keras.Model(network.input, network.get_layer("normalisation").output)
    before = normalise.predict(images, verbose=0)

    def shift(changed: np.ndarray) -> float:
        return float(np.abs(normalise.predict(changed, verbose=0) - before).mean())

    assert shift(2 * images) < 0.01
    assert shift(applied(Gamma(), images, np.full((4, 4), 1.5, np.float32))) > 0.1
    assert shift(applied(Blur(), images, np.full(4, 0.7, np.float32))) > 0.1


def test_parameters_are_a_function_of_seed_and_step() -> None:
    first, again = (draw_changes(ALL, 7, 12, 5, 4) for _ in range(2))
    assert {name: (array.shape, array.dtype.name) for name, array in first.items()} == {
        "turn": ((5,), "int32"),
        "warp": ((5, 2), "float32"),
        "blur": ((5,), "float32"),
        "gamma": ((5, 4), "float32"),
    }
    for name in first:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], draw_changes(ALL, 7, 13, 5, 4)[name])
        assert not np.array_equal(first[name], draw_changes(ALL, 8, 12, 5, 4)[name])


def test_parameters_fill_their_ranges() -> None:
    drawn = draw_changes(ALL, 1, 0, 2000, 4)
    assert set(drawn["turn"]) == set(range(8))
    for numbers, low, high in (
        (np.degrees(drawn["warp"][:, 0]), -30, 30),
        (drawn["warp"][:, 1], 0.8, 1.2),
        (drawn["blur"], 0, 1.5),
        (np.log(drawn["gamma"]), -np.log(1.5), np.log(1.5)),
    ):
        assert low - 1e-4 <= numbers.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < numbers.max() <= high + 1e-4


def test_switching_one_kind_does_not_change_the_others() -> None:
    assert draw_changes(OFF, 7, 3, 4, 4) == {}
    alone = draw_changes(replace(OFF, turn=True), 7, 3, 4, 4)
    assert list(alone) == ["turn"]
    assert np.array_equal(alone["turn"], draw_changes(ALL, 7, 3, 4, 4)["turn"])


@pytest.fixture
def network() -> keras.Model:
    images = keras.Input((6, 6, 4), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    return keras.Model(images, keras.layers.Dense(3)(flat))


@pytest.mark.parametrize("augment", [OFF, ALL])
def test_the_training_model_changes_the_images_before_the_same_weights(
    network: keras.Model, augment: Augment
) -> None:
    model = with_augmentation(network, augment)
    assert [id(weight) for weight in model.weights] == [id(weight) for weight in network.weights]
    changes = draw_changes(augment, 7, 0, len(IMAGES), 4)
    images = IMAGES
    for name, layer in (("turn", Turn()), ("warp", Warp()), ("blur", Blur()), ("gamma", Gamma())):
        if name in changes:
            images = applied(layer, images, changes[name])
    expected = network.predict(images, verbose=0)
    found = model.predict({"images": IMAGES, **changes}, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (augment is OFF) == np.array_equal(images, IMAGES)


def test_half_precision_networks_get_the_same_images() -> None:
    expected = warped(IMAGES, 20, 1.1)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert np.array_equal(warped(IMAGES, 20, 1.1), expected)
    finally:
        keras.config.set_dtype_policy("float32")


def test_params_yaml_switches_only_turns_on() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.augment == replace(OFF, turn=True)
