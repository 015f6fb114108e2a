"""Facts about the files of a fetch: a summary for people, and the record for the model."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hpa.data.images.depth import MIN_LEVELS, type_in_words
from hpa.data.images.reading import ReadingRules
from hpa.data.sources.written_images import EIGHT_BITS, Written

Found = dict[str, Any]
"""`types` of the stored values and, of set_percentile, the `limits` of each channel."""


def found(written: Sequence[Written], rules: ReadingRules) -> Found:
    """Return what prediction must know of the files that were fetched."""
    types = sorted({each for image in written for each in image.types})
    limits = {name: list(each) for name, each in rules.depth.limits.items()}
    return {"types": types, **({"limits": limits} if limits else {})}


def with_pixel_sizes(images: pd.DataFrame, written: Sequence[Written]) -> pd.DataFrame:
    """Add the column `pixel_size_um` of images in the order of the rows, if any is known."""
    sizes = [f"{each.pixel_size_um:.6g}" if each.pixel_size_um else "" for each in written]
    return images.assign(pixel_size_um=sizes) if any(sizes) else images


def summary(written: Sequence[Written], rules: ReadingRules) -> list[str]:
    """Say what was converted, assumed and lost; nothing of files that were taken as they are."""
    lines = []
    types = Counter(each for image in written for each in image.types if each != EIGHT_BITS)
    if types:
        n_cut, n_converted = (
            sum(getattr(image, key) for image in written) for key in ("n_cut", "n_converted")
        )
        n_coarse = sum(image.is_coarse for image in written)
        of_types = " and ".join(f"{n} of {type_in_words(each)}" for each, n in types.items())
        lines.append(
            f"converted channels to 8 bits by fetch.depth {_described(rules)}: {of_types} values; "
            f"{n_cut:,} pixels ({n_cut / n_converted:.2%}) were cut, {n_coarse} of {len(written)} "
            f"images are left with fewer than {MIN_LEVELS} grey levels in a channel"
        )
    notes = Counter(note for image in written for note in image.notes)
    lines += [f"{note} ({n} images)" for note, n in notes.items()]
    n_unknown = sum(not image.pixel_size_um for image in written)
    if 0 < n_unknown < len(written):
        lines.append(
            f"{n_unknown} of {len(written)} images state no pixel size: fetch.pixel_size_um sets it"
        )
    return lines


def _described(rules: ReadingRules) -> str:
    depth = rules.depth
    if depth.name == "white":
        return f"{depth.white:g}"
    low, high = depth.percentiles
    return depth.name + f" ({low:g} and {high:g})" * depth.name.endswith("percentile")
