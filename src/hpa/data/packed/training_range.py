"""Range of the training images, and quality flags for images outside it.

18 measures describe an image: brightness, focus and contrast of each channel, and the correlation
of each pair of channels. A Gaussian over the training images gives the likelihood of each order of
the four channels.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import PackedImages
from hpa.errors import UserError
from hpa.labels import CHANNELS

BLANK_STD = 1.0
"""Grey levels: a channel of smaller standard deviation is blank (as in `hpa.data.shards`)."""
N_MEASURED = 2000
"""Largest number of training images measured: more change the range little and take minutes."""
SWAP_QUANTILE = 0.995
"""Quantile of the training images at which an image counts as swapped: 1 of 200 is beyond."""
ORDERS = tuple(permutations(range(len(CHANNELS))))
"""All orders of the four channels, the correct one first."""
PAIRS = tuple(combinations(range(len(CHANNELS)), 2))
N_MEASURES = 3 * len(CHANNELS) + len(PAIRS)
BRIGHTNESS, FOCUS = "brightness", "focus"


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Ranges and Gaussian of the measures over the training images.

    Attributes:
        low, high: float64[2,4], smallest and largest brightness and focus of each channel.
        mean, precision: float64[M] and float64[M,M] of the Gaussian over all M measures.
        swap_margin: log likelihood by which another order of the channels must exceed the given
            one to flag the image as swapped.
        n_images: number of images measured.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    precision: np.ndarray
    swap_margin: float
    n_images: int

    def flags(self, pixels: np.ndarray, *, black: Container[str] = ()) -> list[str]:
        """Describe how uint8[S,S,4] differs from the training images, one sentence per difference.

        Brightness and focus are compared for channels that are not blank, and a swap of channels
        is tested only if none is blank. Channels in `black` were so in training, too.
        """
        stds = pixels.std(axis=(0, 1))
        blank = [name for name, std in zip(CHANNELS, stds, strict=True) if std < BLANK_STD]
        flags = [f"the {name} channel shows nothing" for name in blank if name not in black]
        flags += [
            f"the {CHANNELS[one]} and {CHANNELS[other]} channels are the same picture"
            for one, other in PAIRS
            if CHANNELS[one] not in blank and np.array_equal(pixels[..., one], pixels[..., other])
        ]
        measures = brightness_and_focus(pixels)
        for channel, name in enumerate(CHANNELS):
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
        pairs = [
            f"{CHANNELS[given]} looks like {CHANNELS[place]}"
            for place, given in enumerate(ORDERS[best])
            if place != given
        ]
        return [f"channels may be swapped: {', '.join(pairs)}"]

    def to_json(self) -> dict[str, Any]:
        """Return a document of dicts and lists for `json.dump`."""
        brightness, focus = np.stack([self.low, self.high], axis=-1).tolist()
        return {
            BRIGHTNESS: dict(zip(CHANNELS, brightness, strict=True)),
            FOCUS: dict(zip(CHANNELS, focus, strict=True)),
            "mean": self.mean.tolist(),
            "precision": self.precision.tolist(),
            "swap_margin": self.swap_margin,
            "n_images": self.n_images,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrainingRange":
        """Read the document that `to_json` returned.

        Raises:
            UserError: a key is missing or has a wrong type.
        """
        try:
            rows = [[document[row][name] for name in CHANNELS] for row in (BRIGHTNESS, FOCUS)]
            low, high = np.moveaxis(np.array(rows, float), -1, 0)
            return cls(
                low=low,
                high=high,
                mean=np.array(document["mean"], float),
                precision=np.array(document["precision"], float).reshape(N_MEASURES, N_MEASURES),
                swap_margin=float(document["swap_margin"]),
                n_images=int(document["n_images"]),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(
                "the training range cannot be read",
                expected="brightness, focus, mean, precision, swap_margin and n_images",
                received=f"{type(error).__name__}: {error}",
                remedy="take the whole model folder as the train stage wrote it",
            ) from error


def measure_training_images(packed_dir: Path, split_dir: Path, fold: int) -> TrainingRange:
    """Measure the training images of a fold, at most `N_MEASURED` evenly spaced ones."""
    images = PackedImages(packed_dir)
    rows = np.flatnonzero(read_assignment(split_dir, fold)["split"] == "train")
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), N_MEASURED)).astype(int)]
    return fit_training_range(images.read(chosen[[place]])[0] for place in range(len(chosen)))


def fit_training_range(images: Iterable[np.ndarray]) -> TrainingRange:
    """Fit the ranges and the Gaussian to images, each uint8[S,S,4]."""
    pairs = [_range_and_measures(pixels) for pixels in images]
    ranges, measures = (np.array(each) for each in zip(*pairs, strict=True))
    rightly = measures[:, 0]
    mean = rightly.mean(axis=0)
    covariance = np.cov(rightly, rowvar=False, bias=True)
    # Shrunk towards the diagonal: with few images the covariance is singular.
    spread = np.diag(np.maximum(np.diag(covariance), 1e-4))
    precision = np.linalg.inv(0.9 * covariance + 0.1 * spread)
    surprises = np.array([_surprise_of_orders(each, mean, precision) for each in measures])
    margins = surprises[:, 0] - surprises.min(axis=1)
    return TrainingRange(
        low=ranges.min(axis=0),
        high=ranges.max(axis=0),
        mean=mean,
        precision=precision,
        swap_margin=float(np.quantile(margins, SWAP_QUANTILE)),
        n_images=len(ranges),
    )


def brightness_and_focus(pixels: np.ndarray) -> np.ndarray:
    """Measure uint8[S,S,4] as float64[2,4].

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
    """Compute the M measures of uint8[S,S,4] in each of the 24 channel orders, float64[24,M].

    `measured` is its `brightness_and_focus`.
    """
    (brightness, focus), std = measured, pixels.std(axis=(0, 1))
    contrast = np.log((std + 1) / (brightness + 1))
    flat = pixels.reshape(-1, len(CHANNELS)).astype(np.float64)
    centred = (flat - flat.mean(axis=0)) / (flat.std(axis=0) + 1)
    together = centred.T @ centred / len(flat)
    orders = np.array(ORDERS)
    pairs = [together[orders[:, one], orders[:, other]] for one, other in PAIRS]
    single = [values[orders] for values in (focus, contrast, np.log1p(brightness))]
    return np.hstack([*single, np.transpose(pairs)])


def _surprise_of_orders(
    measures: np.ndarray, mean: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """Return the negative log likelihood of each order, float64[24], up to a constant."""
    away = measures - mean
    return np.asarray(0.5 * np.einsum("om,mn,on->o", away, precision, away))
