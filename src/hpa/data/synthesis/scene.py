"""Fields over the pixels of one image: the cell of each pixel, and distances from its structures.

All patterns are functions of these fields. Distances are in nuclear radii of the cell line.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from hpa.data.synthesis.cell_lines import CellLine, draw_cell_line
from hpa.data.synthesis.cells import INTERPHASE, METAPHASE, N_ANGLES, Cells, place_cells
from hpa.data.synthesis.textures import blur, discs, displace, smooth_noise
from hpa.vocabulary.hpa2018 import LABELS

_FAR = np.float32(9.0)
_BRIDGE, _SPINDLE, _JUNCTIONS = (
    LABELS.column(name) for name in ("Cytokinetic bridge", "Mitotic spindle", "Cell junctions")
)


@dataclass(frozen=True)
class Scene:
    """One field of view; images are [H,W], positions (x, y) in pixels."""

    size: int
    radius_px: float  # nuclear radius of the cell line
    cells: Cells
    owner: np.ndarray  # int32: 0 background, k + 1 for cell k
    cell: np.ndarray  # float32 in [0,1]: inside any cell
    nucleus: np.ndarray  # float32 in [0,1]: inside an interphase or sister nucleus
    depth: np.ndarray  # float32: 0 at the nuclear centre, 1 at the rim, more outside
    halo: np.ndarray  # float32: distance outside the nearest nucleus
    edge: np.ndarray  # float32: distance inwards from the border of the own cell
    contact: np.ndarray  # float32 in [0,1]: 1 on the line where two cells touch
    bearing: np.ndarray  # float32: direction from the own nucleus, radians
    nucleoli: np.ndarray  # float32 in [0,1]
    nucleolus_xyr: np.ndarray  # float[M,3]: centre and radius of each nucleolus, pixels

    @property
    def cytoplasm(self) -> np.ndarray:
        """Mask of cells without their nuclei, float32 in [0,1]."""
        return self.cell * (1 - self.nucleus)

    @property
    def thickness(self) -> np.ndarray:
        """Height of the cells in [0,1], falling towards the border."""
        return self.cell * (1 - np.exp(-self.edge / 0.35))

    def per_cell(self, values: np.ndarray) -> np.ndarray:
        """Map one value per cell, float[K], to the pixels; 0 outside all cells."""
        return np.concatenate([[0.0], values]).astype(np.float32)[self.owner]

    def interphase(self) -> np.ndarray:
        """Return the numbers of the cells in interphase."""
        return np.flatnonzero(self.cells.phase == INTERPHASE)


def build_scene(rng: np.random.Generator, label_set: tuple[int, ...], size: int) -> Scene:
    """Place cells as the label set requires: in mitosis, touching, or any."""
    cell_line = draw_cell_line(rng, touching=_JUNCTIONS in label_set)
    n_metaphase = int(rng.integers(1, 4)) if _SPINDLE in label_set else int(rng.random() < 0.06)
    n_pairs = int(rng.integers(1, 3)) if _BRIDGE in label_set else int(rng.random() < 0.05)
    cells = place_cells(rng, cell_line, n_metaphase=n_metaphase, n_pairs=n_pairs)
    return _fields(rng, cell_line, cells, size)


def _fields(rng: np.random.Generator, cell_line: CellLine, cells: Cells, size: int) -> Scene:
    radius_px = cell_line.nuclear_radius * size
    owner, best, second, depth, bearing = _territories(rng, cell_line, cells, size)
    uneven = 1 + 0.7 * smooth_noise(rng, size, 1.5 * radius_px)
    parted = (second - best) < cell_line.gap * uneven
    inside = (best < 1) & ~(parted & (depth > 1.1))
    owner = np.where(inside, owner, 0).astype(np.int32)
    nucleus = np.clip((1 - depth) * radius_px + 0.5, 0, 1) * (owner > 0)
    nucleoli, nucleolus_xyr = _nucleoli(rng, cells, size, radius_px)
    return Scene(
        size=size,
        radius_px=radius_px,
        cells=cells,
        owner=owner,
        cell=inside.astype(np.float32),
        nucleus=nucleus,
        depth=depth,
        halo=_distance(nucleus < 0.5) / radius_px,
        edge=_distance((owner > 0) & ~_borders(owner)) / radius_px,
        contact=_contacts(owner, radius_px),
        bearing=bearing,
        nucleoli=nucleoli * nucleus,
        nucleolus_xyr=nucleolus_xyr,
    )


def _territories(
    rng: np.random.Generator, cell_line: CellLine, cells: Cells, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Assign each pixel to the cell in which it is deepest, one cell after the other."""
    radius_px = cell_line.nuclear_radius * size
    warp_x, warp_y = (smooth_noise(rng, size, 2.5 * radius_px) * 0.16 * radius_px for _ in "xy")
    ruffle = smooth_noise(rng, size, 0.4 * radius_px) * 0.6 * cell_line.ruffle
    y, x = np.indices((size, size), dtype=np.float32)
    x += 0.5 + warp_x
    y += 0.5 + warp_y
    owner = np.zeros((size, size), np.int32)
    best, second, depth = (np.full((size, size), _FAR, np.float32) for _ in range(3))
    bearing = np.zeros((size, size), np.float32)
    for number in range(len(cells.centre)):
        window = _window(cells, number, size)
        if window is None:
            continue
        cx, cy = cells.centre[number] * size
        away, angle = cv2.cartToPolar(x[window] - np.float32(cx), y[window] - np.float32(cy))
        index = (angle * np.float32(N_ANGLES / (2 * np.pi))).astype(np.int32) % N_ANGLES
        of_cell = away / (cells.outline[number] * size).astype(np.float32)[index]
        if cells.phase[number] != METAPHASE:
            of_nucleus = away / (cells.nuclear_outline[number] * size).astype(np.float32)[index]
            np.minimum(depth[window], of_nucleus, out=depth[window])
            # A nucleus always keeps a thin layer of its own cytoplasm.
            of_cell = np.minimum(of_cell + ruffle[window], 0.83 * of_nucleus)
        nearer = of_cell < best[window]
        second[window] = np.minimum(second[window], np.maximum(best[window], of_cell))
        np.minimum(best[window], of_cell, out=best[window])
        owner[window][nearer] = number + 1
        bearing[window][nearer] = angle[nearer]
    return owner, best, second, depth, bearing


def _window(cells: Cells, number: int, size: int) -> tuple[slice, slice] | None:
    """Return the rows and columns around a cell, or None if it is outside the image."""
    reach = (1.15 * cells.outline[number].max() + 0.02) * size
    low = np.maximum(np.floor(cells.centre[number] * size - reach), 0).astype(int)
    high = np.minimum(np.ceil(cells.centre[number] * size + reach), size).astype(int)
    if np.any(low >= high):
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _nucleoli(
    rng: np.random.Generator, cells: Cells, size: int, radius_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one to six irregular bodies per nucleus; typical size and number vary by image."""
    typical = rng.uniform(1.5, 4.5)
    body_px = rng.uniform(0.14, 0.27) * radius_px
    number = np.where(cells.phase == INTERPHASE, rng.poisson(typical, len(cells.phase)) + 1, 0)
    whose = np.repeat(np.arange(len(number)), np.minimum(number, 6))
    xy = points_in_nuclei(rng, cells, whose, size, reach=0.62)
    body = body_px * rng.lognormal(0, 0.3, len(whose)) / np.sqrt(1 + 0.1 * number[whose])
    image = discs(size, xy, body, np.ones(len(whose)))
    image = displace(rng, image, radius_px, scale=0.45, shift=0.07)
    image = blur(image, 0.03 * radius_px)
    return image, np.column_stack([xy, body])


def points_in_nuclei(
    rng: np.random.Generator, cells: Cells, whose: np.ndarray, size: int, *, reach: float
) -> np.ndarray:
    """Draw one point float[N,2] in pixels per named nucleus, within `reach` of its radius."""
    index = rng.integers(0, N_ANGLES, len(whose))
    angle = index * (2 * np.pi / N_ANGLES)
    away = np.sqrt(rng.random(len(whose))) * reach * cells.nuclear_outline[whose, index]
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (cells.centre[whose] + away[:, None] * direction) * size


def _distance(mask: np.ndarray) -> np.ndarray:
    """Return the distance in pixels to the nearest False, float32[H,W]."""
    if mask.all():
        return np.full(mask.shape, float(max(mask.shape)), np.float32)
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)


def _borders(owner: np.ndarray) -> np.ndarray:
    """Find pixels whose right or lower neighbour belongs to another cell."""
    border = np.zeros(owner.shape, bool)
    border[:, :-1] |= owner[:, 1:] != owner[:, :-1]
    border[:-1] |= owner[1:] != owner[:-1]
    return border


def _contacts(owner: np.ndarray, radius_px: float) -> np.ndarray:
    """Return 1 on borders between two cells, falling to 0 within a tenth of a nuclear radius."""
    touching = np.zeros(owner.shape, bool)
    for one, other in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        both = (owner[one] > 0) & (owner[other] > 0)
        touching[other] |= both & (owner[one] != owner[other])
    away = _distance(~touching) / radius_px
    return np.exp(-((away / 0.055) ** 2)).astype(np.float32)
