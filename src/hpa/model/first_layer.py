"""Kernels of the first layer for any channels, from those of other channels.

The rule of ImageNet's weights, and of what an older model lacks:

1. A channel displayed in pure red, green or blue takes the kernel of that colour, if there is one.
2. Any other takes what `model.fourth_channel` names. `red_blue_mean`: the mean of the kernels of
   red and blue; `red_copy`: that of red; of all channels if neither is there. `random`: a random
   kernel, each filter scaled to the mean norm of the known channels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

CONV1 = "conv1_conv"
RED, GREEN, BLUE = PURE = ("#ff0000", "#00ff00", "#0000ff")
PARTS = {"red_blue_mean": (RED, BLUE), "red_copy": (RED,)}


def kernel_of(
    color: str, kernel: np.ndarray, colors: Sequence[str], drawn: np.ndarray, fourth_channel: str
) -> np.ndarray:
    """Return the kernel of one channel by the rule, float32[7,7,F].

    Args:
        color: in which it is displayed, `#rrggbb`.
        kernel: float32[7,7,K,F] over K known channels.
        colors: in which those are displayed.
        drawn: float32[7,7,F], a random kernel.
        fourth_channel: `red_blue_mean`, `red_copy` or `random`.
    """
    if color in PURE and color in colors:
        return kernel[:, :, colors.index(color)]
    if fourth_channel == "random":
        norms = filter_norms(kernel, axis=(0, 1)).mean(axis=0)
        return np.asarray(drawn * norms / filter_norms(drawn, axis=(0, 1)))
    parts = [colors.index(each) for each in PARTS[fourth_channel] if each in colors]
    return np.asarray(kernel[:, :, parts or range(len(colors))].mean(axis=2))


def filter_norms(kernel: np.ndarray, axis: tuple[int, ...]) -> Any:
    """Return the Euclidean norm over some axes."""
    return np.sqrt(np.square(kernel).sum(axis=axis))
