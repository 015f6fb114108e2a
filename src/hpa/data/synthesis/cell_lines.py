"""Cell lines: size, shape and density of the cells of one image.

Lengths are in nuclear radii, the nuclear radius itself in fractions of the image side. Radii
measured on real images are 12 to 45 pixels of 512 over the cell lines, most near 28.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CellLine:
    """A cell line as it appears in one image."""

    nuclear_radius: float  # fraction of the image side
    nuclear_roundness: float  # short over long axis
    spread: float  # radius of a free cell
    elongation: float  # long over short axis of a free cell
    n_spikes: float  # mean number of thin processes per cell
    ruffle: float  # unevenness of the outline
    gap: float  # width of the dark seam between neighbours
    packing: float  # distance of neighbours, relative to two free radii
    clumping: float  # 0: even lawn, 1: islands with empty glass between


# The four cell lines, here and in each row: flat, epithelial, spindly, small.
_ABUNDANCE = np.array([0.42, 0.24, 0.2, 0.14])
_RANGES = {
    "nuclear_radius": ((0.045, 0.066), (0.039, 0.058), (0.039, 0.058), (0.028, 0.047)),
    "nuclear_roundness": ((0.68, 0.92), (0.7, 0.95), (0.5, 0.8), (0.72, 0.95)),
    "spread": ((2.1, 2.9), (1.6, 2.1), (1.5, 2.2), (1.35, 1.7)),
    "elongation": ((1.1, 1.9), (1.0, 1.5), (1.7, 3.0), (1.0, 1.5)),
    "n_spikes": ((0.0, 1.5), (0.0, 0.6), (0.8, 3.0), (0.0, 0.9)),
    "ruffle": ((0.03, 0.14), (0.02, 0.08), (0.03, 0.12), (0.04, 0.15)),
    "gap": ((0.0, 0.16), (0.0, 0.04), (0.0, 0.1), (0.0, 0.08)),
    "packing": ((0.62, 1.05), (0.6, 0.8), (0.62, 1.0), (0.72, 1.1)),
    "clumping": ((0.0, 0.8), (0.0, 0.9), (0.0, 0.7), (0.2, 1.0)),
}


def draw_cell_line(rng: np.random.Generator, *, touching: bool) -> CellLine:
    """Draw a cell line and its density; `touching` requires cells in contact."""
    share = _ABUNDANCE[:3] * (0.5, 2.0, 0.3) if touching else _ABUNDANCE
    number = int(rng.choice(len(share), p=share / share.sum()))
    drawn = {name: float(rng.uniform(*ranges[number])) for name, ranges in _RANGES.items()}
    if touching:
        drawn["gap"] = 0.0
        drawn["packing"] = min(drawn["packing"], 0.68)
    return CellLine(**drawn)
