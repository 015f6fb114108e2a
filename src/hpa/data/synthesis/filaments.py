"""Curved filaments, grown for a whole image at once and confined to their cells."""

import cv2
import numpy as np

from hpa.data.synthesis.textures import FIXED_POINT_BITS, OVERSAMPLING, shrink

_N_LAYERS = 3


def grow(
    start: np.ndarray,
    heading: np.ndarray,
    curvature: np.ndarray,
    rng: np.random.Generator,
    *,
    n_steps: int,
    step_px: np.ndarray | float,
    wiggle: float,
) -> np.ndarray:
    """Walk N threads from start float[N,2] and return float[N,n_steps+1,2] as (x, y).

    Args:
        start: first points.
        heading: first direction of each thread, radians.
        curvature: constant turn per step, radians.
        rng: source of the random turns.
        n_steps: steps per thread.
        step_px: length of a step, for all or for each thread.
        wiggle: standard deviation of the random turn per step, radians.
    """
    n_threads = len(start)
    turn = rng.normal(0.0, 1.0, (n_threads, n_steps)) * wiggle + curvature[:, None]
    angle = heading[:, None] + np.cumsum(turn, axis=1)
    step = np.broadcast_to(np.asarray(step_px, dtype=np.float64), (n_threads,))[:, None, None]
    path = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=-1) * step, axis=1)
    return np.concatenate([start[:, None], start[:, None] + path], axis=1)


def confine(paths: np.ndarray, territory: np.ndarray) -> np.ndarray:
    """Stop each thread where it leaves the territory (int[H,W]) on which it started."""
    territory_at = lookup(territory, paths)
    alive = np.logical_and.accumulate(
        (territory_at == territory_at[:, :1]) & (territory_at > 0), axis=1
    )
    last = np.maximum(alive.sum(axis=1) - 1, 0)
    index = np.minimum(np.arange(paths.shape[1])[None], last[:, None])
    return np.take_along_axis(paths, index[:, :, None], axis=1)


def draw(size: int, paths: np.ndarray, *, width_px: float) -> np.ndarray:
    """Draw threads as float32[size,size]; light adds up at crossings.

    A thread thinner than half a pixel is drawn half a pixel wide and dimmer.
    """
    side = OVERSAMPLING * size
    thickness = max(round(OVERSAMPLING * width_px), 1)
    dimming = min(OVERSAMPLING * width_px, 1.0)
    total = np.zeros((size, size), np.float32)
    oversampled = paths * OVERSAMPLING - 0.5
    fixed = np.round(oversampled * (1 << FIXED_POINT_BITS)).astype(np.int32)
    # Lines drawn on one canvas cover each other, so bundles are spread over a few canvases.
    for layer in range(_N_LAYERS):
        level = 255 * (0.35 + 0.65 * (layer + 1) / _N_LAYERS)
        canvas = np.zeros((side, side), np.uint8)
        lines = list(fixed[layer::_N_LAYERS])
        cv2.polylines(canvas, lines, False, level, thickness, cv2.LINE_AA, FIXED_POINT_BITS)
        total += shrink(canvas)
    return total * np.float32(dimming / 255)


def lookup(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return the pixel under each point (...,2); points outside the image read the nearest edge."""
    height, width = image.shape
    x = np.clip(xy[..., 0], 0, width - 1).astype(np.int64)
    y = np.clip(xy[..., 1], 0, height - 1).astype(np.int64)
    return image[y, x]
