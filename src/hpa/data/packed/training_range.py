"""Range of the training images, and quality flags for images outside it.

The measures of an image, 18 for four channels, are brightness, focus and contrast of each channel,
and the correlation of each pair of channels. A Gaussian over the training images gives the
likelihood of each order of the channels.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.pixel_sizes import PIXEL_SIZE, PixelSizes
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.errors import UserError
from hpa.vocabulary.channels import Channels

BLANK_STD = 1.0
"""Grey levels: a channel of smaller standard deviation is blank (as in `hpa.data.shards`)."""
SATURATED = 0.01
"""A channel with a larger fraction of white pixels is overexposed."""
N_MEASURED = 2000
"""Largest number of training images measured: more change the range little and take minutes."""
SWAP_QUANTILE = 0.995
"""Quantile of the training images at which an image counts as swapped: 1 of 200 is beyond."""
MAX_PERMUTED = 4
"""Largest number of channels of which all orders are compared; five have 120, eight 40,320."""
BRIGHTNESS, FOCUS = "brightness", "focus"


@cache
def orders_of(n_channels: int) -> tuple[tuple[int, ...], ...]:
    """List the orders of channels that are compared, the correct one first.

    Of more than `MAX_PERMUTED` channels, these are the exchanges of two.

    >>> orders_of(3)
    ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    >>> len(orders_of(8))
    29
    """
    if n_channels <= MAX_PERMUTED:
        return tuple(permutations(range(n_channels)))
    orders = [list(range(n_channels)) for _ in range(1 + len(pairs_of(n_channels)))]
    for order, (one, other) in zip(orders[1:], pairs_of(n_channels), strict=True):
        order[one], order[other] = other, one
    return tuple(map(tuple, orders))


@cache
def pairs_of(n_channels: int) -> tuple[tuple[int, int], ...]:
    """List the pairs of channels."""
    return tuple(combinations(range(n_channels), 2))


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Ranges and Gaussian of the measures over the training images.

    Attributes:
        channels: the channels, in order.
        low, high: float64[2,K], smallest and largest brightness and focus of each channel.
        mean, precision: float64[M] and float64[M,M] of the Gaussian over all M measures.
        swap_margin: log likelihood by which another order of the channels must exceed the given
            one to flag the image as swapped.
        n_images: number of images measured.
        pixel_sizes: of all training images; None if none has one, or an earlier version trained.
    """

    channels: Channels
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    precision: np.ndarray
    swap_margin: float
    n_images: int
    pixel_sizes: PixelSizes | None = None

    def flags(self, pixels: np.ndarray, *, black: Container[str] = ()) -> list[str]:
        """Describe how uint8[S,S,K] differs from the training images, one sentence per difference.

        Brightness and focus are compared for channels that are not blank, and a swap of channels
        is tested only if none is blank. Channels in `black` were so in training, too.
        """
        stds, names = pixels.std(axis=(0, 1)), self.channels.names
        blank = [name for name, std in zip(names, stds, strict=True) if std < BLANK_STD]
        flags = [f"the {name} channel shows nothing" for name in blank if name not in black]
        flags += [
            f"the {names[one]} and {names[other]} channels are the same picture"
            for one, other in pairs_of(len(names))
            if names[one] not in blank and np.array_equal(pixels[..., one], pixels[..., other])
        ]
        measures = brightness_and_focus(pixels)
        for channel, name in enumerate(names):
            words = ("dimmer", "brighter"), ("blurrier", "sharper or noisier")
            for row, (below, above) in enumerate(words if name not in blank else ()):
                if measures[row, channel] < self.low[row, channel]:
                    flags.append(f"the {name} channel is {below} than any training image")
                elif measures[row, channel] > self.high[row, channel]:
                    flags.append(f"the {name} channel is {above} than any training image")
        return flags if blank else flags + self._swapped(pixels, measures)

    def _swapped(self, pixels: np.ndarray, measures: np.ndarray) -> list[str]:
        surprise = _surprise_of_orders(describe(pixels, measures), self.mean, self.precision)
        best = int(surprise.argmin())
        if surprise[0] - surprise[best] <= self.swap_margin:
            return []
        names = self.channels.names
        pairs = [
            f"{names[given]} looks like {names[place]}"
            for place, given in enumerate(orders_of(len(names))[best])
            if place != given
        ]
        return [f"channels may be swapped: {', '.join(pairs)}"]

    def to_json(self) -> dict[str, Any]:
        """Return a document of dicts and lists for `json.dump`."""
        brightness, focus = np.stack([self.low, self.high], axis=-1).tolist()
        return {
            BRIGHTNESS: dict(zip(self.channels.names, brightness, strict=True)),
            FOCUS: dict(zip(self.channels.names, focus, strict=True)),
            "mean": self.mean.tolist(),
            "precision": self.precision.tolist(),
            "swap_margin": self.swap_margin,
            "n_images": self.n_images,
            **({PIXEL_SIZE: self.pixel_sizes.to_json()} if self.pixel_sizes else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], channels: Channels) -> "TrainingRange":
        """Read the document that `to_json` returned.

        Raises:
            UserError: a key or a channel is missing or has a wrong type.
        """
        try:
            names = channels.names
            rows = [[document[row][name] for name in names] for row in (BRIGHTNESS, FOCUS)]
            n_measures = 3 * len(names) + len(pairs_of(len(names)))
            sizes = document.get(PIXEL_SIZE)
            low, high = np.moveaxis(np.array(rows, float), -1, 0)
            return cls(
                channels=channels,
                low=low,
                high=high,
                mean=np.array(document["mean"], float).reshape(n_measures),
                precision=np.array(document["precision"], float).reshape(n_measures, n_measures),
                swap_margin=float(document["swap_margin"]),
                n_images=int(document["n_images"]),
                pixel_sizes=PixelSizes.from_json(sizes) if sizes else None,
            )
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(
                "the training range cannot be read",
                expected="brightness, focus, mean, precision, swap_margin and n_images",
                received=f"{type(error).__name__}: {error}",
                remedy="take the whole model folder as the train stage wrote it",
            ) from error


def measure_training_images(packed_dir: Path, split_dir: Path, *folds: int) -> TrainingRange:
    """Measure images that any of the folds trains on, at most `N_MEASURED` evenly spaced ones."""
    images = PackedImages(packed_dir)
    splits = [read_assignment(split_dir, fold)["split"] for fold in folds]
    rows = np.flatnonzero(np.any([split == "train" for split in splits], axis=0))
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), N_MEASURED)).astype(int)]
    pixels = (images.read(chosen[[place]])[0] for place in range(len(chosen)))
    seen = fit_training_range(pixels, read_vocabulary(packed_dir).channels)
    return replace(seen, pixel_sizes=PixelSizes.of(read_index(packed_dir).iloc[rows]))


def fit_training_range(images: Iterable[np.ndarray], channels: Channels) -> TrainingRange:
    """Fit the ranges and the Gaussian to images, each uint8[S,S,K]."""
    pairs = [_range_and_measures(pixels) for pixels in images]
    ranges, measures = (np.array(each) for each in zip(*pairs, strict=True))
    in_order = measures[:, 0]
    mean = in_order.mean(axis=0)
    covariance = np.cov(in_order, rowvar=False, bias=True)
    # Shrunk towards the diagonal: with few images the covariance is singular.
    spread = np.diag(np.maximum(np.diag(covariance), 1e-4))
    precision = np.linalg.inv(0.9 * covariance + 0.1 * spread)
    surprises = np.array([_surprise_of_orders(each, mean, precision) for each in measures])
    margins = surprises[:, 0] - surprises.min(axis=1)
    return TrainingRange(
        channels=channels,
        low=ranges.min(axis=0),
        high=ranges.max(axis=0),
        mean=mean,
        precision=precision,
        swap_margin=float(np.quantile(margins, SWAP_QUANTILE)),
        n_images=len(ranges),
    )


def brightness_and_focus(pixels: np.ndarray) -> np.ndarray:
    """Measure uint8[S,S,K] as float64[2,K].

    Brightness is the mean in grey levels. Focus is the logarithm of the variance of a
    channel's Laplacian over that of the channel, so it does not depend on brightness or contrast
    (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000).
    """
    planes = cv2.split(pixels)
    variance = np.array([plane.std() for plane in planes]) ** 2
    edges = np.array([cv2.Laplacian(plane, cv2.CV_32F).var() for plane in planes])
    focus = np.log((edges + 1) / (variance + 1))
    return np.array([[plane.mean() for plane in planes], focus])


def _range_and_measures(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    measured = brightness_and_focus(pixels)
    return measured, describe(pixels, measured)


def describe(pixels: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Compute the M measures of uint8[S,S,K] in each of the O channel orders, float64[O,M].

    `measured` is its `brightness_and_focus`.
    """
    (brightness, focus), std = measured, pixels.std(axis=(0, 1))
    contrast = np.log((std + 1) / (brightness + 1))
    flat = pixels.reshape(-1, len(std)).astype(np.float64)
    centred = (flat - flat.mean(axis=0)) / (flat.std(axis=0) + 1)
    together = centred.T @ centred / len(flat)
    orders = np.array(orders_of(len(std)))
    pairs = [together[orders[:, one], orders[:, other]] for one, other in pairs_of(len(std))]
    single = [values[orders] for values in (focus, contrast, np.log1p(brightness))]
    return np.hstack([*single, np.reshape(pairs, (-1, len(orders))).T])


def _surprise_of_orders(
    measures: np.ndarray, mean: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """Return the negative log likelihood of each order, float64[O], up to a constant."""
    away = measures - mean
    return np.asarray(0.5 * np.einsum("om,mn,on->o", away, precision, away))
