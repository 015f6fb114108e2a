"""Position and shape of each cell, in units of the image side."""

from dataclasses import dataclass

import numpy as np

from hpa.data.synthesis.cell_lines import CellLine

INTERPHASE, METAPHASE, TELOPHASE = 0, 1, 2
N_ANGLES = 256
_ANGLES = np.arange(N_ANGLES) * (2 * np.pi / N_ANGLES)
_MARGIN = 0.12
_MAX_CELLS = 80
_MAX_TRIES = 420


@dataclass(frozen=True)
class Cells:
    """K cells; lengths in fractions of the image side, angles in radians."""

    centre: np.ndarray  # float[K,2], x and y of the nucleus
    phase: np.ndarray  # int[K]
    nuclear_radius: np.ndarray  # float[K], mean of the two axes
    nuclear_outline: np.ndarray  # float[K,256], radius by angle
    outline: np.ndarray  # float[K,256], radius of the free cell by angle
    axis: np.ndarray  # float[K], direction of the long axis
    organiser: np.ndarray  # float[K,2], the centrosome beside the nucleus
    pairs: tuple[tuple[int, int], ...]  # sister cells still joined by a bridge


def place_cells(
    rng: np.random.Generator, cell_line: CellLine, *, n_metaphase: int, n_pairs: int
) -> Cells:
    """Scatter cells, some of them in mitosis, over the image and a margin around it."""
    spacing = 2 * cell_line.packing * cell_line.spread * cell_line.nuclear_radius
    centre = _scatter(rng, max(spacing, 2.05 * cell_line.nuclear_radius), cell_line.clumping)
    centre, phase, pairs = _let_divide(rng, centre, cell_line.nuclear_radius, n_metaphase, n_pairs)
    n_cells = len(centre)
    size = cell_line.nuclear_radius * rng.lognormal(0.0, 0.12, n_cells)
    size[phase == TELOPHASE] *= 0.72
    flow = rng.uniform(0, np.pi)
    disorder = rng.uniform(0.2, 1.5)
    axis = flow + disorder * rng.standard_normal(n_cells)
    organiser_angle = axis + np.pi * rng.integers(0, 2, n_cells) + rng.normal(0, 0.7, n_cells)
    nuclear_outline = _nuclear_outlines(rng, cell_line, size, axis, phase)
    beside = _read(nuclear_outline, organiser_angle) * rng.uniform(1.05, 1.35, n_cells)
    direction = np.stack([np.cos(organiser_angle), np.sin(organiser_angle)], axis=-1)
    return Cells(
        centre=centre,
        phase=phase,
        nuclear_radius=size,
        nuclear_outline=nuclear_outline,
        outline=_cell_outlines(rng, cell_line, size, axis, phase),
        axis=axis,
        organiser=centre + beside[:, None] * direction,
        pairs=pairs,
    )


def _scatter(rng: np.random.Generator, spacing: float, clumping: float) -> np.ndarray:
    """Sample points at a minimum distance, preferably near a few cluster centres."""
    low, high = -_MARGIN, 1 + _MARGIN
    tries = rng.uniform(low, high, (_MAX_TRIES, 2))
    clumps = rng.uniform(0.1, 0.9, (3, 2))
    far = np.min(np.linalg.norm(tries[:, None] - clumps[None], axis=2), axis=1)
    welcome = rng.random(_MAX_TRIES) < np.exp(-((far / 0.28) ** 2) * 3 * clumping**2)
    # One cell is always near the middle, so no image is empty.
    placed = [rng.uniform(0.3, 0.7, 2)]
    for point in tries[welcome]:
        distance = np.hypot(*(np.array(placed) - point).T)
        if distance.min() > spacing and len(placed) < _MAX_CELLS:
            placed.append(point)
    return np.array(placed)


def _let_divide(
    rng: np.random.Generator, centre: np.ndarray, radius: float, n_metaphase: int, n_pairs: int
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[int, int], ...]]:
    """Turn some fully visible cells into metaphase cells or pairs of sister cells."""
    phase = np.zeros(len(centre), dtype=np.int64)
    visible = np.all((centre > 0.12) & (centre < 0.88), axis=1)
    chosen = rng.permutation(np.flatnonzero(visible))
    phase[chosen[:n_metaphase]] = METAPHASE
    mothers = chosen[n_metaphase : n_metaphase + n_pairs] if len(chosen) > 1 else chosen[:n_pairs]
    pairs = []
    for mother in mothers:
        angle = rng.uniform(0, 2 * np.pi)
        offset = radius * rng.uniform(2.7, 4.2) * np.array([np.cos(angle), np.sin(angle)])
        inside = np.abs(centre[mother] + offset - 0.5) < 0.45
        sister = centre[mother] + np.where(inside, offset, -offset)
        pairs.append((int(mother), len(centre)))
        centre = np.vstack([centre, sister])
        phase = np.append(phase, TELOPHASE)
        phase[mother] = TELOPHASE
    return _clear_neighbours(centre, phase, radius, pairs)


def _clear_neighbours(
    centre: np.ndarray, phase: np.ndarray, radius: float, pairs: list[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[int, int], ...]]:
    """Remove interphase cells under dividing cells and under bridges."""
    bridges = [(centre[a] + centre[b])[None] / 2 for a, b in pairs]
    crowd = np.concatenate([centre[phase != INTERPHASE], *bridges])
    if len(crowd) == 0:
        return centre, phase, ()
    near = np.min(np.linalg.norm(centre[:, None] - crowd[None], axis=2), axis=1) < 2.1 * radius
    kept = ~(near & (phase == INTERPHASE))
    new_number = np.cumsum(kept) - 1
    renumbered = tuple((int(new_number[a]), int(new_number[b])) for a, b in pairs)
    return centre[kept], phase[kept], renumbered


def _nuclear_outlines(
    rng: np.random.Generator,
    cell_line: CellLine,
    size: np.ndarray,
    axis: np.ndarray,
    phase: np.ndarray,
) -> np.ndarray:
    roundness = np.clip(cell_line.nuclear_roundness + rng.normal(0, 0.07, len(size)), 0.45, 1.0)
    tilt = axis + rng.normal(0, 0.25, len(size))
    lumpiness = np.where(phase == INTERPHASE, rng.gamma(1.5, 0.012, len(size)), 0.01)
    ellipse = _ellipses(size / np.sqrt(roundness), size * np.sqrt(roundness), tilt)
    return ellipse * np.clip(1 + _harmonics(rng, lumpiness, range(2, 7)), 0.6, 1.5)


def _cell_outlines(
    rng: np.random.Generator,
    cell_line: CellLine,
    size: np.ndarray,
    axis: np.ndarray,
    phase: np.ndarray,
) -> np.ndarray:
    n_cells = len(size)
    free_radius = size * cell_line.spread * rng.lognormal(0.0, 0.15, n_cells)
    elongation = np.clip(cell_line.elongation * rng.lognormal(0, 0.2, n_cells), 1.0, 4.0)
    ellipse = _ellipses(free_radius * np.sqrt(elongation), free_radius / np.sqrt(elongation), axis)
    bumps = _harmonics(rng, np.full(n_cells, 0.07), range(1, 6))
    spikes = free_radius[:, None] * _spikes(rng, cell_line.n_spikes, axis)
    shape = ellipse * np.clip(1 + bumps, 0.6, 1.6) + spikes
    # Dividing cells round up.
    rounded = size[:, None] * np.where(phase == METAPHASE, 1.55, 2.1)[:, None]
    rounded = rounded * (1 + _harmonics(rng, np.full(n_cells, 0.03), range(2, 5)))
    return np.where(phase[:, None] == INTERPHASE, shape, rounded)


def _ellipses(long: np.ndarray, short: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    theta = _ANGLES[None] - tilt[:, None]
    long, short = long[:, None], short[:, None]
    return long * short / np.hypot(short * np.cos(theta), long * np.sin(theta))


def _harmonics(rng: np.random.Generator, amplitude: np.ndarray, orders: range) -> np.ndarray:
    """Draw random periodic deviations float[K,256] of standard deviation near `amplitude`."""
    phase = rng.uniform(0, 2 * np.pi, (len(amplitude), len(orders), 1))
    weight = rng.standard_normal((len(amplitude), len(orders), 1)) * amplitude[:, None, None]
    order = np.array(orders)[None, :, None]
    # Fine bumps are flatter than coarse ones: real outlines are smooth.
    weight = weight * (1.5 / order)
    return np.sum(weight * np.cos(order * _ANGLES[None, None] + phase), axis=1)


def _spikes(rng: np.random.Generator, mean_number: float, axis: np.ndarray) -> np.ndarray:
    """Draw pointed processes float[K,256], in free radii, mostly along the long axis."""
    n_most = 4
    present = rng.random((len(axis), n_most)) < mean_number / n_most
    end = axis[:, None] + np.pi * np.arange(n_most)[None]
    direction = end + rng.normal(0, 0.8, (len(axis), n_most))
    length = present * rng.uniform(0.3, 1.6, (len(axis), n_most))
    sharpness = rng.uniform(8, 60, (len(axis), n_most))
    aligned = np.cos(_ANGLES[None, None] - direction[:, :, None]) - 1
    return np.sum(length[:, :, None] * np.exp(sharpness[:, :, None] * aligned), axis=1)


def _read(outline: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Read the radius of each of K outlines at one angle each."""
    index = np.round(angle / (2 * np.pi) * N_ANGLES).astype(np.int64) % N_ANGLES
    return outline[np.arange(len(outline)), index]
