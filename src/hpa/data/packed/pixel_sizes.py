"""Pixel sizes of images, in micrometres: those of a catalogue, and those of the training images."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpa.errors import UserError, first_names

PIXEL_SIZE = "pixel_size_um"
"""Column of the catalogue and the index: micrometres per pixel of the files."""
PACKED_SIZE = "packed_pixel_size_um"
"""Column of the index: micrometres per packed pixel, if any image has a pixel size."""
UNKNOWN = "the pixel size is unknown"
"""Beginning of the flags of images without a pixel size."""
TOLERANCE = 1.1
"""Factor beyond the range of the training images up to which a size is not flagged."""
MAX_ENLARGEMENT = 1.5
"""Factor of enlargement to `pack.pixel_size_um` up to which an image is not flagged."""


def with_pixel_sizes(images: pd.DataFrame, place: str) -> pd.DataFrame:
    """Return a catalogue with pixel sizes as numbers, None where they are unknown.

    Raises:
        UserError: a cell is not a positive number; `place` names the table.
    """
    texts = images.get(PIXEL_SIZE, pd.Series("", index=images.index)).astype(str)
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = (texts != "") & ~(np.isfinite(numbers) & (numbers > 0))
    if wrong.any():
        named = list(images["Id"][wrong] + " " + texts[wrong])
        raise UserError(
            f"pixel sizes in {place} are not lengths",
            expected="micrometres, such as 0.325, or an empty cell where they are unknown",
            received=f"{len(named)}: {first_names(named)}",
            remedy=f"correct the column {PIXEL_SIZE}",
        )
    known = [None if np.isnan(number) else float(number) for number in numbers]
    return images.assign(**{PIXEL_SIZE: pd.Series(known, index=images.index, dtype=object)})


@dataclass(frozen=True)
class PixelSizes:
    """Pixel sizes of the training images that have one.

    Attributes:
        low, median, high: of their files.
        packed_low, packed_high: of their pixels as packed, that is, as the network sees them.
        n_unknown: number of training images without a pixel size.
    """

    low: float
    median: float
    high: float
    packed_low: float
    packed_high: float
    n_unknown: int

    @classmethod
    def of(cls, index: pd.DataFrame) -> "PixelSizes | None":
        """Return those of rows of the packed index; None if all are unknown."""
        if PACKED_SIZE not in index:
            return None
        pairs = index[[PIXEL_SIZE, PACKED_SIZE]].apply(pd.to_numeric, errors="coerce")
        known = pairs.dropna()
        if known.empty:
            return None
        files, packed = known[PIXEL_SIZE], known[PACKED_SIZE]
        return cls(
            low=float(files.min()),
            median=float(files.median()),
            high=float(files.max()),
            packed_low=float(packed.min()),
            packed_high=float(packed.max()),
            n_unknown=len(index) - len(known),
        )

    @property
    def in_words(self) -> str:
        """The range of those of the files, such as `0.3 to 0.45 µm`."""
        low, high = f"{self.low:g}", f"{self.high:g}"
        return f"{low} µm" if low == high else f"{low} to {high} µm"

    def to_json(self) -> dict[str, Any]:
        """Return a document for `json.dump`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "PixelSizes":
        """Read the document that `to_json` returned.

        Raises:
            LookupError, TypeError, ValueError: it is damaged.
        """
        numbers = {key: float(document[key]) for key in list(cls.__dataclass_fields__)[:-1]}
        return cls(**numbers, n_unknown=int(document["n_unknown"]))


def size_flags(
    seen: PixelSizes | None, scaled_to: float | None, size_um: float | None, packed_um: float | None
) -> list[str]:
    """Describe how the scale of an image differs from that of the training images.

    Args:
        seen: pixel sizes of the training images; None if they have none.
        scaled_to: `pack.pixel_size_um` of the model.
        size_um: pixel size of the image; None if it is unknown.
        packed_um: that of its pixels as the network sees them.

    >>> of_2048 = PixelSizes(0.08, 0.08, 0.08, packed_low=0.64, packed_high=0.64, n_unknown=0)
    >>> size_flags(of_2048, None, 0.325, 2.6)
    ['pixels of 0.325 µm; the training images had 0.08 µm: structures look 4.1 times smaller']
    >>> size_flags(of_2048, None, 0.32, 0.64)  # fewer pixels, of the same field
    []
    """
    if scaled_to is not None:
        return _flags_of_scaled(scaled_to, size_um)
    if seen is None:
        return []
    if size_um is None or packed_um is None:
        return [f"{UNKNOWN}: structures may look larger or smaller than in the training images"]
    nearest = min(max(packed_um, seen.packed_low), seen.packed_high)
    ratio = packed_um / nearest
    if 1 / TOLERANCE <= ratio <= TOLERANCE:
        return []
    look = f"{ratio:.2g} times smaller" if ratio > 1 else f"{1 / ratio:.2g} times larger"
    if seen.low / TOLERANCE <= size_um <= seen.high * TOLERANCE:
        return [
            f"pixels of {size_um:g} µm, as in the training images, but in a picture of another "
            f"size: structures look {look}"
        ]
    return [
        f"pixels of {size_um:g} µm; the training images had {seen.in_words}: structures look {look}"
    ]


def _flags_of_scaled(scaled_to: float, size_um: float | None) -> list[str]:
    if size_um is None:
        return [f"{UNKNOWN}: it was not scaled to {scaled_to:g} µm as the training images were"]
    factor = size_um / scaled_to
    if factor <= MAX_ENLARGEMENT:
        return []
    return [
        f"pixels of {size_um:g} µm were enlarged {factor:.2g} times to the {scaled_to:g} µm of the "
        "training images: fine structures are missing"
    ]
