"""Changes that leave a label true: cells have no up, down, left or right."""

import numpy as np


def dihedral(images: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """Turn each image by `choices % 4` right angles, then mirror it where `choices` is 4 or more.

    Args:
        images: [B,S,S,C] of any type; changed in place.
        choices: int[B] in 0 … 7, the elements of the square's symmetry group.

    Returns:
        `images`.
    """
    for image, choice in zip(images, choices, strict=True):
        turned = np.rot90(image, choice % 4)
        image[...] = turned[:, ::-1] if choice >= 4 else turned
    return images
