"""Textures: smooth noise, blur, spots and discs on float32[H,W].

Lengths are in pixels of the canvas; pixel i covers i to i + 1. Callers derive lengths from the
nuclear radius, so that a small image looks like a large one scaled down.
"""

import cv2
import numpy as np

FIXED_POINT_BITS = 4
OVERSAMPLING = 2  # OpenCV draws shapes one or two pixels wide as crosses and squares


def smooth_noise(rng: np.random.Generator, size: int, scale_px: float) -> np.ndarray:
    """Return Gaussian noise float32[size,size], mean 0 and deviation 1, blobs of about scale_px.

    It is drawn on a grid as coarse as the blobs allow: same seed, same blobs at every size. Blobs
    finer than a pixel average out, as in a photograph: the deviation falls below 1.
    """
    pitch = max(scale_px / 2, 1.0)
    n_nodes = int(np.ceil(size / pitch)) + 3
    # A child stream, so that what is drawn next does not depend on the size of this grid.
    grid = rng.spawn(1)[0].standard_normal((n_nodes, n_nodes), dtype=np.float32)
    if scale_px > 1.0:
        grid = cv2.GaussianBlur(grid, (0, 0), 0.8).astype(np.float32)
    grid = (grid - grid.mean()) * np.float32(min(scale_px / 2, 1.0) / (grid.std() + 1e-6))
    if n_nodes <= size:
        return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return grid[:size, :size]


def mesh_noise(rng: np.random.Generator, size: int, scale_px: float) -> np.ndarray:
    """Return a net in [0,1]: bright along the level lines of smooth noise, dark in the holes."""
    level = np.abs(smooth_noise(rng, size, scale_px))
    return np.exp(-((level / 0.45) ** 2))


def blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Apply a Gaussian blur; a sigma below 0.2 pixels changes nothing."""
    if sigma_px < 0.2:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma_px)


def spots(size: int, xy: np.ndarray, weight: np.ndarray, sigma_px: float) -> np.ndarray:
    """Add Gaussian spots at xy float[N,2], with peak `weight`; spots off the canvas are dropped.

    A spot narrower than a pixel keeps its total light, not its peak.
    """
    sigma = max(sigma_px, 0.45)
    corner = np.floor(xy - 0.5).astype(np.int64)
    fraction = xy - 0.5 - corner
    light = np.zeros(size * size)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = corner[:, 0] + dx, corner[:, 1] + dy
            share = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1]) * weight
            inside = (x >= 0) & (y >= 0) & (x < size) & (y < size)
            light += np.bincount((y * size + x)[inside], share[inside], minlength=size * size)
    peak = 2 * np.pi * min(sigma_px, sigma) ** 2
    return blur(light.reshape(size, size).astype(np.float32), sigma) * np.float32(peak)


def discs(size: int, xy: np.ndarray, radius_px: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Draw filled discs of brightness `weight` in [0,1]; later ones cover earlier ones."""
    canvas = np.zeros((OVERSAMPLING * size, OVERSAMPLING * size), np.uint8)
    scale = OVERSAMPLING << FIXED_POINT_BITS
    centres = np.round(xy * scale - (1 << FIXED_POINT_BITS) / 2).astype(int).tolist()
    radii = np.maximum(np.round(radius_px * scale), 1).astype(int).tolist()
    levels = np.clip(weight * 255, 0, 255).astype(int).tolist()
    for centre, radius, level in zip(centres, radii, levels, strict=True):
        cv2.circle(canvas, centre, radius, level, -1, cv2.LINE_AA, FIXED_POINT_BITS)
    return shrink(canvas).astype(np.float32) / 255


def shrink(canvas: np.ndarray) -> np.ndarray:
    """Average an oversampled canvas down to the image."""
    side = len(canvas) // OVERSAMPLING
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


def displace(
    rng: np.random.Generator, image: np.ndarray, radius_px: float, *, scale: float, shift: float
) -> np.ndarray:
    """Move content by smooth noise, so that round shapes become irregular.

    `scale` and `shift` are the size and the deviation of the moves, in nuclear radii.
    """
    size = len(image)
    dx, dy = (smooth_noise(rng, size, scale * radius_px) * shift * radius_px for _ in "xy")
    y, x = np.indices(image.shape, dtype=np.float32)
    return cv2.remap(image, x + dx, y + dy, cv2.INTER_LINEAR)
