"""Input of a network: the tiles of one image, and reasons to distrust its prediction."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Input:
    """A named image as the network sees it.

    Attributes:
        name: of the image.
        tiles: uint8[T,S,S,K]; several if the model was trained on tiles of larger fields.
        flags: reasons to distrust the prediction, in plain words, of the files and their size.
    """

    name: str
    tiles: np.ndarray
    flags: tuple[str, ...] = ()
