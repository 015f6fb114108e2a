"""Patterns inside the nucleus; each returns float32[H,W] in about [0,1]."""

import numpy as np

from hpa.data.synthesis.reference import Reference
from hpa.data.synthesis.scene import Scene, points_in_nuclei
from hpa.data.synthesis.textures import discs, smooth_noise, spots


def nucleoplasm(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw filled, finely granular nuclei, usually with darker nucleoli."""
    grain = smooth_noise(rng, scene.size, rng.uniform(0.08, 0.2) * scene.radius_px)
    granular = np.clip(1 + rng.uniform(0.05, 0.4) * grain, 0.1, 2.5)
    holes = 1 - rng.uniform(0.2, 0.95) * scene.nucleoli
    return 0.75 * scene.nucleus * granular * holes


def nuclear_membrane(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw the rim of the nucleus, a few folds across it, and a weak interior."""
    width = max(rng.uniform(0.06, 0.11), 0.7 / scene.radius_px)
    rim = np.exp(-(((scene.depth - 0.95) / width) ** 2))
    uneven = np.clip(1 + 0.3 * smooth_noise(rng, scene.size, 0.4 * scene.radius_px), 0.2, 2)
    crease = np.abs(smooth_noise(rng, scene.size, 1.1 * scene.radius_px))
    folds = rng.uniform(0.0, 0.4) * np.exp(-((crease / 0.07) ** 2)) * scene.nucleus
    inside = rng.uniform(0.08, 0.3) * scene.nucleus
    return (rim * uneven + folds + inside) * (scene.cell > 0)


def nucleoli(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw the round bodies that are dark in the nuclear stain, filled or brighter at the rim."""
    grain = smooth_noise(rng, scene.size, 0.1 * scene.radius_px)
    bodies = scene.nucleoli * np.clip(1 + rng.uniform(0.05, 0.3) * grain, 0.2, 2)
    hollow = rng.uniform(0, 0.35) * np.clip(scene.nucleoli - 0.7, 0, 1) / 0.3
    return bodies * (1 - hollow) + rng.uniform(0.02, 0.22) * scene.nucleus


def fibrillar_centres(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw clusters of small dots inside the nucleoli."""
    nucleolus = scene.nucleolus_xyr
    whose = np.repeat(np.arange(len(nucleolus)), rng.integers(1, 6, len(nucleolus)))
    away = nucleolus[whose, 2:] * rng.uniform(0.1, 1.15, (len(whose), 1))
    angle = rng.uniform(0, 2 * np.pi, len(whose))
    xy = nucleolus[whose, :2] + away * np.column_stack([np.cos(angle), np.sin(angle)])
    weight = rng.uniform(0.4, 1.1, len(whose))
    dots = spots(scene.size, xy, weight, rng.uniform(0.045, 0.075) * scene.radius_px)
    rest = rng.uniform(0.03, 0.2) * scene.nucleus + rng.uniform(0, 0.2) * scene.nucleoli
    return np.minimum(dots, 1.4) * scene.nucleus + rest


def speckles(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw twenty to fifty irregular islands outside the nucleoli."""
    scale = rng.uniform(0.18, 0.34) * scene.radius_px
    level = smooth_noise(rng, scene.size, scale) - 1.5 * scene.nucleoli
    islands = np.clip((level - rng.uniform(0.5, 1.0)) * 1.8, 0, 1.2)
    shallow = np.clip((1.0 - scene.depth) * 6, 0, 1)
    grain = 1 + 0.12 * smooth_noise(rng, scene.size, 0.09 * scene.radius_px)
    background = rng.uniform(0.1, 0.5) * (1 - 0.7 * scene.nucleoli) * grain
    return scene.nucleus * (islands * shallow + background)


def nuclear_bodies(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw two to fifteen sharp round dots per nucleus."""
    per_nucleus = rng.uniform(1.5, 12)
    cells = scene.interphase()
    whose = np.repeat(cells, rng.poisson(per_nucleus, len(cells)))
    xy = points_in_nuclei(rng, scene.cells, whose, scene.size, reach=0.85)
    radius = rng.uniform(0.045, 0.1) * rng.lognormal(0, 0.25, len(whose)) * scene.radius_px
    dots = discs(scene.size, xy, radius, rng.uniform(0.55, 1.0, len(whose)))
    grain = 1 + 0.15 * smooth_noise(rng, scene.size, 0.1 * scene.radius_px)
    background = rng.uniform(0.02, 0.55) * (1 - 0.5 * scene.nucleoli) * grain
    return scene.nucleus * (dots + background)
