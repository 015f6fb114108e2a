"""Pseudo-colour, protein and heatmap pictures of images of any channels."""

import cv2
import numpy as np

from hpa.vocabulary.channels import Channels

MIXED = 0.6
"""Weight of a colour of several components that others show as well, such as yellow beside red: the
others stay visible under it."""


def pseudo_colour(image: np.ndarray, channels: Channels) -> np.ndarray:
    """Return uint8[S,S,K] as RGB uint8[S,S,3] in the display colours, contrast-stretched."""
    planes = np.moveaxis(stretched(image), -1, 0)
    rgb = sum(
        plane[..., None] * colour
        for plane, colour in zip(planes, display_weights(channels), strict=True)
    )
    return np.asarray(255 * np.clip(rgb, 0, 1), dtype=np.uint8)


def display_weights(channels: Channels) -> np.ndarray:
    """Return red, green and blue of each channel in a pseudo-colour picture, float64[K,3]."""
    colours = np.array([channel.rgb for channel in channels.channels])
    shared = (colours > 0).sum(axis=0) > 1
    mixed = ((colours > 0).sum(axis=1) > 1) & ((colours > 0) & shared).any(axis=1)
    return np.where(mixed[:, None], MIXED, 1.0) * colours


def protein(image: np.ndarray, channels: Channels) -> np.ndarray:
    """Return the protein channel of uint8[S,S,K], white on black, as RGB uint8[S,S,3]."""
    plane = stretched(image)[..., channels.protein]
    return np.repeat((255 * plane[..., None]).astype(np.uint8), 3, axis=-1)


def stretched(image: np.ndarray) -> np.ndarray:
    """Scale each channel so that its 99.7th percentile is white; float[S,S,K] in [0,1]."""
    white = np.maximum(np.percentile(image, 99.7, axis=(0, 1)), 16)
    return np.clip(image / white, 0, 1)


def overlay(pixels: np.ndarray, heat: np.ndarray, channels: Channels) -> np.ndarray:
    """Draw a map float32[h,w] in orange over the protein of uint8[S,S,K]; RGB uint8[S,S,3]."""
    size = len(pixels)
    share = heat / max(float(heat.max()), np.finfo(np.float32).tiny)
    smooth = cv2.resize(share.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    weight = 0.55 * np.clip(smooth, 0, 1)[..., None]
    colour = np.array([255, 122, 20])
    return np.asarray((1 - weight) * protein(pixels, channels) + weight * colour, dtype=np.uint8)


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    """Join RGB pictures uint8[S,S,3] in a row with thin white gaps."""
    size = len(pictures[0])
    gap = np.full((size, max(1, size // 48), 3), 255, np.uint8)
    return np.hstack([part for picture in pictures for part in (gap, picture)][1:])
