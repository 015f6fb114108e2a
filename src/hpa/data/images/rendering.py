"""Pseudo-colour, protein and heatmap pictures of four-channel images."""

import cv2
import numpy as np


def pseudo_colour(image: np.ndarray) -> np.ndarray:
    """Return uint8[S,S,4] as RGB uint8[S,S,3] in the channel colours, contrast-stretched."""
    red, green, blue, yellow = np.moveaxis(stretched(image), -1, 0)
    rgb = np.stack([red + 0.6 * yellow, green + 0.6 * yellow, blue], axis=-1)
    return np.asarray(255 * np.clip(rgb, 0, 1), dtype=np.uint8)


def protein(image: np.ndarray) -> np.ndarray:
    """Return the protein channel of uint8[S,S,4], white on black, as RGB uint8[S,S,3]."""
    green = stretched(image)[..., 1]
    return np.repeat((255 * green[..., None]).astype(np.uint8), 3, axis=-1)


def stretched(image: np.ndarray) -> np.ndarray:
    """Scale each channel so that its 99.7th percentile is white; float[S,S,4] in [0,1]."""
    white = np.maximum(np.percentile(image, 99.7, axis=(0, 1)), 16)
    return np.clip(image / white, 0, 1)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw a map float32[h,w] in orange over the protein of uint8[S,S,4]; RGB uint8[S,S,3]."""
    size = len(pixels)
    share = heat / max(float(heat.max()), np.finfo(np.float32).tiny)
    smooth = cv2.resize(share.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    weight = 0.55 * np.clip(smooth, 0, 1)[..., None]
    colour = np.array([255, 122, 20])
    return np.asarray((1 - weight) * protein(pixels) + weight * colour, dtype=np.uint8)


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    """Join RGB pictures uint8[S,S,3] in a row with thin white gaps."""
    size = len(pictures[0])
    gap = np.full((size, max(1, size // 48), 3), 255, np.uint8)
    return np.hstack([part for picture in pictures for part in (gap, picture)][1:])
