"""Label-preserving augmentation: parameters drawn by seed and step, applied on the device.

The generator draws the parameters; layers without weights or random state apply them to the
pixels. So a step's images depend on (seed, step) alone, on every backend, and a resumed training
sees the images of an uninterrupted one. The network that is saved, validated and scored has no
augmentation.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from hpa.config.sections import Augment
from hpa.seeds import stream

BLUR_RADIUS = 4
"""Pixels: 99.3 % of a Gaussian of 1.5 pixels, the widest that `augment.blur` allows."""


def draw_changes(
    augment: Augment, seed: int, step: int, n_images: int, n_channels: int
) -> dict[str, np.ndarray]:
    """Draw the parameters of a step's augmentation; a kind that is off is absent.

    The kinds are independent: switching one on or off does not change the others.

    Returns:
        `turn` int32[B] in 0 … 7: an element of the square's symmetry group (see `Turn`);
        `warp` float32[B,2]: counterclockwise angle in radians, and zoom factor;
        `blur` float32[B]: standard deviation in pixels;
        `gamma` float32[B,K]: one exponent per channel, as often below 1 as above.
    """
    changes: dict[str, np.ndarray] = {}
    if augment.turn:
        changes["turn"] = stream(seed, "turn", step).integers(8, size=n_images, dtype=np.int32)
    if augment.rotation or augment.zoom:
        centred = stream(seed, "warp", step).uniform(-1, 1, (n_images, 2))
        warp = [0, 1] + centred * [math.radians(augment.rotation), augment.zoom]
        changes["warp"] = warp.astype(np.float32)
    if augment.blur:
        sigma = stream(seed, "blur", step).uniform(0, augment.blur, n_images)
        changes["blur"] = sigma.astype(np.float32)
    if augment.contrast:
        centred = stream(seed, "gamma", step).uniform(-1, 1, (n_images, n_channels))
        changes["gamma"] = ((1 + augment.contrast) ** centred).astype(np.float32)
    return changes


def with_augmentation(network: keras.Model, augment: Augment) -> keras.Model:
    """Put the augmentation layers that are on before a network; its weights are shared.

    Returns:
        A model from {"images": uint8[B,S,S,K], **`draw_changes`} to the network's output.
    """
    images = keras.Input(network.input.shape[1:], dtype="uint8", name="images")
    inputs, changed = {"images": images}, images
    for name, numbers in draw_changes(augment, 0, 0, 1, images.shape[3]).items():
        inputs[name] = keras.Input(numbers.shape[1:], dtype=numbers.dtype.name, name=name)
        changed = LAYERS[name](name=f"{name}_images")(changed, inputs[name])
    return keras.Model(inputs, network(changed), name=f"augmented_{network.name}")


class Change(keras.layers.Layer):
    """Pure function from uint8[B,S,S,K] and parameters per image to uint8[B,S,S,K]."""

    def __init__(self, **kwargs: Any) -> None:
        # Grey levels and angles need float32 even if the network computes in half precision.
        super().__init__(autocast=False, dtype="float32", **kwargs)

    def compute_output_spec(self, images: Any, numbers: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the images."""
        return keras.KerasTensor(images.shape, "uint8")


class Turn(Change):
    """Rotate by `turn % 4` right angles counterclockwise, then mirror if `turn` is 4 or more."""

    def call(self, images: Any, turn: Any) -> Any:
        """Return uint8[B,S,S,K] from `turn` int32[B]; every pixel is kept as it is."""
        turn = turn[:, None, None]
        quarters = turn % 4
        cosine, sine = _sign(quarters == 0, quarters == 2), _sign(quarters == 1, quarters == 3)
        mirror = _sign(turn < 4, turn >= 4)
        return _pixels_at(images, *_rotated(images.shape[1], cosine, sine, mirror))


class Warp(Change):
    """Rotate about the centre and zoom in one bilinear pass; pixels from outside are black."""

    def call(self, images: Any, warp: Any) -> Any:
        """Return uint8[B,S,S,K] from `warp` float32[B,2], angle and zoom factor."""
        size = images.shape[1]
        angle, factor = warp[:, 0, None, None], warp[:, 1, None, None]
        row, column = _rotated(size, ops.cos(angle) / factor, ops.sin(angle) / factor)
        top, left = ops.floor(row), ops.floor(column)
        total = 0.0
        for y, x in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            weight = (1 - ops.abs(row - y)) * (1 - ops.abs(column - x))
            inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
            weight = ops.where(inside, weight, 0.0)
            corner = _pixels_at(images, *(ops.clip(each, 0, size - 1) for each in (y, x)))
            total = total + weight[..., None] * ops.cast(corner, "float32")
        return _grey_levels(total)


class Blur(Change):
    """Convolve with a Gaussian, as an objective slightly out of focus does; edges are repeated."""

    def call(self, images: Any, blur: Any) -> Any:
        """Return uint8[B,S,S,K] from `blur` float32[B], the standard deviation in pixels."""
        offsets = ops.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype="float32")
        sigma = ops.maximum(blur, 1e-3)[:, None]  # at 1e-3 the Gaussian is one pixel
        weights = ops.exp(-0.5 * ops.square(offsets / sigma))
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        blurred = ops.cast(images, "float32")
        for axis in (1, 2):
            blurred = _convolved(blurred, weights, axis)
        return _grey_levels(blurred)


class Gamma(Change):
    """Raise each channel, relative to its maximum, to an exponent: contrast of another camera."""

    def call(self, images: Any, gamma: Any) -> Any:
        """Return uint8[B,S,S,K] from `gamma` float32[B,K], positive; black and maximum stay."""
        images = ops.cast(images, "float32")
        peak = ops.maximum(ops.max(images, axis=(1, 2), keepdims=True), 1)
        return _grey_levels(peak * ops.power(images / peak, gamma[:, None, None, :]))


LAYERS: dict[str, type[Change]] = {"turn": Turn, "warp": Warp, "blur": Blur, "gamma": Gamma}


def _convolved(images: Any, weights: Any, axis: int) -> Any:
    """Convolve float32[B,S,S,K] along an axis with float32[B,2R+1] per image."""
    size, n_weights = images.shape[axis], weights.shape[1]
    total = 0.0
    for place in range(n_weights):
        source = np.clip(np.arange(size) + place - n_weights // 2, 0, size - 1)
        weight = weights[:, place, None, None, None]
        total = total + weight * ops.take(images, source.astype(np.int32), axis=axis)
    return total


def _rotated(size: int, cosine: Any, sine: Any, mirror: Any = 1.0) -> tuple[Any, Any]:
    """Return the source row and column float32[B,S,S] of each pixel after rotation and mirror."""
    centre = (size - 1) / 2
    place = ops.arange(size, dtype="float32") - centre
    down, right = place[None, :, None], mirror * place[None, None, :]
    return centre + cosine * down + sine * right, centre + cosine * right - sine * down


def _pixels_at(images: Any, row: Any, column: Any) -> Any:
    """Return uint8[B,S,S,K], the pixels at integer rows and columns float32[B,S,S]."""
    n_images, size, channels = ops.shape(images)[0], images.shape[1], images.shape[3]
    first = size * size * ops.arange(n_images, dtype="int32")[:, None, None]
    places = first + size * ops.cast(row, "int32") + ops.cast(column, "int32")
    return ops.take(ops.reshape(images, (-1, channels)), places, axis=0)


def _sign(positive: Any, negative: Any) -> Any:
    """Return float32: 1 where `positive` is true, -1 where `negative` is, 0 elsewhere."""
    return ops.cast(positive, "float32") - ops.cast(negative, "float32")


def _grey_levels(values: Any) -> Any:
    return ops.cast(ops.clip(ops.round(values), 0, 255), "uint8")
