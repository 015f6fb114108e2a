"""Mitosis: chromosome plates, spindles, and bridges between sister cells."""

import numpy as np

from hpa.data.synthesis.cells import METAPHASE
from hpa.data.synthesis.filaments import draw
from hpa.data.synthesis.scene import Scene
from hpa.data.synthesis.textures import blur, smooth_noise, spots


def draw_plates(scene: Scene, *, long: float, short: float) -> np.ndarray:
    """Draw a soft bar across the axis of each metaphase cell; half lengths in nuclear radii."""
    image = np.zeros((scene.size, scene.size), np.float32)
    for along, across in _spindle_coordinates(scene):
        image += np.exp(-((along / short) ** 4) - (across / long) ** 4)
    return image


def _spindle_coordinates(scene: Scene) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixel coordinates along and across each spindle, in nuclear radii."""
    y, x = np.indices((scene.size, scene.size), dtype=np.float32)
    coordinates = []
    for number in np.flatnonzero(scene.cells.phase == METAPHASE):
        cx, cy = scene.cells.centre[number] * scene.size
        radius_px = scene.cells.nuclear_radius[number] * scene.size
        dx, dy = (x + 0.5 - cx) / radius_px, (y + 0.5 - cy) / radius_px
        cos, sin = np.cos(scene.cells.axis[number]), np.sin(scene.cells.axis[number])
        coordinates.append((dx * cos + dy * sin, dy * cos - dx * sin))
    return coordinates


def draw_spindles(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Draw two cones of fibres from the poles to the plate of each metaphase cell, in [0,1.3]."""
    image = np.zeros((scene.size, scene.size), np.float32)
    streaks = smooth_noise(rng, scene.size, 0.15 * scene.radius_px)
    for along, across in _spindle_coordinates(scene):
        half_width = 0.62 * np.sqrt(np.clip(1 - (along / 1.08) ** 2, 0, 1)) + 0.05
        lens = np.exp(-((across / half_width) ** 4)) * (np.abs(along) < 1.05)
        poles = sum(np.exp(-((along - s) ** 2 + across**2) / 0.03) for s in (-0.95, 0.95))
        astral = 0.15 * np.exp(-(((along**2 + across**2) / 1.4) ** 3))
        image += lens * (0.55 + 0.3 * np.abs(along)) * (1 + 0.2 * streaks) + 0.4 * poles + astral
    return np.clip(image, 0, 1.3)


def draw_bridges(rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Draw the strands between sister cells, and the midbody in the middle of each."""
    size, centre = scene.size, scene.cells.centre * scene.size
    if not scene.cells.pairs:
        empty = np.zeros((size, size), np.float32)
        return empty, empty
    first, second = (centre[[pair[i] for pair in scene.cells.pairs]] for i in (0, 1))
    toward = np.linspace(0.3, 0.7, 13)[None, :, None]
    bend = np.sin(np.linspace(0, np.pi, 13))[None, :, None]
    normal = (second - first)[:, None, ::-1] * (1, -1)
    sway = rng.uniform(-0.12, 0.12, (len(first), 1, 1))
    strand = first[:, None] + toward * (second - first)[:, None] + sway * bend * normal
    width_px = max(rng.uniform(0.07, 0.13) * scene.radius_px, 0.8)
    line = blur(np.minimum(draw(size, strand, width_px=width_px) * 2, 1), 0.05 * scene.radius_px)
    midbody = spots(size, strand[:, 6], np.ones(len(first)), 0.13 * scene.radius_px)
    return line, midbody
