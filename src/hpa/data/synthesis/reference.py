"""Reference stains of every image: microtubules, nucleus and endoplasmic reticulum."""

from dataclasses import dataclass

import numpy as np

from hpa.data.synthesis.cells import INTERPHASE, METAPHASE, TELOPHASE
from hpa.data.synthesis.filaments import confine, draw, grow, lookup
from hpa.data.synthesis.mitosis import draw_bridges, draw_plates, draw_spindles
from hpa.data.synthesis.scene import Scene, points_in_nuclei
from hpa.data.synthesis.textures import blur, discs, mesh_noise, smooth_noise

_CYTOPLASM_AREA = 4.0  # of an average cell, in nuclear areas
_MOUSE_FRACTION = 0.1


@dataclass(frozen=True)
class Reference:
    """Structures in about [0,1], before staining strength, blur and noise; float32[H,W]."""

    microtubules: np.ndarray
    chromatin: np.ndarray
    reticulum: np.ndarray
    spindle: np.ndarray
    bridge: np.ndarray
    midbody: np.ndarray
    tips: np.ndarray  # float[N,2]: where microtubules end, pixels
    tip_heading: np.ndarray  # float[N]: radians


def stain(rng: np.random.Generator, scene: Scene) -> Reference:
    """Draw the structures that the three reference channels show."""
    threads = _microtubule_paths(rng, scene)
    spindle = draw_spindles(rng, scene)
    bridge, midbody = draw_bridges(rng, scene)
    tips, tip_heading = _growing_ends(rng, scene, threads)
    return Reference(
        microtubules=_microtubules(rng, scene, threads, spindle, bridge),
        chromatin=_chromatin(rng, scene),
        reticulum=draw_reticulum(rng, scene),
        spindle=spindle,
        bridge=bridge,
        midbody=midbody,
        tips=tips,
        tip_heading=tip_heading,
    )


def scatter(
    rng: np.random.Generator, scene: Scene, per_cell: float, weight: np.ndarray
) -> np.ndarray:
    """Sample points float[N,2] in proportion to weight[H,W], about `per_cell` in an average cell.

    Their number is proportional to the area of cytoplasm: a small cell has fewer organelles.
    """
    cumulated = np.cumsum(weight, dtype=np.float64)
    n_cells = scene.cytoplasm.sum() / (_CYTOPLASM_AREA * np.pi * scene.radius_px**2)
    # A child stream, so that what is drawn next does not depend on the number of points.
    rng = rng.spawn(1)[0]
    number = rng.poisson(per_cell * (n_cells + 0.2))
    if cumulated[-1] <= 0:
        return np.zeros((0, 2))
    index = np.searchsorted(cumulated, rng.random(number) * cumulated[-1], side="right")
    row, column = np.divmod(np.minimum(index, weight.size - 1), scene.size)
    return np.column_stack([column, row]) + rng.random((number, 2))


def draw_reticulum(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Draw a fine net, dense near the nucleus and thin at the border, faint over nuclei."""
    pitch = rng.uniform(0.11, 0.2) * scene.radius_px
    net = 0.6 * mesh_noise(rng, scene.size, pitch) + 0.4 * mesh_noise(rng, scene.size, 1.7 * pitch)
    coarse = np.exp(0.35 * smooth_noise(rng, scene.size, 0.5 * scene.radius_px))
    near = 0.12 + np.exp(-scene.halo / rng.uniform(0.5, 2.2))
    contrast = rng.uniform(0.5, 0.95)
    sheet = _level(scene.thickness * near * coarse * (1 - contrast + contrast * 1.6 * net), scene)
    over_nucleus = min(0.08 + rng.gamma(1.5, 0.2), 1.3)
    return sheet * (1 - (1 - over_nucleus) * scene.nucleus)


def _level(image: np.ndarray, scene: Scene) -> np.ndarray:
    """Scale to a mean of 0.4 over the cytoplasm."""
    mean = (image * scene.cytoplasm).sum() / (scene.cytoplasm.sum() + 1)
    return image * (0.4 / (mean + 1e-3))


def _microtubule_paths(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Grow threads from the cytoplasm near the nucleus, partly radial, partly around it."""
    weight = scene.cytoplasm * (0.15 + np.exp(-scene.halo / 0.9))
    start = scatter(rng, scene, rng.uniform(130, 320), weight)
    around = rng.beta(1.2, 1.0) * rng.choice([-1, 1], len(start))
    heading = lookup(scene.bearing, start) + around * np.pi / 2 + rng.normal(0, 0.45, len(start))
    away = 1 + lookup(scene.halo, start)
    step = rng.uniform(0.13, 0.17) * scene.radius_px
    curvature = around * step / (away * scene.radius_px) + rng.normal(0, 0.03, len(start))
    paths = grow(
        start,
        heading,
        curvature,
        rng,
        n_steps=int(rng.integers(14, 26)),
        step_px=step,
        wiggle=rng.uniform(0.03, 0.14),
    )
    return confine(paths, scene.owner)


def _growing_ends(
    rng: np.random.Generator, scene: Scene, threads: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose points on the outer half of the threads, few of them at the border.

    Returns:
        The points float[N,2] and their directions float[N].
    """
    n_threads, n_points = threads.shape[:2]
    which = np.arange(n_threads)
    index = rng.integers(n_points // 3, n_points, n_threads)
    tips, before = threads[which, index], threads[which, index - 1]
    within = lookup(scene.edge, tips) > rng.uniform(0.0, 0.6, n_threads)
    step = (tips - before)[within]
    return tips[within], np.arctan2(step[:, 1], step[:, 0])


def _microtubules(
    rng: np.random.Generator,
    scene: Scene,
    threads: np.ndarray,
    spindle: np.ndarray,
    bridge: np.ndarray,
) -> np.ndarray:
    width_px = rng.uniform(0.0014, 0.0025) * scene.size
    interphase = scene.per_cell((scene.cells.phase != METAPHASE).astype(float))
    lines = draw(scene.size, threads, width_px=width_px) * interphase
    blurred = blur(lines, 0.12 * scene.radius_px)
    patchy = np.exp(0.3 * smooth_noise(rng, scene.size, 0.8 * scene.radius_px))
    slope = 0.35 + np.exp(-scene.halo / rng.uniform(0.4, 2.5))
    sharpness = rng.uniform(0.4, 0.95)
    fabric = _level((sharpness * lines + (1 - sharpness) * blurred) * patchy * slope, scene)
    fabric = fabric + rng.uniform(0.02, 0.12) * scene.thickness
    rim = rng.uniform(0.0, 0.5) * np.exp(-scene.edge / 0.12) * scene.cell
    over_nucleus = min(0.08 + rng.gamma(1.2, 0.4), 2.0)
    fabric = (fabric + rim * patchy) * (1 - (1 - over_nucleus) * scene.nucleus)
    return fabric + 1.1 * spindle + 1.3 * bridge


def _chromatin(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Draw mottled nuclei with dark nucleoli, and dense plates in metaphase cells."""
    grain = smooth_noise(rng, scene.size, rng.uniform(0.1, 0.25) * scene.radius_px)
    cloud = smooth_noise(rng, scene.size, 0.7 * scene.radius_px)
    mottle = np.clip(1 + rng.uniform(0.12, 0.38) * grain + 0.12 * cloud, 0.3, 2.0)
    holes = 1 - rng.uniform(0.35, 0.95) * scene.nucleoli
    coat = 1 + 0.25 * np.clip(4 * scene.nucleoli * (1 - scene.nucleoli), 0, 1)
    condensed = np.where(scene.cells.phase == TELOPHASE, 1.7, 1.0)
    nuclei = scene.nucleus * mottle * holes * coat * scene.per_cell(condensed)
    lumpy = np.clip(1 + 0.3 * grain, 0.4, 1.6)
    if rng.random() < _MOUSE_FRACTION:
        nuclei = 0.7 * nuclei + 0.6 * _chromocentres(rng, scene) * scene.nucleus
    return 0.75 * nuclei + 1.25 * lumpy * draw_plates(scene, long=0.95, short=0.3)


def _chromocentres(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Draw ten to thirty bright grains per nucleus, typical of mouse cells."""
    number = rng.poisson(rng.uniform(10, 25), len(scene.cells.phase))
    whose = np.repeat(np.arange(len(number)), np.where(scene.cells.phase == INTERPHASE, number, 0))
    xy = points_in_nuclei(rng, scene.cells, whose, scene.size, reach=0.9)
    radius = rng.uniform(0.05, 0.12, len(whose)) * scene.radius_px
    return discs(scene.size, xy, radius, rng.uniform(0.5, 1.0, len(whose)))


def interphase_cells(scene: Scene) -> np.ndarray:
    """Return a mask of the cells in interphase, float32[H,W]."""
    return scene.per_cell((scene.cells.phase == INTERPHASE).astype(float))
